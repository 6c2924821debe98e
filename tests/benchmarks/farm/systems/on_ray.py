"""Ray, with nodes of one CPU on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.benchmarks.farm.systems.pool import CHUNK, Pool

__all__ = ["RayPool"]


class RayPool(Pool):
    def __init__(self, workers: int) -> None:
        import ray

        self._ray = ray
        self._remote: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._workers = workers
        self._cluster = self._growing() if workers == 1 else None
        address = self._cluster.address if self._cluster else "local"
        here: dict[str, Any] = {} if self._cluster else {"num_cpus": workers}
        ray.init(address=address, include_dashboard=False, log_to_driver=False, **here)

    @staticmethod
    def _growing() -> Any:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False}
        return Cluster(initialize_head=True, head_node_args=head)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        remote = self._remote.get(fn)
        if remote is None:
            remote = self._remote[fn] = self._ray.remote(fn).remote
        return remote(*args)

    def result(self, handle: Any, timeout_s: float | None = None) -> Any:
        try:
            return self._ray.get(handle, timeout=timeout_s)
        except self._ray.exceptions.GetTimeoutError:
            raise TimeoutError from None

    def results(self, handles: Sequence[Any]) -> list[Any]:
        return list(self._ray.get(list(handles)))

    def is_done(self, handle: Any) -> bool:
        return bool(self._ray.wait([handle], timeout=0)[0])

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        from ray.util.multiprocessing import Pool as PoolOfActors

        return PoolOfActors(self._workers).map(fn, items, chunksize=CHUNK)

    def add_worker(self) -> None:
        assert self._cluster is not None, "a pool that begins with one worker can grow"
        self._cluster.add_node(num_cpus=1)

    def close(self) -> None:
        self._ray.shutdown()
        if self._cluster:
            self._cluster.shutdown()
