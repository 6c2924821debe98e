"""Bytes in, split anywhere; messages out."""

from __future__ import annotations

import msgspec

from remoteobj.errors import WireError
from remoteobj.memory import new_memory
from remoteobj.wire.header import HEADER, HEADER_BYTES, MAGIC, TAG, VERSION
from remoteobj.wire.message import (
    BUFFER_COST,
    BUFFERS,
    MAKERS,
    Buffer,
    Message,
    read_annotations,
    read_sizes,
)
from remoteobj.wire.opened import OpenMessage

__all__ = ["Decoder"]

_DIRECT_BYTES = 64 * 1024  # from here on a message gets memory of its own before it is whole


class Decoder:
    """Turns a stream of bytes, split anywhere, into messages.

    Bytes come in by ``feed``; while ``target`` returns memory, they may be put there instead,
    without a copy, and are reported by ``filled``.

    Args:
        max_bytes: Largest message that is accepted, in bytes without the header; may be changed
            between messages (a peer that was let in may send more).
        takes_buffers: Whether ``RBUF`` means what it means between our own peers.
    """

    __slots__ = ("_at", "_data", "_open", "max_bytes", "takes_buffers")

    def __init__(self, max_bytes: int, *, takes_buffers: bool = False) -> None:
        self.max_bytes = max_bytes
        self.takes_buffers = takes_buffers
        self._data: bytes = b""
        self._at = 0
        self._open: OpenMessage | None = None

    @property
    def is_between_messages(self) -> bool:
        """Whether no part of a message waits for the rest."""
        return self._open is None and self._at == len(self._data)

    def target(self) -> memoryview | None:
        """Return the memory in which the next bytes belong, if they are many."""
        return self._open.target() if self._open is not None else None

    def filled(self, count: int) -> None:
        """Take note that *count* bytes were put into what ``target`` returned."""
        assert self._open is not None
        self._open.filled(count)

    def feed(self, data: bytes) -> None:
        """Take in bytes that arrived."""
        if self._at == len(self._data):
            self._data = data
        else:
            self._data = self._data[self._at :] + data
        self._at = 0
        if self._open is not None:
            self._fill()

    def next_message(self) -> Message | None:
        """Return the next whole message, or None until more bytes are there.

        Raises:
            WireError: The bytes are not this protocol, or announce more than *max_bytes*. The
                stream cannot be read any further: close the connection.
        """
        if self._open is not None:
            return self._next_of_open()
        data, at = self._data, self._at
        if len(data) - at < HEADER_BYTES:
            if data[at : at + 4] != TAG[: len(data) - at]:
                raise WireError("this is not Pyro's protocol")
            return None
        (
            tag,
            version,
            kind,
            serializer,
            flags,
            sequence,
            payload,
            annotations,
            correlation,
            _,
            magic,
        ) = HEADER.unpack_from(data, at)
        if tag != TAG or magic != MAGIC or version != VERSION:
            _refuse(tag, version, magic)
        if payload + annotations > self.max_bytes:
            self._refuse_size(payload + annotations)
        begin = at + HEADER_BYTES
        end = begin + annotations + payload
        if annotations == 0 and end <= len(data):
            self._at = end
            return Message(kind, serializer, flags, sequence, data[begin:end], correlation)
        head = Message(kind, serializer, flags, sequence, b"", correlation)
        if end <= len(data):
            self._at = end
            return self._finish(head, data[begin : begin + annotations], data, begin, end)
        if end - begin >= _DIRECT_BYTES:
            self._at = begin
            self._open = OpenMessage(head, annotations, [new_memory(end - begin)])
            self._fill()
        return None

    def _finish(
        self, head: Message, chunks: Buffer, data: Buffer, begin: int, end: int
    ) -> Message | None:
        annotations = read_annotations(chunks)
        payload = data[begin + len(chunks) : end]
        described = annotations.pop(BUFFERS, None) if self.takes_buffers else None
        message = Message(
            head.type,
            head.serializer,
            head.flags,
            head.sequence,
            payload,
            head.correlation,
            annotations,
        )
        if described is None:
            return message
        sizes = read_sizes(described, self.max_bytes)
        self._check_total(end - begin, sizes)
        buffers = [MAKERS[kind](size) for size, kind in sizes]
        self._open = OpenMessage(message, None, buffers)
        self._fill()
        return self._next_of_open()

    def _next_of_open(self) -> Message | None:
        opened = self._open
        assert opened is not None
        if not opened.is_whole:
            return None
        self._open = None
        if opened.annotations is None:
            return msgspec.structs.replace(opened.head, buffers=opened.buffers())
        body = memoryview(opened.parts[0])
        return self._finish(opened.head, body[: opened.annotations], body, 0, len(body))

    def _fill(self) -> None:
        """Move what has arrived to where it belongs."""
        assert self._open is not None
        while self._at < len(self._data) and (target := self._open.target()) is not None:
            count = min(len(target), len(self._data) - self._at)
            target[:count] = memoryview(self._data)[self._at : self._at + count]
            self._at += count
            self._open.filled(count)
        if self._at == len(self._data):
            self._data, self._at = b"", 0

    def _check_total(self, taken: int, sizes: list[tuple[int, int]]) -> None:
        total = taken + sum(size + BUFFER_COST for size, _ in sizes)
        if total > self.max_bytes:
            self._refuse_size(total)

    def _refuse_size(self, size: int) -> None:
        raise WireError(
            f"a message of {size} bytes: at most {self.max_bytes} are taken "
            "(Settings.max_message_bytes)"
        )


def _refuse(tag: bytes, version: int, magic: int) -> None:
    if tag != TAG or magic != MAGIC:
        raise WireError("this is not Pyro's protocol")
    raise WireError(f"this is version {version} of Pyro's protocol; {VERSION} is spoken here")
