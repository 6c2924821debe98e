"""Pyro's wire protocol 502, sans-IO: bytes in, messages out; a message in, bytes out.

A message is a header of 40 bytes, annotations, and a payload (Pyro5's ``protocol.py``)::

    4s tag "PYRO" | H version | B type | B serializer | H flags | H sequence | I payload length
    | I annotations length | 16s correlation id | H reserved | H magic 0x4dc5

Nothing of a payload is looked at here: which serializers are let in is the caller's to decide, and
it can decide on the header alone.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from remoteobj.errors import NotSendable, WireError

__all__ = ["Decoder", "Flag", "Message", "MessageType", "encode"]

_HEADER = struct.Struct("!4sHBBHHII16sHH")
_TAG, _VERSION, _MAGIC = b"PYRO", 502, 0x4DC5
_NO_CORRELATION = bytes(16)
_MAX_LENGTH = 2**32 - 1


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


@dataclass(frozen=True, slots=True)
class Message:
    """One message of either direction."""

    type: int
    serializer: int
    flags: int
    sequence: int
    payload: bytes
    correlation: bytes = _NO_CORRELATION


def encode(message: Message) -> bytes:
    """Return the bytes that carry *message*.

    Raises:
        NotSendable: Its payload is larger than the header can say.
    """
    if len(message.payload) > _MAX_LENGTH:
        raise NotSendable(
            f"a message of {len(message.payload)} bytes cannot be sent: at most {_MAX_LENGTH}"
        )
    flags = message.flags
    if message.correlation != _NO_CORRELATION:
        flags |= Flag.CORRELATION
    return (
        _HEADER.pack(
            _TAG,
            _VERSION,
            message.type,
            message.serializer,
            flags,
            message.sequence & 0xFFFF,
            len(message.payload),
            0,
            message.correlation,
            0,
            _MAGIC,
        )
        + message.payload
    )


class Decoder:
    """Turns a stream of bytes, split anywhere, into messages.

    Args:
        max_bytes: Largest message that is accepted, in bytes without the header; may be changed
            between messages (a peer that was let in may send more).
    """

    __slots__ = ("_buffer", "_missing", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._buffer = bytearray()
        self._missing = _HEADER.size

    @property
    def missing_bytes(self) -> int:
        """How many more bytes are certainly needed before the next message is whole."""
        return self._missing

    def feed(self, data: bytes) -> None:
        """Take in bytes that arrived."""
        self._buffer += data

    def next_message(self) -> Message | None:
        """Return the next whole message, or None until more bytes are fed.

        Raises:
            WireError: The bytes are not this protocol, or announce more than *max_bytes*. The
                stream cannot be read any further: close the connection.
        """
        buffer = self._buffer
        if len(buffer) < _HEADER.size:
            if bytes(buffer[:4]) != _TAG[: len(buffer)]:
                raise WireError("this is not Pyro's protocol")
            self._missing = _HEADER.size - len(buffer)
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
        ) = _HEADER.unpack_from(buffer)
        if tag != _TAG or magic != _MAGIC:
            raise WireError("this is not Pyro's protocol")
        if version != _VERSION:
            raise WireError(
                f"this is version {version} of Pyro's protocol; {_VERSION} is spoken here"
            )
        if payload + annotations > self.max_bytes:
            raise WireError(
                f"a message of {payload + annotations} bytes: at most {self.max_bytes} are taken"
            )
        total = _HEADER.size + annotations + payload
        if len(buffer) < total:
            self._missing = total - len(buffer)
            return None
        body = bytes(memoryview(buffer)[_HEADER.size + annotations : total])
        del buffer[:total]
        self._missing = max(1, _HEADER.size - len(buffer))
        return Message(kind, serializer, flags, sequence, body, correlation)
