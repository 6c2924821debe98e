"""Messages as bytes: MessagePack, made and checked by msgspec."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from remoteobj import WireError
from remoteobj.unreadable import UNREADABLE

__all__ = ["decode", "encode"]

_Message = TypeVar("_Message", bound=Struct)

encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes, kind: type[_Message]) -> _Message:
    """Read a message of the given kind.

    Raises:
        WireError: It is none.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except UNREADABLE as error:
        raise WireError(f"no {kind.__name__} of the farm's protocol: {error}") from error
