"""What the loss of a connection is called: who was not there, who hung up, where no way leads."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

import pytest
from raw_peers import RawConnection, RawDaemon
from servants import Connect

from remoteobj import URI, ConnectionLost, PeerRefused
from remoteobj.client.answers import explain
from remoteobj.transport.link import Link
from remoteobj.transport.stream import PlainStream


def test_where_nothing_listens_the_daemon_is_asked_for(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        ConnectionLost, match=r"Connection refused\).*is the daemon running"
    ) as lost:
        connect(f"PYRO:x@127.0.0.1:{port}").add(1)
    assert lost.value.executed == "no"


def test_a_name_that_nobody_has_is_a_matter_of_spelling(connect: Connect) -> None:
    for host in ("no-such-host.invalid", "a..b"):
        with pytest.raises(ConnectionLost, match=r"no machine of this name.*spelled right"):
            connect(f"PYRO:x@{host}:1").add(1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no way leads there; is the machine on"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no way leads there"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "it hung up at once"),
        (OSError(errno.EMFILE, "Too many open files"), r"\(Too many open files\)$"),
    ],
)
def test_the_network_says_why(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(ConnectionLost, match=f"nobody answers at 127.0.0.1:1 .*{words}"):
        connect("PYRO:x@127.0.0.1:1").add(1)


def reset(caller: RawConnection) -> None:
    caller.welcome()
    caller.receive()
    caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang_up(caller: RawConnection) -> None:
    caller.welcome()
    caller.receive()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [(reset, r"is gone \(Connection reset by peer\)"), (hang_up, "closed the connection")],
)
def test_a_call_that_lost_its_connection_says_how(
    connect: Connect, behaviour: Any, words: str
) -> None:
    with RawDaemon(behaviour) as daemon:
        proxy = connect(daemon.uri)
        with pytest.raises(ConnectionLost, match=rf"during echo\(\) .*{words}\); it may have run"):
            proxy.echo(1)


class Unplugged(PlainStream):
    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.send = self._fail

    def _fail(self, _data: bytes, _flags: int) -> int:
        raise OSError(errno.EHOSTUNREACH, "No route to host")


def test_a_cable_that_was_pulled_is_no_peer_that_is_gone() -> None:
    near, far = socket.socketpair()
    link = Link(Unplugged(near), 1000)
    with far, pytest.raises(ConnectionLost, match=r"cannot be reached any more \(No route"):
        link.send_small(1, 1, 0, 0, b"hello", None)
    link.close()


def test_a_refusal_keeps_its_words() -> None:
    refused = PeerRefused("10.0.0.7:9090 does not know the CA of this machine's certificate")
    explain(refused, "add", URI("PYRO:it@10.0.0.7:9090"), 1.0)
    with pytest.raises(ConnectionLost, match="it did not run"):
        explain(ConnectionLost("x", executed="no"), "add", URI("PYRO:it@10.0.0.7:9090"), 1.0)
