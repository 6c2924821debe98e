"""The header of a message: where its fields are, what its types and flags mean."""

from __future__ import annotations

import enum
import struct
from typing import Final

__all__ = [
    "HEADER",
    "HEADER_BYTES",
    "MAGIC",
    "NO_CORRELATION",
    "PLAIN_BYTES",
    "SIMPLE",
    "SIMPLE_AT",
    "SUFFIX",
    "SUFFIX_AT",
    "TAG",
    "VERSION",
    "Flag",
    "MessageType",
    "prefix_of",
]

HEADER = struct.Struct("!4sHBBHHII16sHH")
HEADER_BYTES = HEADER.size
TAG, VERSION, MAGIC = b"PYRO", 502, 0x4DC5
NO_CORRELATION = bytes(16)

PLAIN_BYTES: Final = 64 * 1024
"""What the straight way reads and writes at once; a longer message goes the long way."""

# What is sent most is a payload and nothing else, in one piece. For both ends of a null call the
# header falls into a prefix and a suffix that are always the same, and SIMPLE between them:
# sequence, payload length, annotations length (none).
SIMPLE = struct.Struct("!HII")
SIMPLE_AT = 10
SUFFIX = NO_CORRELATION + struct.pack("!HH", 0, MAGIC)
SUFFIX_AT = SIMPLE_AT + SIMPLE.size


def prefix_of(kind: int, serializer: int) -> bytes:
    """Return how a message begins that has no flags."""
    return struct.pack("!4sHBBH", TAG, VERSION, kind, serializer, 0)


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
