"""What ``apply_async`` and ``map_async`` return: a result that is waited for, or called back with.

It is settled by the thread of the farm in which its tasks' callbacks run; as in multiprocessing,
its own callback has returned before ``get()`` does.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

__all__ = ["AsyncResult", "MapResult"]

Value = TypeVar("Value")


class AsyncResult(Generic[Value]):
    """A result that is not there yet, as ``multiprocessing.pool.AsyncResult``.

    Threads: any.
    """

    def __init__(
        self,
        callback: Callable[[Value], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._callback = callback
        self._error_callback = error_callback
        self._settled = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def get(self, timeout: float | None = None) -> Value:
        """Return the value when it is there, or raise what the call raised.

        Args:
            timeout: Longest time to wait, in seconds; by default there is no end to it.

        Raises:
            multiprocessing.TimeoutError: It was not there in time. Ask again.
            concurrent.futures.CancelledError: The pool was terminated before.

        Blocks: until the value is there, at most *timeout*.
        """
        self.wait(timeout)
        if not self.ready():
            raise multiprocessing.TimeoutError
        if self._error is not None:
            raise self._error
        value: Value = self._value
        return value

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is there, or *timeout* seconds have passed."""
        self._settled.wait(timeout)

    def ready(self) -> bool:
        """Tell whether the call has completed."""
        return self._settled.is_set()

    def successful(self) -> bool:
        """Tell whether the call completed without raising an exception.

        Raises:
            ValueError: The result is not ready.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def _settle(self, value: Any, error: BaseException | None) -> None:
        self._value, self._error = value, error
        try:
            if error is None:
                if self._callback is not None:
                    self._callback(value)
            elif self._error_callback is not None and not isinstance(error, CancelledError):
                self._error_callback(error)
        finally:  # who waits is not to pay for a callback that raises
            self._callback = self._error_callback = None
            self._settled.set()


class MapResult(AsyncResult[list[Value]]):
    """The results of many items, put together from those of their chunks."""

    def __init__(
        self,
        chunks: int,
        callback: Callable[[list[Value]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        super().__init__(callback, error_callback)
        self._lock = threading.Lock()
        self._parts: list[list[Value]] = [[] for _ in range(chunks)]
        self._missing = chunks
        self._first_error: BaseException | None = None
        if not chunks:
            self._settled.set()  # without a callback, as there: no result has become ready
            self._value = []

    def _add(self, number: int, values: list[Value], error: BaseException | None) -> None:
        """Take the outcome of a chunk; the last one settles the result, also after an error."""
        with self._lock:
            if error is None:
                self._parts[number] = values
            elif self._first_error is None:
                self._first_error = error
            self._missing -= 1
            if self._missing:
                return
        self._settle([value for part in self._parts for value in part], self._first_error)
        self._parts = []
