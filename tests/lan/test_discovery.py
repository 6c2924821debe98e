"""Name servers are found wherever they are, while networks change; by paired machines."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.lan.console import Console
from tests.lan.hosts import Lan
from tests.pairing import Pairing

NOTICED_S = 2.5
"""Longest time from a change of network until it is noticed, in seconds: networks are looked at
every second, and a server that does not answer is asked every two."""

LOCATED_S = 1.0

CLUSTER = "room"
NAMES = ("hall", "anna", "ben", "cleo", "dora")
NETWORKS = {"hall": (0, 1), "ben": (1,), "dora": (0, 1)}

Consoles = dict[str, Console]


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    """Two networks: hall and dora are in both, ben in the other one; all have containers.

    All are paired, and hall has the cluster's authority.

    Cleo has an interface more, that carries no multicast; it should spoil nothing.
    """
    with Lan(*NAMES, networks=NETWORKS) as lan:
        for host in lan:
            host.make_bridge("docker0", "172.17.0.1/16")
        lan["cleo"].make_quiet_card("quiet0", "10.99.0.1/24")
        cluster = Pairing(CLUSTER, lan["hall"].config)
        for name in NAMES[1:]:
            cluster.pair(lan[name].config, name)
        yield lan


@pytest.fixture
def consoles(lan: Lan) -> Iterator[Consoles]:
    for host in lan:
        host.forget()
    yield {host.name: Console(host) for host in lan}
    lan.end_processes()


@contextlib.contextmanager
def changed_address(console: Console, old: str, new: str) -> Iterator[float]:
    """Give a host another address for a while; yields when it has it."""
    host = console.host
    host.ip("address", "delete", f"{old}/24", "dev", "eth0")
    host.ip("address", "add", f"{new}/24", "dev", "eth0")
    try:
        yield time.monotonic()
    finally:
        host.ip("address", "delete", f"{new}/24", "dev", "eth0")
        host.ip("address", "add", f"{old}/24", "dev", "eth0")


def assert_noticed(at: float, since: float, what: str) -> None:
    """Check, and print, how long it took until something was noticed."""
    sys.stdout.write(f"{what}: noticed after {at - since:.2f} s\n")
    assert at - since < NOTICED_S, what


def test_a_server_that_starts_after_its_clients(consoles: Consoles) -> None:
    hall, anna, ben = (consoles[name] for name in ("hall", "anna", "ben"))
    anna.watch()
    looks = ben.tell("here.locate(timeout_s=15)")
    assert "nobody announces one" in anna.why_not(timeout_s=0.2)
    port = hall.serve("0.0.0.0").rpartition(":")[2]
    began = time.monotonic()  # before, it has imported what lets machines join
    at, _ = anna.wait_for(f"{hall.host.address}:{port}")
    assert_noticed(at, began, "a new server")
    assert ben.answer(looks)[:2] == [f"{hall.host.address_in(1)}:{port}", "zeroconf"]


@pytest.fixture
def account(lan: Lan, tmp_path: Path) -> Iterator[Callable[..., Console]]:
    """Makes consoles of hosts' other accounts, whose configuration is in ``tmp_path / name``."""
    for host in lan:
        host.forget()

    def make(host: str, name: str, **environment: str) -> Console:
        return Console(lan[host], {"XDG_CONFIG_HOME": str(tmp_path / name), **environment})

    yield make
    lan.end_processes()


def test_two_clusters_are_told_apart(account: Callable[..., Console], tmp_path: Path) -> None:
    """Anna is in both."""
    for cluster, founder in (("lab", "hall"), ("studio", "cleo")):
        Pairing(cluster, tmp_path / founder, founder).pair(tmp_path / "anna", "anna")
    hall, anna, cleo = (account(name, name) for name in ("hall", "anna", "cleo"))
    lab, studio = hall.serve("0.0.0.0"), cleo.serve("0.0.0.0")
    assert (lab[:10], studio[:10]) == ("10.77.0.1:", "10.77.0.4:")

    for _ in range(2):
        assert "this account is in several clusters (lab, studio)" in anna.why_not()
        # Each is found by its name, first by zeroconf, then where it was before.
        for cluster, address in (("lab", lab), ("studio", studio)):
            assert anna.locate(cluster=cluster)[0] == address
    assert anna.locate(cluster="lab")[1] == "remembered"
    chosen = account("anna", "anna", REMOTEOBJ_CLUSTER="studio")
    assert chosen.locate()[0] == studio
    chosen.watch()
    assert chosen.wait_for("10.")
    anna.watch(cluster="lab")
    assert anna.wait_for(lab)
    assert {address for _, address in chosen.ask("here.found")} == {studio}
    assert {address for _, address in anna.ask("here.found")} == {lab}
    said = anna.why_not(cluster="attic", timeout_s=0.5)
    assert f"{lab} is of the cluster 'lab'" in said
    assert "no name server of the cluster 'attic' found" in said
    assert "both machines must belong to the same cluster" in anna.why_not(
        address=lab, cluster="studio"
    )

    # Another authority's cluster of the same name is another cluster.
    cleo.close_servers()
    Pairing("studio", tmp_path / "stranger", "stranger")
    stranger = account("cleo", "stranger")
    posing = stranger.serve("0.0.0.0")
    said = anna.why_not(cluster="studio", timeout_s=0.5)
    assert posing in said, said
    assert anna.locate(cluster="lab")[0] == lab
    # Where one was found that now is another cluster's, it is not taken.
    hall.close_servers()
    Pairing("attic", tmp_path / "other", "other").pair(tmp_path / "anna", "anna")
    other = account("hall", "other")
    assert other.serve("0.0.0.0", int(lab.rpartition(":")[2])) == lab
    assert "'attic'" in anna.why_not(cluster="lab", timeout_s=0.5)
    assert anna.locate(cluster="attic")[0] == lab


def test_each_network_is_given_its_own_address(consoles: Consoles) -> None:
    hall, anna, ben, cleo, dora = (consoles[name] for name in NAMES)
    port = hall.serve("0.0.0.0").rpartition(":")[2]
    for console in (anna, ben, cleo):
        console.listen()
    here, there = (f"{hall.host.address_in(network)}:{port}" for network in (0, 1))
    assert anna.locate()[0] == here
    assert ben.locate()[0] == there

    for console in (hall, dora):
        host = console.host
        assert console.offer(f"{host.name}.bell", "0.0.0.0") == []
        assert anna.ring(f"{host.name}.bell") == [host.address_in(0), "ding"]
        assert ben.ring(f"{host.name}.bell") == [host.address_in(1), "ding"]
    own = "locate().lookup('Pyro.NameServer').uri.location"
    assert (anna.ask(own), ben.ask(own)) == (here, there)
    assert cleo.offer("cleo.bell", "0.0.0.0") == []
    assert anna.ring("cleo.bell") == [cleo.host.address, "ding"]

    # Nobody is told of the bridge that leads him to his own containers, or of his own loopback.
    for console, own in ((anna, [here]), (cleo, [here]), (ben, [there])):
        assert set(console.announced()) <= {here, there}
        assert set(own) <= set(console.announced())


def test_an_address_changes_under_way(consoles: Consoles) -> None:
    hall, anna, cleo = (consoles[name] for name in ("hall", "anna", "cleo"))
    port = hall.serve("0.0.0.0").rpartition(":")[2]
    old, new = hall.host.address, "10.77.0.99"
    anna.watch()
    _, count = anna.wait_for(f"{old}:{port}")
    assert cleo.locate()[0] == f"{old}:{port}"
    with changed_address(hall, old, new) as changed:
        at, _ = anna.wait_for(f"{new}:{port}", count)
        assert_noticed(at, changed, "a server's new address")
        # Who was not here before, and who remembers the old address, find the new one.
        address, _, took_s = cleo.locate()
        assert address == f"{new}:{port}"
        assert took_s < LOCATED_S

    # Who looks may change his address as well.
    _, count = anna.wait_for(f"{old}:{port}", count)
    anna.listen()
    with changed_address(anna, anna.host.address, "10.77.0.98") as changed:
        at, count = anna.wait_for("lost", count)
        at, count = anna.wait_for(f"{old}:{port}", count)
        assert_noticed(at, changed, "a server, by one whose address changed")
        eventually(
            lambda: set(anna.ask("here.browsing.interfaces")) == {"10.77.0.98", "127.0.0.1"},
            "the new address is listened on",
        )
        second = hall.serve("0.0.0.0")
        anna.wait_for(second, count)


def test_a_machine_is_cut_off_and_comes_back(consoles: Consoles) -> None:
    hall, anna, cleo = (consoles[name] for name in ("hall", "anna", "cleo"))
    address = hall.serve("0.0.0.0")
    anna.watch()
    _, count = anna.wait_for(address)
    hall.host.cut()
    _, count = anna.wait_for("lost", count)
    cleo.watch()  # who comes when nobody is there
    assert "nobody announces one" in cleo.why_not(timeout_s=0.3)
    hall.host.mend()
    mended = time.monotonic()
    for console, since in ((anna, count), (cleo, 0)):
        at, _ = console.wait_for(address, since)
        assert_noticed(at, mended, f"a server that was cut off, by {console.host.name}")

    # The cable of one who looks.
    _, count = anna.wait_for(address, count)
    anna.host.cut()
    _, count = anna.wait_for("lost", count)
    anna.host.mend()
    mended = time.monotonic()
    at, _ = anna.wait_for(address, count)
    assert_noticed(at, mended, "a server, by one who was cut off")


def test_a_machine_that_starts_before_its_network(consoles: Consoles) -> None:
    hall, anna = consoles["hall"], consoles["anna"]
    hall.host.ip("link", "set", "eth0", "down")
    hall.host.ip("link", "set", "eth1", "down")
    anna.host.unplug(0)
    try:
        anna.watch()
        address = hall.serve("0.0.0.0")
        assert address.startswith("127.0.0.1:")
        assert hall.ask("here.servers[0].announced_on") == ["127.0.0.1"]
    finally:
        anna.host.plug_in(0)
        for card in ("eth0", "eth1"):
            hall.host.ip("link", "set", card, "up")
    up = time.monotonic()
    port = address.rpartition(":")[2]
    at, _ = anna.wait_for(f"{hall.host.address}:{port}")
    assert_noticed(at, up, "two interfaces that came up")
    assert set(hall.ask("here.servers[0].announced_on")) == {
        "127.0.0.1", hall.host.address, hall.host.address_in(1)
    }  # fmt: skip


def test_a_killed_server_misleads_nobody(consoles: Consoles) -> None:
    hall, anna, cleo = (consoles[name] for name in ("hall", "anna", "cleo"))
    killed = cleo.serve("0.0.0.0")
    anna.watch()
    _, count = anna.wait_for(killed)
    assert anna.locate()[:2] == [killed, "zeroconf"]
    cleo.kill()
    # A goodbye was not said; who asks now is told of nobody, and who remembers it finds another.
    assert "nobody announces one" in anna.why_not(timeout_s=0.5)
    other = hall.serve("0.0.0.0")
    address, how, took_s = anna.locate()
    assert (address, how) == (other, "zeroconf")
    assert took_s < LOCATED_S
    assert anna.wait_for(other, count)
    # One that was shut down says goodbye: it is not even called any more.
    hall.close_servers()
    assert "nobody announces one" in anna.why_not(timeout_s=0.3)


def test_locating_is_quick(consoles: Consoles) -> None:
    hall, anna, cleo = (consoles[name] for name in ("hall", "anna", "cleo"))
    hall.serve("0.0.0.0")
    cleo.host.cut()  # its address is a black hole
    times: dict[str, list[float]] = {}
    for _ in range(5):
        anna.host.forget()
        for what in ("nothing remembered", "remembered"):
            times.setdefault(what, []).append(anna.locate()[2])
        anna.remember(f"{cleo.host.address}:9090", CLUSTER)
        _, how, took_s = anna.locate()
        assert how == "zeroconf"
        times.setdefault("black hole", []).append(took_s)
    cleo.host.mend()
    medians = {what: round(statistics.median(each), 3) for what, each in times.items()}
    sys.stdout.write(f"locate() in seconds, medians of 5: {medians}\n")
    assert max(medians.values()) < LOCATED_S
    assert medians["remembered"] < 0.1
