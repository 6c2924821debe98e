"""Strangers at a port of loopback, who call or answer, and files that they have made or read."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_peers import PATIENCE_S, RawConnection, RawDaemon, call, hello
from servants import StartScript

from remoteobj import (
    URI,
    ConnectionLost,
    Daemon,
    DeadlinePassed,
    Proxy,
    RuntimeDirUnsafe,
    Settings,
)
from tests import loopback
from tests.conftest import eventually

pytestmark = pytest.mark.usefixtures("no_unix_sockets")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives things to others")


@pytest.fixture
def knock(place: Path) -> Iterator[Callable[[bytes], socket.socket]]:
    """Connect to the daemon's port, and say something."""
    with contextlib.ExitStack() as stack:

        def make(words: bytes) -> socket.socket:
            port, _ = loopback.place_of(str(place))
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
            sock.sendall(words)
            return sock

        yield make


def refused(sock: socket.socket) -> bool:
    """Tell whether the daemon hangs up without a word."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


# Strangers who call.


@pytest.mark.parametrize(
    "words",
    [
        b"x",
        hello("desk"),
        b"PYRO",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        loopback.REPLY + bytes(64),
    ],
    ids=["a byte", "no proof", "the start of a call", "TLS", "HTTP", "what a daemon says"],
)
def test_who_speaks_of_something_else_is_refused_at_once(
    knock: Callable[[bytes], socket.socket], words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert refused(knock(words))
    assert "was not let in" in caplog.text


def shake(sock: socket.socket, nonce: bytes) -> bytes:
    """Return the daemon's number, its proof not being looked at."""
    reply = loopback.receive(sock, loopback.REPLY_BYTES)
    assert reply.startswith(loopback.REPLY)
    return reply[8:40]


NONCE = bytes(range(32))


@pytest.mark.parametrize("after", [b"", hello("desk")])
def test_a_wrong_secret_is_refused_whatever_follows(
    daemon: Daemon,
    knock: Callable[[bytes], socket.socket],
    caplog: pytest.LogCaptureFixture,
    after: bytes,
) -> None:
    sock = knock(loopback.HELLO + NONCE)
    theirs = shake(sock, NONCE)
    sock.sendall(loopback.proof(bytes(32), loopback.CALLER, NONCE, theirs) + after)
    assert refused(sock)
    assert "does not know the secret" in caplog.text
    eventually(lambda: daemon.statistics().connections == 0, "none is kept")
    assert daemon.statistics().calls == 0


def test_an_answer_that_was_seen_before_is_refused(
    place: Path, knock: Callable[[bytes], socket.socket]
) -> None:
    _, secret = loopback.place_of(str(place))
    first = knock(loopback.HELLO + NONCE)
    answer = loopback.proof(secret, loopback.CALLER, NONCE, shake(first, NONCE))
    first.sendall(answer + hello("desk"))
    assert first.recv(4) == b"PYRO"
    again = knock(loopback.HELLO + NONCE)
    shake(again, NONCE)
    again.sendall(answer + hello("desk"))
    assert refused(again)


def test_the_daemons_own_proof_sent_back_is_refused(
    knock: Callable[[bytes], socket.socket],
) -> None:
    sock = knock(loopback.HELLO + NONCE)
    reply = loopback.receive(sock, loopback.REPLY_BYTES)
    sock.sendall(reply[-32:] + hello("desk"))
    assert refused(sock)
    # By way of another conversation: what is to be proved there is what is proved here.
    asking = knock(loopback.HELLO + NONCE)
    proving = knock(loopback.HELLO + shake(asking, NONCE))
    asking.sendall(loopback.receive(proving, loopback.REPLY_BYTES)[-32:] + hello("desk"))
    assert refused(asking)


def test_too_many_bytes_are_not_waited_for(knock: Callable[[bytes], socket.socket]) -> None:
    sock = knock(loopback.HELLO + NONCE + bytes(1_000_000))
    with pytest.raises(ConnectionError):
        while sock.recv(65536):
            pass
        raise ConnectionError


@pytest.mark.parametrize("words", [b"", loopback.HELLO, loopback.HELLO + NONCE, b"R"])
def test_who_does_not_go_on_is_closed_in_time(own_machine: Path, words: bytes) -> None:
    with Daemon(settings=Settings(handshake_timeout_s=0.3)) as daemon:
        daemon.start()
        port, _ = loopback.place_of(daemon.location)
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
            sock.sendall(words)
            while sock.recv(100):
                pass
        eventually(lambda: daemon.statistics().connections == 0, "it is closed")


def test_a_proof_may_trickle_in(daemon: Daemon, place: Path) -> None:
    port, secret = loopback.place_of(str(place))
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in loopback.HELLO + NONCE:
            sock.sendall(bytes([byte]))
        theirs = shake(sock, NONCE)
        for byte in loopback.proof(secret, loopback.CALLER, NONCE, theirs) + hello("desk"):
            sock.sendall(bytes([byte]))
        assert sock.recv(4) == b"PYRO"


@pytest.mark.parametrize("words", [b"", loopback.HELLO + NONCE])
def test_a_crowd_of_strangers_keeps_nobody_out(daemon: Daemon, place: Path, words: bytes) -> None:
    port, _ = loopback.place_of(str(place))
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    try:
        for sock in crowd:
            with contextlib.suppress(OSError):  # closed already
                sock.sendall(words)
        with Proxy(daemon.uri_of("desk")) as desk:
            assert desk.echo(1) == 1
        eventually(
            lambda: daemon.statistics().handshakes_crowded_out >= 60, "those that say nothing go"
        )
    finally:
        for sock in crowd:
            sock.close()


def test_a_call_before_the_proof_is_not_read(
    daemon: Daemon, knock: Callable[[bytes], socket.socket]
) -> None:
    assert refused(knock(hello("desk") + call("echo", 1, object_id="desk")))
    assert daemon.statistics().calls == 0


# Strangers who answer.


@pytest.fixture
def left(start_script: StartScript, own_machine: Path) -> Iterator[str]:
    """The URI of a daemon that was killed: its file is still there, its port is free."""
    process = start_script("-c", loopback.SERVE, PYTHONPATH=loopback.python_path())
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    process.kill()
    process.wait()
    path = Path(str(URI(uri).sockname))
    assert path.is_file()
    yield uri
    with Daemon():
        assert not path.exists()


def test_a_daemon_that_has_ended_is_told_from_one_that_is_not_found(left: str) -> None:
    with pytest.raises(ConnectionLost, match="the process that served it has ended") as hit:
        Proxy(left).who()
    assert hit.value.executed == "no"


def reflect(sock: socket.socket) -> None:
    sock.sendall(sock.recv(1000))


def guess(sock: socket.socket) -> None:
    loopback.receive(sock, 40)
    sock.sendall(loopback.REPLY + bytes(64))


def other_secret(sock: socket.socket) -> None:
    nonce = loopback.receive(sock, 40)[8:]
    sock.sendall(
        loopback.REPLY + bytes(32) + loopback.proof(bytes(32), loopback.DAEMON, nonce, bytes(32))
    )


def greet(sock: socket.socket) -> None:
    sock.sendall(b"220 mail.example ready\r\n")


def hang_up(sock: socket.socket) -> None:
    loopback.receive(sock, 40)


@pytest.mark.parametrize("behaviour", [reflect, guess, other_secret, greet, hang_up])
def test_who_has_taken_the_port_is_not_taken_for_the_daemon(
    left: str, behaviour: Callable[[socket.socket], None]
) -> None:
    port, secret = loopback.place_of(str(URI(left).sockname))
    heard = b""

    def serve() -> None:
        nonlocal heard
        sock, _ = listener.accept()
        with sock:
            behaviour(sock)
            sock.shutdown(socket.SHUT_WR)
            heard = sock.recv(1000)

    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ConnectionLost, match=r"is not the daemon|hung up") as hit:
            Proxy(left).who()
        thread.join()
    assert hit.value.executed == "no"
    assert secret not in heard
    assert len(heard) <= 40


def test_who_has_taken_the_port_and_says_nothing_passes_the_deadline(left: str) -> None:
    port, _ = loopback.place_of(str(URI(left).sockname))
    with socket.create_server(("127.0.0.1", port)), pytest.raises(DeadlinePassed) as hit:
        Proxy(left, settings=Settings(connect_timeout_s=0.3)).who()
    assert hit.value.executed == "no"


def test_a_reply_of_before_is_no_reply(daemon: Daemon, place: Path) -> None:
    port, secret = loopback.place_of(str(place))
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.sendall(loopback.HELLO + NONCE)
        old = loopback.receive(sock, loopback.REPLY_BYTES)

    def answer(link: RawConnection) -> None:
        link.sock.sendall(old)
        link.sock.recv(1000)

    with RawDaemon(answer) as stranger:
        theirs = URI(stranger.uri).port
        place.write_text(f"remoteobj loopback 1 {theirs:05d} {secret.hex()}\n")
        with pytest.raises(ConnectionLost, match="does not know the secret"):
            Proxy(daemon.uri_of("desk")).who()


def test_a_caller_that_meets_itself_finds_nobody(
    left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A system may give a caller the port that it calls, when nobody listens there.
    port, _ = loopback.place_of(str(URI(left).sockname))

    def connect(address: Any, timeout_s: float) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.settimeout(timeout_s)
        sock.connect(address)
        return sock

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ConnectionLost, match="the process that served it has ended"):
        Proxy(left).who()


# Files that are not right.


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_read_is_refused(daemon: Daemon, place: Path, mode: int) -> None:
    place.chmod(mode)
    with pytest.raises(RuntimeDirUnsafe, match=f"others can read or change it .*{mode:04o}"):
        Proxy(daemon.uri_of("desk")).who()
    assert daemon.statistics().connections == 0


def test_a_file_in_a_directory_that_others_may_write_to_is_refused(
    daemon: Daemon, place: Path
) -> None:
    place.parent.chmod(0o770)
    with pytest.raises(RuntimeDirUnsafe, match="not this user's alone"):
        Proxy(daemon.uri_of("desk")).who()
    place.parent.chmod(0o700)


@needs_root
def test_a_file_of_somebody_else_is_refused(daemon: Daemon, place: Path) -> None:
    os.chown(place, 65534, 65534)
    with pytest.raises(RuntimeDirUnsafe, match="belongs to another user"):
        Proxy(daemon.uri_of("desk")).who()


@pytest.mark.parametrize(
    "words",
    [
        "",
        "remoteobj loopback 1 00000 " + "0" * 64 + "\n",
        "remoteobj loopback 1 99999 " + "0" * 64 + "\n",
        "remoteobj loopback 2 01234 " + "0" * 64 + "\n",
        "remoteobj loopback 1 01234 " + "0" * 63 + "\n",
        "remoteobj loopback 1 01234 " + "0" * 64 + "\n\n",
        "remoteobj loopback 1 01234 " + "0" * 64 + "\n" + "x" * 100_000,
        "\ud800",
    ],
)
def test_a_file_that_holds_something_else_leads_nowhere(
    daemon: Daemon, place: Path, words: str
) -> None:
    place.write_bytes(words.encode(errors="surrogatepass"))
    with pytest.raises(ConnectionLost, match="no place of a daemon") as hit:
        Proxy(daemon.uri_of("desk")).who()
    assert hit.value.executed == "no"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    daemon: Daemon, place: Path, kind: str
) -> None:
    there = place.with_name("there")
    place.rename(there)
    {"link": lambda: place.symlink_to(there), "pipe": lambda: os.mkfifo(place, 0o600)}.get(
        kind, lambda: place.mkdir(mode=0o700)
    )()
    with pytest.raises((RuntimeDirUnsafe, ConnectionLost)):
        Proxy(daemon.uri_of("desk")).who()
    place.rmdir() if kind == "folder" else place.unlink()
    there.unlink()
