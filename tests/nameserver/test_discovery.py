"""Found by zeroconf, on loopback, whatever else is announced there; by a paired account."""

from __future__ import annotations

import logging
import queue
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nameserver import (
    BadName,
    NameServer,
    NameServerClient,
    NameServerNotFound,
    NamingError,
    discovery,
    locate,
    watch_for_servers,
)
from nameserver.discovery import following, interfaces, mdns
from nameserver.networks import Interface
from nameserver.record import NAME_SERVER
from remoteobj import BadURI, Daemon, InsecureRefused, InsecureWarning, expose
from tests.conftest import eventually
from tests.pairing import Pairing

Found = queue.SimpleQueue[NameServerClient]


@pytest.fixture(autouse=True)
def paired(own_machine: Path) -> Pairing:
    """This account has the authority of a cluster; in the tests of plain TCP it is not asked."""
    return Pairing("lab", own_machine / "config")


@pytest.fixture
def server() -> Iterator[NameServer]:
    """One that is not announced."""
    with NameServer("127.0.0.1", announce=False) as running:
        yield running


def announced(port: int = 0) -> NameServer:
    return NameServer("127.0.0.1", port)


def plain(port: int = 0) -> NameServer:
    with pytest.warns(InsecureWarning):
        return NameServer("127.0.0.1", port, insecure=True)


def announcing(port: int, name: str, server_id: str | None = None) -> discovery.Announcement:
    """Announce what may be no name server, or no more."""
    return discovery.announce(
        "127.0.0.1",
        port,
        name=name,
        server_id=server_id or name,
        transport="tls",
        cluster="lab",
    )


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port where nobody listens, kept from others."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_found_in_under_two_seconds() -> None:
    with announced() as server:
        began = time.monotonic()
        with locate() as client:
            took_s = time.monotonic() - began
        assert client.how == "zeroconf"
        assert client.address == server.address
        assert took_s < 2.0


def test_found_in_plain_tcp_with_a_warning() -> None:
    with plain(), pytest.warns(InsecureWarning) as caught:
        client = locate(insecure=True)
    # Another run on this host may be announced there too; whichever it is, it has answered.
    assert (client.how, client.address[:10]) == ("zeroconf", "127.0.0.1:")
    client.close()
    assert len(caught) == 1


@pytest.mark.usefixtures("own_network")
def test_a_dead_announcement_does_not_delay_a_live_one(
    refusing_port: int, silent_port: int
) -> None:
    dead = [announcing(port, f"dead{port}") for port in (refusing_port, silent_port)]
    with announced() as server:
        began = time.monotonic()
        with locate() as client:
            assert client.address == server.address
        assert time.monotonic() - began < 1.5
    for announcement in dead:
        announcement.close()


@pytest.mark.usefixtures("own_network")
def test_when_none_answers_the_error_says_what_was_tried(
    refusing_port: int, silent_port: int
) -> None:
    with pytest.raises(NameServerNotFound) as caught:
        locate(timeout_s=0.2)
    text = str(caught.value)
    assert "within 0.2 s by zeroconf on 127.0.0.1 (nobody announces one)" in text
    assert "nameserver run" in text
    assert "REMOTEOBJ_NAMESERVER=host:port" in text
    refusing = announcing(refusing_port, "r")
    silent = announcing(silent_port, "s")
    with closing(refusing), closing(silent), pytest.raises(NameServerNotFound) as caught:
        locate(timeout_s=2.0)  # it waits for the silent one; both have to be seen
    text = str(caught.value)
    assert f"127.0.0.1:{refusing_port} was announced, but nobody answers" in text
    assert f"127.0.0.1:{silent_port} was announced, but has not answered" in text
    assert "\n" not in text


def test_a_server_that_may_not_be_asked_is_named() -> None:
    began = time.monotonic()
    with plain(), pytest.raises(NameServerNotFound, match=r"seen at 127.*pass insecure=True"):
        locate(timeout_s=10, identity=None)
    assert time.monotonic() - began < 5  # nothing else can be found: it is said at once


def test_a_known_address_is_asked_and_no_other(
    server: NameServer, refusing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locate(server.address) as client:
        assert (client.address, client.how) == (server.address, "given")
    monkeypatch.setenv("REMOTEOBJ_NAMESERVER", server.address)
    with locate() as client:
        assert (client.address, client.how) == (server.address, "REMOTEOBJ_NAMESERVER")
    with pytest.raises(
        InsecureRefused, match=f"{server.address} is on TCP, where this machine has to"
    ):
        locate(identity=None)
    monkeypatch.setenv("REMOTEOBJ_NAMESERVER", f"127.0.0.1:{refusing_port}")
    with pytest.raises(NameServerNotFound, match=rf"{refusing_port} \(REMOTEOBJ_NAMESERVER\)"):
        locate()
    with pytest.raises(BadURI):
        locate("nowhere")


def test_a_known_address_in_plain_tcp_is_warned_about() -> None:
    with (
        plain() as server,
        pytest.warns(InsecureWarning) as caught,
        locate(server.address, insecure=True) as client,
    ):
        assert (client.address, client.how) == (server.address, "given")
    assert len(caught) == 1


def test_goodbye_is_heard_and_nothing_leaves_loopback() -> None:
    seen: queue.SimpleQueue[discovery.Sighting] = queue.SimpleQueue()
    gone: queue.SimpleQueue[str] = queue.SimpleQueue()
    unique = f"host-{secrets.token_hex(4)}"
    with closing(discovery.browse(seen.put, gone.put)) as browsing:
        assert browsing.interfaces == ("127.0.0.1",)
        announcement = discovery.announce("127.0.0.1", 4711, name=unique, server_id=unique)
        while (sighting := seen.get(timeout=5)).server_id != unique:
            pass  # of another run
        assert sighting.addresses == ("127.0.0.1:4711",)
        announcement.close()
        while gone.get(timeout=5) != sighting.instance:
            pass


@pytest.mark.usefixtures("own_network")
def test_a_watch_tells_of_each_server_once_and_again_when_it_is_back() -> None:
    found: Found = queue.SimpleQueue()
    with watch_for_servers(found.put):
        with announced() as first:
            with found.get(timeout=5) as client:
                assert client.address == first.address
                client.ping()
            with announced() as second, found.get(timeout=5) as client:
                assert client.address == second.address
        with announced(port_of(first.address)) as again, found.get(timeout=5) as client:
            assert client.address == again.address
    assert found.empty()


@pytest.mark.usefixtures("own_network")
def test_a_watch_says_what_it_may_not_ask(
    watch_log: queue.SimpleQueue[logging.LogRecord],
) -> None:
    found: Found = queue.SimpleQueue()
    with plain() as server, watch_for_servers(found.put, identity=None) as watch:
        assert (
            f"seen at {server.address}, but it speaks plain TCP" in watch_log.get(timeout=5).message
        )
        assert "pass insecure=True" in watch.problems()[server.address]
        with watch_for_servers(found.put, address=server.address, identity=None) as known:
            assert "insecure=True" in watch_log.get(timeout=5).message
            assert server.address in known.problems()
        assert watch_log.empty()
    assert found.empty()


@pytest.mark.usefixtures("own_network")
def test_one_server_under_two_addresses_is_one(server: NameServer) -> None:
    found: Found = queue.SimpleQueue()
    with announced() as other, watch_for_servers(found.put):
        found.get(timeout=5).close()
        two = [
            announcing(port_of(address), f"twin{number}", "twin")
            for number, address in enumerate((server.address, other.address))
        ]
        found.get(timeout=5).close()
        with announced() as last, found.get(timeout=5) as client:
            assert client.address == last.address
        for announcement in two:
            announcement.close()
    assert found.empty()


@pytest.mark.usefixtures("own_network")
def test_an_announcement_that_comes_back_is_proved_again(server: NameServer) -> None:
    found: Found = queue.SimpleQueue()
    with announced(), watch_for_servers(found.put):
        found.get(timeout=5).close()  # now it listens, so it will hear a goodbye
        for _ in range(2):
            with closing(announcing(port_of(server.address), "same")):
                found.get(timeout=5).close()


@pytest.mark.usefixtures("own_network")
def test_a_server_that_is_announced_too_early_is_found_later() -> None:
    found: Found = queue.SimpleQueue()
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        early = announcing(port, "early")
        with pytest.raises(NameServerNotFound, match="nobody answers"):
            locate(timeout_s=0.3)
        watch = watch_for_servers(found.put)
        with pytest.raises(queue.Empty):
            found.get(timeout=0.3)
        assert "nobody answers" in watch.problems()[f"127.0.0.1:{port}"]
    server = NameServer("127.0.0.1", port, announce=False)
    with closing(early), watch, server, found.get(timeout=5) as client:
        assert client.address == server.address
        assert watch.problems() == {}


def test_a_watch_of_a_known_address(refusing_port: int) -> None:
    found: Found = queue.SimpleQueue()
    with announced() as server:
        with watch_for_servers(found.put, address=server.address, interval_s=0.02) as watch:
            with found.get(timeout=5) as client:
                assert client.address == server.address
            with pytest.raises(queue.Empty):  # asked a dozen times, it is still the same server
                found.get(timeout=0.3)
            server.close()
            with announced(port_of(server.address)), found.get(timeout=5) as client:
                client.ping()
        began = time.monotonic()
        with watch_for_servers(found.put, address=f"127.0.0.1:{refusing_port}") as watch:
            watch.close()
        assert time.monotonic() - began < 0.5
    assert found.empty()
    with pytest.raises(BadURI):
        watch_for_servers(found.put, address="nowhere")


@expose
class Stranger:
    """Is called as a name server is, and knows nothing."""

    def instance(self) -> str:
        return "strange"


def test_a_stranger_at_a_known_address_ends_no_watch() -> None:
    found: Found = queue.SimpleQueue()
    with Daemon("127.0.0.1") as stranger:
        stranger.register(Stranger(), NAME_SERVER)
        stranger.start()
        watch = watch_for_servers(
            found.put, address=stranger.location, interval_s=0.02, cluster="lab"
        )
        eventually(watch.problems, "it is said that this is none")
    with (
        watch,
        NameServer("127.0.0.1", stranger.port or 0, cluster="lab") as server,
        found.get(timeout=5) as client,
    ):
        assert client.address == server.address


def interface(name: str, address: str, bits: int = 24) -> Interface:
    return Interface(name, address, bits)


def test_what_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "is_up", lambda name: name != "eth9")
    found = [
        interface("lo", "127.0.0.1", 8),
        interface("eth0", "192.168.1.4"),
        interface("eth0", "fe80::1", 64),
        interface("eth0", "2001:db8::1", 64),
        interface("docker0", "172.17.0.1", 16),
        interface("br-5f2a", "172.18.0.1", 16),
        interface("eth9", "192.168.9.4"),
        interface("wlan0", "169.254.7.7", 16),  # a cable between two, and nobody to give addresses
    ]
    assert interfaces.usable(found) == ("169.254.7.7", "192.168.1.4", "127.0.0.1")
    named = ["172.17.0.1", "192.168.9.4", "10.0.0.5"]
    assert interfaces.usable(found, named) == ("172.17.0.1",), "named, up, and this machine's"


def test_an_interface_is_up_unless_the_system_says_otherwise() -> None:
    assert interfaces.is_up("lo")
    assert interfaces.is_up("lo:alias")
    assert interfaces.is_up("none-of-this-name")


def test_interfaces_come_from_the_argument_the_environment_or_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert discovery.interfaces_to_use(["10.0.0.5"]) == ("10.0.0.5",)
    monkeypatch.setenv("REMOTEOBJ_INTERFACES", "127.0.0.1, 10.0.0.5,")
    assert discovery.interfaces_to_use() == ("127.0.0.1", "10.0.0.5")
    assert discovery.outer_addresses() == ()
    monkeypatch.setenv("REMOTEOBJ_INTERFACES", "eth0")
    for use in (discovery.interfaces_to_use, lambda: discovery.browse(print, print)):
        with pytest.raises(NamingError, match="'eth0' is no IPv4 address"):
            use()
    with pytest.raises(NameServerNotFound, match="'eth0' is no IPv4 address"):
        locate()
    monkeypatch.delenv("REMOTEOBJ_INTERFACES")
    assert "127.0.0.1" in discovery.interfaces_to_use()


@pytest.mark.usefixtures("own_network")
def test_an_interface_that_fails_spoils_no_other() -> None:
    both = ["192.0.2.77", "127.0.0.1"]
    with announced() as server:
        with locate(interfaces=both) as client:
            assert client.address == server.address
        with closing(discovery.browse(print, print, both)) as browsing:
            assert browsing.interfaces == ("127.0.0.1",)
            assert browsing.problems() == {"192.0.2.77": "is no address of this machine"}
    with pytest.raises(NameServerNotFound, match=r"on no interface; not on 192\.0\.2\.77: is no"):
        locate(timeout_s=0.1, interfaces=["192.0.2.77"])


@pytest.mark.usefixtures("own_network")
def test_what_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(address: str, *, unicast: bool = False) -> None:
        raise OSError(f"no multicast on {address}, unicast: {unicast}")

    works = mdns._open
    monkeypatch.setattr(following, "LOOK_S", 0.05)
    monkeypatch.setattr(mdns, "_open", fail)
    found: queue.SimpleQueue[discovery.Sighting] = queue.SimpleQueue()
    why = {"127.0.0.1": "zeroconf does not work there (no multicast on 127.0.0.1, unicast: False)"}
    with announced() as server, closing(discovery.browse(found.put, print)) as browsing:
        assert browsing.problems() == why
        assert server.announced is None
        assert "no multicast on 127.0.0.1" in str(server.announce_problem)
        monkeypatch.setattr(mdns, "_open", works)
        assert found.get(timeout=5).addresses == (server.address,)
        assert server.announced_on == browsing.interfaces == ("127.0.0.1",)
        assert server.announce_problem is None
        assert not browsing.problems()


def test_names_that_cannot_be_announced() -> None:
    for name in ("a" * 80, "a\nb"):
        with pytest.raises(BadName, match="cannot be announced"):
            discovery.announce("127.0.0.1", 1, name=name, server_id="a")
    with pytest.raises(NamingError, match="no IPv4 address"):
        discovery.announce("::1", 1, name="a", server_id="a")


def test_a_name_is_made_fit_for_announcing() -> None:
    with NameServer("127.0.0.1", name="lab.three \u00fc" + "x" * 80) as server:
        assert server.announced is not None
        assert server.announced.startswith("lab-three-x")
        assert server.statistics().announced == server.announced
        assert "announced" in repr(server)
    assert server.announced is None
