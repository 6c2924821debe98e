"""What the master writes into its journal: who was handed what, and what became of it.

Who uses it holds the master's lock; nothing here waits for the disk. What a script or a slave is
told goes through ``after``, and so is on the disk before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Protocol

from masterslave.journal.facts import (
    NO_KEY,
    NO_PLACE,
    ArgumentsKnown,
    Ended,
    Fact,
    FunctionKnown,
    HandedOut,
    Lost,
    Place,
    Retried,
    Settled,
    SlaveKnown,
    Submitted,
)
from masterslave.journal.fold import Folded, keys_in
from masterslave.master.again import Again
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    Function,
    GivenUp,
    Single,
    Span,
)
from masterslave.protocol.outcomes import Outcome
from masterslave.scheduler import HandOut, Held

__all__ = ["Recording"]

_function = attrgetter("function")

_MOST_BYTES = 16 * 1024 * 1024
_MOST_BYTES_OF_RUN = 256 * 1024 * 1024
"""What is kept of a failed task's arguments, and of those of all failed tasks of a run."""
_MOST_PARTS = 2**31 - 2


class Written(Protocol):
    """What a recording needs of a ``Journal``; see there."""

    @property
    def after(self) -> Callable[[Callable[[], None]], None]: ...

    @property
    def record(self) -> Callable[[Fact], None]: ...

    @property
    def keep(self) -> Callable[[bytes], Place]: ...

    @property
    def first_number(self) -> int: ...

    @property
    def folded(self) -> Folded: ...


class Recording:
    """Writes what happens into a journal.

    Attributes:
        after: Has something called when all that was recorded so far is on the disk.
        first: Number of this run's first task: no number comes twice in one journal.
        again: Is told what is submitted and handed out.
    """

    def __init__(self, journal: Written) -> None:
        self.after: Callable[[Callable[[], None]], None] = journal.after
        self.first = journal.first_number
        self.again = Again()
        self._record: Callable[[Fact], None] = journal.record
        self._keep = journal.keep
        known = journal.folded
        self._slaves: dict[str, SlaveKnown] = {}
        self._functions: dict[bytes, int] = {}
        self._next_slave = max(known.slaves, default=-1) + 1
        self._next_function = max(known.functions, default=-1) + 1
        self._kept: tuple[Outcome, Place] | None = None
        self._left_bytes = _MOST_BYTES_OF_RUN

    def note_singles(self, tasks: Sequence[Single]) -> None:
        """Tasks were numbered, in a row."""
        for function, alike in groupby(tasks, _function):
            first = next(alike)
            keys = b"".join([task.keys or NO_KEY for task in (first, *alike)])
            self._note_submitted(function, first.number, keys, are_items=False)

    def note_span(self, span: Span) -> None:
        """A span was numbered."""
        keys = span.keys or NO_KEY * span.count
        self._note_submitted(span.function, span.number, keys, are_items=True)

    def _note_submitted(
        self,
        function: Function,
        first: int,
        keys: bytes,
        arguments: tuple[Place, ...] = (),
        *,
        are_items: bool,
    ) -> None:
        index = self._functions.get(function.digest)
        if index is None:
            index = self._functions[function.digest] = self._next_function + len(self._functions)
            place = self._place_of(function)
            self._record(FunctionKnown(index, function.name, function.digest, place))
        self._record(Submitted(first, index, keys, arguments, are_items))
        self.again.note_submitted(first, keys_in(keys))

    def _place_of(self, function: Function) -> Place:
        """Return where a function is in the journal, as it travels."""
        return self._keep(function.packed)

    def note_sent(self, slave: str, host: str, hand_outs: Sequence[HandOut]) -> None:
        """A slave was handed these."""
        sent = tuple([(one.task, one.attempt, one.count) for one in hand_outs])
        self._record(HandedOut(self._index_of(slave, host), sent, time.time()))
        self.again.note_sent(hand_outs)

    def note_lost(
        self, slave: str, hand_out: HandOut, reason: str, post_mortem: bytes, culprit: int
    ) -> None:
        """A hand-out was lost.

        Args:
            post_mortem: How its process died, packed.
            culprit: The task that ran then: the others only were with it; -1: it is not known.
        """
        task, stop = hand_out.task, hand_out.task + hand_out.count
        index, now = self._index_of(slave), time.time()
        place = self._keep(post_mortem)
        if not task <= culprit < stop:
            self._record(Lost(task, hand_out.attempt, stop - task, index, reason, place, now))
            return
        self._record(Lost(culprit, hand_out.attempt, 1, index, reason, place, now))
        beside = f"its process died of task {culprit}, which was handed out with it"
        for first, end in ((task, culprit), (culprit + 1, stop)):
            if first < end:
                self._record(Lost(first, hand_out.attempt, end - first, index, beside, None, now))

    def note_slave_lost(self, slave: str, held: Sequence[Held], reason: str) -> None:
        """A slave is gone that had these."""
        index, now = self._index_of(slave), time.time()
        for one, is_started in held:
            begun = "" if is_started else ", and had not begun with it"
            why = f"its slave is gone{begun}: {reason}"
            lost = Lost(one.task, one.attempt, one.count, index, why, None, now, may_come=True)
            self._record(lost)

    def note_arguments(self, task: int, form: int, packed: bytes, why_not: str = "") -> None:
        """Keep the arguments of a task that has failed. Threads: any, without the lock, too."""
        size = len(packed)
        if size > _MOST_BYTES:
            why_not = f"they take {size / 2**20:.0f} MiB, at most {_MOST_BYTES >> 20} are kept"
        elif size > self._left_bytes:
            why_not = (
                f"those of tasks that failed before it in its run take {_MOST_BYTES_OF_RUN >> 20} "
                "MiB together, and no more is kept"
            )
        if why_not:
            self._record(ArgumentsKnown(task, form, NO_PLACE, why_not))
        else:
            self._left_bytes -= size
            self._record(ArgumentsKnown(task, form, self._keep(packed)))

    def note_settled(
        self, hand_out: HandOut, slave: str, outcome: Outcome, *, is_item: bool
    ) -> None:
        """Tasks have their answer: an outcome, or a part of one."""
        if self._kept is None or self._kept[0] is not outcome:  # its parts come one after another
            self._kept = outcome, self._keep(outcome.payload)
        self._record(
            Settled(
                hand_out.task,
                hand_out.attempt,
                hand_out.count,
                hand_out.task - outcome.task if is_item else -1 - _parts_before(outcome),
                outcome.kind,
                self._kept[1],
                self._index_of(slave),
                outcome.seconds,
            )
        )

    def note_retried(self, slave: str, outcome: Outcome, task: int, *, is_item: bool) -> None:
        """A task has raised, and is run again."""
        if self._kept is None or self._kept[0] is not outcome:
            self._kept = outcome, self._keep(outcome.payload)
        skip, place = task - outcome.task if is_item else -1, self._kept[1]
        index, kind = self._index_of(slave), outcome.kind
        self._record(
            Retried(task, outcome.attempt, skip, kind, place, index, outcome.seconds, time.time())
        )

    def note_ended(self, first: int, count: int, answer: Answer) -> None:
        """Tasks have an answer that is no outcome of theirs."""
        match answer:
            case Cancelled():
                self._record(Ended(first, count, "cancelled"))
            case GivenUp():
                story = "\n".join(answer.story).encode()
                self._record(Ended(first, count, "given up", self._keep(story)))
            case Failed():
                self._record(Ended(first, count, "failed", self._keep(str(answer.error).encode())))
            case Outcome():
                self._record(Ended(first, count, "unable", self._keep(answer.payload)))
            case _:
                self._record(Ended(first, count, "predecessor failed"))

    def _index_of(self, slave: str, host: str = "") -> int:
        known = self._slaves.get(slave)
        if known is None:
            index = self._next_slave + len(self._slaves)
        elif host and not known.host:  # it was known by what it had brought
            index = known.index
        else:
            return known.index
        self._slaves[slave] = known = SlaveKnown(index, slave, host)
        self._record(known)
        return index


def _parts_before(outcome: Outcome) -> int:
    return min(max(0, outcome.item), _MOST_PARTS)  # a slave may say anything
