"""The master's inbox: what was submitted, on its way to the scheduler.

Any thread puts in, without a lock. In a turn it is emptied, into one event for all that is alike:
so a thousand tasks of a burst cost the scheduler one step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from masterslave.master.decisions import Decisions
from masterslave.master.submission import PredecessorFailed, Single, Span, Submission
from masterslave.scheduler import SpanSubmitted, TasksSubmitted

__all__ = ["Inbox"]

_LARGE_BYTES = 65536
_REMEMBER_PREDECESSORS = 100


class Inbox:
    """Numbers submissions, and hands them to the scheduler.

    Attributes:
        waiting: What the scheduler has not heard of; any thread may append.
        is_announced: Somebody has been told that there is something, and will take a turn.
    """

    def __init__(self, decisions: Decisions) -> None:
        self.waiting: deque[Submission] = deque()
        self.is_announced = False
        self._decisions = decisions

    # Under the master's lock.

    def submit(self, tasks: Iterable[Submission]) -> None:
        """Put tasks in, and hand them to the scheduler."""
        self.waiting.extend(tasks)
        self.empty()

    def empty(self) -> None:
        """Hand what was submitted to the scheduler: singles of the same terms in one event."""
        self.is_announced = False  # first: who puts in from now on, and is not seen, says so
        waiting, add = self.waiting, self._decisions.book.add
        alike: list[Single] = []
        while waiting:
            submission = waiting.popleft()
            if submission.is_span:
                self._hand_in_singles(alike)
                alike = []
                add(submission)
                self._hand_in_span(submission)
                continue
            if alike and (
                submission.terms is not alike[0].terms or submission.after is not alike[0].after
            ):
                self._hand_in_singles(alike)
                alike = []
            add(submission)
            alike.append(submission)
        self._hand_in_singles(alike)
        decisions = self._decisions
        if decisions.broken is not None:  # put in while it broke
            decisions.break_by(decisions.broken)

    def _hand_in_singles(self, tasks: list[Single]) -> None:
        if not tasks:
            return
        if self._decisions.recording is not None:
            self._decisions.recording.note_singles(tasks)
            self._hand_out_singles([task for task in tasks if not self._is_inherited(task)])
        else:
            self._hand_out_singles(tasks)

    def _hand_out_singles(self, tasks: list[Single]) -> None:
        if not tasks:
            return
        terms, after = tasks[0].terms, tasks[0].after
        numbers: Sequence[int] = range(tasks[0].number, tasks[-1].number + 1)
        if len(numbers) > len(tasks):
            numbers = [task.number for task in tasks]
        sizes = [len(task.arguments) for task in tasks]
        follows: Sequence[int] | None = ()
        if after:
            for task in tasks:
                task.after = ()  # its future may live for long
            follows = self._find_open(after, numbers)
        if follows is not None:
            is_large = max(sizes) > _LARGE_BYTES
            self._decisions.handle(
                TasksSubmitted(numbers, terms, sizes if is_large else (), follows)
            )

    def _hand_in_span(self, span: Span) -> None:
        if self._decisions.recording is not None:
            self._decisions.recording.note_span(span)
            if self._is_inherited(span):
                return
        self._hand_out_span(span)

    def _is_inherited(self, submission: Submission) -> bool:
        """Tell whether a slave may bring this from an earlier run: then it waits for that.

        So does what is to follow such a one: the scheduler knows nothing of what waits there.
        """
        inherited = self._decisions.inherited
        if inherited is None:
            return False
        is_one = not submission.is_span or submission.count == 1
        return (is_one and inherited.has(submission)) or inherited.holds(submission)

    def hand_out_released(self) -> None:
        """Hand to the scheduler what waits for no slave of an earlier run any more."""
        inherited = self._decisions.inherited
        if inherited is None:
            return
        released = inherited.released
        for submission in released:  # which becomes longer
            if inherited.holds(submission):  # it is to follow another one, too
                continue
            if self._decisions.book.find(submission.number) is submission:  # else it was cancelled
                if submission.is_span:
                    self._hand_out_span(submission)
                else:
                    self._hand_out_singles([submission])
            inherited.let_go(submission.number)
        released.clear()

    def _hand_out_span(self, span: Span) -> None:
        number, count, terms = span.number, span.count, span.terms
        follows: Sequence[int] | None = ()
        if span.after:
            after, span.after = span.after, ()
            follows = self._find_open(after, range(number, number + count))
        if follows is not None:
            self._decisions.handle(SpanSubmitted(number, count, terms, span.item_bytes, follows))

    def _find_open(self, after: Sequence[Single], numbers: Sequence[int]) -> Sequence[int] | None:
        """Return which of the tasks that these are to follow are open; None if one has failed, and
        so have these.
        """
        decisions = self._decisions
        failed = next((one for one in after if one.has_failed), None)
        if failed is not None:
            decisions.answers.drop(numbers, PredecessorFailed(failed))
            return None
        followed, known = decisions.scheduler.state.followers, decisions.predecessors
        if len(known) > 2 * len(followed) + _REMEMBER_PREDECESSORS:
            for number in [number for number in known if number not in followed]:
                del known[number]
        find = decisions.book.singles.get
        is_open = {one.number: one for one in after if find(one.number) is one}
        known.update(is_open)
        return list(is_open)
