"""From a value to bytes: one walk that replaces what MessagePack does not have, then msgspec.

The walk returns a plain container as it is, so that only what has to change is copied. Text that is
no UTF-8 and large ints are found by msgspec, not by the walk: the walk is then done once more with
an eye on them.
"""

from __future__ import annotations

import collections
import enum
from collections.abc import Callable
from types import NoneType
from typing import Any

import msgspec

from remoteobj.codec import arrays, classes, exceptions, leaves, many, records, tags
from remoteobj.codec.leaves import write_plain
from remoteobj.codec.refusals import Refused, refusal_of
from remoteobj.errors import NotSendable

__all__ = ["PLAIN", "Writer", "write", "write_plain"]

_ALWAYS_PLAIN = frozenset({NoneType, bool, float})
PLAIN = _ALWAYS_PLAIN | {int, str}
"""What msgspec writes as it is, if no text is without UTF-8 and no int too large."""
_PLAIN_INLINE = PLAIN | {bytes}


def write(
    pack: Callable[[Writer], Any], buffers: list[memoryview] | None, where: str, max_depth: int
) -> bytes:
    """Write what *pack* makes; it may be called twice, and may say in ``Writer.where`` where it is.

    Raises:
        NotSendable: Something in it cannot travel; *buffers* are as they were.
    """
    taken = len(buffers) if buffers is not None else 0
    writer = Writer(_PLAIN_INLINE if buffers is None else PLAIN, buffers, where, max_depth)
    try:
        try:
            return write_plain(pack(writer))
        except (UnicodeEncodeError, OverflowError):
            writer.forget(taken)
            writer = Writer(_ALWAYS_PLAIN, buffers, where, max_depth)
            return write_plain(pack(writer))
    except Refused as refused:
        told, cause = refused.told(writer.where), refused.__cause__
    except RecursionError:
        told = f"{writer.where}: it is nested too deeply for the stack that is left here"
        cause = None
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        # Too large, changed meanwhile, or of a class that cannot be hashed.
        told, cause = f"{writer.where}: it cannot be written: {error}", error
    writer.forget(taken)
    raise NotSendable(told) from cause


class Writer:
    """One walk over a value."""

    __slots__ = (
        "_names",
        "_writers",
        "buffers",
        "chained",
        "is_raised",
        "is_together",
        "max_depth",
        "plain",
        "where",
    )

    def __init__(
        self,
        plain: frozenset[type],
        buffers: list[memoryview] | None,
        where: str,
        max_depth: int,
    ) -> None:
        self.plain = plain
        self.buffers = buffers
        self.where = where
        self.max_depth = max_depth
        self.is_together = str in plain
        """Many values of one kind are written together, if they can be."""
        self.is_raised = False
        """Whether it is about an exception that was raised, of which something always arrives."""
        self.chained: set[int] = set()
        """The exceptions, by ``id``, of which cause and context were written."""
        self._names: dict[type, str] = {}
        self._writers: dict[type, _Write] = {}

    def pack(self, value: Any, depth: int) -> Any:
        """Return *value*, inside *depth* containers, in a form that msgspec writes as it should."""
        kind = type(value)
        if kind in self.plain:
            return value
        if kind is dict:
            return self._pack_dict(value, depth)
        if kind is list:
            return self.pack_list(value, depth)
        if kind is tuple:
            return {tags.TUPLE: self.pack_list([*value], depth)}
        write_leaf = leaves.WRITERS.get(kind)
        if write_leaf is not None:
            return write_leaf(value)
        write = _WRITERS.get(kind) or self._writers.get(kind)
        if write is None:
            write = self._writers[kind] = _writer_of(kind)
        return write(self, value, depth)

    def check_depth(self, depth: int) -> None:
        """Refuse a container inside *depth* others, if that is one too many."""
        if depth >= self.max_depth:
            raise Refused(
                f"it is nested more than {self.max_depth} levels deep (Settings.max_depth)"
            )

    def _pack_dict(self, value: dict[Any, Any], depth: int) -> Any:
        if depth >= self.max_depth:
            self.check_depth(depth)
        plain = self.plain
        if not many.TEXT.issuperset(map(type, value)) or (
            str not in plain and not all(map(leaves.is_utf8, value))
        ):
            return self._pack_pairs(value, depth)
        if self.is_together and len(value) >= many.MANY:
            kinds = {*map(type, value.values())}
            if kinds <= plain:
                return value
            if len(kinds) == 1:
                return self._pack_pairs(value, depth)
        leaf_writer = leaves.WRITERS.get  # here too, for records are full of them
        changed = None
        key = ""
        try:
            for key, item in value.items():
                kind = type(item)
                if kind not in plain:
                    write_leaf = leaf_writer(kind)
                    packed = write_leaf(item) if write_leaf else self.pack(item, depth + 1)
                    if packed is not item:
                        changed = value.copy() if changed is None else changed
                        changed[key] = packed
        except Refused as refused:
            refused.path.append(f"[{leaves.shown(key)}]")
            raise
        return value if changed is None else changed

    def forget(self, taken: int) -> None:
        """Drop the buffers that were added since there were *taken*."""
        if self.buffers is not None:
            del self.buffers[taken:]

    def _pack_pairs(self, value: dict[Any, Any], depth: int) -> Any:
        keys, values = [*value], [*value.values()]
        shown = leaves.shown
        packed = self.pack_list(keys, depth, lambda index: f" key {shown(keys[index])}")
        return {tags.DICT: [packed, self.pack_list(values, depth, lambda i: f"[{shown(keys[i])}]")]}

    def pack_list(
        self, values: list[Any], depth: int, name_of: Callable[[int], str] = "[{}]".format
    ) -> Any:
        """Pack a list, or the items of a container, that stands inside *depth* others."""
        if depth >= self.max_depth:
            self.check_depth(depth)
        if self.is_together and len(values) >= many.MANY:
            packed = many.pack_many(self, values, depth)
            if packed is not None:
                return packed
        plain = self.plain
        changed = None
        index = 0
        try:
            for index, item in enumerate(values):
                kind = type(item)
                if kind not in plain:
                    pack = self._pack_dict if kind is dict else self.pack
                    packed = pack(item, depth + 1)
                    if packed is not item:
                        changed = values.copy() if changed is None else changed
                        changed[index] = packed
        except Refused as refused:
            refused.path.append(name_of(index))
            raise
        return values if changed is None else changed

    def name_of(self, kind: type) -> str:
        """Return the name by which a class is found; looked up once for each walk."""
        found = self._names.get(kind)
        if found is None:
            found = self._names[kind] = classes.name_of(kind)
        return found

    def pack_member(self, value: Any, depth: int, path: str) -> Any:
        """Pack a part of something that stands inside *depth* others, reached by *path*."""
        try:
            return self.pack(value, depth + 1)
        except Refused as refused:
            refused.path.append(path)
            raise

    def pack_data(self, data: memoryview) -> Any:
        """Return a reference to flat bytes that travel beside the value, or the bytes."""
        if self.buffers is None or data.nbytes < tags.OUT_OF_BAND_BYTES:
            return bytes(data)
        self.buffers.append(data)
        return {tags.BUFFER: [len(self.buffers) - 1, data.nbytes, 0]}


def _pack_bytes(writer: Writer, value: bytes | bytearray, _: int) -> Any:
    kind = type(value)
    if writer.buffers is None or len(value) < tags.OUT_OF_BAND_BYTES:
        return value if kind is bytes else msgspec.msgpack.Ext(tags.BYTEARRAY, bytes(value))
    writer.buffers.append(memoryview(value))
    return {tags.BUFFER: [len(writer.buffers) - 1, len(value), 1 if kind is bytes else 2]}


def _pack_deque(writer: Writer, value: collections.deque[Any], depth: int) -> Any:
    items = writer.pack_list([*value], depth)
    return {tags.DEQUE: [value.maxlen, items]}


_Write = Callable[[Writer, Any, int], Any]
_WRITERS: dict[type, _Write] = {
    int: lambda _, value, __: leaves.pack_int(value),
    str: lambda _, value, __: leaves.pack_text(value),
    bytes: _pack_bytes,
    bytearray: _pack_bytes,
    memoryview: arrays.pack_memoryview,
    set: lambda writer, value, depth: {tags.SET: writer.pack_list([*value], depth)},
    frozenset: lambda writer, value, depth: {tags.FROZENSET: writer.pack_list([*value], depth)},
    collections.deque: _pack_deque,
    range: lambda _, value, __: {
        tags.RANGE: [leaves.pack_int(n) for n in (value.start, value.stop, value.step)]
    },
}


def _writer_of(kind: type) -> _Write:
    if leaves.learn(kind):
        return lambda _, value, __: leaves.WRITERS[kind](value)
    if issubclass(kind, BaseException):
        return exceptions.pack_exception
    if issubclass(kind, enum.Enum):
        return classes.pack_enum
    if records.fields_of(kind) is not None:
        return records.pack_record
    found = arrays.writer_of(kind)
    if found is None:
        raise refusal_of(kind)
    return found
