"""ipyparallel, with engines on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.benchmarks.farm.systems.pool import CHUNK, Pool

__all__ = ["EnginesPool"]


class EnginesPool(Pool):
    def __init__(self, workers: int) -> None:
        import ipyparallel

        self._cluster = ipyparallel.Cluster(n=workers, log_level=40)
        self._client = self._cluster.start_and_connect_sync(activate=False)
        self._view = self._client.load_balanced_view()

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self._view.apply_async(fn, *args)

    def result(self, handle: Any, timeout_s: float | None = None) -> Any:
        return handle.get(timeout_s)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        return self._view.map_async(fn, list(items), chunksize=CHUNK).get()

    def add_worker(self) -> None:
        self._cluster.start_engines_sync(1)

    def close(self) -> None:
        self._client.close()
        self._cluster.stop_cluster_sync()
