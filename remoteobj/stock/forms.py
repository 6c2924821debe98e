"""What each format makes of the types that it has no form for; as Pyro5 does it, or refused."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import math
import numbers
import struct
import uuid
from collections.abc import Callable
from dataclasses import replace
from types import NoneType
from typing import Any

import msgspec

from remoteobj import _pyro
from remoteobj.codec.leaves import is_utf8
from remoteobj.codec.refusals import Refused
from remoteobj.errors import WireError
from remoteobj.stock.exceptions import pack_exception
from remoteobj.stock.writing import Form, Writer
from remoteobj.uri import URI

Ext = msgspec.msgpack.Ext
_INT64 = range(-(2**63), 2**64)
_COMPLEX, _LONG, _DATETIME, _DATE = 0x30, 0x31, 0x32, 0x33  # the numbers are Pyro5's


def _pack_uri(writer: Writer, uri: URI, depth: int) -> Any:
    state = (uri.protocol, uri.object, uri.sockname, uri.host, uri.port)
    return writer.pairs({"__class__": _pyro.URI_CLASS, "state": state}, depth)


def _pack_array(writer: Writer, value: array.array[Any], depth: int) -> Any:
    return value.tounicode() if value.typecode == "u" else writer.items(value, depth)


def _as_text(_: Writer, value: Any, __: int) -> str:
    return str(value)


def _as_iso(_: Writer, value: datetime.date, __: int) -> str:
    return value.isoformat()


def _as_list(writer: Writer, values: Any, depth: int) -> list[Any]:
    return writer.items(values, depth)


_COMMON: dict[type, Callable[[Writer, Any, int], Any]] = {
    # The first four are here for what is derived from them.
    int: lambda _, value, __: int.__int__(value),
    float: lambda _, value, __: float.__pos__(value),
    str: lambda _, value, __: str.__str__(value),
    list: _as_list,
    tuple: lambda writer, values, depth: tuple(writer.items(values, depth)),
    dict: lambda writer, values, depth: writer.pairs(values, depth),
    array.array: _pack_array,
    decimal.Decimal: _as_text,
    uuid.UUID: _as_text,
    URI: _pack_uri,
    BaseException: pack_exception,
}


_BYTES: dict[type, Callable[[Writer, Any, int], Any]] = dict.fromkeys(
    (bytes, bytearray, memoryview), lambda _, value, __: bytes(memoryview(value))
)


class _Literal:
    """What ``repr`` is to write as these words."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


_INFINITY = _Literal("1e30000")
_MINUS_INFINITY = _Literal("-1e30000")


def _serpent_float(_: Writer, value: float, __: int) -> Any:
    if math.isfinite(value):
        return float.__pos__(value)
    if math.isnan(value):
        return {"__class__": "float", "value": "nan"}
    return _INFINITY if value > 0 else _MINUS_INFINITY


def _serpent_complex(writer: Writer, value: complex, depth: int) -> Any:
    real, imag = (_serpent_float(writer, part, depth) for part in (value.real, value.imag))
    if math.isnan(value.real) or math.isnan(value.imag):
        return {"__class__": "complex", "real": real, "imag": imag}
    sign = "+" if math.copysign(1.0, value.imag) > 0 else ""
    return _Literal(f"({real!r}{sign}{imag!r}j)")


def _serpent_set(writer: Writer, values: Any, depth: int) -> Any:
    # An empty set has no literal.
    return {writer.key(value, depth + 1) for value in values} if values else ()


_VIEWS: tuple[Any, ...] = ({}.keys(), {}.values(), {}.items())

SERPENT = Form(
    "serpent",
    frozenset({NoneType, bool, int, str, bytes}),
    {
        **_COMMON,
        float: _serpent_float,
        complex: _serpent_complex,
        **_BYTES,
        set: _serpent_set,
        frozenset: _serpent_set,
        datetime.datetime: _as_iso,
        datetime.date: _as_iso,
        datetime.time: _as_text,
        datetime.timedelta: lambda _, value, __: value.total_seconds(),
        enum.Enum: lambda writer, member, depth: writer.pack(member.value, depth),
        collections.deque: _as_list,
        collections.UserList: _as_list,
        collections.UserDict: lambda writer, values, depth: writer.pairs(values, depth),
        collections.UserString: lambda writer, value, depth: writer.pack(value.data, depth),
        **dict.fromkeys(map(type, _VIEWS), _as_list),
    },
    keys=(str, bytes, tuple, numbers.Number, enum.Enum, NoneType),
    registered_first=True,
    has_bare_state=True,
)

JSON = Form(
    "json",
    frozenset({NoneType, bool, int, float, str}),
    {
        **_COMMON,
        set: _as_list,
        datetime.datetime: _as_iso,
        datetime.date: _as_iso,
    },
    keys=(str, int, float, NoneType),
)


def _long(_: Writer, value: int, __: int) -> Any:
    value = int.__int__(value)
    return value if value in _INT64 else Ext(_LONG, str(value).encode())


def _utf8(_: Writer, value: str, __: int) -> str:
    if not is_utf8(value):
        raise Refused("text with a lone surrogate cannot be sent as msgpack: send bytes")
    return str.__str__(value)


def _timestamp(_: Writer, value: datetime.datetime, __: int) -> Any:
    if value.tzinfo is not None:
        raise Refused("a datetime with a time zone cannot be sent as msgpack: send its isoformat()")
    return Ext(_DATETIME, struct.pack("d", value.timestamp()))


MSGPACK = Form(
    "msgpack",
    frozenset({NoneType, bool, int, float, str, bytes}),
    {
        **_COMMON,
        int: _long,
        str: _utf8,
        complex: lambda _, value, __: Ext(_COMPLEX, struct.pack("dd", value.real, value.imag)),
        **_BYTES,
        set: _as_list,
        datetime.datetime: _timestamp,
        datetime.date: lambda _, value, __: Ext(_DATE, struct.pack("l", value.toordinal())),
    },
    keys=(str, bytes),  # others are written by Pyro5, and refused by it when they arrive
)

MSGPACK_CAREFULLY = replace(MSGPACK, plain=MSGPACK.plain - {int, str})
"""The same with an eye on ints that are too large, and on text that is no UTF-8."""


def read_ext(code: int, data: memoryview) -> Any:
    """Read one of Pyro5's extensions of MessagePack."""
    if code == _COMPLEX:
        return complex(*struct.unpack("dd", data))
    if code == _LONG:
        return int(bytes(data))
    if code == _DATETIME:
        return datetime.datetime.fromtimestamp(*struct.unpack("d", data))
    if code == _DATE:  # a C long, which has four bytes on Windows
        return datetime.date.fromordinal(*struct.unpack("q" if len(data) == 8 else "i", data))
    raise WireError(f"there is no extension of number {code}")
