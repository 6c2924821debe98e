"""Pyro's wire protocol 502, sans-IO: bytes in, messages out; a message in, buffers out.

A message is a header of 40 bytes, annotations, and a payload (Pyro5's ``protocol.py``)::

    4s tag "PYRO" | H version | B type | B serializer | H flags | H sequence | I payload length
    | I annotations length | 16s correlation id | H reserved | H magic 0x4dc5
    annotations: 4s key | I length | data, and so on

Between our own peers large data follows the payload, where Pyro's header does not count it: the
annotation ``RBUF`` names the size and kind of each buffer. So there is no limit of 4 GiB, and the
receiver has memory of the right kind ready before the data comes.

Nothing of a payload is looked at here: which serializers are let in is the caller's to decide, and
it can decide on the header alone.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from remoteobj.errors import NotSendable, WireError
from remoteobj.memory import NewBytes, new_memory

__all__ = [
    "HEADER_BYTES",
    "NO_CORRELATION",
    "SEGMENTS",
    "SIMPLE",
    "SIMPLE_AT",
    "STREAM_ANNOTATION",
    "SUFFIX",
    "SUFFIX_AT",
    "Decoder",
    "Flag",
    "Message",
    "MessageType",
    "encode",
    "encode_small",
    "prefix_of",
]

_HEADER = struct.Struct("!4sHBBHHII16sHH")
_CHUNK = struct.Struct("!4sI")
_BUFFER = struct.Struct("!QB")
_TAG, _VERSION, _MAGIC = b"PYRO", 502, 0x4DC5
NO_CORRELATION = bytes(16)
STREAM_ANNOTATION = "STRM"
"""Where an answer carries the id of a stream of items."""

SEGMENTS = "RSEG"
"""Where a message says which shared memory its buffers are in; see ``transport.shared``."""

_MAX_LENGTH = 2**32 - 1
_JOIN_BYTES = 64 * 1024  # up to here one copy is cheaper than a buffer more to send
_DIRECT_BYTES = 64 * 1024  # from here on a message gets memory of its own before it is whole
_BUFFERS = "RBUF"
_BUFFER_COST = 64  # counted for each, so that a million empty ones are no small message
_MOST_ANNOTATIONS = 1000

_MAKERS: tuple[Callable[[int], Any], ...] = (NewBytes, bytearray, new_memory)
"""What a buffer is received into, by its kind; the kind says what it was with the sender."""

_KINDS: dict[type, int] = {bytes: 0, bytearray: 1}
_MEMORY = 2

Buffer = bytes | bytearray | memoryview

# What is sent most is a payload and nothing else, in one piece. For both ends of a null call the
# header falls into a prefix and a suffix that are always the same, and SIMPLE between them:
# sequence, payload length, annotations length (none).
SIMPLE = struct.Struct("!HII")
SIMPLE_AT = 10
SUFFIX = NO_CORRELATION + struct.pack("!HH", 0, _MAGIC)
SUFFIX_AT = SIMPLE_AT + SIMPLE.size
HEADER_BYTES = _HEADER.size


def prefix_of(kind: int, serializer: int) -> bytes:
    """Return how a message begins that has no flags."""
    return struct.pack("!4sHBBH", _TAG, _VERSION, kind, serializer, 0)


class MessageType(enum.IntEnum):
    """What a message is for."""

    CONNECT = 1
    CONNECT_OK = 2
    CONNECT_FAIL = 3
    INVOKE = 4
    RESULT = 5
    PING = 6


class Flag(enum.IntFlag):
    """How a message is to be read."""

    EXCEPTION = 1
    COMPRESSED = 2
    ONEWAY = 4
    BATCH = 8
    STREAM = 16
    KEEP_SERIALIZED = 32
    CORRELATION = 64


_CORRELATION = int(Flag.CORRELATION)


class Message(msgspec.Struct, frozen=True):
    """One message of either direction.

    ``payload`` is bytes, or a view of memory that nobody else uses. ``buffers`` are the data that
    follow it: ``bytes`` and ``bytearray`` where the sender had them, else memory that can be
    written.
    """

    type: int
    serializer: int
    flags: int
    sequence: int
    payload: Buffer
    correlation: bytes = NO_CORRELATION
    annotations: dict[str, Buffer] = {}
    buffers: Sequence[Any] = ()


def encode_small(
    kind: int, serializer: int, flags: int, sequence: int, payload: bytes, correlation: bytes
) -> bytes:
    """Return the bytes of a message that has nothing but a payload."""
    return (
        _HEADER.pack(
            _TAG,
            _VERSION,
            kind,
            serializer,
            flags,
            sequence,
            len(payload),
            0,
            correlation,
            0,
            _MAGIC,
        )
        + payload
    )


def encode(message: Message) -> list[Buffer]:
    """Return the buffers that carry *message*, in the order in which they are sent.

    Raises:
        NotSendable: Its payload is larger than the header can say.
    """
    annotations = dict(message.annotations)
    if message.buffers:
        annotations[_BUFFERS] = _describe(message.buffers)
    chunks = b"".join(
        _CHUNK.pack(key.encode("ascii"), len(data)) + bytes(data)
        for key, data in annotations.items()
    )
    size = len(message.payload)
    if max(size, len(chunks)) > _MAX_LENGTH:
        raise NotSendable(f"a message of {size} bytes cannot be sent: at most {_MAX_LENGTH}")
    flags = message.flags
    if message.correlation != NO_CORRELATION:
        flags |= _CORRELATION
    header = _HEADER.pack(
        _TAG,
        _VERSION,
        message.type,
        message.serializer,
        flags,
        message.sequence & 0xFFFF,
        size,
        len(chunks),
        message.correlation,
        0,
        _MAGIC,
    )
    if size <= _JOIN_BYTES:
        return [b"".join((header, chunks, message.payload)), *message.buffers]
    return [header + chunks, message.payload, *message.buffers]


def _describe(buffers: Iterable[Any]) -> bytes:
    described = bytearray()
    for buffer in buffers:
        view = memoryview(buffer)
        described += _BUFFER.pack(view.nbytes, _KINDS.get(type(view.obj), _MEMORY))
    return bytes(described)


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
        self._open: _Open | None = None

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
        if len(data) - at < _HEADER.size:
            if data[at : at + 4] != _TAG[: len(data) - at]:
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
        ) = _HEADER.unpack_from(data, at)
        if tag != _TAG or magic != _MAGIC or version != _VERSION:
            _refuse(tag, version, magic)
        if payload + annotations > self.max_bytes:
            self._refuse_size(payload + annotations)
        begin = at + _HEADER.size
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
            self._open = _Open(head, annotations, [new_memory(end - begin)])
            self._fill()
        return None

    def _finish(
        self, head: Message, chunks: Buffer, data: Buffer, begin: int, end: int
    ) -> Message | None:
        annotations = _read_annotations(chunks)
        payload = data[begin + len(chunks) : end]
        described = annotations.pop(_BUFFERS, None) if self.takes_buffers else None
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
        sizes = self._read_sizes(described)
        self._check_total(end - begin, sizes)
        buffers = [_MAKERS[kind](size) for size, kind in sizes]
        self._open = _Open(message, None, buffers)
        self._fill()
        return self._next_of_open()

    def _next_of_open(self) -> Message | None:
        opened = self._open
        assert opened is not None
        if not opened.is_whole:
            return None
        self._open = None
        if opened.annotations is None:
            buffers = [each.done() if type(each) is NewBytes else each for each in opened.parts]
            return msgspec.structs.replace(opened.head, buffers=buffers)
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

    def _read_sizes(self, described: Buffer) -> list[tuple[int, int]]:
        if len(described) % _BUFFER.size:
            raise WireError("the sizes of the buffers cannot be read")
        number = len(described) // _BUFFER.size
        if number * _BUFFER_COST > self.max_bytes:
            raise WireError(
                f"a message of {number} buffers: at most {self.max_bytes // _BUFFER_COST} are taken"
            )
        sizes = list(_BUFFER.iter_unpack(described))
        if any(kind >= len(_MAKERS) for _, kind in sizes):
            raise WireError("a buffer of unknown kind")
        return sizes

    def _check_total(self, taken: int, sizes: list[tuple[int, int]]) -> None:
        total = taken + sum(size + _BUFFER_COST for size, _ in sizes)
        if total > self.max_bytes:
            self._refuse_size(total)

    def _refuse_size(self, size: int) -> None:
        raise WireError(
            f"a message of {size} bytes: at most {self.max_bytes} are taken "
            "(Settings.max_message_bytes)"
        )


class _Open:
    """A message that has begun: memory that is being filled, part after part.

    ``annotations`` is their length where the one part is annotations and payload together, and
    None where the parts are the buffers.
    """

    __slots__ = ("_part", "_view", "annotations", "head", "parts")

    def __init__(self, head: Message, annotations: int | None, parts: list[Any]) -> None:
        self.head = head
        self.annotations = annotations
        self.parts = parts
        self._part = 0
        self._view: memoryview | None = None
        self._open_part()

    @property
    def is_whole(self) -> bool:
        return self._part == len(self.parts)

    def target(self) -> memoryview | None:
        return self._view

    def filled(self, count: int) -> None:
        assert self._view is not None
        rest = self._view[count:]
        self._view.release()
        self._view = rest
        if not rest:
            self._part += 1
            self._open_part()

    def _open_part(self) -> None:
        self._view = None
        while self._part < len(self.parts):
            part = self.parts[self._part]
            view = part.view() if type(part) is NewBytes else memoryview(part)
            if len(view):
                self._view = view
                return
            view.release()
            self._part += 1


def _refuse(tag: bytes, version: int, magic: int) -> None:
    if tag != _TAG or magic != _MAGIC:
        raise WireError("this is not Pyro's protocol")
    raise WireError(f"this is version {version} of Pyro's protocol; {_VERSION} is spoken here")


def _read_annotations(chunks: Buffer) -> dict[str, Buffer]:
    found: dict[str, Buffer] = {}
    at = 0
    while at < len(chunks):
        if len(chunks) - at < _CHUNK.size:
            raise WireError("the annotations cannot be read")
        key, length = _CHUNK.unpack_from(chunks, at)
        at += _CHUNK.size
        if length > len(chunks) - at or not key.isascii():
            raise WireError("the annotations cannot be read")
        if len(found) == _MOST_ANNOTATIONS:
            raise WireError(f"a message with more than {_MOST_ANNOTATIONS} annotations")
        found[key.decode("ascii")] = bytes(chunks[at : at + length])
        at += length
    return found
