"""Which name server is meant, and where it was the last time: on loopback, in plain TCP and TLS."""

from __future__ import annotations

import os
import queue
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nameserver import (
    BadName,
    NameServer,
    NameServerClient,
    NameServerNotFound,
    discovery,
    finding,
    locate,
    watch_for_servers,
)
from nameserver.clusters import check_cluster, chosen_cluster, cluster_in, cluster_tag
from nameserver.remembered import Memory, Remembered
from remoteobj import Identity, InsecureWarning
from remoteobj.runtime import runtime_dir
from tests.conftest import eventually

pytestmark = [
    pytest.mark.usefixtures("own_network"),
    pytest.mark.filterwarnings("ignore:plain TCP"),
    pytest.mark.filterwarnings("ignore::remoteobj.InsecureWarning"),
]

HOW_TO_CHOOSE = (
    "say which is meant, with cluster=, --cluster at the command line, or REMOTEOBJ_CLUSTER"
)


def serving(cluster: str = "default", port: int = 0, **options: object) -> NameServer:
    return NameServer("127.0.0.1", port, cluster=cluster, insecure=True, **options)


def port_of(server: NameServer) -> int:
    return int(server.address.rpartition(":")[2])


def located(cluster: str | None = None, **options: object) -> tuple[str, str]:
    with locate(cluster=cluster, insecure=True, **options) as client:
        return client.address, client.how


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address where a connection is neither taken nor refused."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())  # the only one for whom there is room
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_names_of_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_cluster("lab-3_b") == "lab-3_b"
    for name in ("", "a b", "a.b", "x" * 61, None):
        with pytest.raises(BadName, match="is no name of a cluster"):
            check_cluster(name)
    assert chosen_cluster() is None
    monkeypatch.setenv("REMOTEOBJ_CLUSTER", "lab")
    assert (chosen_cluster(), chosen_cluster("studio")) == ("lab", "studio")
    monkeypatch.setenv("REMOTEOBJ_CLUSTER", "")
    assert chosen_cluster() is None
    assert cluster_in({"a", cluster_tag("lab")}) == "lab"
    assert cluster_in({"a"}) == ""
    for use in (
        lambda: NameServer("127.0.0.1", insecure=True, cluster="a b"),
        lambda: locate(cluster="a b", insecure=True),
        lambda: watch_for_servers(print, cluster="a b"),
    ):
        with pytest.raises(BadName, match="'a b' is no name of a cluster"):
            use()


def test_the_only_cluster_is_found_without_a_choice() -> None:
    with serving("lab") as lab:
        assert lab.cluster == "lab"
        assert located()[0] == lab.address
        with serving("lab") as second:  # another server of the same one makes no choice necessary
            assert located()[0] in (lab.address, second.address)
            assert located("lab")[0] in (lab.address, second.address)


def test_of_several_clusters_one_has_to_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("lab") as lab, serving("studio") as studio:
        with pytest.raises(NameServerNotFound) as caught:
            locate(insecure=True)
        assert str(caught.value) == (
            "there are name servers of 2 clusters on this network: "
            f"'lab' ({lab.address}), 'studio' ({studio.address}); {HOW_TO_CHOOSE}"
        )
        assert located("lab")[0] == lab.address
        monkeypatch.setenv("REMOTEOBJ_CLUSTER", "studio")
        assert located()[0] == studio.address
        assert located("lab")[0] == lab.address, "what is said in the program counts for more"
        with pytest.raises(NameServerNotFound) as caught:
            located("attic", timeout_s=0.4)
        text = str(caught.value)
        assert text.startswith("no name server of the cluster 'attic' found within 0.4 s")
        assert f"{lab.address} is of the cluster 'lab'" in text
        assert f"{studio.address} is of the cluster 'studio'" in text


def test_what_was_found_before_makes_no_choice() -> None:
    with serving("lab") as lab:
        assert located() == (lab.address, "zeroconf")
        assert located() == (lab.address, "remembered")
        with serving("studio") as studio:
            with pytest.raises(NameServerNotFound, match="of 2 clusters"):
                locate(insecure=True)
            Memory("plain", None).note(Remembered(lab.address, "lab"))
            with serving("lab", announce=False) as quiet:
                # It may be reached from here, and yet it is not the one on this network.
                Memory("plain", None).note(Remembered(quiet.address, "lab"))
                lab.close()
                assert located() == (studio.address, "zeroconf")
                Memory("plain", None).note(Remembered(quiet.address, "lab"))
                studio.close()
                assert located() == (quiet.address, "remembered"), "where nobody else is"


def test_a_known_address_of_another_cluster_is_not_taken() -> None:
    with serving("lab", announce=False) as lab:
        assert located("lab", address=lab.address) == (lab.address, "given")
        with pytest.raises(NameServerNotFound, match="is of the cluster 'lab', not of 'studio'"):
            located("studio", address=lab.address)
        found: queue.SimpleQueue[NameServerClient] = queue.SimpleQueue()
        with watch_for_servers(
            found.put, address=lab.address, insecure=True, cluster="studio", interval_s=0.02
        ) as watch:
            eventually(watch.problems, "it is said why")
            assert "is of the cluster 'lab', not of 'studio'" in watch.problems()[lab.address]
        assert found.empty()


def test_a_watch_of_one_cluster() -> None:
    found: queue.SimpleQueue[NameServerClient] = queue.SimpleQueue()
    with (
        serving("studio"),
        watch_for_servers(found.put, insecure=True, cluster="lab"),
        serving("lab") as lab,
        found.get(timeout=5) as client,
    ):
        assert client.address == lab.address
    assert found.empty()


def test_an_announcement_that_says_nothing_is_asked(server: NameServer) -> None:
    old = discovery.announce("127.0.0.1", port_of(server), name="old", server_id="old")
    try:
        assert located() == (server.address, "zeroconf")
        assert located("default")[0] == server.address
        with pytest.raises(NameServerNotFound, match="is of the cluster 'default'"):
            located("lab", timeout_s=0.4)
    finally:
        old.close()


@pytest.mark.serial
def test_where_it_was_before_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("lab") as lab:
        assert located("lab") == (lab.address, "zeroconf")
        monkeypatch.setattr(finding.Finding, "_browse", None)  # it is not even looked for
        began = time.monotonic()
        assert located("lab") == (lab.address, "remembered")
        assert time.monotonic() - began < 0.2


def test_a_remembered_address_that_is_dead_costs_nothing(
    black_hole: str, server: NameServer
) -> None:
    with socket.socket() as kept, serving("lab") as lab:
        kept.bind(("127.0.0.1", 0))
        refusing = f"127.0.0.1:{kept.getsockname()[1]}"
        for dead in (black_hole, refusing, server.address, "127.0.0.1:1", "nonsense", "a:b"):
            Memory("plain", "lab").note(Remembered(dead, "lab"))
            began = time.monotonic()
            assert located("lab") == (lab.address, "zeroconf"), dead
            assert time.monotonic() - began < 1.0
            assert Memory("plain", "lab").recall() == Remembered(lab.address, "lab")


def test_what_is_remembered_is_for_one_transport_and_interface(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving("lab") as plain, NameServer("127.0.0.1", identity=identity, cluster="lab") as tls:
        for _ in range(2):
            assert located("lab")[0] == plain.address
            with locate(cluster="lab", identity=identity) as client:
                assert client.address == tls.address
        with pytest.raises(NameServerNotFound, match=r"192\.0\.2\.1"):
            located("lab", interfaces=["192.0.2.1"], timeout_s=0.2)
        monkeypatch.setattr(finding.Finding, "_browse", None)  # which would leave loopback
        monkeypatch.setenv("REMOTEOBJ_INTERFACES", "")
        assert located("lab") == (plain.address, "remembered")


def test_a_memory_is_private_and_whole() -> None:
    memory = Memory("tls", "lab")
    assert memory.recall() is None
    memory.note(Remembered("10.0.0.5:9090", "lab"))
    assert memory.recall() == Remembered("10.0.0.5:9090", "lab")
    assert Memory("tls", None).recall() is None
    folder = runtime_dir() / "located"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = folder.iterdir()
    for damaged in (b"", b"10.0.0.5:9090", b"a b c", b"\xff\xfe \xff"):
        file.write_bytes(damaged)
        assert memory.recall() is None
    file.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    memory.note(Remembered("10.0.0.5:9090", "lab"))
    assert memory.recall() is None
    folder.unlink()


def test_nothing_is_remembered_where_nothing_can_be_written(
    own_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chmod(runtime_dir(), 0o755)  # not private any more
    with serving("lab", announce=True) as lab:
        for _ in range(2):
            assert located("lab") == (lab.address, "zeroconf")
    os.chmod(own_machine / "remoteobj", 0o700)


def test_who_answers_late_is_not_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("lab") as lab, serving("lab", announce=False) as slow:
        Memory("plain", "lab").note(Remembered(slow.address, "lab"))
        works, is_over = finding.prove, threading.Event()

        def prove(*args: object, **options: object) -> object:
            assert is_over.wait(10)
            return works(*args, **options)

        monkeypatch.setattr(finding, "prove", prove)
        with pytest.warns(InsecureWarning), locate(cluster="lab", insecure=True) as client:
            assert client.address == lab.address
        is_over.set()
        eventually(lambda: slow.statistics().calls, "it is asked all the same")
        eventually(lambda: not slow.statistics().connections, "and let go of")
