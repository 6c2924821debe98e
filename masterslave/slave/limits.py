"""How long calls run that have a limit, as their children's marks show it.

A limit counts from when the call is seen to run, so it is never too short; it is too long by one
look, which is a twentieth of it, and a quarter of a second at most. While a call waits for an
object that the script has shared, and that comes from far, its time has not begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from masterslave.protocol.outcomes import TIMED_OUT
from masterslave.slave.children import Child, Verdict
from masterslave.slave.clock import TICK_S
from masterslave.slave.work import Job

__all__ = ["Limits", "Overdue"]

_LONGEST_LOOK_S = 0.25
_LOOKS = 20


class Overdue(NamedTuple):
    """A call that has run for as long as it may."""

    child: Child
    number: int
    verdict: Verdict


class Limits:
    """Looks after them; the workshop's lock is held in each method."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._is_on = False
        self._runs: dict[Child, tuple[int, float]] = {}
        """Since when each child has been seen to run which call; for ever, once that is told."""
        self.again_s: float | None = None
        """In how many seconds to look again."""

    def begin(self) -> None:
        """A child was given calls that have limits."""
        self._is_on = True

    def look(self, children: Iterable[Child], now: float) -> Iterator[Overdue]:
        """Yield the calls that have reached their limit, each of them once."""
        self.again_s = None
        if not self._is_on:
            return
        before, self._runs = self._runs, {}
        for child in children:
            if child.is_doomed:
                continue
            number = child.runs_now()[0]
            job = child.load.jobs.get(number)
            if job is not None and job.limit_s:
                run = before.get(child, (-1, now))
                is_on = run[0] == number and not child.waits
                since = run[1] if is_on else now
                left_s = since + job.limit_s - now
                if left_s <= 0:
                    yield Overdue(child, number, self._verdict(number, job))
                    since = float("inf")
                self._runs[child] = number, since
                self._look_in(min(max(left_s, 0.0), job.limit_s / _LOOKS))
            elif any(held.limit_s for held in child.load.jobs.values()):
                self._look_in(0.0)  # it may begin at any time
        self._is_on = self.again_s is not None

    def _look_in(self, seconds: float) -> None:
        seconds = min(max(seconds, TICK_S), _LONGEST_LOOK_S)
        self.again_s = seconds if self.again_s is None else min(seconds, self.again_s)

    def _verdict(self, number: int, job: Job) -> Verdict:
        words = (
            f"it ran for longer than its limit, timeout_s={job.limit_s:g}, and was stopped with "
            f"its process on host {self._host}"
        )
        return Verdict(number, TIMED_OUT, words, job.limit_s)
