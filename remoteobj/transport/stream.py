"""The seam to the network: bytes in and out of one connected socket, plain here.

A stream knows nothing of the protocol above it. Receiving raises ``QUIET`` where nothing comes for
as long as the socket waits; sending leaves behind what the socket does not take. One thread may
receive while another one sends.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, Protocol

from remoteobj.identity.claims import Claims
from remoteobj.transport import sockets

__all__ = [
    "ANYBODY",
    "IOV_MAX",
    "NOBODY",
    "NOWAIT",
    "THIS_USER",
    "WAIT_ALL",
    "PlainStream",
    "Stream",
    "as_views",
    "drop_sent",
    "is_large",
]

NOWAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
"""Do not wait. Windows does not have it: a socket waits there as long as its timeout says."""

WAIT_ALL: int = getattr(socket, "MSG_WAITALL", 0)

THIS_USER: Final = Claims("", "operator", "", "")
"""Who is at the other end of a Unix socket in this user's private directory."""

ANYBODY: Final = Claims("", "member", "", "")
"""Who is at the other end of plain TCP, which somebody has asked for with ``insecure=True``."""

NOBODY: Final = Claims("", "slave", "", "")
"""Who is at the other end where a certificate cannot be understood; it is refused as well."""

_LARGE_BYTES = 1024 * 1024  # from here on shared memory is quicker than the socket
_SOME_BYTES = 1024 * 1024
IOV_MAX = 512  # Linux takes 1024 at once, others may take fewer


class Stream(Protocol):
    """What a connection is read from and written to."""

    sock: socket.socket

    @property
    def claims(self) -> Claims:
        """Who is at the other end, when the handshake is done."""
        ...

    @property
    def refusal(self) -> str:
        """Why this side trusts the other one no more, or not at all; empty where it does."""
        ...

    @property
    def has_incoming(self) -> bool:
        """Whether something can be read that the socket, and who polls it, knows nothing of."""
        ...

    @property
    def has_outgoing(self) -> bool:
        """Whether reading has left something to be sent; a write of nothing sends it."""
        ...

    def handshake(self, flags: int) -> bool:
        """Go on with the stream's own handshake; True when it is done."""
        ...

    def recv(self, size: int, flags: int) -> bytes:
        """Return bytes that came, at most *size*; none at the end."""
        ...

    def recv_into(self, view: memoryview, flags: int) -> int:
        """Put bytes that came into *view*; returns how many, 0 at the end."""
        ...

    def send(self, data: bytes, flags: int) -> int:
        """Send, while nothing waits; returns how much was taken.

        That is -1 where all was taken, but ``write`` has to be called for it to leave.
        """
        ...

    def write(self, waiting: deque[memoryview], flags: int, until: float | None = None) -> bool:
        """Send what waits, and take it out; False if the socket takes no more for now.

        Also False at *until* (of ``time.monotonic()``), however much the socket would take.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class PlainStream:
    """A socket as it is."""

    __slots__ = ("claims", "recv", "send", "sock")

    has_incoming = has_outgoing = False
    refusal = ""

    def __init__(self, sock: socket.socket, claims: Claims | None = None) -> None:
        self.sock = sock
        self.claims: Claims = claims or (THIS_USER if sockets.is_local(sock) else ANYBODY)
        self.recv = sock.recv
        self.send = sock.send

    def handshake(self, _flags: int) -> bool:
        """There is none."""
        return True

    def recv_into(self, view: memoryview, flags: int) -> int:
        """See Stream."""
        return self.sock.recv_into(view, 0, flags)

    def write(self, waiting: deque[memoryview], flags: int, until: float | None = None) -> bool:
        """See Stream."""
        while waiting:
            if until is not None and time.monotonic() >= until:
                return False
            # A Unix socket waits for its timeout at each 64 KiB of what it is given at once.
            some = waiting if until is None else _some_of(waiting)
            try:
                drop_sent(waiting, self._send_many(some, flags))
            except sockets.QUIET:
                return False
        return True

    def close(self) -> None:
        """See Stream."""
        sockets.close(self.sock)

    def _send_many(self, waiting: Sequence[memoryview], flags: int) -> int:
        if hasattr(self.sock, "sendmsg"):
            return self.sock.sendmsg(islice(waiting, IOV_MAX), (), flags)
        return self.send(waiting[0], flags)  # Windows


def _some_of(waiting: deque[memoryview]) -> Sequence[memoryview]:
    """Return what waits first, not too much of it."""
    first = waiting[0]
    if len(first) > _SOME_BYTES:
        return (first[:_SOME_BYTES],)
    some: list[memoryview] = []
    size = 0
    for index in range(min(len(waiting), IOV_MAX)):  # no iterator: others append meanwhile
        view = waiting[index]
        size += len(view)
        if some and size > _SOME_BYTES:
            break
        some.append(view)
    return some


def drop_sent(waiting: deque[memoryview], sent: int) -> None:
    """Take what was sent out of what waits."""
    while waiting and sent >= len(waiting[0]):
        sent -= len(waiting.popleft())
    if sent:
        waiting[0] = waiting[0][sent:]


def as_views(parts: list[bytes | bytearray | memoryview]) -> list[memoryview]:
    """Return flat views of what is to be sent, without what is empty."""
    return [memoryview(part).cast("B") for part in parts if len(part)]


def is_large(buffers: Sequence[Any]) -> bool:
    """Tell whether shared memory would carry these buffers better."""
    return bool(buffers) and sum(memoryview(each).nbytes for each in buffers) >= _LARGE_BYTES
