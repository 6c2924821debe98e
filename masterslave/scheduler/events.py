"""What happened, in the past tense: all that the scheduler ever hears of.

Tasks have numbers. Those of a *span* (the items of a ``map``) are numbered in a row, and the
scheduler hands out as many of them at once, as one hand-out, as their time suggests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

__all__ = [
    "Event",
    "HandOut",
    "HandOutsGivenBack",
    "HandOutsLost",
    "SlaveAsked",
    "SlaveHeard",
    "SlaveJoined",
    "SlaveLeft",
    "SlaveReleased",
    "SlaveUnable",
    "SpanSubmitted",
    "TasksCancelled",
    "TasksReturned",
    "TasksSubmitted",
    "Terms",
    "TimePassed",
]


_LONGEST_PAUSE_S = 1e9


class Terms(Struct, frozen=True):
    """On which terms tasks are run; one value for all tasks that have the same.

    Attributes:
        function: Number of their function: tasks of one function are expected to take alike long.
        priority: Higher ones are handed out first; tasks of one priority and owner in their order.
        retries: How often a task that raised is run again.
        delay_s: Before the first of these runs, in seconds; ``factor`` times as long before each
            next one.
        max_attempts: Hand-outs that may be lost before the task is given up.
        repeatable: Whether a second attempt may be made while the first may still be running.
        chunk: Items of a span in one hand-out; 0 has the scheduler choose.
        timeout_s: How long it may run, in seconds; 0: for ever. Its slave sees to that.
        needs: What a hand-out uses up of its slave's offers while it runs: names and amounts.
        tags: What a slave has to have to get them.
        owner: On whose behalf. Owners of tasks of one priority get the same share of the slots.
    """

    function: int
    priority: int = 0
    retries: int = 0
    delay_s: float = 0.0
    factor: float = 1.0
    max_attempts: int = 3
    repeatable: bool = True
    chunk: int = 0
    timeout_s: float = 0.0
    needs: tuple[tuple[str, float], ...] = ()
    tags: frozenset[str] = frozenset()
    owner: str = ""

    def pause_s(self, failures: int) -> float:
        """Return how long to wait before the next run of a task that has raised so often before."""
        try:
            pause_s = self.delay_s * self.factor**failures
        except OverflowError:
            pause_s = _LONGEST_PAUSE_S if self.delay_s else 0.0
        return min(pause_s, _LONGEST_PAUSE_S)


class HandOut(Struct, frozen=True, array_like=True):
    """One attempt at one task, or at *count* tasks in a row that begin with it.

    Attempts of a task are numbered from 1, and ``(task, attempt)`` names a hand-out.
    """

    task: int
    attempt: int
    count: int = 1


class TasksSubmitted(Struct, frozen=True):
    """The script wants these done; their numbers are new.

    Attributes:
        sizes: Bytes of the arguments of each, where any is large; empty counts them as small.
        after: Tasks that have to succeed before; those that have ended count as if they had.
    """

    tasks: Sequence[int]
    terms: Terms
    sizes: Sequence[int] = ()
    after: Sequence[int] = ()


class SpanSubmitted(Struct, frozen=True):
    """The script wants the items ``first`` to ``first + count - 1`` done; their numbers are new.

    Attributes:
        item_bytes: Bytes of the largest item, about.
        after: Tasks that have to succeed before, as of single tasks.
    """

    first: int
    count: int
    terms: Terms
    item_bytes: int = 0
    after: Sequence[int] = ()


class TasksCancelled(Struct, frozen=True):
    """The script wants no answer any more; items of spans are named one by one or as a range."""

    tasks: Sequence[int]


class SlaveJoined(Struct, frozen=True):
    """A slave was let in; its name has not been used before.

    Attributes:
        offers: Amounts that tasks may need, by name.
        tags: What it has, beside these.
    """

    slave: str
    slots: int
    offers: Mapping[str, float] = {}
    tags: frozenset[str] = frozenset()


class SlaveAsked(Struct, frozen=True):
    """A slave would run so many tasks of this farm at once: its slots, or 0 when it is leaving."""

    slave: str
    slots: int


class SlaveHeard(Struct, frozen=True):
    """A slave gave a sign of life."""

    slave: str


class SlaveReleased(Struct, frozen=True):
    """The script has ended the quarantine of a slave, if it is in one: what was wrong is mended."""

    slave: str


class SlaveLeft(Struct, frozen=True):
    """A slave is gone: in peace, or with what it held."""

    slave: str
    reason: str
    in_peace: bool = False


class SlaveUnable(Struct, frozen=True):
    """A slave cannot run the function of this hand-out, which it gives back; others may be able to.

    Attributes:
        reason: Why not, in words.
    """

    slave: str
    hand_out: HandOut
    reason: str


class TasksReturned(Struct, frozen=True):
    """A slave delivered outcomes; it may be one that was given up long ago.

    Attributes:
        seconds: How long each hand-out took there.
        to_retry: Tasks of them that raised what their terms would have run again.
        failed: Tasks of them whose outcome is an exception, of those that others follow at least.
    """

    slave: str
    hand_outs: Sequence[HandOut]
    seconds: Sequence[float]
    to_retry: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()


class HandOutsGivenBack(Struct, frozen=True):
    """A slave will not run these after all: it is leaving, or they were recalled."""

    slave: str
    hand_outs: Sequence[HandOut]


class HandOutsLost(Struct, frozen=True):
    """The process that ran this died, while its slave lives on.

    Attributes:
        culprit: The task of the hand-out that ran when it died; -1 where that is not known.
    """

    slave: str
    hand_out: HandOut
    reason: str
    culprit: int = -1


class TimePassed(Struct, frozen=True):
    """The deadline that the scheduler had named has come, or any other moment."""


Event = (
    TasksSubmitted
    | SpanSubmitted
    | TasksCancelled
    | SlaveJoined
    | SlaveAsked
    | SlaveHeard
    | SlaveLeft
    | SlaveReleased
    | TasksReturned
    | HandOutsGivenBack
    | HandOutsLost
    | SlaveUnable
    | TimePassed
)
