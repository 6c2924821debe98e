"""What a task yields while it runs, in order, each once."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any

from masterslave.errors import NotPicklable
from masterslave.farm.packing import reason_of
from masterslave.packed import unpack_value

__all__ = ["Parts"]


class Parts(Iterator[Any]):
    """An iterator over the parts of one task; see ``FarmFuture.parts``."""

    def __init__(self, future: Future[Any], *, data_only: bool) -> None:
        self.progress: tuple[float, float] | None = None
        self._future = future
        self._data_only = data_only
        self._changed = threading.Condition()
        self._parts: dict[int, bytes] = {}
        self._next = 0
        self._is_closed = False

    def add(self, item: int, payload: bytes) -> None:
        """A part has come; one that has come before changes nothing."""
        with self._changed:
            if item >= self._next:
                self._parts.setdefault(item, payload)
                self._changed.notify_all()

    def close(self) -> None:
        """The task has its answer: no part comes any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __next__(self) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._next in self._parts)
            payload = self._parts.pop(self._next, None)
            self._next += payload is not None
        if payload is None:
            self._future.result()
            raise StopIteration
        try:
            return unpack_value(payload, data_only=self._data_only)
        except BaseException as error:
            raise NotPicklable(
                f"what a task has yielded cannot be rebuilt here: {reason_of(error)}"
            ) from error

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        import asyncio

        nothing = object()
        part = await asyncio.to_thread(next, self, nothing)
        if part is nothing:
            raise StopAsyncIteration
        return part
