"""When a slave has had nothing to do for long, and when others use its machine: pure rules."""

from __future__ import annotations

from collections import deque

from masterslave.slave.usage import Use

__all__ = ["Courtesy", "Idleness"]

BACK_S, FREE_S = 10.0, 60.0
"""Others are back when they use the machine on average over the first time, and gone when they do
not over the second: a slave gets out of the way soon, and does not come back in every pause."""

BACK_CPUS, FREE_CPUS = 0.25, 0.15
BACK_SHARE = 0.02
"""How many CPUs others may use, and which part of all, before the machine is in use: daemons do
something all the time, and more of it on a large machine."""


class Idleness:
    """For how long there was nothing to do."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._done = -1

    def note(self, now: float, *, busy: int, done: int) -> float:
        """Return for how many seconds nothing has run, where so many slots are busy now.

        Args:
            done: Tasks that were done so far: short ones begin and end between two looks.
        """
        if busy or done != self._done:
            self._since, self._done = now, done
        return now - self._since


class Courtesy:
    """Whether the machine is left to others.

    Args:
        cpus: How many it has.
    """

    def __init__(self, cpus: int) -> None:
        self._back = max(BACK_CPUS, BACK_SHARE * cpus)
        self._free = max(FREE_CPUS, BACK_SHARE * cpus / 2)
        self._seen: deque[tuple[float, float]] = deque()
        self._in_use = False

    def note(self, now: float, use: Use) -> str:
        """Return in words who uses the machine; empty: nobody does."""
        if use.cpus is not None:
            self._seen.append((now, use.cpus))
        while self._seen and self._seen[0][0] <= now - FREE_S:
            self._seen.popleft()
        if use.input_age_s is not None and use.input_age_s < FREE_S:
            return f"somebody typed {use.input_age_s:.0f} s ago"
        window_s, most = (FREE_S, self._free) if self._in_use else (BACK_S, self._back)
        lately = [cpus for at, cpus in self._seen if at > now - window_s]
        mean = sum(lately) / len(lately) if lately else 0.0
        self._in_use = mean > most
        return f"others use {mean:.1f} of its CPUs" if self._in_use else ""
