"""What a task yields while it runs, in order, each once."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any

from masterslave.errors import NotData, NotPicklable
from masterslave.farm.packing import reason_of
from masterslave.farm.waiting import Waiters
from masterslave.packed import NotData as NotDataOnly
from masterslave.packed import unpack_value

__all__ = ["Parts"]


class Parts(Iterator[Any]):
    """An iterator over the parts of one task; see ``FarmFuture.parts``.

    A wait that is cancelled or interrupted takes no part away.
    """

    def __init__(self, future: Future[Any], *, data_only: bool) -> None:
        self.progress: tuple[float, float] | None = None
        self._future = future
        self._data_only = data_only
        self._lock = threading.Lock()
        self._waiters = Waiters()
        self._parts: dict[int, bytes] = {}
        self._next = 0
        self._is_closed = False

    def add(self, item: int, payload: bytes) -> None:
        """A part has come; one that has come before changes nothing."""
        with self._lock:
            if item >= self._next:
                self._parts.setdefault(item, payload)
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
        return self._is_closed or self._next in self._parts

    def _take(self) -> bytes | None:
        """Take the next part, if it is there; raises in the end, as the task did or as a loop's."""
        is_over = self._is_closed
        with self._lock:
            payload = self._parts.pop(self._next, None)
            self._next += payload is not None
        if payload is None and is_over:
            self._future.result()
            raise StopIteration
        return payload

    def _unpack(self, payload: bytes) -> Any:
        try:
            return unpack_value(payload, data_only=self._data_only)
        except NotDataOnly as error:
            raise NotData(f"what a task has yielded was refused: {error}") from error
        except BaseException as error:
            raise NotPicklable(
                f"what a task has yielded cannot be rebuilt here: {reason_of(error)}"
            ) from error
