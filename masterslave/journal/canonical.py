"""Values in canonical form: the same bytes for equal values, in each process, with each hash seed.

Sets and dicts are sorted: two dicts that differ in their order alone are one. Types count: ``1``,
``1.0`` and ``True`` are three, and so are ``0.0`` and ``-0.0`` two; a nan is itself. Each node is a
letter, its size and its content, or where that is large, the hash of it::

    =  a scalar, by MessagePack        L T D  a list, tuple, dict of scalars alone, by MessagePack
    l t d s f  containers of nodes     ^  what stands around it     v  what remoteobj's codec writes

What is no data (functions, classes, instances) is written by ``Walk.other``, which a subclass has.
The bytes are only hashed, never read.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from types import EllipsisType, NoneType, NotImplementedType
from typing import Any

import msgspec

from remoteobj import codec
from remoteobj.codec import leaves
from remoteobj.errors import NotSendable

__all__ = ["SCALARS", "NoIdentity", "Walk", "digest_of", "encode_scalars", "node"]

SCALARS = frozenset({NoneType, bool, int, float, str, bytes})
"""What MessagePack writes as it is, unless an int is too large or a text no UTF-8."""

TOO_ODD = (OverflowError, UnicodeEncodeError)
"""What ``encode_scalars`` raises for those."""

_LARGE_BYTES = 1024
_MAX_PARTS = 1_000_000
_MAX_FRESH = 8

encode_scalars = msgspec.msgpack.Encoder(order="deterministic").encode


class NoIdentity(Exception):
    """Something cannot be told from another one in the next run; the text says why.

    Attributes:
        places: Where it stands, from the inside to the outside.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.places: list[str] = []

    def __str__(self) -> str:
        place = ""
        for each in reversed(self.places):
            place += each if each.startswith("[") or not place else f", {each}"
        return f"{place}: {self.reason}" if place else self.reason


def digest_of(data: Any) -> bytes:
    """Return the hash of bytes, or of a buffer."""
    return hashlib.blake2b(data, digest_size=32).digest()


def node(letter: bytes, content: bytes) -> bytes:
    """Return a node."""
    if len(content) > _LARGE_BYTES:
        return b"#" + letter + digest_of(content)
    return letter + len(content).to_bytes(2, "big") + content


class Walk:
    """One walk over a value; it holds what it stands in, so that circles end."""

    def __init__(self, around: Walk | None = None) -> None:
        self.depth: int = around.depth + 1 if around else 0
        self._open: dict[int, int] = {}
        self._left: list[int] = around._left if around else [_MAX_PARTS]

    def other(self, value: Any) -> bytes:
        """Return the node of what is no data.

        Raises:
            NoIdentity: It has none.
        """
        raise NoIdentity(f"a {type(value).__qualname__} is no plain data")

    def fresh(self) -> Walk:
        """Return a walk that begins anew, for what is sorted by its bytes."""
        return Walk(self)

    def write(self, value: Any) -> bytes:
        """Return the node of a value.

        Raises:
            NoIdentity: It has none, or something in it.
        """
        kind = type(value)
        if kind in SCALARS:
            try:
                return node(b"=", encode_scalars(value))
            except TOO_ODD:
                return _odd(value)
        write = _WRITERS.get(kind)
        if write is not None:
            return write(self, value)
        if is_by_codec(kind):
            buffers: list[memoryview] = []
            try:
                head = codec.encode(value, buffers)
            except NotSendable:  # an array of objects, a time zone of somebody's
                return self.other(value)
            return node(b"v", b"".join([node(b"h", head), *map(digest_of, buffers)]))
        return self.other(value)

    def rest(self) -> bytes:
        """Return what belongs to the nodes that were written, and was put off."""
        return b""

    def whole(self, value: Any) -> bytes:
        """Return the node of a value and what belongs to it."""
        packed = self.write(value)
        return packed + self.rest()

    def row(self, letter: bytes, values: Iterable[Any], inside: object) -> bytes:
        """Return the node of values in a row.

        Args:
            inside: The container that they are in.
        """
        if (around := self.around(inside)) is not None:
            return around
        nodes: list[bytes] = []
        self.enter(inside)
        try:
            for value in values:
                nodes.append(self.write(value))
        except NoIdentity as none:
            none.places.append(f"[{len(nodes)}]")
            raise
        finally:
            self.leave(inside)
        self.count(len(nodes))
        return node(letter, b"".join(nodes))

    def pairs(self, letter: bytes, values: dict[Any, Any], inside: object) -> bytes:
        """Return the node of a dict, sorted."""
        if (around := self.around(inside)) is not None:
            return around
        key: Any = None
        nodes: list[bytes] = []
        self.enter(inside)
        try:
            keyed: list[tuple[bytes, Any]] = []
            for key in values:
                keyed.append((self.alone(key), key))
            for packed, key in sorted(keyed, key=_first):
                nodes.append(packed if type(key) in SCALARS else packed + self.write(key))
                nodes.append(self.write(values[key]))
        except NoIdentity as none:
            none.places.append(f"[{leaves.shown(key)}]")
            raise
        finally:
            self.leave(inside)
        self.count(len(nodes))
        return node(letter, b"".join(nodes))

    def members(self, letter: bytes, values: Iterable[Any]) -> bytes:
        """Return the node of what has no order."""
        alone = sorted([(self.alone(value), value) for value in values], key=_first)
        self.count(len(alone))
        nodes = [
            packed if type(value) in SCALARS else packed + self.write(value)
            for packed, value in alone
        ]
        return node(letter, b"".join(nodes))

    def alone(self, value: Any) -> bytes:
        """Return a node that a value has wherever it stands: what is sorted goes by it."""
        if type(value) in SCALARS:
            return self.write(value)
        if self.depth >= _MAX_FRESH:
            raise NoIdentity("sets stand in what is in sets too deeply")
        self.count(1)
        return self.fresh().whole(value)

    def around(self, value: object) -> bytes | None:
        """Return the node of what a walk is inside of already; None for anything else."""
        place = self._open.get(id(value))
        return None if place is None else node(b"^", place.to_bytes(4, "big"))

    def enter(self, value: object) -> None:
        """Begin with what is in a value, which must live until it is left."""
        self._open[id(value)] = len(self._open)

    def leave(self, value: object) -> None:
        """Be done with it."""
        del self._open[id(value)]

    def count(self, parts: int) -> None:
        """Refuse what has no end, or might as well have none."""
        self._left[0] -= parts
        if self._left[0] < 0:
            raise NoIdentity(f"it has more than {_MAX_PARTS} parts")


def _first(pair: tuple[bytes, Any]) -> bytes:
    return pair[0]


def _odd(value: int | str) -> bytes:
    if isinstance(value, str):
        return node(b"u", value.encode("utf-8", "surrogatepass"))
    return node(b"i", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def is_by_codec(kind: type) -> bool:
    """Tell whether remoteobj's codec writes values of this class alike everywhere."""
    if kind in leaves.WRITERS or leaves.learn(kind):
        return True
    np: Any = sys.modules.get("numpy")
    if np is None or not (kind is np.ndarray or issubclass(kind, np.generic)):
        return False
    return kind is np.ndarray or np.dtype(kind).type is kind


def _write_list(walk: Walk, value: list[Any] | tuple[Any, ...]) -> bytes:
    is_list = type(value) is list
    if SCALARS.issuperset(map(type, value)):
        try:
            return node(b"L" if is_list else b"T", encode_scalars(value))
        except TOO_ODD:
            pass
    return walk.row(b"l" if is_list else b"t", value, value)


def _write_dict(walk: Walk, value: dict[Any, Any]) -> bytes:
    if _TEXT.issuperset(map(type, value)) and SCALARS.issuperset(map(type, value.values())):
        try:
            return node(b"D", encode_scalars(value))
        except TOO_ODD:
            pass
    return walk.pairs(b"d", value, value)


_TEXT = frozenset({str})
_WRITERS: dict[type, Callable[[Walk, Any], bytes]] = {
    list: _write_list,
    tuple: _write_list,
    dict: _write_dict,
    set: lambda walk, value: walk.members(b"s", value),
    frozenset: lambda walk, value: walk.members(b"f", value),
    range: lambda walk, value: walk.row(b"r", (value.start, value.stop, value.step), value),
    bytearray: lambda walk, value: node(b"b", bytes(value)),
    memoryview: lambda walk, value: walk.row(
        b"m", (value.format, value.shape, value.tobytes()), value
    ),
    EllipsisType: lambda walk, value: node(b".", b""),
    NotImplementedType: lambda walk, value: node(b"!", b""),
}
