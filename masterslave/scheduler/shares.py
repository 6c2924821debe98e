"""What owners use of the slots, so that those of one priority get the same.

Of those that have tasks for the same slot, the one that has used less goes next, and goes on until
it is ``feed_ahead_s`` ahead of another. What counts is slot-seconds: of what has come back, what it
took; of what is out, what it is expected to take if that is short, else what it has taken so far,
and ``feed_ahead_s`` more.

Nobody is owed the past: who comes to a queue is taken to have used no less than the other that has
used the least (after start-time fair queueing: Goyal, Vin and Cheng, 1996). Who waits all the time,
while others are served elsewhere, is owed it. While there is one owner only, nothing is counted,
and it costs nothing.
"""

from __future__ import annotations

from collections.abc import Container

from msgspec import Struct

__all__ = ["SWEEP_S", "Shares"]

Key = tuple[int, int]
"""Names a hand-out: its first task and its number."""

SWEEP_S = 1.0
"""So often those are forgotten that have nothing here any more."""

_LONGEST_S = 1e9


class Owner(Struct, eq=False):
    """What an owner uses.

    Attributes:
        spent_s: What has come back took, and what is out and short is expected to take.
        running: Hand-outs that are out and not short, and the sum of the moments of their start.
    """

    spent_s: float
    running: int = 0
    since_s: float = 0.0


class Shares:
    """What each owner uses, while there are several.

    Args:
        ahead_s: ``Feeding.feed_ahead_s``.

    Attributes:
        now: The time of this event.
        is_shared: There are several; what is handed out has to be charged, and settled.
        is_new: There are several since a moment ago; what is out by now has not been charged.
        sweep_at: When to forget those that have nothing here any more.
    """

    __slots__ = (
        "_charges",
        "_owners",
        "ahead_s",
        "is_new",
        "is_shared",
        "now",
        "sweep_at",
    )

    def __init__(self, ahead_s: float) -> None:
        self.now = 0.0
        self.is_shared = self.is_new = False
        self.sweep_at = 0.0
        self.ahead_s = ahead_s
        self._owners: dict[str, Owner] = {}
        self._charges: dict[Key, tuple[Owner, float, float]] = {}
        """Of what is out: whose it is, what was charged, and since when if it is not short."""

    def enter(self, name: str) -> None:
        """Something of this owner is to wait in a queue in which nothing of it waited before."""
        others = [self.used_s(other) for other in self._owners if other != name]
        least_s = min(others, default=0.0)
        owner = self._owners.get(name)
        if owner is None:
            self._owners[name] = Owner(least_s)
            if len(self._owners) == 2:
                self.is_shared = self.is_new = True
        elif others and (owed_s := least_s - self.used_s(name)) > 0.0:
            owner.spent_s += owed_s

    def used_s(self, name: str) -> float:
        """Return what an owner has used, in slot-seconds."""
        owner = self._owners[name]
        return owner.spent_s + owner.running * self.now - owner.since_s

    def used_by_all(self) -> dict[str, float]:
        """Return what each owner has used."""
        return {name: self.used_s(name) for name in self._owners}

    def charge(self, name: str, key: Key, expected_s: float) -> None:
        """A hand-out is out; once is enough.

        Args:
            expected_s: What it takes, in seconds; 0 where that is not known.
        """
        if key in self._charges:
            return
        if name not in self._owners:
            self.enter(name)
        owner = self._owners[name]
        if 0.0 < expected_s <= self.ahead_s:
            owner.spent_s += expected_s
            self._charges[key] = owner, expected_s, -1.0
        else:
            owner.spent_s += self.ahead_s
            owner.running += 1
            owner.since_s += self.now
            self._charges[key] = owner, self.ahead_s, self.now

    def settle(self, key: Key, took_s: float) -> None:
        """A hand-out is not out any more, and has used so much."""
        charged = self._charges.pop(key, None)
        if charged is None:
            return  # from before there were several
        owner, charge_s, since = charged
        if since >= 0.0:
            owner.running -= 1
            owner.since_s -= since
        if 0.0 <= took_s < _LONGEST_S:  # a slave may say anything
            owner.spent_s += took_s - charge_s

    def sweep(self, waiting: Container[str]) -> None:
        """Forget the owners of which nothing waits or is out: they begin anew when they come."""
        self.sweep_at = self.now + SWEEP_S
        out = {id(owner) for owner, _, _ in self._charges.values()}
        for name, owner in list(self._owners.items()):
            if name not in waiting and id(owner) not in out:
                del self._owners[name]
        if len(self._owners) < 2:
            self.is_shared = self.is_new = False
            self._charges.clear()
            for owner in self._owners.values():
                owner.spent_s = owner.since_s = 0.0
                owner.running = 0
