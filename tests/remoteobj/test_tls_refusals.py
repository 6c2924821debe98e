"""A server's no that waits to be read where its client finds that it cannot send."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remoteobj import Identity, PeerRefused
from remoteobj.transport.link import Link
from remoteobj.transport.tls_stream import TlsStream
from remoteobj.wire import Message, MessageType
from tests.certificates import Authority


class Expired:
    """What no Identity would take: the client's certificate was good once."""

    def __init__(self, directory: Path) -> None:
        cluster = Authority(directory)
        self.server = Identity.from_files(*cluster.node("server"))
        old = cluster.node("old", ends_in_s=-60)
        self._context = Identity.from_files(*cluster.node("client")).client_context()
        self._context.load_cert_chain(old.certificate, old.key)

    def client_context(self) -> Any:
        return self._context


def refuse_and_reset(listener: socket.socket, identity: Identity) -> None:
    """Say why a caller is not let in, and end the connection at once."""
    sock, _ = listener.accept()
    stream = TlsStream(sock, identity, server_side=True)
    waiting: deque[memoryview] = deque()
    try:
        while not stream.handshake(0):
            stream.write(waiting, 0)
    except PeerRefused:
        stream.write(waiting, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def hello(link: Link) -> None:
    link.send_small(MessageType.CONNECT, 1, 0, 0, b"hello", time.monotonic() + 5.0)


def large(link: Link) -> None:
    link.send(Message(MessageType.INVOKE, 1, 0, 0, bytes(1 << 20)), time.monotonic() + 5.0)


def straight(link: Link) -> None:
    link.ask(b"a call", 1, 5.0, time.monotonic() + 5.0)


@pytest.mark.parametrize("send", [hello, large, straight])
def test_why_is_read_where_sending_fails(tmp_path: Path, send: Callable[[Link], None]) -> None:
    expired: Any = Expired(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=refuse_and_reset, args=(listener, expired.server))
        server.start()
        sock = socket.create_connection(listener.getsockname())
        sock.settimeout(None)
        link = Link(TlsStream(sock, expired, server_side=False), 1 << 20)
        link.secure(time.monotonic() + 5.0)
        server.join()
    with closing(link):
        poll = select.poll()
        poll.register(sock, 0)
        assert poll.poll(5000)[0][1] & select.POLLHUP
        with pytest.raises(PeerRefused, match="this machine's certificate has expired") as caught:
            send(link)
        assert caught.value.executed == "no"
