"""Results of many items: ``map``, ``imap`` and ``imap_unordered``.

The items of a stream are submitted as spans, which the farm hands out in chunks that suit their
time; here each item is one again, with its own result or exception.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, Self, TypeVar

from masterslave.farm.spans import Arrival, ItemSpan

__all__ = ["MakeSpan", "OrderedStream", "Progress", "Results", "Stream", "map_results"]

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


class MakeSpan(Protocol):
    """Submits items as a span."""

    def __call__(self, items: list[Any], put: Callable[[Arrival], None]) -> ItemSpan:
        """Submit them; *put* is called with their answers as they come."""


Drop = Callable[[list[ItemSpan]], None]
"""Drops spans; takes no lock, because destructors call it."""


def map_results(
    span: ItemSpan, arrivals: SimpleQueue[Arrival], end_s: float | None, drop: Drop, data_only: bool
) -> Iterator[Any]:
    """Yield the results of a span in order; the first exception of an item ends it.

    Args:
        end_s: Monotonic time at which ``TimeoutError`` is raised.
    """
    ready: dict[int, Arrival] = {}
    at = 0
    try:
        while at < span.count:
            while at not in ready:
                left = None if end_s is None else max(0.0, end_s - time.monotonic())
                try:
                    arrival = arrivals.get(timeout=left)
                except Empty:
                    raise TimeoutError("not all results came in time") from None
                ready[arrival.offset] = arrival
            arrival = ready.pop(at)
            values = arrival.values(data_only=data_only)
            at += arrival.count
            if values is not None:
                values.reverse()
                while values:
                    yield values.pop()  # nothing here holds on to what was taken
                continue
            for value, error in arrival.results(data_only=data_only):
                if error is not None:
                    at = 0
                    raise error
                yield value
                del value
    finally:
        if at < span.count:
            drop([span])


class Results(Iterator[Any]):
    """An iterator over what the items of a stream gave; the base of both kinds of stream.

    A task that raised makes ``next()`` raise its exception, with a note that names the item; the
    next ``next()`` goes on, so that one bad item costs no other. When the items themselves raise,
    what was taken before is done first. ``async for`` works, too.

    Threads: one at a time.
    """

    def __init__(
        self,
        make_span: MakeSpan,
        items: Iterable[Any],
        *,
        limit: int,
        progress: Progress,
        drop: Drop,
        max_bytes: int | None,
        ordered: bool,
        data_only: bool,
    ) -> None:
        self._exhausted = True  # for __del__, should what follows fail
        self._spans: dict[ItemSpan, int] = {}
        self._under_way = 0
        self._items = iter(items)
        self._items_error: Exception | None = None
        self._make_span = make_span
        self._limit = limit
        self._least_room = max(1, limit // 4)
        self._max_bytes = max_bytes
        self._progress = progress
        self._drop = drop
        self._data_only = data_only
        self._arrivals: SimpleQueue[Arrival] = SimpleQueue()
        self._early: dict[tuple[ItemSpan, int], Arrival] | None = {} if ordered else None
        self._order: deque[ItemSpan] = deque()
        self._next_offset = 0
        self._ready: deque[_Row] = deque()
        self._exhausted = False

    def __iter__(self) -> Self:
        return self

    def _next_row(self) -> _Row:
        if not self._exhausted and self._under_way <= self._limit - self._least_room:
            self._refill()
        while not self._ready:
            if not self._under_way:
                self.close()
                error, self._items_error = self._items_error, None
                raise error or StopIteration
            try:
                self._take_in(self._arrivals.get())
            except KeyboardInterrupt:
                self.close()
                raise
        row = self._ready.popleft()
        self._under_way -= 1
        self._progress.advance()
        item, _, failure = row
        if failure is not None:
            failure.add_note(f"in the task for item {_short(item)}")
            raise failure
        return row

    def close(self) -> None:
        """Drop what is under way, and take no more items. Closing again does nothing."""
        self._exhausted = True
        spans, self._spans = list(self._spans), {}
        self._under_way = 0
        self._ready.clear()
        self._order.clear()
        if spans:
            self._drop(spans)
        self._progress.close()

    def __del__(self) -> None:
        if not self._exhausted or self._under_way:
            self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        import asyncio

        nothing = object()
        if self._ready:
            result = next(self, nothing)
        else:
            result = await asyncio.to_thread(next, self, nothing)
        if result is nothing:
            raise StopAsyncIteration
        return result

    def _take_in(self, arrival: Arrival) -> None:
        if self._early is None:
            self._make_ready(arrival)
            return
        self._early[arrival.span, arrival.offset] = arrival
        while self._order:
            span = self._order[0]
            next_arrival = self._early.pop((span, self._next_offset), None)
            if next_arrival is None:
                return
            self._make_ready(next_arrival)
            self._next_offset += next_arrival.count
            if self._next_offset == span.count:
                self._order.popleft()
                self._next_offset = 0

    def _make_ready(self, arrival: Arrival) -> None:
        span = arrival.span
        if span not in self._spans:  # closed meanwhile
            return
        items = span.items[arrival.offset : arrival.offset + arrival.count]
        values = arrival.values(data_only=self._data_only)
        if values is not None:
            pairs = zip(items, values, strict=True)
            self._ready.extend([(item, value, None) for item, value in pairs])
        else:
            results = arrival.results(data_only=self._data_only)
            self._ready.extend((item, *result) for item, result in zip(items, results, strict=True))
        self._spans[span] -= arrival.count
        if not self._spans[span]:
            del self._spans[span]

    def _refill(self) -> None:
        """Submit more items when there is room for a good number, or nothing else to wait for."""
        while not self._exhausted:
            room = self._limit - self._under_way
            if room < self._least_room and self._under_way:
                return
            batch = self._take(min(room, self._least_room))
            if batch:
                span = self._make_span(batch, self._arrivals.put)
                self._spans[span] = len(batch)
                if self._early is not None:
                    self._order.append(span)
                self._under_way += len(batch)
                if self._max_bytes is not None:
                    self._limit = max(1, min(self._limit, self._max_bytes // span.item_bytes))
                    self._least_room = max(1, self._limit // 4)
            if self._ready or not self._arrivals.empty():
                return  # also when items come slowly: a result does not wait for them

    def _take(self, count: int) -> list[Any]:
        """Take up to so many items; fewer when they come slowly, so that slaves do not wait."""
        batch: list[Any] = []
        start = time.monotonic()
        try:
            for item in self._items:
                batch.append(item)
                if len(batch) >= count or time.monotonic() - start > _SLOW_S:
                    return batch
        except Exception as error:
            self._items_error = error
        self._exhausted = True
        return batch


class Stream(Results, Generic[Item, Result], Iterator[tuple[Item, Result]]):
    """An iterator of ``(item, result)``, in the order of completion; see ``Results``."""

    def __next__(self) -> tuple[Item, Result]:
        return self._next_row()[:2]


class OrderedStream(Results, Generic[Result], Iterator[Result]):
    """An iterator of results in the order of the items; see ``Results``."""

    def __next__(self) -> Result:
        value: Result = self._next_row()[1]
        return value


def _short(item: Any) -> str:
    try:
        text = repr(item)
    except Exception:
        text = f"a {type(item).__qualname__} without a repr()"
    return text if len(text) <= 100 else text[:97] + "..."
