"""The calls of one message, made one after another, of which any may be answered later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from types import NoneType
from typing import Any

__all__ = ["AT_ONCE", "Batch"]

AT_ONCE = frozenset({NoneType, bool, int, float, str, bytes, list, dict, tuple})
"""Types of results that are answers by themselves, and neither come later nor in pieces."""

Results = tuple[list[Any], BaseException | None]


class Batch:
    """Runs until a call fails or all have run; while it waits for a future it holds no thread.

    Args:
        call: Makes one call: method, args, kwargs.
        calls: What is to be called.
        future_of: Returns the future that a result is, or None for a plain one.
        submit: Has a worker go on.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        calls: Sequence[tuple[str, Any, dict[str, Any]]],
        future_of: Callable[[Any], Future[Any] | None],
        submit: Callable[[Callable[[], None]], Any],
    ) -> None:
        self.done: Future[Results] = Future()
        self._call = call
        self._calls = iter(calls)
        self._future_of = future_of
        self._submit = submit
        self._values: list[Any] = []

    def go_on_for_future(self) -> Future[Results]:
        """Make the calls; returns what is done when all of them are."""
        self.go_on()
        return self.done

    def go_on(self) -> None:
        """Make the calls that are left."""
        for method, args, kwargs in self._calls:
            try:
                value = self._call(method, args, kwargs)
                if type(value) in AT_ONCE:
                    self._values.append(value)
                    continue
                future = self._future_of(value)
                if future is not None and not future.done():
                    future.add_done_callback(lambda done: self._submit(partial(self._take, done)))
                    return
                self._values.append(value if future is None else future.result())
            except BaseException as error:  # exit() in a method ends the batch, not the worker
                self.done.set_result((self._values, error))
                return
        self.done.set_result((self._values, None))

    def _take(self, future: Future[Any]) -> None:
        try:
            self._values.append(future.result())
        except BaseException as error:
            self.done.set_result((self._values, error))
            return
        self.go_on()
