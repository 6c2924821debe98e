"""``imap_unordered``: results as they come, with a bounded number of tasks under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, Self, TypeVar

__all__ = ["Progress", "Stream"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_REFILL = 32
_SLOW_S = 0.01


class Progress:
    """What a stream tells of its course; this one says nothing."""

    def advance(self) -> None:
        """One more item is done."""

    def close(self) -> None:
        """The stream has ended."""


class Stream(Generic[Item, Result], Iterator[tuple[Item, Result]]):
    """An iterator of ``(item, result)`` in the order of completion.

    A task that raised makes ``next()`` raise its exception, with a note that names the item; the
    next ``next()`` goes on, so that one bad item costs no other. When the items themselves raise,
    what was taken before is done first.

    Args:
        cancel: Drops tasks; takes no lock, because destructors call it.

    Threads: one at a time.
    """

    def __init__(
        self,
        submit: Callable[[list[Item]], list[Future[Result]]],
        items: Iterable[Item],
        *,
        limit: int,
        progress: Progress,
        cancel: Callable[[list[Future[Result]]], None],
    ) -> None:
        self._exhausted = True  # for __del__, should what follows fail
        self._under_way: dict[Future[Result], Item] = {}
        self._items = iter(items)
        self._items_error: Exception | None = None
        self._submit = submit
        self._limit = limit
        self._progress = progress
        self._cancel = cancel
        self._finished: SimpleQueue[Future[Result]] = SimpleQueue()
        self._exhausted = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Item, Result]:
        self._refill()
        if not self._under_way:
            self.close()
            error, self._items_error = self._items_error, None
            raise error or StopIteration
        try:
            future = self._finished.get()
        except KeyboardInterrupt:
            self.close()
            raise
        item = self._under_way.pop(future)
        self._progress.advance()
        failure = future.exception()
        if failure is not None:
            failure.add_note(f"in the task for item {_short(item)}")
            raise failure
        return item, future.result()

    def close(self) -> None:
        """Drop what is under way, and take no more items. Closing again does nothing."""
        self._exhausted = True
        futures, self._under_way = list(self._under_way), {}
        if futures:
            self._cancel(futures)
        while True:
            try:
                self._finished.get_nowait()
            except Empty:
                break
        self._progress.close()

    def __del__(self) -> None:
        if not self._exhausted or self._under_way:
            self.close()

    def _refill(self) -> None:
        """Submit more items when there is room for a few, or for none to wait for otherwise."""
        while not self._exhausted:
            room = self._limit - len(self._under_way)
            if room < min(_REFILL, self._limit) and self._under_way:
                return
            batch = self._take(min(room, _REFILL))
            for future, item in zip(self._submit(batch), batch, strict=True) if batch else ():
                self._under_way[future] = item
                future.add_done_callback(self._finished.put)
            if room <= len(batch) or not self._finished.empty():
                return  # also when items come slowly: a result does not wait for them

    def _take(self, count: int) -> list[Item]:
        """Take up to so many items; fewer when they come slowly, so that slaves do not wait."""
        batch: list[Item] = []
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


def _short(item: Any) -> str:
    try:
        text = repr(item)
    except Exception:
        text = f"a {type(item).__qualname__} without a repr()"
    return text if len(text) <= 100 else text[:97] + "..."
