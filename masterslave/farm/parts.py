"""What a task yields while it runs, in order, each once."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any

from masterslave.errors import FarmError, NotData, NotPicklable
from masterslave.farm.packing import reason_of
from masterslave.farm.waiting import Waiters
from masterslave.packed import NotData as NotDataOnly
from masterslave.packed import unpack_value

__all__ = ["Parts"]


class Parts(Iterator[Any]):
    """An iterator over the parts of one task; see ``FarmFuture.parts``.

    A wait that is cancelled or interrupted takes no part away.

    Args:
        name: Of the task's function.
    """

    def __init__(self, future: Future[Any], name: str, *, data_only: bool) -> None:
        self.progress: tuple[float, float] | None = None
        self._future = future
        self._name = name
        self._data_only = data_only
        self._lock = threading.Lock()
        self._waiters = Waiters()
        self._parts: dict[int, bytes] = {}
        self._next = 0
        self._lost = 0
        self._is_closed = False

    def add(self, item: int, payload: bytes) -> None:
        """A part has come; one that has come before changes nothing."""
        with self._lock:
            if item >= self._next:
                self._parts.setdefault(item, payload)
        self._waiters.notify_all()

    def lose(self, below: int) -> None:
        """Of the parts below this number, those that have not come are not to come any more."""
        with self._lock:
            self._lost = max(self._lost, below)
        self._waiters.notify_all()

    def close(self) -> None:
        """The task has its answer: no part comes any more."""
        self._is_closed = True
        self._waiters.notify_all()

    def __next__(self) -> Any:
        while (payload := self._take()) is None:
            self._waiters.wait(self._is_ready)
        return self._unpack(payload)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            while (payload := self._take()) is None:
                await self._waiters.wait_async(self._is_ready)
        except StopIteration:
            raise StopAsyncIteration from None
        return self._unpack(payload)

    def _is_ready(self) -> bool:
        return self._is_closed or self._next in self._parts or self._next < self._lost

    def _take(self) -> bytes | None:
        """Take the next part, if it is there; raises in the end, as the task did or as a loop's."""
        is_over = self._is_closed
        with self._lock:
            payload = self._parts.pop(self._next, None)
            if payload is not None:
                self._next += 1
            elif missing := self._pass_over(is_over=is_over):
                raise self._error(missing)
        if payload is None and is_over:
            self._future.result()
            raise StopIteration
        return payload

    def _pass_over(self, *, is_over: bool) -> range:
        """Pass over parts that are missing for good; returns which; the lock is held."""
        after = min(self._parts, default=self._lost)
        if not is_over:
            after = min(after, self._lost)
        missing = range(self._next, after)
        self._next = max(self._next, after)
        return missing

    def _error(self, missing: range) -> FarmError:
        first, last = missing[0], missing[-1]
        which = f"part {first}" if first == last else f"parts {first} to {last}"
        number = getattr(self._future, "number", -1)
        return FarmError(
            f"{which} of task {number}, {self._name}(), did not reach this script: it was away for "
            "long when they were yielded, or had not come yet, or its farm was started anew. Ask "
            "for the next one, and what comes after them is given; the task's result comes in any "
            "case, so have the task return what must not be lost"
        )

    def _unpack(self, payload: bytes) -> Any:
        try:
            return unpack_value(payload, data_only=self._data_only)
        except NotDataOnly as error:
            raise NotData(f"what a task has yielded was refused: {error}") from error
        except BaseException as error:
            raise NotPicklable(
                f"what a task has yielded cannot be rebuilt here: {reason_of(error)}"
            ) from error
