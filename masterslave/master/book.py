"""The master's book of what has no answer yet: tasks by number, spans by their first item.

Pure bookkeeping; who uses it holds the master's lock.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import cast

from masterslave.master.submission import Single, Span, Submission

__all__ = ["TaskBook"]

_number = attrgetter("number")


class TaskBook:
    """Finds submissions by the numbers of their tasks.

    Attributes:
        singles: Single tasks that are open, by number.
        open: How many tasks are open, items of spans among them.
    """

    def __init__(self) -> None:
        self.singles: dict[int, Single] = {}
        self.open = 0
        self._spans: list[Span] = []
        self._open_items: dict[int, bytearray] = {}
        self._left: dict[int, int] = {}

    def add(self, submission: Submission, number: int) -> int:
        """Enter a submission under this number; returns the next free one."""
        submission.number = number
        if not submission.is_span:
            self.singles[number] = cast(Single, submission)
            self.open += 1
            return number + 1
        span = cast(Span, submission)
        insort(self._spans, span, key=_number)
        self._open_items[number] = bytearray(b"\1") * span.count
        self._left[number] = span.count
        self.open += span.count
        return number + span.count

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

    def _span_of(self, task: int) -> Span | None:
        place = bisect_right(self._spans, task, key=_number) - 1
        if place < 0:
            return None
        span = self._spans[place]
        return span if task < span.number + span.count else None
