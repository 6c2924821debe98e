"""dask.distributed, with workers of one thread on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.benchmarks.farm.systems.pool import Pool

__all__ = ["DaskPool"]


class DaskPool(Pool):
    def __init__(self, workers: int) -> None:
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None
        )
        self._client = Client(self._cluster)
        self._workers = workers

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self._client.submit(fn, *args, pure=False)

    def results(self, handles: Sequence[Any]) -> list[Any]:
        return list(self._client.gather(list(handles)))

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        return self.results(self._client.map(fn, list(items), pure=False))

    def add_worker(self) -> None:
        self._workers += 1
        self._cluster.scale(self._workers)

    def close(self) -> None:
        self._client.close()
        self._cluster.close()
