"""What a slave's link with a farm can come to, and what is kept between two masters; pure rules.

A farm that is *kept* (its ``Welcome`` has a ``farm_id``) outlives its master. That this one is gone
is decided where it is called (``calling``): it refuses the connection, or answers nothing for
``patience_s``, or somebody else answers there. Then what was begun goes on, and so does what waits;
outcomes are kept, and delivered to the next master of the farm. Only if the farm itself says that
it has ended, nothing is kept.

=========== ================ ===================== ==============================================
state       what happens     is then               what that means
=========== ================ ===================== ==============================================
JOINING     LET_IN           SERVING               it asks and delivers
JOINING     TURNED_AWAY      KEPT if it holds      refused in words: another master may come
                             anything, else OVER
JOINING     GONE             KEPT if it holds      nobody there after all
                             anything, else OVER
SERVING     ENDED            OVER                  the farm says so: what is held is dropped
SERVING     LEFT             OVER                  it was told to leave, and has given back all
SERVING     TURNED_AWAY      KEPT, or OVER         it was forgotten, and is not let in again
SERVING     GONE             KEPT, or OVER         what it holds is kept, if the farm is
KEPT        FOUND            JOINING               a farm of the same label and id is listed
KEPT        TIME_IS_UP       OVER                  no master came: what is held is dropped
KEPT        TOLD_TO_DROP     OVER                  Ctrl-C again, ``stop``
=========== ================ ===================== ==============================================
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from masterslave.protocol.outcomes import PART, PROGRESS, REPORT, Outcome

__all__ = ["KEPT_BYTES", "Countdown", "Happening", "Kept", "State", "state_after"]

KEPT_BYTES = 256 * 1024 * 1024
"""How much of outcomes is kept for the next master of a farm, in bytes. A task may be in the middle
of a larger one: those that run are ended at twice that."""

_ASLEEP_S = 2.0


class State(Enum):
    """How a slave's link with a farm is."""

    JOINING = auto()
    SERVING = auto()
    KEPT = auto()
    OVER = auto()


class Happening(Enum):
    """What can happen to it."""

    LET_IN = auto()
    TURNED_AWAY = auto()
    GONE = auto()
    ENDED = auto()
    LEFT = auto()
    FOUND = auto()
    TIME_IS_UP = auto()
    TOLD_TO_DROP = auto()


_AFTER: dict[tuple[State, Happening], State] = {
    (State.JOINING, Happening.LET_IN): State.SERVING,
    (State.JOINING, Happening.TURNED_AWAY): State.KEPT,
    (State.JOINING, Happening.GONE): State.KEPT,
    (State.SERVING, Happening.ENDED): State.OVER,
    (State.SERVING, Happening.LEFT): State.OVER,
    (State.SERVING, Happening.TURNED_AWAY): State.KEPT,
    (State.SERVING, Happening.GONE): State.KEPT,
    (State.KEPT, Happening.FOUND): State.JOINING,
    (State.KEPT, Happening.TIME_IS_UP): State.OVER,
    (State.KEPT, Happening.TOLD_TO_DROP): State.OVER,
}


def state_after(state: State, happening: Happening, *, keeps: bool) -> State:
    """Return what a link is then.

    Args:
        keeps: Whether the farm is kept and something of it is held.

    Raises:
        KeyError: That cannot happen in this state.
    """
    then = _AFTER[state, happening]
    return State.OVER if then is State.KEPT and not keeps else then


class Countdown:
    """How long a master is waited for; time in which this process was stopped does not count.

    Args:
        seconds: So long.
        now: Monotonic.
    """

    def __init__(self, seconds: float, now: float) -> None:
        self._ends_at = now + seconds
        self._looked_at = now

    def left_s(self, now: float) -> float:
        """Return how much is left, 0 if nothing is. It has to be called every second or so."""
        asleep_s = now - self._looked_at
        if asleep_s > _ASLEEP_S:
            self._ends_at += asleep_s
        self._looked_at = now
        return max(0.0, self._ends_at - now)


class Kept:
    """What comes of tasks while there is no master: counted, so that it has a bound.

    Of a task's progress the latest is kept. What the slave says of itself is for the master that
    has asked, and is not kept.

    Args:
        most_bytes: Beyond this nothing new is begun; beyond twice that what runs is given up.
        outcomes: What is there already.
    """

    def __init__(self, most_bytes: int, outcomes: Iterable[Outcome] = ()) -> None:
        self._most_bytes = most_bytes
        self.bytes = 0
        self._progress: dict[tuple[int, int], Outcome] = {}
        self.first = self.sift(outcomes)
        """What is kept of those that were there."""

    @property
    def is_full(self) -> bool:
        """Whether what has not been begun is given up."""
        return self.bytes > self._most_bytes

    @property
    def is_overfull(self) -> bool:
        """Whether what runs is given up, too: it may yield parts without end."""
        return self.bytes > 2 * self._most_bytes

    def sift(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Return those of these that are kept."""
        kept = []
        for outcome in outcomes:
            if outcome.kind == PROGRESS:
                self._progress[outcome.task, outcome.attempt] = outcome
            elif outcome.kind != REPORT:
                if outcome.kind != PART:
                    self._progress.pop((outcome.task, outcome.attempt), None)
                self.bytes += len(outcome.payload)
                kept.append(outcome)
        return kept

    def progress(self) -> list[Outcome]:
        """Return the latest progress of each task that has not ended."""
        return list(self._progress.values())
