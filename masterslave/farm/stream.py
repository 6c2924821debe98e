"""Results of many items: ``map``, ``imap`` and ``imap_unordered``.

The items of a stream are submitted as spans, which the farm hands out in chunks that suit their
time; here each item is one again, with its own result or exception.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, Self, TypeVar

from masterslave.errors import FarmBroken, FarmClosed
from masterslave.farm.keep_going import Failures, short
from masterslave.farm.spans import Arrival, ItemSpan
from masterslave.farm.waiting import Waiters

__all__ = ["OrderedStream", "Progress", "Results", "Sink", "Stream", "map_results"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_SLOW_S = 0.01
_Row = tuple[Any, Any, BaseException | None]


class Progress:
    """What a stream tells of its course; this one says nothing."""

    def advance(self) -> None:
        """One more item is done."""

    def close(self) -> None:
        """The stream has ended."""


class Sink(Protocol):
    """Where the items of a stream go: to a farm, as spans."""

    def make_span(self, items: list[Any], put: Callable[[Arrival], None]) -> ItemSpan:
        """Make a span of items; *put* will be called with their answers as they come."""

    def submit(self, span: ItemSpan) -> None:
        """Submit a span.

        Raises:
            FarmClosed, FarmBroken: It was not taken, and no other will be.
        """

    def has_taken(self, span: ItemSpan) -> bool:
        """Tell whether a span was submitted: who was interrupted meanwhile cannot know."""

    def drop(self, spans: list[ItemSpan]) -> None:
        """Drop spans; takes no lock, because destructors call it."""


Drop = Callable[[list[ItemSpan]], None]
"""Drops spans; takes no lock, because destructors call it."""


def map_results(
    span: ItemSpan,
    arrivals: SimpleQueue[Arrival],
    end_s: float | None,
    drop: Drop,
    data_only: bool,
    failures: Failures | None = None,
) -> Iterator[Any]:
    """Yield the results of a span in order; the first exception of an item ends it.

    Args:
        end_s: Monotonic time at which ``TimeoutError`` is raised.
        failures: Takes in exceptions, and the others go on. Who is given what stands in the place
            of a result may raise; so before that, all others have their answers.
    """
    ready: dict[int, Arrival] = {}
    at = come = 0
    try:
        while at < span.count:
            while at not in ready:
                arrival = _next_of(arrivals, end_s)
                ready[arrival.offset] = arrival
                come += arrival.count
            arrival = ready.pop(at)
            values = arrival.values(data_only=data_only)
            at += arrival.count
            if values is not None:
                values.reverse()
                while values:
                    yield values.pop()  # nothing here holds on to what was taken
                continue
            for place, (value, error) in enumerate(arrival.results(data_only=data_only)):
                if error is None:
                    yield value
                elif failures is None or not failures.are(error):
                    at = 0
                    raise error
                else:
                    while come < span.count:
                        later = _next_of(arrivals, end_s)
                        ready[later.offset] = later
                        come += later.count
                    item = span.items[arrival.offset + place]
                    yield failures.stand_in(span.function.name, item, error)
                del value
    finally:
        if at < span.count:
            drop([span])


def _next_of(arrivals: SimpleQueue[Arrival], end_s: float | None) -> Arrival:
    left = None if end_s is None else max(0.0, end_s - time.monotonic())
    try:
        return arrivals.get(timeout=left)
    except Empty:
        raise TimeoutError("not all results came in time") from None


class Results(Iterator[Any]):
    """An iterator over what the items of a stream gave; the base of both kinds of stream.

    A task that raised makes ``next()`` raise its exception, with a note that names the item; the
    next ``next()`` goes on, so that one bad item costs no other (with ``failures``, none raises:
    see ``masterslave.farm.keep_going``). When the items themselves raise,
    or the farm is closed, what was taken before is done first. ``async for`` works, too: then items
    are taken by the loop's thread, so they should come without waiting.

    Ctrl-C, or a wait that is cancelled, loses nothing: the next ``next()`` goes on where it was.

    Threads: one at a time.
    """

    # How it stays whole when it is interrupted: what may take long, or runs code of the user's,
    # changes nothing; then it is noted, by stores and ``del`` alone: CPython has signal handlers
    # run at calls and at jumps back.

    def __init__(
        self,
        sink: Sink,
        items: Iterable[Any],
        *,
        limit: int,
        progress: Progress,
        max_bytes: int | None,
        ordered: bool,
        data_only: bool,
        failures: Failures | None = None,
    ) -> None:
        self._exhausted = True  # for __del__, should what follows fail
        self._spans: dict[ItemSpan, int] = {}  # and how many of its items have no row yet
        self._ready: deque[_Row] = deque()
        self._items = iter(items)
        self._batch: list[Any] = []
        self._unsure: ItemSpan | None = None
        self._without_row = 0
        self._error: Exception | None = None
        self._sink = sink
        self._limit = limit
        self._least_room = max(1, limit // 4)
        self._max_bytes = max_bytes
        self._progress = progress
        self._data_only = data_only
        self._failures = failures
        self._arrivals = _Arrivals()
        self._early: dict[tuple[ItemSpan, int], Arrival] | None = {} if ordered else None
        self._exhausted = False

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._is_next_here():
            await self._arrivals.waiters.wait_async(self._arrivals.have_come)
        try:
            return self._result_of(self._give())
        except StopIteration:
            raise StopAsyncIteration from None

    @staticmethod
    @abstractmethod
    def _result_of(row: _Row) -> Any:
        """Return what this kind of stream gives of a row."""

    def _next_row(self) -> _Row:
        while not self._is_next_here():
            self._arrivals.waiters.wait(self._arrivals.have_come)
        return self._give()

    def close(self) -> None:
        """Drop what is under way, and take no more items. Closing again does nothing."""
        self._exhausted = True
        spans, self._spans = list(self._spans), {}
        self._unsure = None
        self._without_row = 0
        self._batch = []
        self._ready.clear()
        if self._early:
            self._early.clear()
        if spans:
            self._sink.drop(spans)
        self._progress.close()

    def __del__(self) -> None:
        if not self._exhausted or self._spans or self._ready:
            self.close()

    def _is_next_here(self) -> bool:
        """Do what needs no waiting; tells whether the next row is there, or the end."""
        if self._unsure is not None:
            self._submit(self._unsure)
        room = self._limit - self._without_row - len(self._ready)
        if room >= self._least_room and (not self._exhausted or self._batch):
            self._refill()
        while not self._ready and (arrival := self._due()) is not None:
            self._make_ready(arrival)
        return bool(self._ready or not self._spans)

    def _give(self) -> _Row:
        ready = self._ready
        if not ready:
            self.close()
            error, self._error = self._error, None
            raise error or StopIteration
        row = ready[0]
        self._progress.advance()
        del ready[0]
        item, _, failure = row
        if failure is not None:
            failure.add_note(f"in the task for item {short(item)}")
            raise failure
        return row

    def _due(self) -> Arrival | None:
        """Return the arrival whose turn it is, if it has come."""
        come, early = self._arrivals.come, self._early
        if early is None:
            return come[0] if come else None
        while come:
            arrival = come[0]
            early[arrival.span, arrival.offset] = arrival
            del come[0]
        for span, left in self._spans.items():  # the first one
            return early.get((span, span.count - left))
        return None

    def _make_ready(self, arrival: Arrival) -> None:
        span, count, come = arrival.span, arrival.count, self._arrivals.come
        left = self._spans.get(span, 0) - count
        if left < 0:  # closed meanwhile
            del come[0]
            return
        items = span.items[arrival.offset : arrival.offset + count]
        values = arrival.values(data_only=self._data_only)
        ready: deque[_Row]
        if values is not None:
            ready = deque([(item, value, None) for item, value in zip(items, values, strict=True)])
        else:
            results = arrival.results(data_only=self._data_only)
            ready = deque([(item, *each) for item, each in zip(items, results, strict=True)])
            if self._failures is not None:
                ready = self._go_on(ready, span.function.name, self._failures)
        self._ready = ready
        self._without_row -= count
        if left:
            self._spans[span] = left
        else:
            del self._spans[span]
        if self._early is None:
            del come[0]
        else:
            del self._early[span, arrival.offset]

    def _go_on(self, rows: deque[_Row], function: str, failures: Failures) -> deque[_Row]:
        """Return rows without errors: with something else in their place, or, where each row has
        its item, without them.
        """
        found: deque[_Row] = deque()
        for item, value, error in rows:
            if error is None or not failures.are(error):
                found.append((item, value, error))
            elif self._early is not None:
                found.append((item, failures.stand_in(function, item, error), None))
            else:
                failures.note(function, short(item), error)
                self._progress.advance()
        return found

    def _refill(self) -> None:
        """Submit more items when there is room for a good number, or nothing else to wait for."""
        while not self._exhausted or self._batch:
            under_way = self._without_row + len(self._ready)
            room = self._limit - under_way
            if room < self._least_room and under_way:
                return
            if not self._exhausted:
                self._take(min(room, self._least_room))
            if self._batch:
                span = self._sink.make_span(self._batch, self._arrivals.put)
                self._batch = []
                self._spans[span] = span.count
                self._without_row += span.count
                self._unsure = span
                self._submit(span, is_new=True)
                if self._max_bytes is not None:
                    self._limit = max(1, min(self._limit, self._max_bytes // span.item_bytes))
                    self._least_room = max(1, self._limit // 4)
            if self._ready or self._arrivals.come:
                return  # also when items come slowly: a result does not wait for them

    def _submit(self, span: ItemSpan, *, is_new: bool = False) -> None:
        """Submit a span, unless it was: an interrupt has left that open."""
        try:
            if is_new or not self._sink.has_taken(span):
                self._sink.submit(span)
        except (FarmClosed, FarmBroken) as error:  # told after the results of what was taken
            self._error = error
            self._exhausted = True
            self._without_row -= span.count
            del self._spans[span]
        self._unsure = None

    def _take(self, count: int) -> None:
        """Take up to so many items; fewer when they come slowly, so that slaves do not wait."""
        batch, items = self._batch, self._items
        start = time.monotonic()
        try:
            while (taken := len(batch)) < count:
                batch.extend(islice(items, 1))  # in one step: an interrupt loses no item
                if len(batch) == taken:
                    self._exhausted = True
                    return
                if time.monotonic() - start > _SLOW_S:
                    return
        except Exception as error:
            self._error = error
            self._exhausted = True


class _Arrivals:
    """What has come for a stream, which may be forgotten meanwhile: nothing here holds it."""

    __slots__ = ("come", "waiters")

    def __init__(self) -> None:
        self.come: deque[Arrival] = deque()
        self.waiters = Waiters()

    def put(self, arrival: Arrival) -> None:
        """Take in what has come, and wake who waits. Takes no lock."""
        self.come.append(arrival)
        self.waiters.notify_all()

    def have_come(self) -> bool:
        """Tell whether there is something to look at."""
        return bool(self.come)


class Stream(Results, Generic[Item, Result], Iterator[tuple[Item, Result]]):
    """An iterator of ``(item, result)``, in the order of completion; see ``Results``."""

    def __next__(self) -> tuple[Item, Result]:
        return self._next_row()[:2]

    @staticmethod
    def _result_of(row: _Row) -> tuple[Item, Result]:
        return row[:2]


class OrderedStream(Results, Generic[Result], Iterator[Result]):
    """An iterator of results in the order of the items; see ``Results``."""

    def __next__(self) -> Result:
        value: Result = self._next_row()[1]
        return value

    @staticmethod
    def _result_of(row: _Row) -> Any:
        return row[1]
