"""The keys of tasks by their numbers, and what became of each: 17 bytes a task (pure)."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from operator import attrgetter

from masterslave.journal.facts import KEY_BYTES, NO_KEY

__all__ = ["ENDED", "OPEN", "SETTLED", "Numbers", "Row"]

OPEN, SETTLED, ENDED = range(3)

_first = attrgetter("first")


class Row:
    """Tasks of one function that are numbered in a row.

    Attributes:
        are_items: Whether they are items of a span.
        keys: Of each, in a row.
        states: Of each, one byte: OPEN, SETTLED or ENDED.
    """

    __slots__ = ("are_items", "first", "function", "keys", "states")

    def __init__(self, first: int, function: int, *, are_items: bool = False) -> None:
        self.are_items = are_items
        self.first = first
        self.function = function
        self.keys = bytearray()
        self.states = bytearray()

    def key(self, at: int) -> bytes:
        """Return the key of the task that is so far from the first."""
        return bytes(self.keys[KEY_BYTES * at : KEY_BYTES * at + KEY_BYTES])

    def forget_key(self, at: int) -> None:
        """Take the key away from a task: what comes of it has nobody to go to."""
        self.keys[KEY_BYTES * at : KEY_BYTES * at + KEY_BYTES] = NO_KEY


class Numbers:
    """Finds tasks by their numbers."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._last: Row | None = None

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def add(self, first: int, function: int, keys: bytes, *, are_items: bool = False) -> None:
        """Enter tasks; of numbers that are there already, these are the keys from now on."""
        count = len(keys) // KEY_BYTES
        row = self._last
        if (
            row is None
            or row.first + len(row.states) != first
            or row.function != function
            or row.are_items != are_items
        ):
            row = self._begin(first, count, function, keys, are_items)
        if row is not None:
            row.keys += keys[: KEY_BYTES * count]
            row.states += bytes(count)

    def _begin(
        self, first: int, count: int, function: int, keys: bytes, are_items: bool
    ) -> Row | None:
        place = bisect_right(self._rows, first, key=_first)
        before = self._rows[place - 1] if place else None
        is_new = before is None or before.first + len(before.states) <= first
        follows = self._rows[place].first < first + count if place < len(self._rows) else False
        if not is_new or follows:  # as no master writes it
            for at in range(count):
                self._put(first + at, function, keys[KEY_BYTES * at : KEY_BYTES * (at + 1)])
            return None
        row = Row(first, function, are_items=are_items)
        self._rows.insert(place, row)
        self._last = row
        return row

    def _put(self, number: int, function: int, key: bytes) -> None:
        found = self.find(number)
        if found is None:
            row = Row(number, function)
            row.keys += key
            row.states += bytes(1)
            insort(self._rows, row, key=_first)
        else:
            row, at = found
            row.keys[KEY_BYTES * at : KEY_BYTES * (at + 1)] = key
            row.states[at] = OPEN
        self._last = None

    def find(self, number: int) -> tuple[Row, int] | None:
        """Return the row that a task is in, and how far from its first; None: it is not known."""
        row = self._last
        if row is not None and 0 <= (at := number - row.first) < len(row.states):
            return row, at
        place = bisect_right(self._rows, number, key=_first) - 1
        if place < 0:
            return None
        row = self._rows[place]
        at = number - row.first
        return (row, at) if at < len(row.states) else None
