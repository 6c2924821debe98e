"""From a value to bytes: one walk that replaces what MessagePack does not have, then msgspec.

The walk returns a plain container as it is, so that only what has to change is copied. Text that is
no UTF-8 and large ints are found by msgspec, not by the walk: the walk is then done once more with
an eye on them.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from types import NoneType
from typing import Any

import msgspec

from remoteobj.codec import arrays, classes, exceptions, leaves, tags
from remoteobj.codec.refusals import Refused, a
from remoteobj.errors import NotSendable

_pack_plain = msgspec.msgpack.Encoder().encode
_ALWAYS_PLAIN = frozenset({NoneType, bool, float})
_PLAIN = _ALWAYS_PLAIN | {int, str}
_PLAIN_INLINE = _PLAIN | {bytes}


def encode_value(value: Any, buffers: list[memoryview] | None, where: str, max_depth: int) -> bytes:
    """Write *value* as bytes; see ``codec.encode``."""
    taken = len(buffers) if buffers is not None else 0
    try:
        try:
            plain = _PLAIN_INLINE if buffers is None else _PLAIN
            return _pack_plain(Writer(plain, buffers, max_depth).pack(value, 0))
        except (UnicodeEncodeError, OverflowError):
            if buffers is not None:
                del buffers[taken:]
            return _pack_plain(Writer(_ALWAYS_PLAIN, buffers, max_depth).pack(value, 0))
    except Refused as refused:
        _forget(buffers, taken)
        raise NotSendable(refused.told(where)) from refused.__cause__
    except RecursionError:
        _forget(buffers, taken)
        raise NotSendable(
            f"{where}: it is nested too deeply for the stack that is left here"
        ) from None
    except (ValueError, OverflowError, RuntimeError) as error:  # too large, or changed meanwhile
        _forget(buffers, taken)
        raise NotSendable(f"{where}: it cannot be written: {error}") from error


def _forget(buffers: list[memoryview] | None, taken: int) -> None:
    if buffers is not None:
        del buffers[taken:]


class Writer:
    """One walk over a value."""

    __slots__ = ("buffers", "max_depth", "plain")

    def __init__(
        self, plain: frozenset[type], buffers: list[memoryview] | None, max_depth: int
    ) -> None:
        self.plain = plain
        self.buffers = buffers
        self.max_depth = max_depth

    def pack(self, value: Any, depth: int) -> Any:
        """Return *value*, inside *depth* containers, in a form that msgspec writes as it should."""
        kind = type(value)
        if kind in self.plain:
            return value
        if kind is dict:
            return self._pack_dict(value, depth)
        if kind is list:
            return self._pack_list(value, depth)
        if kind is tuple:
            return {tags.TUPLE: self.pack_items(value, depth)}
        write_leaf = leaves.WRITERS.get(kind)
        if write_leaf is not None:
            return write_leaf(value)
        write = _WRITERS.get(kind) or _writer_of(kind)
        return write(self, value, depth)

    def check_depth(self, depth: int) -> None:
        """Refuse a container inside *depth* others, if that is one too many."""
        if depth >= self.max_depth:
            raise Refused(f"it is nested more than {self.max_depth} levels deep")

    def _pack_dict(self, value: dict[Any, Any], depth: int) -> Any:
        if depth >= self.max_depth:
            self.check_depth(depth)
        plain = self.plain
        is_careful = str not in plain
        leaf_writer = leaves.WRITERS.get  # here too, for records are full of them
        taken = len(self.buffers) if self.buffers else 0
        changed = None
        key: Any = None
        try:
            for key, item in value.items():
                if type(key) is not str or (is_careful and not leaves.is_utf8(key)):
                    break
                kind = type(item)
                if kind not in plain:
                    write_leaf = leaf_writer(kind)
                    packed = write_leaf(item) if write_leaf else self.pack(item, depth + 1)
                    if packed is not item:
                        changed = value.copy() if changed is None else changed
                        changed[key] = packed
            else:
                return value if changed is None else changed
        except Refused as refused:
            refused.path.append(f"[{leaves.shown(key)}]")
            raise
        self.forget(taken)
        return {tags.DICT: self._pack_pairs(value, depth)}

    def forget(self, taken: int) -> None:
        """Drop the buffers that were added since there were *taken*."""
        if self.buffers is not None:
            del self.buffers[taken:]

    def _pack_pairs(self, value: dict[Any, Any], depth: int) -> list[Any]:
        flat = []
        for key, item in value.items():
            try:
                flat.append(self.pack(key, depth + 1))
            except Refused as refused:
                refused.path.append(f" key {leaves.shown(key)}")
                raise
            try:
                flat.append(self.pack(item, depth + 1))
            except Refused as refused:
                refused.path.append(f"[{leaves.shown(key)}]")
                raise
        return flat

    def _pack_list(self, value: list[Any], depth: int) -> Any:
        self.check_depth(depth)
        plain = self.plain
        changed = None
        index = 0
        try:
            for index, item in enumerate(value):
                kind = type(item)
                if kind not in plain:
                    pack = self._pack_dict if kind is dict else self.pack
                    packed = pack(item, depth + 1)
                    if packed is not item:
                        changed = value.copy() if changed is None else changed
                        changed[index] = packed
        except Refused as refused:
            refused.path.append(f"[{index}]")
            raise
        return value if changed is None else changed

    def pack_items(self, values: Any, depth: int) -> list[Any]:
        """Pack the items of a container that itself stands inside *depth* others."""
        self.check_depth(depth)
        plain = self.plain
        out: list[Any] = []
        try:
            for item in values:
                out.append(item if type(item) in plain else self.pack(item, depth + 1))
        except Refused as refused:
            refused.path.append(f"[{len(out)}]")
            raise
        return out

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
    items = writer.pack_items(value, depth)
    return {tags.DEQUE: [value.maxlen, items]}


_Write = Callable[[Writer, Any, int], Any]
_WRITERS: dict[type, _Write] = {
    int: lambda _, value, __: leaves.pack_int(value),
    str: lambda _, value, __: leaves.pack_text(value),
    bytes: _pack_bytes,
    bytearray: _pack_bytes,
    memoryview: arrays.pack_memoryview,
    set: lambda writer, value, depth: {tags.SET: writer.pack_items(value, depth)},
    frozenset: lambda writer, value, depth: {tags.FROZENSET: writer.pack_items(value, depth)},
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
    found = arrays.writer_of(kind) or classes.writer_of(kind)
    if found is None:
        raise Refused(f"{a(kind)} cannot be sent")
    return found
