"""Name servers that speak TLS: who is of their cluster uses them, others are told why not."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from nameserver import (
    NameServer,
    NameServerClient,
    NameServerNotFound,
    discovery,
    locate,
    search,
    watch_for_servers,
)
from nameserver.locate import resolve
from nameserver.search import reason_of
from remoteobj import BadInput, ConnectionLost, Identity, InsecureRefused, InsecureWarning
from remoteobj.proxy import Found as Where
from tests.certificates import Files
from tests.conftest import eventually

HERE = "PYRO:x@127.0.0.1:4711"
OTHER_CA = "has a certificate of another CA: both machines must belong to the same cluster"

Found = queue.SimpleQueue[NameServerClient]


@pytest.fixture
def guest(cluster: dict[str, Files]) -> Identity:
    """Another machine of the same cluster."""
    return Identity.from_files(*cluster["slave"])


@pytest.fixture
def stranger(foreign: Files) -> Identity:
    """A machine of another cluster."""
    return Identity.from_files(*foreign)


@pytest.fixture
def secured(identity: Identity) -> Iterator[NameServer]:
    """A name server that speaks TLS and is not announced."""
    with NameServer("127.0.0.1", identity=identity, announce=False) as running:
        yield running


def plain() -> NameServer:
    with pytest.warns(InsecureWarning):
        return NameServer("127.0.0.1", insecure=True)


def test_names_over_tls(secured: NameServer, guest: Identity) -> None:
    with NameServerClient(secured.address, identity=guest) as client:  # and nothing is warned about
        client.register("lab.bell", HERE, metadata={"t"})
        assert client.lookup("lab.bell").metadata == {"t"}
        assert [each.name for each in client.list("lab.")] == ["lab.bell"]
        with locate(secured.address, identity=guest) as other:
            assert other.remove("lab.bell")
        found = resolve("Pyro.NameServer", secured.address, guest)
        assert isinstance(found, Where)
        assert str(found.uri).endswith(secured.address)
        assert found.node == client.lookup("Pyro.NameServer").node


def test_tls_and_plain_tcp_together_are_refused(identity: Identity) -> None:
    for use in (
        lambda: NameServer("127.0.0.1", identity=identity, insecure=True),
        lambda: NameServerClient("127.0.0.1:1", identity=identity, insecure=True),
        lambda: locate("127.0.0.1:1", identity=identity, insecure=True),
        lambda: locate(identity=identity, insecure=True),
        lambda: watch_for_servers(print, identity=identity, insecure=True),
    ):
        with pytest.raises(BadInput, match="give one of them"):
            use()


def test_who_is_not_of_the_cluster_is_told_why(
    secured: NameServer, server: NameServer, guest: Identity, stranger: Identity
) -> None:
    with pytest.raises(NameServerNotFound, match=f"{secured.address} {OTHER_CA}") as caught:
        locate(secured.address, identity=stranger)
    assert "start one with" not in str(caught.value), "there is one"
    with pytest.raises(
        NameServerNotFound, match="TLS is spoken here: give an identity= of this cluster"
    ):
        locate(secured.address, insecure=True)
    with pytest.raises(
        InsecureRefused, match=r"is on TCP, .*invite.*; or pass identity= .*insecure=True"
    ):
        locate(secured.address)
    with pytest.raises(NameServerNotFound, match="if it does not speak TLS, start it with an iden"):
        locate(server.address, identity=guest)
    for identity in (stranger, None):
        client = NameServerClient(
            secured.address, identity=identity, insecure=identity is None, quiet=True
        )
        with client, pytest.raises(ConnectionLost) as lost:
            client.list()
        assert lost.value.executed == "no"
    assert server.statistics().calls == secured.statistics().calls == 0


@pytest.mark.usefixtures("own_network")
def test_each_finds_its_own_kind_in_a_mixed_room(
    identity: Identity, guest: Identity, stranger: Identity
) -> None:
    with (
        plain() as old,
        NameServer("127.0.0.1", identity=stranger) as other,
        NameServer("127.0.0.1", identity=identity) as ours,
    ):
        with locate(identity=guest) as client:
            assert client.address == ours.address
        with locate(identity=stranger) as client:
            assert client.address == other.address
        with pytest.warns(InsecureWarning), locate(insecure=True) as client:
            assert client.address == old.address


@pytest.mark.usefixtures("own_network")
def test_where_only_others_are_it_is_said_what_is_wrong(
    identity: Identity, stranger: Identity
) -> None:
    def said(timeout_s: float = 0.3, **security: object) -> str:
        with pytest.raises(NameServerNotFound) as caught:
            locate(timeout_s=timeout_s, **security)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    with plain() as old:
        seen = f"a name server was seen at {old.address}, but it"
        assert said(identity=identity) == (
            f"{seen} does not speak TLS: start it with an identity of this cluster"
        )
        assert said().startswith(f"{seen} speaks plain TCP: start it with an identity; or pass")
    with NameServer("127.0.0.1", identity=stranger) as other:
        seen = f"a name server was seen at {other.address}, but it"
        assert said(identity=identity).startswith(f"{seen} {OTHER_CA}")
        assert said(insecure=True).startswith(f"{seen} speaks TLS: run 'nameserver invite' on")
        began = time.monotonic()
        assert said(10).startswith(f"{seen} speaks TLS: run 'nameserver invite' on")
        assert time.monotonic() - began < 5, "nobody can be asked: it is said at once"
        with plain() as old:
            both = said(identity=identity)
            assert f"seen at {other.address}, but it has" in both
            assert f"seen at {old.address}, but it does not speak TLS" in both
    assert "start one with 'nameserver run'," in said(identity=identity)
    assert "'nameserver run --host ADDRESS --insecure'" in said(insecure=True)


@pytest.mark.usefixtures("own_network")
def test_an_announcement_cannot_make_anyone_speak_plainly(
    server: NameServer, identity: Identity
) -> None:
    port = int(server.address.rpartition(":")[2])
    lie = discovery.announce("127.0.0.1", port, name="lie", server_id="lie", transport="tls")
    with closing(lie), pytest.raises(NameServerNotFound, match="without a word of TLS"):
        locate(timeout_s=0.5, identity=identity)
    assert server.statistics().calls == 0


@pytest.mark.usefixtures("own_network")
def test_an_announcement_says_what_is_spoken(identity: Identity) -> None:
    seen: queue.SimpleQueue[discovery.Sighting] = queue.SimpleQueue()
    with closing(discovery.browse(seen.put, print)):
        with plain():
            assert seen.get(timeout=5).transport == "plain"
        with NameServer("127.0.0.1", identity=identity):
            assert seen.get(timeout=5).transport == "tls"


@pytest.mark.usefixtures("own_network")
def test_a_watch_says_once_of_each_server_why_it_cannot_be_asked(
    identity: Identity,
    stranger: Identity,
    watch_log: queue.SimpleQueue[logging.LogRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = count_tries(monkeypatch)
    found: Found = queue.SimpleQueue()
    with (
        watch_for_servers(found.put, identity=identity) as watch,
        plain() as old,
        NameServer("127.0.0.1", identity=stranger) as other,
    ):
        said = {watch_log.get(timeout=5).message for _ in range(2)}
        seen = "a name server was seen at"
        assert f"{seen} {old.address}, but {search.NO_TLS}" in said
        assert any(line.startswith(f"{seen} {other.address}, but it {OTHER_CA}") for line in said)
        assert set(watch.problems()) == {old.address, other.address}
        before = len(tried)
        eventually(lambda: len(tried) > before + 3, "it is asked again")
        assert watch_log.empty()
        with NameServer("127.0.0.1", identity=identity) as ours, found.get(timeout=5) as client:
            assert client.address == ours.address
            client.ping()
    assert found.empty()


@pytest.mark.usefixtures("own_network")
def test_who_was_refused_is_found_when_that_is_mended(
    identity: Identity, stranger: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_tries(monkeypatch)
    found: Found = queue.SimpleQueue()
    wrong = NameServer("127.0.0.1", identity=stranger, announce=False)
    port = int(wrong.address.rpartition(":")[2])
    speaker = discovery.announce("127.0.0.1", port, name="a", server_id="a", transport="tls")
    with closing(speaker), watch_for_servers(found.put, identity=identity) as watch:
        with wrong:
            eventually(lambda: OTHER_CA in str(watch.problems()), "it is refused")
        right = NameServer("127.0.0.1", port, identity=identity, announce=False)
        with right, found.get(timeout=5) as client:
            assert client.address == right.address
            assert watch.problems() == {}


def test_a_watch_of_a_known_address(
    secured: NameServer,
    server: NameServer,
    guest: Identity,
    stranger: Identity,
    watch_log: queue.SimpleQueue[logging.LogRecord],
) -> None:
    found: Found = queue.SimpleQueue()
    with (
        watch_for_servers(found.put, address=secured.address, identity=guest),
        found.get(timeout=5) as client,
    ):
        client.ping()
    assert watch_log.empty()
    for address, security, why in (
        (secured.address, {"identity": stranger}, OTHER_CA),
        (secured.address, {"insecure": True}, "TLS is spoken here: give an identity="),
        (server.address, {"identity": guest}, "without a word of TLS"),
    ):
        with watch_for_servers(found.put, address=address, interval_s=0.02, **security):
            assert why in watch_log.get(timeout=5).message
            with pytest.raises(queue.Empty):  # asked a dozen times, it is said once
                watch_log.get(timeout=0.3)
    assert found.empty()


def count_tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have those who refuse asked often; returns a list that grows with each try that fails."""
    tried: list[str] = []

    def note(error: Exception) -> str:
        tried.append(reason_of(error))
        return tried[-1]

    monkeypatch.setattr(search, "REFUSED_RETRY_S", 0.02)
    monkeypatch.setattr(search, "reason_of", note)
    return tried
