"""A value on its way between a script and the children that run its tasks, as bytes.

What is plain data goes by remoteobj's codec, which runs no code where it is read; what names a
class of anybody's goes by pickle, which imports that class. The first byte says which::

    D  codec bytes
    B  codec bytes, with large data behind them:  head, codec bytes, buffer, buffer, ...
    P  pickle

where the head of ``B`` is its own size in 4 bytes, and then, in MessagePack,
``[size of the codec bytes, [size of each buffer, ...]]``.

Children load this module by its file, without the packages around it; so the codec is imported
where it is needed first, and scalars and flat lists are written by msgspec straight, as the codec
would.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec, spec_from_file_location
from itertools import chain
from types import ModuleType, NoneType
from typing import Any

import msgspec

__all__ = [
    "BESIDE",
    "DATA",
    "PICKLED",
    "NotData",
    "TooLarge",
    "is_data",
    "pack_value",
    "pickle_value",
    "unpack_value",
]

DATA, BESIDE, PICKLED = b"D", b"B", b"P"

_SCALARS = frozenset({NoneType, bool, int, float, str, bytes})
_INLINE_BYTES = 4096
MAX_PAYLOAD_BYTES = 128 * 1024 * 1024  # as in masterslave.protocol
_TUPLE = 1  # remoteobj.codec.tags.TUPLE
_FEW = 8  # remoteobj.codec.many.MANY: from there on, tuples of tuples are written by columns
_MAX_DEPTH = 100
_MAX_ITEMS = 1_000_000
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_STANDARD = frozenset(
    {"bytearray", "complex", "range"}
    | {f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")}
    | {"decimal.Decimal", "fractions.Fraction", "uuid.UUID", "zoneinfo.ZoneInfo"}
    | {"pathlib.PosixPath", "pathlib.WindowsPath"}
    | {"pathlib.PurePosixPath", "pathlib.PureWindowsPath"}
)

_encode = msgspec.msgpack.Encoder().encode
_read_any = msgspec.msgpack.Decoder().decode
_read_head = msgspec.msgpack.Decoder(tuple[int, list[int]]).decode


class TooLarge(Exception):
    """A value takes more bytes than travel; the argument is how many."""


class NotData(Exception):
    """A value that only pickle could carry, where results are data only; the text says why."""


def pack_value(value: Any, *, data_only: bool = False) -> bytes:
    """Return *value* as bytes.

    Args:
        value: What to send.
        data_only: Never pickle.

    Raises:
        NotData: It is no data, and nothing else is taken.
        TooLarge: It takes more than ``MAX_PAYLOAD_BYTES`` by itself.
        Exception: Whatever pickle raises for what cannot be sent at all.
    """
    kind = type(value)
    try:
        if kind in _SCALARS:
            if kind is bytes and len(value) > _INLINE_BYTES:
                _check_size(value)
                return b"".join((DATA, b"\xc6", len(value).to_bytes(4, "big"), value))
            return DATA + _encode(value)
        if kind is list and _SCALARS.issuperset(map(type, value)):
            return DATA + _encode(value)
        if kind is tuple and len(value) < _FEW and _SCALARS.issuperset(map(type, value)):
            return DATA + _encode({_TUPLE: value})
    except (UnicodeEncodeError, OverflowError):  # lone surrogates, large ints: the codec has those
        pass
    if kind not in _CONTAINERS:
        _check_size(value)
    if data_only or is_data(value):
        try:
            return _by_codec(value)
        except _codec().NotSendable as error:
            if data_only:
                raise NotData(str(error)) from None
    return PICKLED + pickle_value(value)


def _check_size(value: Any) -> None:
    """Refuse what is far too large before it is copied: there may be no memory for that."""
    size = getattr(value, "nbytes", None)
    if size is None and isinstance(value, bytes | bytearray):
        size = len(value)
    if isinstance(size, int) and size > MAX_PAYLOAD_BYTES:
        raise TooLarge(size)


def pickle_value(value: Any) -> bytes:
    """Pickle by reference where the reader can follow it, by value what lives in ``__main__``."""
    try:
        data = pickle.dumps(value, protocol=5)
        if b"__main__" not in data:
            return data
    except Exception:  # cloudpickle can do more, and says what it cannot
        pass
    import cloudpickle

    by_value: bytes = cloudpickle.dumps(value, protocol=5)
    return by_value


def unpack_value(payload: bytes | memoryview, *, data_only: bool = False) -> Any:
    """Return the value that ``pack_value`` was given.

    Raises:
        NotData: It is pickled, and *data_only* forbids that.
        Exception: Whatever unpickling raises, or the codec's ``NotSendable`` and ``WireError``.
    """
    first, rest = payload[:1], memoryview(payload)[1:]
    if first == DATA:
        kind = payload[1] if len(payload) > 1 else 0xC1
        if kind not in _NESTED:
            return _read_any(rest)
        return _codec().decode(rest)
    if first == PICKLED:
        if data_only:
            raise NotData(
                "it came pickled, and was not looked at, because data only is taken; return plain "
                "data, such as numbers, texts, lists or arrays"
            )
        return pickle.loads(rest)
    if first == BESIDE:
        return _read_beside(rest)
    raise ValueError("this is no packed value")


# MessagePack's first bytes of maps, lists and extensions: what msgspec alone does not read.
_NESTED = frozenset(
    {*range(0x80, 0xA0), 0xC1, 0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9), *range(0xDC, 0xE0)}
)


def _by_codec(value: Any) -> bytes:
    buffers: list[memoryview] = []
    data: bytes = _codec().encode(value, buffers)
    if not buffers:
        return DATA + data
    head = _encode((len(data), [buffer.nbytes for buffer in buffers]))
    return b"".join((BESIDE, len(head).to_bytes(4, "big"), head, data, *buffers))


def _read_beside(rest: memoryview) -> Any:
    start = 4 + int.from_bytes(rest[:4], "big")
    size, sizes = _read_head(rest[4:start])
    end = start + size
    data, buffers = rest[start:end], []
    for each in sizes:
        buffers.append(rest[end : end + each])
        end += each
    return _codec().decode(data, buffers)


_data_kinds: set[type] = {*_SCALARS, *_CONTAINERS}


def is_data(value: Any) -> bool:
    """Tell whether there are only builtin, standard and numpy's types in a value.

    What is nested too deeply, or without an end, is for pickle, which remembers what it has met.
    """
    level: list[Any] = [value]
    met = 0
    for _ in range(_MAX_DEPTH):
        kinds = set(map(type, level))
        if not kinds <= _data_kinds and not all(map(_is_data_kind, kinds - _data_kinds)):
            return False
        met += len(level)
        if not kinds & _CONTAINERS:
            return met < _MAX_ITEMS
        if met > _MAX_ITEMS:
            return False
        inner = [each for each in level if type(each) in _CONTAINERS]
        maps = [each for each in inner if type(each) is dict]
        level = [*chain.from_iterable(inner), *chain.from_iterable(map(dict.values, maps))]
    return False


def _is_data_kind(kind: type) -> bool:
    module = kind.__module__
    name = kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
    if name not in _STANDARD and (module != "numpy" or "numpy" not in sys.modules):
        return False
    _data_kinds.add(kind)
    return True


_loaded: list[Any] = []


def _codec() -> Any:
    """Import the codec alone: in a child, the rest of its package is not needed for it."""
    if not _loaded:
        if __name__.startswith("_") and "remoteobj" not in sys.modules:
            sys.modules["remoteobj"] = _Unopened(__file__)
        from remoteobj import codec
        from remoteobj.errors import NotSendable

        _loaded.append(_Codec(codec.encode, codec.decode, NotSendable))
    return _loaded[0]


class _Codec:
    def __init__(
        self, encode: Callable[..., bytes], decode: Callable[..., Any], error: type[Exception]
    ) -> None:
        self.encode, self.decode, self.NotSendable = encode, decode, error


class _Unopened(ModuleType):
    """``remoteobj``, whose ``__init__`` runs when something of it is asked for.

    It imports all of the engine, six times as long as the codec takes alone.
    """

    def __init__(self, here: str) -> None:
        super().__init__("remoteobj")
        folder = os.path.join(os.path.dirname(os.path.dirname(here)), "remoteobj")
        self.__spec__ = spec_from_file_location(
            "remoteobj", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
        )
        self.__file__ = os.path.join(folder, "__init__.py")
        self.__path__ = [folder]

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError(f"module 'remoteobj' has no attribute {name!r}")
        if find_spec(f"remoteobj.{name}") is not None:
            return import_module(f"remoteobj.{name}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # once only
        spec.loader.exec_module(self)
        return getattr(self, name)
