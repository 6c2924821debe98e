"""Shared memory for the large buffers of one connection between two processes of a host.

It begins when a client asks for it, in a ping with the annotation ``RSEG``, and the daemon answers
alike, each with the size of the largest message that it takes. From then on both receive with
``recvmsg``, since a descriptor that rides on bytes which are received without it is lost. That
costs a microsecond for each message, so a connection that has never carried anything large does
without. A daemon that would like to begin says so by an empty ``RSEG`` on the large answer that it
sends through the socket.

After that ``RSEG`` on a message says in which segment its buffers are, what the sender has dropped,
and what it has let go of; see ``remoteobj.segments`` for the rules.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, takewhile

import msgspec

from remoteobj.errors import WireError
from remoteobj.segments import Borrower, Lender
from remoteobj.transport.stream import IOV_MAX, THIS_USER, PlainStream, as_views, is_large
from remoteobj.unreadable import UNREADABLE
from remoteobj.wire import SEGMENTS, Message, encode

__all__ = ["SharedMemory", "SharedStream"]

_MOST_DESCRIPTORS = 8
_MOST_DIGITS = 20
_SPACE = socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4) if hasattr(socket, "CMSG_SPACE") else 0
_CLOSE_ON_EXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_TRUNCATED: int = getattr(socket, "MSG_CTRUNC", 0)
_KEPT_S = 10.0
_LENT_AT_ONCE = 4  # as many of the largest messages may be on their way or in use


class _Word(msgspec.Struct, array_like=True):
    """What ``RSEG`` says."""

    segment: int = 0
    size: int = 0
    has_descriptor: bool = False
    ranges: list[tuple[int, int]] = []
    dropped: list[int] = []
    returned: list[int] = []


_read_word = msgspec.msgpack.Decoder(_Word).decode
_write_word = msgspec.msgpack.Encoder().encode


class SharedStream(PlainStream):
    """A Unix socket over which descriptors come along."""

    __slots__ = ("attached", "descriptors", "is_closed")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.claims = THIS_USER
        self.send = sock.send
        self.is_closed = False
        self.descriptors: deque[int] = deque()
        self.attached: deque[tuple[memoryview, int, Callable[[], None]]] = deque()

    def recv(self, size: int, flags: int) -> bytes:  # type: ignore[override]
        """See Stream."""
        data, ancillary, told, _ = self.sock.recvmsg(size, _SPACE, flags | _CLOSE_ON_EXEC)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                self.descriptors.extend(numbers)
        if told & _TRUNCATED or len(self.descriptors) > _MOST_DESCRIPTORS:
            raise WireError("the peer passes more descriptors than it announces")
        return data

    def attach(self, view: memoryview, descriptor: int, done: Callable[[], None]) -> None:
        """Have a descriptor leave with the first byte of *view*, which is to be sent."""
        self.attached.append((view, descriptor, done))
        if self.is_closed:
            self._let_go()

    def _send_many(self, waiting: Sequence[memoryview], flags: int) -> int:
        if not self.attached:
            return super()._send_many(waiting, flags)
        view, descriptor, done = self.attached[0]
        if waiting[0] is not view:
            before = takewhile(lambda each: each is not view, list(islice(waiting, IOV_MAX)))
            return self.sock.sendmsg(before, (), flags)
        rights = array.array("i", [descriptor])
        sent = self.sock.sendmsg([view], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], flags)
        self.attached.popleft()
        done()
        return sent

    def _let_go(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self.attached.popleft()[2]()

    def close(self) -> None:
        """See Stream."""
        self.is_closed = True
        super().close()
        self._let_go()
        while self.descriptors:
            os.close(self.descriptors.popleft())


def word_of_limit(max_bytes: int) -> bytes:
    """Return how a peer is told the largest message that is taken here, in bytes."""
    return str(max_bytes).encode()


def read_limit(word: bytes | bytearray | memoryview) -> int:
    """Read what ``word_of_limit`` wrote.

    Raises:
        WireError: It is something else.
    """
    text = bytes(word[:_MOST_DIGITS])
    if not text.isdigit():
        raise WireError("a peer asks for shared memory, but does not say how much it takes")
    return int(text)


class SharedMemory:
    """Both directions of one connection.

    Threads: any may unwrap; ``views_of`` and the sending of it are one's at a time, in their order.
    """

    def __init__(self, stream: SharedStream, max_bytes: int, their_max_bytes: int) -> None:
        self.stream = stream
        self._lender = Lender(_LENT_AT_ONCE * min(max_bytes, their_max_bytes))
        self._borrower = Borrower(_LENT_AT_ONCE * max_bytes)

    def views_of(self, message: Message) -> list[memoryview]:
        """Return what carries a message, its buffers in a segment if that is worth it."""
        loan = None
        if is_large(message.buffers):
            views = [memoryview(buffer).cast("B") for buffer in message.buffers]
            loan = self._lender.lend(views)
        word = _Word(dropped=self._lender.take_dropped(), returned=self._borrower.take_returned())
        if loan is not None:
            word.segment, word.size = loan.segment, loan.size
            word.has_descriptor = loan.fd is not None
            word.ranges = [
                (offset, view.nbytes) for offset, view in zip(loan.offsets, views, strict=True)
            ]
            message = msgspec.structs.replace(message, buffers=())
        if loan is not None or word.dropped or word.returned:
            annotations = {**message.annotations, SEGMENTS: _write_word(word)}
            message = msgspec.structs.replace(message, annotations=annotations)
        try:
            parts = as_views(encode(message))
        except BaseException:
            if loan is not None:
                self._lender.withdraw(loan)
            raise
        if loan is not None and loan.fd is not None:
            self.stream.attach(parts[0], loan.fd, partial(self._lender.passed, loan.segment))
        return parts

    def unwrap(self, message: Message) -> Message:
        """Return the message with its buffers, if they came in a segment.

        Raises:
            WireError: What it says of segments is not right: close the connection.
        """
        told = message.annotations.get(SEGMENTS)
        if not told:
            return message
        try:
            word = _read_word(told)
        except UNREADABLE as error:
            raise WireError(f"what a message says of segments cannot be read: {error}") from error
        self._borrower.drop(word.dropped)
        self._lender.returned(word.returned)
        if not word.segment:
            return message
        if word.has_descriptor:
            if not self.stream.descriptors:
                raise WireError("a message announces a descriptor that has not come")
            self._borrower.accept(word.segment, self.stream.descriptors.popleft(), word.size)
        buffers = self._borrower.borrow(word.segment, word.ranges)
        return msgspec.structs.replace(message, buffers=buffers)

    def drop_unused(self) -> None:
        """Give memory back that a quiet connection has kept long enough."""
        self._lender.drop_unused(_KEPT_S)

    def close(self) -> None:
        """Let go of everything; views that somebody holds stay valid."""
        self._lender.close()
        self._borrower.close()
