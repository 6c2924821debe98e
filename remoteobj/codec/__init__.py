"""Values to bytes and back, each arriving equal and of the type that it had.

The bytes are MessagePack (written and read by msgspec), in which everything that MessagePack does
not have stands in a map of one entry whose key is a number, or in an extension; see
:mod:`remoteobj.codec.tags`. No pickle, no marshal, no eval: classes are looked up among the modules
that are imported already, and none of their code is run, except that what is a key or a member of a
set is hashed and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remoteobj.codec.reading import decode_value
from remoteobj.codec.tags import MAX_DEPTH
from remoteobj.codec.writing import write

__all__ = ["MAX_DEPTH", "decode", "encode"]


def encode(
    value: Any,
    buffers: list[memoryview] | None = None,
    *,
    where: str = "value",
    max_depth: int = MAX_DEPTH,
) -> bytes:
    """Write *value* as bytes.

    Args:
        value: What to send; the types that travel are listed in ``docs/decisions/0006``.
        buffers: An empty list. Where given, the data of ``bytes``, ``bytearray``, ``memoryview``
            and numpy arrays of 4 KiB and more is appended to it without a copy, and must reach
            ``decode``.
        where: What the value is, for the error message: ``add() argument 'item'``.
        max_depth: How many containers may stand in one another.

    Raises:
        NotSendable: Something in it cannot travel; the message names the place.

    Threads: any; nobody may change the value, or what *buffers* holds of it, meanwhile.
    """
    return write(lambda writer: writer.pack(value, 0), buffers, where, max_depth)


def decode(data: Any, buffers: Sequence[Any] = (), *, max_depth: int = MAX_DEPTH) -> Any:
    """Read what ``encode`` wrote, from whomever it came.

    Args:
        data: The bytes (or a buffer of them).
        buffers: The buffers in the order of ``encode``. Where the sender had ``bytes``, these are
            handed out as they are, and so is a ``bytearray``; of any other memory they are copies.
            Arrays and memoryviews stay views of their buffer, which they keep alive, and copy it
            only if it is read-only and they were not.
        max_depth: How many containers may stand in one another.

    Raises:
        WireError: These are not bytes that ``encode`` wrote, or not their buffers.
        NotSendable: They name a class that is not imported here, or looks different here.
    """
    return decode_value(data, buffers, max_depth)
