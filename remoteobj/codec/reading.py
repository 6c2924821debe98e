"""From bytes to a value: msgspec, then one walk that puts back what MessagePack does not have.

The bytes may come from anyone. Lengths are checked by msgspec and here against what is there,
before memory is taken for them; the walk knows how deep it is; whatever goes wrong is a WireError.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence
from pickle import PickleBuffer
from typing import Any, NoReturn

import msgspec

from remoteobj import forks
from remoteobj.codec import arrays, classes, exceptions, leaves, many, records, tags
from remoteobj.errors import NotSendable, WireError

_decode_plain = msgspec.msgpack.Decoder(ext_hook=leaves.read_leaf).decode
NESTED = frozenset({dict, list})
"""What has to be walked."""
_NO_TEXT = "a plain map has a key that is no text"


def decode_value(data: Any, buffers: Sequence[Any] = (), max_depth: int = tags.MAX_DEPTH) -> Any:
    """Read one value; see ``codec.decode``."""
    try:
        value = _decode_plain(data)
        if buffers or type(value) in NESTED:
            reader = Reader(buffers, max_depth)
            value = reader.item(value, -1)
            reader.finish()
    except Exception as error:
        refuse(error)
    return value


def _are_flat(values: Iterable[Any]) -> bool:
    return NESTED.isdisjoint(map(type, values))


def refuse(error: Exception) -> NoReturn:
    """Raise what reading has raised as what it means: these are a peer's bytes."""
    if isinstance(error, WireError | NotSendable):
        raise error
    if isinstance(error, RecursionError):
        raise WireError("the payload is nested too deeply") from None
    if isinstance(error, MemoryError):
        raise WireError("the payload takes more memory than there is") from None
    # ValueError, TypeError, struct.error, ...
    raise WireError(f"the payload is no value: {type(error).__name__}: {error}") from error


class Reader:
    """One walk over what msgspec read; lists and maps are changed in place."""

    __slots__ = ("_kinds", "buffers", "is_raised", "max_depth", "used")

    def __init__(self, buffers: Sequence[Any], max_depth: int, *, is_raised: bool = False) -> None:
        self.buffers = buffers
        self.max_depth = max_depth
        self.used = 0
        self.is_raised = is_raised
        """Whether it is about an exception that was raised, of which something always arrives."""
        self._kinds: dict[str, tuple[type, list[str]]] = {}

    def unpack(self, value: Any, depth: int) -> Any:
        """Return the value that a list or map, inside *depth* containers, stands for."""
        if type(value) is list:
            return self.items(value, depth)
        if len(value) == 1:
            [(key, content)] = value.items()
            if type(key) is int:
                read = _READERS.get(key)
                if read is None:
                    raise WireError(f"there is no container of number {key}")
                return read(self, content, depth)
        if depth >= self.max_depth:
            self.check_depth(depth)
        if len(value) < many.MANY or not _are_flat(value.values()):
            for key, item in value.items():
                if type(item) in NESTED:
                    value[key] = self.unpack(item, depth + 1)
                if type(key) is not str:
                    raise WireError(_NO_TEXT)
        elif not many.TEXT.issuperset(map(type, value)):
            raise WireError(_NO_TEXT)
        return value

    def items(self, values: Any, depth: int) -> list[Any]:
        """Unpack, in place, the items of a container that itself stands inside *depth* others."""
        if type(values) is dict:  # written together
            values = self.unpack(values, depth)
            if type(values) is list:
                return values
        if type(values) is not list:
            raise WireError(f"{type(values).__name__} stands where items do")
        if depth >= self.max_depth:
            self.check_depth(depth)
        if len(values) < many.MANY or not _are_flat(values):
            for index, item in enumerate(values):
                if type(item) in NESTED:
                    values[index] = self.unpack(item, depth + 1)
        return values

    def columns(self, packed: list[Any], depth: int) -> list[list[Any]]:
        """Unpack the columns of containers that stand in a list inside *depth* others."""
        columns = [self.items(each, depth + 1) for each in packed]
        if len({*map(len, columns)}) != 1:
            raise WireError("values that belong together are not of one number")
        return columns

    def kind(self, name: Any, fields: Any) -> type:
        """Return the class of this name with these fields; looked up once for each walk."""
        kind, its_fields = self._kinds.get(name, (None, None))
        if kind is None or fields != its_fields:
            kind = records.find(name, fields)
            self._kinds[name] = kind, fields
        return kind

    def item(self, value: Any, depth: int) -> Any:
        """Unpack one part of something that itself stands inside *depth* containers."""
        kind = type(value)
        return self.unpack(value, depth + 1) if kind is dict or kind is list else value

    def data(self, value: Any) -> memoryview:
        """Return the bytes of an array: those that are here, or a buffer that came beside."""
        if type(value) is bytes:
            return memoryview(value)
        match value:
            case {tags.BUFFER: [int() as index, int() as size, 0]} if len(value) == 1:
                # Bytes of whatever has them (ctypes' have a format of their own); no pickle in it.
                return PickleBuffer(self.buffer(index, size)).raw()
        raise WireError("an array has no data")

    def buffer(self, index: int, size: int) -> Any:
        """Return the buffer of this number; each is used once, in order."""
        if index != self.used or index >= len(self.buffers):
            raise WireError(f"buffer {index} is missing: {len(self.buffers)} came")
        found = self.buffers[index]
        length = len(found) if type(found) in {bytes, bytearray} else memoryview(found).nbytes
        if length != size:
            raise WireError(f"buffer {index} has {length} bytes, not {size}")
        self.used += 1
        return found

    def finish(self) -> None:
        """Refuse buffers that are left over."""
        if self.used != len(self.buffers):
            raise WireError(
                f"{len(self.buffers)} buffers came with a payload that uses {self.used}"
            )

    def check_depth(self, depth: int) -> None:
        """Refuse a container inside *depth* others, if that is one too many."""
        if depth >= self.max_depth:
            raise WireError(f"the payload is nested more than {self.max_depth} levels deep")


def _read_dict(reader: Reader, content: Any, depth: int) -> dict[Any, Any]:
    keys, values = content
    return dict(zip(reader.items(keys, depth), reader.items(values, depth), strict=True))


def _read_deque(reader: Reader, content: Any, depth: int) -> collections.deque[Any]:
    longest, items = content
    return collections.deque(reader.items(items, depth), longest)


def _read_range(_: Reader, content: Any, __: int) -> range:
    start, stop, step = content
    return range(start, stop, step)


def _read_fraction(_: Reader, content: Any, __: int) -> Any:
    with forks.whole:
        import fractions

    numerator, denominator = content
    if type(numerator) is not int or type(denominator) is not int or denominator <= 0:
        raise WireError("a fraction is two ints")
    # As it was sent: to cancel two large numbers takes the square of their length.
    made: Any = object.__new__(fractions.Fraction)
    made._numerator, made._denominator = numerator, denominator
    return made


def _read_buffer(reader: Reader, content: Any, _: int) -> Any:
    index, size, code = content
    kind: type = {1: bytes, 2: bytearray}[code]
    found = reader.buffer(index, size)
    return found if type(found) is kind else kind(found)


_READERS: dict[int, Callable[[Reader, Any, int], Any]] = {
    tags.TUPLE: lambda reader, content, depth: tuple(reader.items(content, depth)),
    tags.SET: lambda reader, content, depth: set(reader.items(content, depth)),
    tags.FROZENSET: lambda reader, content, depth: frozenset(reader.items(content, depth)),
    tags.DICT: _read_dict,
    tags.DEQUE: _read_deque,
    tags.RANGE: _read_range,
    tags.FRACTION: _read_fraction,
    tags.BUFFER: _read_buffer,
    tags.ARRAY: arrays.read_array,
    tags.SCALAR: arrays.read_scalar,
    tags.MEMORYVIEW: arrays.read_memoryview,
    tags.ENUM: classes.read_enum,
    tags.RECORD: records.read_record,
    tags.EXCEPTION: exceptions.read_exception,
    tags.ROWS: many.read_rows,
    tags.TUPLES: many.read_tuples,
    tags.RECORDS: records.read_records,
    tags.DATETIMES: many.read_datetimes,
}
