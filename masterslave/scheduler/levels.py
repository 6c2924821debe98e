"""Slaves by how much they hold: the one with the least, or the most, is found at once.

Bins of equal width, a bit in a number for each that is not empty. Within a bin, in turn.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Levels"]

_Item = TypeVar("_Item")

_BINS = 64


class Levels(Generic[_Item]):
    """Things by name, in bins of their levels.

    Args:
        lowest: Levels up to this one share the first bin.
        highest: Levels from this one on share the last.

    Attributes:
        weight: That of all that are in.
    """

    __slots__ = ("_at", "_bins", "_lowest", "_per_level", "_used", "weight")

    def __init__(self, lowest: float, highest: float) -> None:
        self._bins: list[OrderedDict[str, _Item] | None] = [None] * _BINS
        """Each is made when it is used: most are not, and there may be many of these."""
        self._used = 0
        self._at: dict[str, tuple[int, int]] = {}
        """Where each is: its bin and its weight."""
        self._lowest = lowest
        self._per_level = (_BINS - 2) / max(highest - lowest, lowest)
        self.weight = 0

    def __bool__(self) -> bool:
        return self._used != 0

    def put(self, name: str, item: _Item, level: float, weight: int = 1) -> None:
        """Put one in, or where it belongs now; in the bin in which it is, it keeps its turn."""
        above = level - self._lowest
        place = 0 if above <= 0.0 else min(_BINS - 1, 1 + int(above * self._per_level))
        before = self._at.get(name)
        if before is not None:
            if before[0] == place:
                return
            self.remove(name)
        line = self._bins[place]
        if line is None:
            line = self._bins[place] = OrderedDict()
        line[name] = item
        self._used |= 1 << place
        self._at[name] = place, weight
        self.weight += weight

    def remove(self, name: str) -> None:
        """Take one out, if it is in."""
        at = self._at.pop(name, None)
        if at is not None:
            place, weight = at
            line = self._bins[place]
            assert line is not None
            del line[name]
            if not line:
                self._used ^= 1 << place
            self.weight -= weight

    def take_lowest(self) -> _Item:
        """Take out one of the lowest bin that is not empty."""
        return self._take((self._used & -self._used).bit_length() - 1)

    def take_highest(self) -> _Item:
        """Take out one of the highest bin that is not empty."""
        return self._take(self._used.bit_length() - 1)

    def _take(self, place: int) -> _Item:
        line = self._bins[place]
        assert line is not None
        name, item = next(iter(line.items()))
        self.remove(name)
        return item
