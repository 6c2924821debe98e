"""Work that slaves were handed in an earlier run of the script, and may still bring.

A task of that kind is not handed out again for as long as somebody may have it: until the time is
over in which its slave would have come back, or until that slave has come and gone. If several
slaves had it, each by an attempt of its own, that one has lost it says nothing of the others. What
comes of it is the answer of the task with the same key, whatever its number is now; so what it
yields, and how far it is, are told to who waits for that task. But what has raised is run again, if
the task has retries: those of this run are counted anew.

Who uses it holds the master's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from masterslave.master.again import DID_NOT_COME
from masterslave.master.answers import Answers
from masterslave.master.early import Early
from masterslave.master.evidence import post_mortem_of
from masterslave.master.inheritance import Inheritance
from masterslave.master.seats import Seat, bare_name
from masterslave.master.submission import Recorded, Submission
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import Hold
from masterslave.protocol.outcomes import ENDS, GOES_ON, LOST, MIXED, RAISED, Outcome, items_in
from masterslave.scheduler import HandOut

if TYPE_CHECKING:  # it needs SQLite
    from masterslave.journal.fold import Out
    from masterslave.master.recording import Recording

__all__ = ["Inherited"]


class Inherited(Inheritance):
    """Knows what may still come, and who waits for it.

    Args:
        out: What was handed out and has no end, by the number that it had.
        until: Monotonic time until which slaves that have something may come.

    Attributes:
        came: How many of these have come.
        lost: How many will not come any more.
    """

    def __init__(
        self,
        out: Mapping[int, Out],
        answers: Answers,
        recording: Recording,
        *,
        until: float,
    ) -> None:
        super().__init__()
        self.due = until if out else None
        self.came = self.lost = 0
        self._answers = answers
        self._recording = recording
        self._out = dict(out)
        # Several of one key, if several masters have handed it out.
        self._numbers: dict[bytes, tuple[int, ...]] = {}
        for number, one in out.items():
            self._numbers[one.key] = (*self._numbers.get(one.key, ()), number)
        self._holders: dict[int, dict[int, Seat]] = {}  # by number and attempt
        self._gone: dict[int, set[int]] = {}  # attempts whose slaves have come, and have them not
        self._waiting: dict[bytes, Submission] = {}
        self._here: set[int] = set()  # numbers of those that wait, or follow one that does
        self._followers: dict[int, list[Submission]] = {}  # by the number of that one
        self._come: dict[bytes, tuple[Recorded, str, int]] = {}
        self._early = Early()  # of those that nobody waits for yet

    def may_have(self, key: bytes) -> bool:
        """See Inheritance."""
        return key in self._numbers or key in self._come

    def has(self, submission: Submission) -> bool:
        """See Inheritance."""
        key = submission.keys
        if key in self._come:
            answer, slave, number = self._come.pop(key)
            if submission.terms.retries and _has_raised(answer):
                self._early.forget(key)
                return False
            self._early.tell(key, submission)
            self._settle(submission, answer, slave, number)
        elif key in self._numbers:
            self._waiting[key] = submission
            self._here.add(submission.number)
            self._early.tell(key, submission)
        else:
            return False
        return True

    @property
    def waiting(self) -> int:
        """See Inheritance."""
        return len(self._waiting)

    def where(self, submission: Submission, now: float) -> str:
        """See Inheritance."""
        if self._waiting.get(submission.keys) is not submission:
            is_held = submission.number in self._here
            return "waits for a task that was at a slave when an earlier run ended" * is_held
        numbers = self._numbers[submission.keys]
        held = next((self._holders[one] for one in numbers if one in self._holders), None)
        if held is not None:
            holder = next(iter(held.values()))
            return f"is at slave {bare_name(holder.slave)} since an earlier run"
        left_s = max(0.0, (self.due or now) - now)
        return (
            "was at a slave when an earlier run ended: it is handed out again if nobody comes with "
            f"it in {left_s:.1f} s"
        )

    def holds(self, follower: Submission) -> bool:
        """See Inheritance."""
        first = next((one.number for one in follower.after if one.number in self._here), None)
        if first is None:
            return False
        self._here.add(follower.number)
        self._followers.setdefault(first, []).append(follower)
        return True

    def let_go(self, task: int) -> None:
        """See Inheritance."""
        self._here.discard(task)
        self.released += self._followers.pop(task, ())

    def cancelled(self, tasks: Sequence[int]) -> None:
        """See Inheritance."""
        if not self._here:
            return
        gone = self._here.intersection(tasks)
        for key in [key for key, one in self._waiting.items() if one.number in gone]:
            del self._waiting[key]
        for task in gone:
            self.let_go(task)

    # What slaves say.

    def joined(self, seat: Seat, holds: Sequence[Hold]) -> None:
        """See Inheritance."""
        for hold in holds:
            for number in self._known(hold.task, hold.count):
                self._holders.setdefault(number, {})[hold.attempt] = seat

    def take(self, seat: Seat, outcome: Outcome) -> bool:
        """See Inheritance."""
        numbers = self._known(outcome.task, outcome.count)
        if not numbers:
            return False
        if outcome.kind in GOES_ON:
            for number in numbers:
                if self._holders.get(number, {}).get(outcome.attempt) is seat:
                    self._note(self._out[number].key, outcome)
            return True
        if outcome.kind not in ENDS:
            if outcome.kind == LOST:
                self._note_loss(seat, outcome)
            self._part([(number, outcome.attempt) for number in numbers], seat)
            return True
        slave, settled = bare_name(seat.slave), []
        for number in numbers:
            if number not in self._out:  # two of one key
                continue
            key, is_item = self._out[number].key, self._out[number].is_item
            for one in self._numbers.pop(key):  # the others are not wanted any more
                self._forget(one)
            self.came += 1
            answer = Recorded(outcome.kind, number - outcome.task if is_item else -1, outcome)
            submission = self._waiting.pop(key, None)
            if submission is not None and submission.terms.retries and _has_raised(answer):
                self.released.append(submission)
                continue
            settled.append((number, is_item))
            if submission is None:
                self._come[key] = answer, slave, number
            else:
                self._settle(submission, answer, slave, number)
                self.let_go(submission.number)
        for _, row in groupby(enumerate(settled), lambda one: one[1][0] - one[0]):
            numbers = [number for _, (number, is_item) in row]
            hand_out = HandOut(numbers[0], outcome.attempt, len(numbers))
            self._recording.note_settled(hand_out, slave, outcome, is_item=is_item)
        return True

    def _note(self, key: bytes, outcome: Outcome) -> None:
        submission = self._waiting.get(key)
        if submission is None:
            self._early.note(key, outcome)
        else:
            submission.note_told(outcome)

    def _settle(self, submission: Submission, answer: Recorded, slave: str, number: int) -> None:
        submission.after = ()  # its future may live for long
        if _has_raised(answer):
            self._answers.keep_arguments_as(submission, number)
        self._answers.settle_one(submission, answer, slave)

    def _note_loss(self, seat: Seat, outcome: Outcome) -> None:
        post_mortem = post_mortem_of(outcome.payload)
        culprit = outcome.task + outcome.item if outcome.item >= 0 else -1
        lost = HandOut(outcome.task, outcome.attempt, outcome.count)
        self._recording.note_lost(
            bare_name(seat.slave), lost, post_mortem.how, encode(post_mortem), culprit
        )

    def left(self, seat: Seat) -> None:
        """See Inheritance."""
        held = [(number, attempt) for number, by in self._holders.items() for attempt in by]
        self._part(held, seat)

    def tick(self, now: float) -> None:
        """See Inheritance."""
        if self.due is not None and self.due <= now:
            self.due = None
            self._drop([number for number in self._out if number not in self._holders])

    def _known(self, first: int, count: int) -> list[int]:
        """Return which of these numbers are known; of a slave that may say anything."""
        if count > len(self._out):
            return []
        return [number for number in range(first, first + count) if number in self._out]

    def _part(self, held: Iterable[tuple[int, int]], seat: Seat) -> None:
        """Of these numbers and attempts, what a slave had it has no more."""
        dropped: list[int] = []
        for number, attempt in held:
            holders = self._holders.get(number, {})
            if holders.get(attempt) is not seat:
                continue
            del holders[attempt]
            attempts, gone = self._out[number].attempts, self._gone.setdefault(number, set())
            if attempt in attempts:  # a slave may say anything
                gone.add(attempt)
            if not holders:
                del self._holders[number]
                if self.due is None or gone.issuperset(attempts):
                    dropped.append(number)
        self._drop(dropped)

    def _forget(self, number: int) -> None:
        del self._out[number]
        self._holders.pop(number, None)
        self._gone.pop(number, None)

    def _drop(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            key = self._out[number].key
            self._forget(number)
            left = tuple(one for one in self._numbers.pop(key) if one != number)
            if left:
                self._numbers[key] = left
            else:
                self.lost += 1
                again, submission = self._recording.again, self._waiting.pop(key, None)
                if submission is None:
                    again.expect((key,), DID_NOT_COME)
                else:
                    again.note_released(submission.number, DID_NOT_COME)
                    self.released.append(submission)
                self._early.forget(key)


def _has_raised(answer: Recorded) -> bool:
    if answer.kind != MIXED:
        return answer.kind == RAISED
    items = items_in(answer.payload())
    return items is not None and answer.skip < len(items) and items[answer.skip].kind == RAISED
