"""What has a result, by key: a mapping that takes about 200 bytes a task (pure)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from msgspec import Struct

from masterslave.journal.facts import Place

__all__ = ["Finish", "Finished"]


class Finish(Struct, frozen=True, gc=False):
    """The result of a task.

    Attributes:
        kind: ``protocol.outcomes``: VALUE, RAISED or MIXED.
        place: Where the payload is.
        skip: Which of the payload's items it is, counted from 0; below 0: the payload is its alone.
        count: How many tasks that outcome has settled.
        slave: Number of the slave that delivered it; -1 where it has none.
        number: Of the task that was settled.
    """

    kind: int
    place: Place
    skip: int
    count: int
    slave: int
    number: int


_FORM = struct.Struct("<QQQQiIiB")  # a value of bytes takes a third of what an object would
_pack, _unpack = _FORM.pack, _FORM.unpack


class Finished(Mapping[bytes, Finish]):
    """By key; who reads it makes no change."""

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}

    def put(self, key: bytes, finish: tuple[int, int, int, int, int, int, int, int]) -> None:
        """Enter a result: number, row, offset, size, skip, count, slave, kind."""
        self._packed[key] = _pack(*finish)

    def drop(self, key: bytes) -> Finish | None:
        """Take a result out, and return it; None if there is none."""
        packed = self._packed.pop(key, None)
        return None if packed is None else _made(packed)

    def number_of(self, key: bytes) -> int:
        """Return the number of the task whose result it is; -1 if there is none."""
        packed = self._packed.get(key)
        return -1 if packed is None else int.from_bytes(packed[:8], "little")

    def __getitem__(self, key: bytes) -> Finish:
        return _made(self._packed[key])

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def _made(packed: bytes) -> Finish:
    number, row, offset, size, skip, count, slave, kind = _unpack(packed)
    return Finish(kind, Place(row, offset, size), skip, count, slave, number)
