"""Where somebody else answers in a farm's place, and when it is looked there again.

A farm's record may be older than the network: its address is another machine's now, or its script's
machine has come back somewhere else. So it is the place that is avoided, and not the farm: one that
is listed elsewhere, or for another machine, is tried at once, and the same place after a while.
"""

from __future__ import annotations

from masterslave.naming import FarmRecord

__all__ = ["Avoided"]

FIRST_S = 5.0
MOST_S = 300.0
_MOST_PLACES = 10_000

_Place = tuple[str, str | None, str]


class Avoided:
    """Places of farms.  Threads: one at a time."""

    def __init__(self) -> None:
        self._until: dict[_Place, tuple[float, float]] = {}  # and how long the next pause is

    def add(self, farm: FarmRecord, now: float) -> bool:
        """Keep away for a while, twice as long as the last time; tells whether it is the first."""
        place = _place(farm)
        _, pause_s = self._until.pop(place, (0.0, FIRST_S))
        if len(self._until) >= _MOST_PLACES:
            del self._until[next(iter(self._until))]
        self._until[place] = now + pause_s, min(2 * pause_s, MOST_S)
        return pause_s == FIRST_S

    def has(self, farm: FarmRecord, now: float) -> bool:
        """Tell whether this place is not tried now."""
        until, _ = self._until.get(_place(farm), (now, 0.0))
        return now < until


def _place(farm: FarmRecord) -> _Place:
    return farm.farm, farm.uri.location, farm.node
