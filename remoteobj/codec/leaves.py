"""Values without values in them, each an extension: a number for its type, and bytes."""

from __future__ import annotations

import datetime
import functools
import struct
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import msgspec

from remoteobj import forks
from remoteobj.codec import tags
from remoteobj.codec.refusals import Refused, a
from remoteobj.errors import WireError
from remoteobj.uri import URI

_P = ParamSpec("_P")
_T = TypeVar("_T")

Ext = msgspec.msgpack.Ext
write_plain = msgspec.msgpack.Encoder().encode
"""Write a value of which all is plain."""
_unpack = msgspec.msgpack.decode
_INT64 = range(-(2**63), 2**64)
_COMPLEX = struct.Struct(">dd")
_DATETIME = struct.Struct(">HBBBBBBH")
_TIME = struct.Struct(">BBBBH")
_FOLD = 0x80
_UTC = write_plain([0, 0, 0])


def is_utf8(text: str) -> bool:
    """Tell whether *text* is without lone surrogates."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_utf8(text: str) -> str:
    """Replace lone surrogates by what they look like in source."""
    return text.encode(errors="backslashreplace").decode()


def shown(value: Any) -> str:
    """Show a key in an error message, whatever its repr does."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:60]}..."


def pack_int(value: int) -> Any:
    """Pack an int of any size."""
    if value in _INT64:
        return value
    return Ext(tags.BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def pack_text(value: str) -> Any:
    """Pack text, also with lone surrogates, which are no UTF-8."""
    return value if is_utf8(value) else Ext(tags.TEXT, value.encode("utf-8", "surrogatepass"))


def _pack_zone(zone: datetime.tzinfo | None) -> bytes:
    if zone is None:
        return b""
    if zone is datetime.UTC:
        return _UTC
    if type(zone) is datetime.timezone:
        offset = zone.utcoffset(None)
        name = zone.__reduce__()[1][1:]
        return write_plain([offset.days, offset.seconds, offset.microseconds, *name])
    zoneinfo: Any = sys.modules.get("zoneinfo")
    if zoneinfo is not None and type(zone) is zoneinfo.ZoneInfo:
        key: str | None = getattr(zone, "key", None)
        if key:  # else it was read from a file that has no name
            return write_plain(key)
    raise Refused(f"{a(type(zone))} as a time zone cannot be sent: use zoneinfo or an offset")


def _read_zone(data: bytes) -> datetime.tzinfo | None:
    return _recall_zone(data) if len(data) <= _ZONE_BYTES else _make_zone(data)


def _make_zone(data: bytes) -> datetime.tzinfo | None:
    if not data:
        return None
    told = _unpack(data)
    if type(told) is str:
        with forks.whole:
            import zoneinfo

        return zoneinfo.ZoneInfo(told)  # refuses what leads out of its directory
    days, seconds, microseconds, *name = told
    return datetime.timezone(datetime.timedelta(days, seconds, microseconds), *name)


_ZONE_BYTES = 60
_recall_zone = functools.lru_cache(100)(_make_zone)


def _pack_datetime(value: datetime.datetime) -> Any:
    state: bytes = value.__reduce_ex__(4)[1][0]  # type: ignore[assignment]
    zone = value.tzinfo
    return Ext(tags.DATETIME, state if zone is None else state + _pack_zone(zone))


def _read_datetime(data: memoryview) -> datetime.datetime:
    year, month, day, hour, minute, second, high, low = _DATETIME.unpack_from(data)
    zone = _read_zone(bytes(data[10:])) if len(data) > 10 else None
    if month & _FOLD:
        return datetime.datetime(
            year, month & ~_FOLD, day, hour, minute, second, high << 16 | low, zone, fold=1
        )
    return datetime.datetime(year, month, day, hour, minute, second, high << 16 | low, zone)


def _pack_time(value: datetime.time) -> Any:
    state: bytes = value.__reduce_ex__(4)[1][0]  # type: ignore[assignment]
    return Ext(tags.TIME, state + _pack_zone(value.tzinfo))


def _read_time(data: bytes) -> datetime.time:
    hour, minute, second, high, low = _TIME.unpack_from(data)
    zone = _read_zone(data[6:])
    fold = hour >> 7
    return datetime.time(hour & ~_FOLD, minute, second, high << 16 | low, zone, fold=fold)


def _read_decimal(data: bytes) -> Any:
    with forks.whole:
        import decimal

    return decimal.Decimal(data.decode("ascii"))


def _read_uuid(data: bytes) -> Any:
    with forks.whole:
        import uuid

    return uuid.UUID(bytes=data)


_FLAVOURS = {
    b"P": "PosixPath",
    b"W": "WindowsPath",
    b"p": "PurePosixPath",
    b"w": "PureWindowsPath",
}


def _read_path(data: bytes) -> Any:
    with forks.whole:
        import pathlib

    name = _FLAVOURS[data[:1]]
    here = type(pathlib.Path()).__name__
    if not name.startswith("Pure") and name != here:  # a path of the other system
        name = f"Pure{name}"
    return getattr(pathlib, name)(data[1:].decode("utf-8", "surrogatepass"))


_receiver: ContextVar[Any] = ContextVar("remoteobj_receiver", default=None)


def received_by(identity: Any, read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return *read*, but the proxies that it reads get this identity: the receiver's own."""

    def read_as(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        before = _receiver.set(identity)
        try:
            return read(*args, **kwargs)
        finally:
            _receiver.reset(before)

    return read_as


def _read_proxy(data: bytes) -> Any:
    # Not imported here, it stands above: importing remoteobj has done so. It has nothing of what
    # the one that was sent may do: no identity but the receiver's, and never plain TCP.
    identity = _receiver.get() or "auto"
    return sys.modules["remoteobj.proxy"].Proxy(data.decode(), identity=identity)


WRITERS: dict[type, Callable[[Any], Any]] = {
    complex: lambda value: Ext(tags.COMPLEX, _COMPLEX.pack(value.real, value.imag)),
    datetime.datetime: _pack_datetime,
    datetime.date: lambda value: Ext(tags.DATE, value.toordinal().to_bytes(3, "big")),
    datetime.time: _pack_time,
    datetime.timedelta: lambda value: Ext(
        tags.TIMEDELTA, write_plain([value.days, value.seconds, value.microseconds])
    ),
    URI: lambda value: Ext(tags.URI, str(value).encode()),
}
"""What writes a leaf, by its exact type."""


def _pack_fraction(value: Any) -> Any:
    return {tags.FRACTION: [pack_int(value.numerator), pack_int(value.denominator)]}


def _path_writer(flavour: bytes) -> Callable[[Any], Any]:
    return lambda value: Ext(tags.PATH, flavour + str(value).encode("utf-8", "surrogatepass"))


def _pack_proxy(value: Any) -> Any:
    # Its attributes are the remote object's; this one is its own.
    return Ext(tags.PROXY, str(object.__getattribute__(value, "_channel").uri).encode())


_LATER: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Decimal": ("decimal", lambda value: Ext(tags.DECIMAL, str(value).encode())),
    "Fraction": ("fractions", _pack_fraction),
    "UUID": ("uuid", lambda value: Ext(tags.UUID, value.bytes)),
    "Proxy": ("remoteobj.proxy", _pack_proxy),
    **{name: ("pathlib", _path_writer(code)) for code, name in _FLAVOURS.items()},
}


def learn(kind: type) -> bool:
    """Take note of a class of a module that is not imported for its sake; tell if it is one."""
    module, write = _LATER.get(kind.__name__, (None, None))
    if module and write and vars(sys.modules.get(module, object)).get(kind.__name__) is kind:
        WRITERS[kind] = write
        return True
    return False


_READERS: dict[int, Callable[[bytes], Any]] = {
    tags.BIG_INT: lambda data: int.from_bytes(data, "big", signed=True),
    tags.TEXT: lambda data: data.decode("utf-8", "surrogatepass"),
    tags.COMPLEX: lambda data: complex(*_COMPLEX.unpack(data)),
    tags.DATE: lambda data: datetime.date.fromordinal(int.from_bytes(data, "big")),
    tags.TIME: _read_time,
    tags.TIMEDELTA: lambda data: datetime.timedelta(*_unpack(data)),
    tags.DECIMAL: _read_decimal,
    tags.UUID: _read_uuid,
    tags.PATH: _read_path,
    tags.URI: lambda data: URI(data.decode()),
    tags.PROXY: _read_proxy,
}


def read_leaf(
    code: int, data: memoryview, readers: dict[int, Callable[[bytes], Any]] = _READERS
) -> Any:
    """Read one leaf; what it raises is the reader's to translate."""
    if code == tags.DATETIME:
        return _read_datetime(data)
    if code == tags.BYTEARRAY:
        return bytearray(data)
    read = readers.get(code)
    if read is None:
        raise WireError(f"there is no leaf of number {code}")
    return read(bytes(data))


read_leaf_of_anyone = functools.partial(
    read_leaf, readers={code: read for code, read in _READERS.items() if code != tags.PROXY}
)
"""The same without proxies, which depend on who receives them."""
