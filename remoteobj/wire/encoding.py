"""A message in, buffers out."""

from __future__ import annotations

from remoteobj.errors import NotSendable
from remoteobj.wire.header import HEADER, MAGIC, NO_CORRELATION, TAG, VERSION, Flag
from remoteobj.wire.message import BUFFERS, Buffer, Message, write_annotations, write_sizes

__all__ = ["encode", "encode_small"]

_MAX_LENGTH = 2**32 - 1
_JOIN_BYTES = 64 * 1024  # up to here one copy is cheaper than a buffer more to send
_CORRELATION = int(Flag.CORRELATION)


def encode_small(
    kind: int, serializer: int, flags: int, sequence: int, payload: bytes, correlation: bytes
) -> bytes:
    """Return the bytes of a message that has nothing but a payload."""
    return (
        HEADER.pack(
            TAG,
            VERSION,
            kind,
            serializer,
            flags,
            sequence,
            len(payload),
            0,
            correlation,
            0,
            MAGIC,
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
        annotations[BUFFERS] = write_sizes(message.buffers)
    chunks = write_annotations(annotations)
    size = len(message.payload)
    if max(size, len(chunks)) > _MAX_LENGTH:
        raise NotSendable(f"a message of {size} bytes cannot be sent: at most {_MAX_LENGTH}")
    flags = message.flags
    if message.correlation != NO_CORRELATION:
        flags |= _CORRELATION
    header = HEADER.pack(
        TAG,
        VERSION,
        message.type,
        message.serializer,
        flags,
        message.sequence & 0xFFFF,
        size,
        len(chunks),
        message.correlation,
        0,
        MAGIC,
    )
    if size <= _JOIN_BYTES:
        return [b"".join((header, chunks, message.payload)), *message.buffers]
    return [header + chunks, message.payload, *message.buffers]
