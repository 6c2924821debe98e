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

from remoteobj.wire.decoding import Decoder
from remoteobj.wire.encoding import encode, encode_small
from remoteobj.wire.header import (
    HEADER_BYTES,
    NO_CORRELATION,
    PLAIN_BYTES,
    SIMPLE,
    SIMPLE_AT,
    SUFFIX,
    SUFFIX_AT,
    Flag,
    MessageType,
    prefix_of,
)
from remoteobj.wire.message import NOT_HERE, SEGMENTS, STREAM_ANNOTATION, Buffer, Message

__all__ = [
    "HEADER_BYTES",
    "NOT_HERE",
    "NO_CORRELATION",
    "PLAIN_BYTES",
    "SEGMENTS",
    "SIMPLE",
    "SIMPLE_AT",
    "STREAM_ANNOTATION",
    "SUFFIX",
    "SUFFIX_AT",
    "Buffer",
    "Decoder",
    "Flag",
    "Message",
    "MessageType",
    "encode",
    "encode_small",
    "prefix_of",
]
