"""The master of a farm that runs by itself, as the script's side of a farm sees a master.

::

    Submitter --put, look--> inbox --> backlog --> line --submit--> reception of the farm
    future <----------- hand over <--- backlog <-- line <-collect-- its answers

One lock guards the backlog. Answers are handed over without it, since that runs code of the user's.
A task that is given the result of another one travels with the serial of that: the farm keeps the
result for it. If that one came with the ticket, it is held back until the result has come.
"""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from operator import itemgetter
from types import TracebackType
from typing import Any, NoReturn, cast

from masterslave.errors import FarmError
from masterslave.farm.attached.answers import Reader, is_value
from masterslave.farm.attached.backlog import Backlog, Struck
from masterslave.farm.attached.parcels import Parcel, parcel_of, parcels_of_span
from masterslave.farm.futures import FarmFuture
from masterslave.farm.spans import ItemSpan
from masterslave.master.answers import HandOver
from masterslave.master.duties import Duty
from masterslave.master.handing_over import hand_over_each
from masterslave.master.interrupts import Interrupts
from masterslave.master.sharing import Blobs
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    PredecessorFailed,
    Single,
    Span,
    Submission,
)
from masterslave.protocol.attaching import OUTCOME, PARTLY, PARTS_LOST, Answers, SentAnswer
from masterslave.protocol.outcomes import PART

__all__ = ["RemoteMaster"]

_first = itemgetter(0)


class RemoteMaster:
    """Keeps what has no answer, for a line that talks with the farm.  Threads: any.

    Args:
        origin: Names the farm in handles of what the script shares.

    Attributes:
        blobs: What the script has shared.
        backlog: For who has the lock: ``with master:``.
        bell: Rung when there is something to send.
        waits: What tasks wait for, as the farm has said last.
        cancelled: How many tasks were dropped here.
        over: Why nothing is taken any more; None: it is.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.blobs = Blobs(lambda: None)
        self.backlog = Backlog()
        self.bell = threading.Event()
        self.waits = ""
        self.cancelled = 0
        self._lock = threading.Lock()
        self._interrupts = Interrupts()
        self._changed = threading.Condition(self._lock)
        self._inbox: deque[Parcel] = deque()
        self._held: list[Parcel] = []
        self._followed: weakref.WeakValueDictionary[int, Single] = weakref.WeakValueDictionary()
        self._earlier: list[tuple[int, Sequence[Single]]] = []
        self._returned = 0
        self._being_answered = 0
        self._handing_over = threading.local()
        self.over: FarmError | None = None

    def __enter__(self) -> Backlog:
        self._interrupts.hold()
        try:
            self._lock.acquire()
        except BaseException:
            self._interrupts.let_go()
            raise
        return self.backlog

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
        if self._interrupts.let_go():
            self._interrupts.heed()

    # What the submitter asks of a master.

    def put(self, submission: Submission) -> None:
        """Take in a task, or a span; ``look`` has to follow.

        Raises:
            FarmError: The farm has refused this script, for good.
        """
        if self.over is not None:
            raise self.over
        if not submission.is_span:
            self._inbox.append(parcel_of(submission))

    def look(self, submission: Submission) -> None:
        """Have what was put in sent; items are packed first."""
        if submission.is_span:
            parcels, unsent = parcels_of_span(cast(ItemSpan, submission), self.origin)
            self._inbox.extend(parcels)
            self._hand_over(unsent)
        if self.over is not None:
            self._hand_over(self._drain(self.over))
        self.bell.set()

    def has_taken(self, submissions: Sequence[Submission]) -> bool:
        """Tell whether these were taken in."""
        with self:
            coming = {id(parcel.submission) for parcel in (*self._inbox, *self._held)}
            return all(one.number >= 0 or id(one) in coming for one in submissions)

    def is_out(self, single: Single) -> bool:
        """Tell whether a task is with a slave: here only, whether the farm has it."""
        with self as backlog:
            return 0 <= single.number < backlog.taken and backlog.find(single.number) is single

    def cancel(self, singles: Sequence[Single]) -> None:
        """Drop single tasks that have no answer yet."""
        self._drop(singles)

    def cancel_spans(self, spans: Sequence[Span]) -> None:
        """Drop the items of spans that have no answer yet."""
        self._drop(spans)

    def add_duty(self, duty: Duty) -> NoReturn:
        """A farm that runs by itself takes none."""
        raise FarmError(
            "each_slave() is for a farm of the script's own: a farm that it attaches to has slaves "
            "of which it knows nothing; start those with an initializer, or submit() as ever"
        )

    def drop_duty(self, duty: Duty) -> None:
        """There is none."""

    # What the farm's other parts ask.

    def restore(self, first: int, futures: Sequence[Single]) -> None:
        """Enter tasks of an earlier time, the first of which has this serial."""
        with self as backlog:
            backlog.restore(first, futures)
            self._returned = backlog.submitted
            self._earlier.append((first, futures))

    def cancel_all(self) -> int:
        """Drop all that has no answer; returns how many tasks that were."""
        return self._cancel_from(0)

    def cancel_own(self) -> int:
        """Do the same with what was not the ticket's when this script came."""
        return self._cancel_from(self._returned)

    def _cancel_from(self, first: int) -> int:
        with self as backlog:
            before = self.cancelled
            told = self._take_in()
            told += [parcel.settle_all(Cancelled()) for parcel in reversed(self._held)]
            self.cancelled += sum(_count(parcel) for parcel in self._held)
            self._held = []
            told += self._struck(backlog.drop_all(first), Cancelled())
            dropped = self.cancelled - before
            self._being_answered += len(told)
        self._tell(told)
        self.bell.set()
        return dropped

    def end(self, error: FarmError) -> int:
        """Answer all that has no answer with this error, and take no more; the farm is told
        nothing. Returns how many tasks that were.
        """
        self.over = error
        told = self._drain(error)
        self._hand_over(told)
        return len(told)

    def wait_until_answered(self) -> None:
        """Wait until no task is without its answer."""
        with self._lock:
            self._changed.wait_for(self._is_all_answered)

    def wait_until_flushed(self) -> None:
        """Wait until the farm has on its disk all that was submitted."""
        with self._lock:
            self._changed.wait_for(self._is_flushed)

    def is_handing_over(self) -> bool:
        """Tell whether the caller is called with an answer, and so would wait for itself."""
        return getattr(self._handing_over, "here", False)

    # What the line asks.

    def take_in(self) -> None:
        """Number what was put in."""
        with self:
            told = self._take_in()
            self._being_answered += len(told)
        self._tell(told)

    def note_progress(self) -> None:
        """The farm has taken something: who waits for that looks again."""
        with self._lock:
            self._changed.notify_all()

    def receive(self, session: int, answers: Answers) -> None:
        """Hand over what has come.

        Raises:
            OutOfStep: Answers are missing.
        """
        told: list[HandOver] = []
        with self as backlog:
            self.waits = answers.waits
            for sent in backlog.receive(session, answers):
                if sent.what == PARTLY:
                    self._note_part(sent)
                    continue
                reader = Reader(sent, self._find)
                for struck in backlog.strike_out(sent.first, sent.count):
                    told.append(self._answered(sent, reader, struck))
            self._being_answered += len(told)
        self._tell(told)

    def _answered(self, sent: SentAnswer, reader: Reader, struck: Struck) -> HandOver:
        submission, offset, count = struck
        if submission.is_span:
            skip = max(sent.skip, 0) + submission.number + offset - sent.first
            return submission.settle, (offset, count, reader.answer(), skip, sent.slave)
        if sent.what == OUTCOME and sent.skip < -1:
            _lose_parts(submission, -1 - sent.skip)  # all that there are have come by now
        number = submission.number
        is_returned = number < self._returned
        answer = reader.recorded(number) if is_returned else reader.answer()
        if not is_value(answer):
            submission.has_failed = True
        return submission.settle, (answer, sent.slave)

    def _note_part(self, sent: SentAnswer) -> None:
        submission = self.backlog.find(sent.first)
        if submission is None:
            return
        if sent.kind == PART:
            submission.note_part(sent.skip, sent.payload)
        elif sent.kind == PARTS_LOST:
            _lose_parts(submission, sent.skip)
        else:
            submission.note_progress(sent.payload)

    def _find(self, serial: int) -> Single | None:
        if serial >= self._returned:
            return self._followed.get(serial)
        row = bisect_right(self._earlier, serial, key=_first) - 1
        first, tasks = self._earlier[row] if row >= 0 else (0, ())
        return tasks[serial - first] if serial - first < len(tasks) else None

    # Under the lock.

    def _take_in(self) -> list[HandOver]:
        """Number what was put in, but for what has to wait; returns what is answered by that."""
        told: list[HandOver] = []
        coming, self._held = self._held, []
        while self._inbox:
            coming.append(self._inbox.popleft())
        for parcel in coming:
            submission, failed = parcel.submission, parcel.failed
            if failed is not None:
                told.append(parcel.settle_all(PredecessorFailed(failed)))
            elif parcel.has_to_wait(self._returned):
                self._held.append(parcel)
            elif (why := parcel.why_not) is not None:
                told.append(parcel.settle_all(Failed(why)))
            else:
                given = parcel.given
                after = {one.number: one for one in given.values()}
                for one in submission.after:
                    if not cast(FarmFuture[Any], one).done():
                        after[one.number] = one
                self._followed.update(after)
                self.backlog.add(
                    submission,
                    parcel.arguments,
                    tuple(after),
                    tuple((digest, one.number) for digest, one in given.items()),
                    tuple(blob for blob in parcel.blobs if blob.digest not in given),
                )
        return told

    def _struck(self, struck: Iterable[Struck], answer: Answer) -> list[HandOver]:
        """Return what gives those that were struck out this answer."""
        told: list[HandOver] = []
        for submission, offset, count in struck:
            if isinstance(answer, Cancelled):
                self.cancelled += count
            if submission.is_span:
                told.append((submission.settle, (offset, count, answer, 0, "")))
            else:
                submission.has_failed = True
                told.append((submission.settle, (answer, "")))
        return told

    def _is_flushed(self) -> bool:
        return self.over is not None or (
            self.backlog.is_flushed and not self._inbox and not self._held
        )

    def _is_all_answered(self) -> bool:
        return not (self.backlog.open or self._inbox or self._held or self._being_answered)

    # Without it.

    def _drop(self, submissions: Sequence[Submission]) -> None:
        answer = Cancelled()
        with self as backlog:
            told = self._take_in()
            unwanted = {id(one) for one in submissions if one.number < 0}
            if unwanted and self._held:
                for parcel in self._held:
                    if id(parcel.submission) in unwanted:
                        self.cancelled += _count(parcel)
                        told.append(parcel.settle_all(answer))
                self._held = [one for one in self._held if id(one.submission) not in unwanted]
            for one in submissions:
                if one.number >= 0:
                    count = one.count if one.is_span else 1
                    struck = backlog.drop(range(one.number, one.number + count))
                    told += self._struck(struck, answer)
            self._being_answered += len(told)
        self._tell(told)
        self.bell.set()

    def _drain(self, error: FarmError) -> list[HandOver]:
        """Return what gives all that is open this error."""
        failed = Failed(error)
        with self as backlog:
            told = self._take_in()
            told += [parcel.settle_all(failed) for parcel in reversed(self._held)]
            self._held = []
            return told + self._struck(backlog.give_up(), failed)

    def _hand_over(self, told: list[HandOver]) -> None:
        if told:
            with self._lock:
                self._being_answered += len(told)
        self._tell(told)

    def _tell(self, told: list[HandOver]) -> None:
        """Hand answers over, each of them, whatever the callbacks of others do."""
        outer, self._handing_over.here = self.is_handing_over(), True
        try:
            hand_over_each(told)
        finally:
            self._handing_over.here = outer
            with self._lock:
                self._being_answered -= len(told)
                self._changed.notify_all()
                if told and self._held:
                    self.bell.set()


def _lose_parts(submission: Submission, below: int) -> None:
    if isinstance(submission, FarmFuture):
        submission.parts().lose(below)


def _count(parcel: Parcel) -> int:
    return parcel.submission.count if parcel.submission.is_span else 1
