"""A message as a value; and how its annotations and the kinds of its buffers are written."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from remoteobj.errors import WireError
from remoteobj.memory import NewBytes, new_memory
from remoteobj.wire.header import NO_CORRELATION

__all__ = [
    "BUFFERS",
    "BUFFER_COST",
    "MAKERS",
    "NOT_HERE",
    "SEGMENTS",
    "STREAM_ANNOTATION",
    "Buffer",
    "Message",
    "read_annotations",
    "read_sizes",
    "write_annotations",
    "write_sizes",
]

STREAM_ANNOTATION = "STRM"
"""Where an answer carries the id of a stream of items."""

NOT_HERE = "RNOT"
"""Annotation of an error: the daemon has no such object, so the call did not run."""

SEGMENTS = "RSEG"
"""Where a message says which shared memory its buffers are in; see ``transport.shared``."""

BUFFERS = "RBUF"
"""Where a message says what sizes and kinds of buffers follow its payload."""

BUFFER_COST = 64
"""Bytes that are counted for each buffer, so that a million empty ones are no small message."""

MAKERS: tuple[Callable[[int], Any], ...] = (NewBytes, bytearray, new_memory)
"""What a buffer is received into, by its kind; the kind says what it was with the sender."""

_KINDS: dict[type, int] = {bytes: 0, bytearray: 1}
_MEMORY = 2
_CHUNK = struct.Struct("!4sI")
_SIZE = struct.Struct("!QB")
_MOST_ANNOTATIONS = 1000

Buffer = bytes | bytearray | memoryview


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


def write_annotations(annotations: dict[str, Buffer]) -> bytes:
    """Return annotations as they follow the header."""
    return b"".join(
        _CHUNK.pack(key.encode("ascii"), len(data)) + bytes(data)
        for key, data in annotations.items()
    )


def read_annotations(chunks: Buffer) -> dict[str, Buffer]:
    """Read what ``write_annotations`` wrote.

    Raises:
        WireError: It is something else.
    """
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


def write_sizes(buffers: Iterable[Any]) -> bytes:
    """Return the sizes and kinds of buffers, for the annotation ``BUFFERS``."""
    described = bytearray()
    for buffer in buffers:
        view = memoryview(buffer)
        described += _SIZE.pack(view.nbytes, _KINDS.get(type(view.obj), _MEMORY))
    return bytes(described)


def read_sizes(described: Buffer, max_bytes: int) -> list[tuple[int, int]]:
    """Read what ``write_sizes`` wrote, of a message of at most *max_bytes*.

    Raises:
        WireError: It is something else, or of too many buffers.
    """
    if len(described) % _SIZE.size:
        raise WireError("the sizes of the buffers cannot be read")
    number = len(described) // _SIZE.size
    if number * BUFFER_COST > max_bytes:
        raise WireError(
            f"a message of {number} buffers: at most {max_bytes // BUFFER_COST} are taken"
        )
    sizes = list(_SIZE.iter_unpack(described))
    if any(kind >= len(MAKERS) for _, kind in sizes):
        raise WireError("a buffer of unknown kind")
    return sizes
