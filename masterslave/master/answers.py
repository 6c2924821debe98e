"""Answers on their way: who gets which, from the book to whoever hands them over.

Who uses it holds the master's lock. Handing an answer over runs code of the user's: that is for
when the lock is free (``turns``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from masterslave.master.book import TaskBook
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    GivenUp,
    Recorded,
    Span,
    Submission,
)
from masterslave.packed import PICKLED
from masterslave.protocol.hand_outs import CALL
from masterslave.protocol.outcomes import MIXED, VALUE, Outcome, items_in
from masterslave.scheduler import HandOut

if TYPE_CHECKING:  # it needs SQLite
    from masterslave.master.recording import Recording

__all__ = ["Answers", "HandOver", "Outcomes"]

HandOver = tuple[Callable[..., None], tuple[Any, ...]]
"""What is to be called with what, to hand an answer over."""

Outcomes = dict[tuple[int, int], Outcome]
"""By task and attempt."""

_WITHOUT_VALUE = (GivenUp, Failed, Outcome)


class Answers:
    """Strikes what has its answer out of the book, and notes who is to get it.

    Args:
        recording: Writes it down.
        data_only: Whether results that only pickle can read are refused.

    Attributes:
        waiting: What is to be handed over.
        recorded: The same of what was recorded: when that is on the disk.
    """

    def __init__(
        self, book: TaskBook, recording: Recording | None = None, *, data_only: bool
    ) -> None:
        self.waiting: list[HandOver] = []
        self.recorded: list[HandOver] = []
        self._book = book
        self._recording = recording
        self._data_only = data_only

    def is_value(self, outcome: Outcome) -> bool:
        """Tell whether an outcome is a value that its future takes."""
        is_refused = self._data_only and outcome.payload[:1] == PICKLED
        return outcome.kind == VALUE and not is_refused

    def settle(self, hand_outs: Sequence[HandOut], slave: str, outcomes: Outcomes) -> int:
        """Give tasks their outcomes as answers; returns how many tasks the hand-outs are.

        Args:
            slave: What it calls itself.
        """
        recording = self._recording
        append = (self.waiting if recording is None else self.recorded).append
        settle_single, done = self._book.settle_single, 0
        is_data_only = self._data_only
        for hand_out in hand_outs:
            task, count = hand_out.task, hand_out.count
            done += count
            outcome = outcomes.get((task, hand_out.attempt))
            if count == 1 and outcome is not None:
                single = settle_single(task)
                if single is not None:
                    if outcome.kind != VALUE or (is_data_only and not self.is_value(outcome)):
                        single.has_failed = True
                    append((single.settle, (outcome, slave)))
                    if recording is not None:
                        recording.note_settled(hand_out, slave, outcome, is_item=False)
                        if single.has_failed:
                            self._keep_arguments(single, 0, 1, outcome)
                    continue
            if outcome is None:
                outcome = _outcome_around(hand_out, outcomes.values())
            span = self._book.settle_items(task, count)
            if span is not None:
                skip = task - outcome.task
                append((span.settle, (task - span.number, count, outcome, skip, slave)))
                if recording is not None:
                    recording.note_settled(hand_out, slave, outcome, is_item=True)
                    if outcome.kind != VALUE:
                        self._keep_arguments(span, task - span.number, count, outcome, skip)
        return done

    def settle_one(self, submission: Submission, answer: Recorded, slave: str) -> None:
        """Give a submission of one task an answer that is recorded."""
        for one, _, _ in self._book.strike_out((submission.number,)):
            if one.is_span:
                self.recorded.append((one.settle, (0, 1, answer, 0, slave)))
            else:
                one.has_failed = answer.kind != VALUE
                self.recorded.append((one.settle, (answer, slave)))

    def keep_arguments_as(self, submission: Submission, number: int) -> None:
        """Have the arguments of a task written down that has failed by the number of an earlier
        run.
        """
        recording = self._recording
        if recording is None or submission.is_kept:
            return
        if submission.is_span:
            self.waiting.append((_keep_item, (recording, submission, 0, number)))
        else:
            recording.note_arguments(number, CALL, submission.arguments)

    def drop(
        self, tasks: Sequence[int], answer: Answer, slave: str = "", *, is_recorded: bool = True
    ) -> None:
        """Give those of these tasks that are open an answer that is not their own outcome."""
        recording = self._recording if is_recorded else None
        is_told_later = recording is not None and not isinstance(answer, Cancelled)
        append = (self.recorded if is_told_later else self.waiting).append
        for submission, offset, count in self._book.strike_out(tasks):
            if recording is not None:
                recording.note_ended(submission.number + offset, count, answer)
                if isinstance(answer, _WITHOUT_VALUE):
                    self._keep_arguments(submission, offset, count)
            if submission.is_span:
                append((submission.settle, (offset, count, answer, 0, slave)))
            else:
                submission.has_failed = True
                append((submission.settle, (answer, slave)))

    def _keep_arguments(
        self,
        submission: Submission,
        offset: int,
        count: int,
        outcome: Outcome | None = None,
        skip: int = 0,
    ) -> None:
        """Have the arguments of tasks written down that have failed, to run them again.

        Args:
            outcome: What became of them, if not all have failed; before the first of them, it has
                *skip* others.
        """
        recording = self._recording
        if recording is None or submission.is_kept:
            return
        if submission.is_span:  # packing runs code of the user's: without the lock
            self.waiting.append(
                (_keep_items, (recording, submission, offset, count, outcome, skip))
            )
        else:
            recording.note_arguments(submission.number, CALL, submission.arguments)


def _keep_items(
    recording: Recording, span: Span, offset: int, count: int, outcome: Outcome | None, skip: int
) -> None:
    failed: Iterable[int] = range(count)
    if outcome is not None and outcome.kind == MIXED:
        items = items_in(outcome.payload) or ()
        failed = [at for at in failed if skip + at < len(items) and items[skip + at].kind != VALUE]
    for at in failed:
        _keep_item(recording, span, offset + at, span.number + offset + at)


def _keep_item(recording: Recording, span: Span, offset: int, number: int) -> None:
    try:
        recording.note_arguments(number, span.form, span.pack(offset, 1))
    except Exception as error:
        why_not = f"they cannot be sent: {type(error).__name__}"
        recording.note_arguments(number, span.form, b"", why_not)


def _outcome_around(hand_out: HandOut, outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome of which this hand-out is a part."""
    return next(
        outcome
        for outcome in outcomes
        if outcome.attempt == hand_out.attempt
        and outcome.task <= hand_out.task
        and hand_out.task + hand_out.count <= outcome.task + outcome.count
    )
