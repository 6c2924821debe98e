"""Our own farm, by its public names only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from masterslave import Farm
from tests.benchmarks.farm.systems.pool import Pool

__all__ = ["OurFarm"]


class OurFarm(Pool):
    def __init__(self, workers: int) -> None:
        self._farm = Farm("bench", local_slaves=workers)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self._farm.submit(fn, *args)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        return self._farm.map(fn, items)  # the farm chooses its chunks

    def stream(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for _, result in self._farm.imap_unordered(fn, items):
            yield result

    def add_worker(self) -> None:
        self._farm.add_local_slaves(1)

    def agents(self) -> tuple[int, ...]:
        return tuple(slave.pid for slave in self._farm.slaves)

    def close(self) -> None:
        self._farm.shutdown(cancel_futures=True)
