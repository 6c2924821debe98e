"""Those who have connected and were not let in yet: how many, for how long, and who has to go.

The rules:

* Whoever has not been let in ``handshake_timeout_s`` after it has connected is closed, whatever it
  has sent meanwhile.
* Of one address, at most ``max_handshakes_per_address`` may be here that say nothing. One more,
  and the one of them that has been here for the longest goes; but nobody who has come ``GRACE_S``
  ago or less, or from whom something has arrived that was not read yet. So many that come at once
  from one machine all get in.
* Of all addresses together at most ``max_handshakes`` may be here. One more, and one of the address
  with the most of them goes: the first that says nothing, or just the first.

So who opens thousands of connections and says nothing only crowds out itself, and one who is let in
is here for a few milliseconds. A Unix socket has no addresses: only this user comes by it, and none
of this but the time is looked at there.

Pure: no sockets, no clock. Threads: the caller holds a lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Generic, TypeVar

__all__ = ["GRACE_S", "Strangers"]

GRACE_S = 0.2
"""How long one may take to say the first word however many others there are, in seconds."""

_T = TypeVar("_T")


class Strangers(Generic[_T]):
    """Who is not let in yet, in the order in which they came.

    Args:
        most_per_address: How many of one address may be here.
        most: How many may be here in all.
        patience_s: How long one may be here, in seconds.
        has_arrived: Tells whether one has said something that was not read yet.
    """

    def __init__(
        self,
        most_per_address: int,
        most: int,
        patience_s: float,
        has_arrived: Callable[[_T], bool],
    ) -> None:
        self._most_per_address = most_per_address
        self._most = most
        self._patience_s = patience_s
        self._has_arrived = has_arrived
        self._all: OrderedDict[_T, tuple[str, float]] = OrderedDict()
        self._by_address: dict[str, OrderedDict[_T, float]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, stranger: _T) -> bool:
        return stranger in self._all

    def add(self, stranger: _T, address: str, now: float) -> list[_T]:
        """One has come; returns who has to go for it.

        Args:
            stranger: Who has come.
            address: Where from; empty where that says nothing.
            now: The time, in seconds from anywhere.
        """
        self._all[stranger] = address, now
        if not address:
            return []
        there = self._by_address.setdefault(address, OrderedDict())
        there[stranger] = now
        going = []
        if len(there) > self._most_per_address:
            going = self._without(self._silent(there.items(), 1, now - GRACE_S))
        if not going and sum(map(len, self._by_address.values())) > self._most:
            crowd = max(self._by_address.values(), key=len)
            silent = self._silent(crowd.items(), 1, now)
            going = self._without(silent or [next(iter(crowd))])
        return going

    def remove(self, stranger: _T) -> bool:
        """One was let in, or has left; tells whether it was here."""
        place = self._all.pop(stranger, None)
        if place is None:
            return False
        there = self._by_address.get(place[0])
        if there is not None:
            there.pop(stranger, None)
            if not there:
                del self._by_address[place[0]]
        return True

    def late(self, now: float) -> list[_T]:
        """Return who has been here for too long; they are forgotten."""
        latest = now - self._patience_s
        return self._without(
            one for one, _ in list(takewhile(lambda item: item[1][1] <= latest, self._all.items()))
        )

    def too_many(self, now: float) -> list[_T]:
        """Return who has to go of an address of which too many are here; they are forgotten."""
        going = []
        for there in self._by_address.values():
            count = len(there) - self._most_per_address
            going += self._silent(there.items(), count, now - GRACE_S)
        return self._without(going)

    def _silent(self, those: Iterable[tuple[_T, float]], count: int, until: float) -> list[_T]:
        """Return the first *count* that say nothing, of those that came until then."""
        found: list[_T] = []
        for one, since in those:
            if len(found) >= count or since > until:
                break
            if not self._has_arrived(one):
                found.append(one)
        return found

    def _without(self, going: Iterable[_T]) -> list[_T]:
        return [one for one in going if self.remove(one)]
