"""The master's book of what has no answer yet: tasks by number, spans by their first item.

Pure bookkeeping; who uses it holds the master's lock.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from masterslave.master.submission import Single, Span, Submission

__all__ = ["TaskBook", "latest_first"]

_number = attrgetter("number")
_first = attrgetter("start")


class TaskBook:
    """Finds submissions by the numbers of their tasks.

    Args:
        first: Number of the first task.

    Attributes:
        singles: Single tasks that are open, by number.
        open: How many tasks are open, items of spans among them.
        next: Number of the next task that comes.
    """

    def __init__(self, first: int = 0) -> None:
        self.singles: dict[int, Single] = {}
        self.open = 0
        self.next = first
        self._spans: list[Span] = []
        self._open_items: dict[int, bytearray] = {}
        self._left: dict[int, int] = {}

    def add(self, submission: Submission) -> None:
        """Enter a submission, and number it."""
        submission.number = number = self.next
        if not submission.is_span:
            self.singles[number] = submission
            self.open += 1
            self.next += 1
            return
        count = submission.count
        insort(self._spans, submission, key=_number)
        self._open_items[number] = bytearray(b"\1") * count
        self._left[number] = count
        self.open += count
        self.next += count

    def find(self, task: int) -> Submission | None:
        """Return what this task is part of, or None if that has its answers."""
        return self.singles.get(task) or self._span_of(task)

    def settle_single(self, task: int) -> Single | None:
        """Strike a single task out and return it, or None if there is none."""
        single = self.singles.pop(task, None)
        self.open -= single is not None
        return single

    def settle_items(self, first: int, count: int) -> Span | None:
        """Strike items of one span out, all of which are open, and return the span."""
        span = self._span_of(first)
        if span is None:
            return None
        number = span.number
        self._open_items[number][first - number : first - number + count] = bytes(count)
        self.open -= count
        self._left[number] -= count
        if not self._left[number]:
            del self._left[number], self._open_items[number]
            del self._spans[bisect_right(self._spans, number, key=_number) - 1]
        return span

    def strike_out(self, tasks: Sequence[int]) -> Iterator[tuple[Submission, int, int]]:
        """Strike out those of these tasks that are open.

        Yields:
            What they are part of, and of a span the offset and the number of items.
        """
        place = 0
        while place < len(tasks):
            task = tasks[place]
            place += 1
            single = self.settle_single(task)
            if single is not None:
                yield single, 0, 1
            elif (span := self._span_of(task)) is not None:
                end = task + 1
                if isinstance(tasks, range):
                    end = min(tasks.stop, span.number + span.count)
                    place += end - task - 1
                for first, count in self._open_runs(span, task, end):
                    self.settle_items(first, count)
                    yield span, first - span.number, count

    def _open_runs(self, span: Span, first: int, end: int) -> list[tuple[int, int]]:
        flags, runs = self._open_items[span.number], []
        at, end = first - span.number, end - span.number
        while (at := flags.find(1, at, end)) >= 0:
            after = flags.find(0, at, end)
            after = end if after < 0 else after
            runs.append((span.number + at, after - at))
            at = after
        return runs

    def submissions(self) -> Iterator[Submission]:
        """Go through all that is open."""
        yield from self.singles.values()
        yield from self._spans

    def spans(self) -> Iterator[Span]:
        """Go through the spans of which something is open."""
        yield from self._spans

    def open_rows_of(self, span: Span) -> list[tuple[int, int]]:
        """Return what is open of a span that is: first task and number of each row."""
        return self._open_runs(span, span.number, span.number + span.count)

    def latest_first(self) -> list[range]:
        """Return the numbers of all that is open, the last ones first: what follows others comes
        before them, so who drops it in this order finds it open.

        Settled items of spans are among them.
        """
        rows = [range(number, number + 1) for number in self.singles]
        rows += [range(span.number, span.number + span.count) for span in self._spans]
        return latest_first(rows)

    def _span_of(self, task: int) -> Span | None:
        place = bisect_right(self._spans, task, key=_number) - 1
        if place < 0:
            return None
        span = self._spans[place]
        return span if task < span.number + span.count else None


def latest_first(rows: Iterable[range]) -> list[range]:
    """Return rows of tasks, those with the highest numbers first."""
    return sorted(rows, key=_first, reverse=True)
