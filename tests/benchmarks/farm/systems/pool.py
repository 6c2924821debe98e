"""What a system is to the workloads: a pool of workers, and how tasks are given to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["CHUNK", "Pool"]

CHUNK = 64
"""Items in one message, for systems that do not choose it themselves."""


class Pool(ABC):
    """The workers of one system, started and not yet all at work.

    What a system cannot do raises NotImplementedError, whose text becomes a note in the table.
    """

    @abstractmethod
    def __init__(self, workers: int) -> None: ...

    @abstractmethod
    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Hand in one task; return what :meth:`result` is asked with."""

    def result(self, handle: Any, timeout_s: float | None = None) -> Any:
        """Return the answer of a task, or raise what it, or the pool, died of."""
        return handle.result(timeout_s)

    def results(self, handles: Sequence[Any]) -> list[Any]:
        """Return the answers of many tasks, in the way that the system likes best."""
        return [self.result(handle) for handle in handles]

    def is_done(self, handle: Any) -> bool:
        return bool(handle.done())

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Return the results for all items, with many items in one message."""
        raise NotImplementedError("has no map")

    def stream(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Return the results in any order, holding few of them where the system can."""
        return self.map(fn, items)

    def add_worker(self) -> None:
        raise NotImplementedError("takes up no worker while it runs")

    def agents(self) -> tuple[int, ...]:
        """Return the process ids of the agents that have registered."""
        raise NotImplementedError("has no agents")

    @abstractmethod
    def close(self) -> None: ...
