"""Those who have connected and were not let in: how many, for how long, and what they cost."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
from raw_peers import hello

from remoteobj import ConnectionLost, Daemon, Identity, InsecureWarning, Proxy, Settings, expose
from remoteobj.server.strangers import GRACE_S, Strangers
from tests.certificates import Files
from tests.conftest import eventually

MANY = 2000


@expose
class Clock:
    def hour(self) -> int:
        return 12


class Crowd:
    """Strangers by name; those in ``talking`` have said something."""

    def __init__(self, per_address: int = 3, most: int = 8, patience_s: float = 5.0) -> None:
        self.talking: set[str] = set()
        self.here = Strangers[str](per_address, most, patience_s, self.talking.__contains__)


def test_one_too_many_of_an_address_drives_out_its_oldest() -> None:
    crowd = Crowd()
    for second, name in enumerate("abc"):
        assert crowd.here.add(name, "10.0.0.1", second) == []
    assert crowd.here.add("x", "10.0.0.2", 3.0) == []
    assert crowd.here.add("d", "10.0.0.1", 4.0) == ["a"]
    crowd.talking.add("b")
    assert crowd.here.add("e", "10.0.0.1", 5.0) == ["c"]
    assert "x" in crowd.here


def test_who_has_just_come_may_say_the_first_word() -> None:
    crowd = Crowd(per_address=2, most=100)
    for name in "abcdef":
        assert crowd.here.add(name, "10.0.0.1", 1.0) == []
    assert crowd.here.too_many(1.0 + GRACE_S / 2) == []
    crowd.talking.update("ab")
    assert crowd.here.too_many(1.0 + GRACE_S) == ["c", "d", "e", "f"]


def test_when_all_are_too_many_the_largest_crowd_has_to_go() -> None:
    crowd = Crowd(per_address=100, most=5)
    assert crowd.here.add("member", "10.0.0.9", 0.0) == []
    for name in "abcd":
        assert crowd.here.add(name, "10.0.0.1", 1.0) == []
    assert crowd.here.add("e", "10.0.0.1", 1.0) == ["a"]
    crowd.talking.update("bcde")
    assert crowd.here.add("x", "10.0.0.2", 1.0) == ["b"]
    assert "member" in crowd.here


def test_who_is_late_goes_and_who_was_let_in_is_forgotten() -> None:
    crowd = Crowd(patience_s=5.0)
    crowd.here.add("a", "10.0.0.1", 0.0)
    crowd.here.add("b", "", 1.0)
    crowd.here.add("c", "10.0.0.1", 3.0)
    assert crowd.here.remove("a")
    assert not crowd.here.remove("a")
    assert crowd.here.late(6.0) == ["b"]
    assert len(crowd.here) == 1
    for number in range(50):  # a Unix socket is this user's
        assert crowd.here.add(f"u{number}", "", 4.0) == []


@pytest.fixture
def clock(identity: Identity) -> Iterator[Daemon]:
    with Daemon("127.0.0.1", identity=identity) as daemon:
        daemon.register(Clock(), "clock")
        daemon.start()
        yield daemon


def rss_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def ended_after_s(sock: socket.socket, started: float, limit_s: float) -> float:
    sock.settimeout(limit_s)
    with contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return time.monotonic() - started


def test_thousands_of_half_open_connections_keep_no_member_out(
    identity: Identity, cluster: dict[str, Files], raised_file_limit: None
) -> None:
    settings = Settings(handshake_timeout_s=2.0)
    member = Identity.from_files(*cluster["slave"])
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon("127.0.0.1", identity=identity, settings=settings))
        uri = daemon.register(Clock(), "clock")
        daemon.start()
        with Proxy(uri, identity=member) as before:
            assert before.hour() == 12
        gc.collect()
        memory = rss_bytes()
        stop, most, took = threading.Event(), 0, []
        opened: list[socket.socket] = []

        def flood() -> None:
            for number in range(MANY):
                if stop.is_set():
                    return
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), 10))
                if number % 3 == 1:  # a third begins TLS, and says no more
                    sock.sendall(b"\x16\x03\x01\x02\x00\x01")
                opened.append(sock)

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            while flooding.is_alive() or len(took) < 20:
                started = time.monotonic()
                with Proxy(uri, identity=member) as proxy:
                    assert proxy.hour() == 12
                took.append(time.monotonic() - started)
                most = max(most, daemon.statistics().connections)
        finally:
            stop.set()
            flooding.join()
        grown = rss_bytes() - memory
        seen = daemon.statistics()
        print(
            f"{len(opened)} half-open, {len(took)} members let in meanwhile: "
            f"{sorted(took)[len(took) // 2] * 1000:.0f} ms each, {max(took) * 1000:.0f} at most; "
            f"{most} connections at most, {seen.handshakes_crowded_out} crowded out; "
            f"{grown / max(most, 1) / 1024:.1f} KiB for each at most, the callers' side included"
        )
        assert len(opened) == MANY
        assert seen.handshakes_crowded_out >= MANY // 4  # others were late meanwhile
        assert most <= 700  # 512, and those whose end the workers have not come to yet
        assert grown < 64 << 20
        eventually(lambda: daemon.statistics().connections == 0, "all have ended", 3.5)


@pytest.fixture
def raised_file_limit() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * MANY + 200:
        pytest.skip("this machine lets a process have too few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * MANY + 200), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def drip(sock: socket.socket, data: bytes, limit_s: float) -> float:
    """Send byte by byte, slowly; returns after how long the daemon has hung up."""
    started = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in data * 100:
            if time.monotonic() - started > limit_s:
                break
            sock.sendall(bytes([byte]))
            if select.select([sock], [], [], 0.02)[0] and not sock.recv(4096):
                break
    return time.monotonic() - started


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def test_who_drips_a_handshake_is_closed_in_time(identity: Identity) -> None:
    settings = Settings(handshake_timeout_s=0.6)
    with Daemon("127.0.0.1", identity=identity, settings=settings) as daemon:
        daemon.start()
        with socket.create_connection(("127.0.0.1", daemon.port)) as sock:
            took_s = drip(sock, client_hello(), 5.0)
        print(f"dripping TLS: closed after {took_s:.2f} s")
        assert took_s < 2.0
        assert daemon.statistics().calls == 0


def test_who_drips_the_first_message_is_closed_in_time() -> None:
    settings = Settings(handshake_timeout_s=0.6)
    with pytest.warns(InsecureWarning):
        daemon = Daemon("127.0.0.1", insecure=True, settings=settings)
    with daemon:
        daemon.start()
        with socket.create_connection(("127.0.0.1", daemon.port)) as sock:
            took_s = drip(sock, hello()[:-1], 5.0)
        print(f"dripping CONNECT: closed after {took_s:.2f} s")
        assert took_s < 2.0


def test_tls_1_2_is_refused(clock: Daemon, cluster: dict[str, Files]) -> None:
    ca, certificate, key = cluster["slave"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ca)
    context.load_cert_chain(certificate, key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", clock.port), 5.0) as sock,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        context.wrap_socket(sock)


def test_plain_text_to_a_tls_port_learns_nothing_but_that(clock: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", clock.port), 5.0) as sock:
        sock.sendall(
            hello(object_id="clock") if "object_id" in hello.__code__.co_varnames else hello()
        )
        said = b""
        with contextlib.suppress(ConnectionError):
            while data := sock.recv(4096):
                said += data
    assert b"TLS is spoken here" in said
    assert b"hour" not in said
    assert b"clock" not in said
    assert clock.statistics().calls == 0


def test_tls_to_a_plain_port_is_refused_in_words(tcp_daemon: Daemon, identity: Identity) -> None:
    uri = tcp_daemon.register(Clock(), "clock")
    with pytest.raises(ConnectionLost, match="without a word of TLS"):
        Proxy(uri, identity=identity).hour()


def test_the_settings_say_how_many() -> None:
    settings = Settings(max_handshakes_per_address=2, handshake_timeout_s=4.0)
    with pytest.warns(InsecureWarning):
        daemon = Daemon("127.0.0.1", insecure=True, settings=settings)
    with daemon, contextlib.ExitStack() as stack:
        daemon.start()
        started = time.monotonic()
        socks = [
            stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
            for _ in range(6)
        ]
        assert ended_after_s(socks[0], started, 5.0) < 2.0
        eventually(lambda: daemon.statistics().connections == 2, "two are left", 2.0)
        assert daemon.statistics().handshakes_crowded_out == 4
