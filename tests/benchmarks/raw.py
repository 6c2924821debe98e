"""What the socket itself can do: ping-pong of 64 bytes, and bulk that is stored and forwarded.

A client says first what it wants: ``p`` for ping-pong, ``b`` and a length of 8 bytes for bulk. The
server of bulk reads a whole payload into fresh memory before it answers, as a call has to.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PING_BYTES", "RawBulk", "RawPing", "listen", "receive", "serve_raw"]

PING_BYTES = 64
_LENGTH = struct.Struct("!Q")


def listen(family: str, path: Path) -> tuple[socket.socket, str]:
    """Return a listening socket and its address: a port of loopback, or a path."""
    if family == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        address = str(path)
    else:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    listener.listen(64)
    return listener, address


@contextlib.contextmanager
def serve_raw(family: str, folder: Path) -> Iterator[str]:
    """Serve ping-pong and bulk, a thread for each connection."""
    listener, address = listen(family, folder / "raw.sock")
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    yield address
    listener.close()


def _accept(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_answer, args=(sock,), daemon=True).start()


def _answer(sock: socket.socket) -> None:
    with sock, contextlib.suppress(OSError):
        _no_delay(sock)
        if sock.recv(1) == b"p":
            while data := sock.recv(PING_BYTES):
                sock.sendall(data)
        else:
            size = _LENGTH.unpack(receive(sock, _LENGTH.size))[0]
            while data := receive(sock, size):
                sock.sendall(data)


def _no_delay(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def receive(sock: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        got = sock.recv_into(view[filled:])
        if not got:
            return bytearray()
        filled += got
    return data


def _connect(address: str, hello: bytes) -> socket.socket:
    if "/" in address:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address)
    else:
        host, _, port = address.rpartition(":")
        sock = socket.create_connection((host, int(port)))
    _no_delay(sock)
    sock.sendall(hello)
    return sock


class RawPing:
    """One connection that plays ping-pong."""

    def __init__(self, address: str) -> None:
        self._sock = _connect(address, b"p")
        self._ball = b"x" * PING_BYTES

    def __call__(self) -> None:
        self._sock.sendall(self._ball)
        self._sock.recv(PING_BYTES)

    def close(self) -> None:
        self._sock.close()


class RawBulk:
    """One connection over which a payload goes and comes back."""

    def __init__(self, address: str, payload: bytes) -> None:
        self._sock = _connect(address, b"b" + _LENGTH.pack(len(payload)))
        self._payload = payload

    def __call__(self) -> None:
        self._sock.sendall(self._payload)
        receive(self._sock, len(self._payload))

    def close(self) -> None:
        self._sock.close()
