"""``concurrent.futures`` executors, and the standard library's older pool.

loky and mpi4py are imported when they are used; the two pools here measure their own imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

from tests.benchmarks.farm.systems.pool import CHUNK, Pool

__all__ = ["LokyExecutor", "MpiExecutor", "StandardExecutor", "StandardPool"]


class _AnyExecutor(Pool):
    def __init__(self, workers: int) -> None:
        self._executor = self._make(workers)

    def _make(self, workers: int) -> Executor:
        raise NotImplementedError

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self._executor.submit(fn, *args)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        return self._executor.map(fn, items, chunksize=CHUNK)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)


class StandardExecutor(_AnyExecutor):
    def _make(self, workers: int) -> Executor:
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(workers)


class LokyExecutor(_AnyExecutor):
    def _make(self, workers: int) -> Executor:
        from loky import ProcessPoolExecutor

        return ProcessPoolExecutor(workers)

    def close(self) -> None:
        self._executor.shutdown(kill_workers=True)  # it cancels nothing


class MpiExecutor(_AnyExecutor):
    """Its workers are the other ranks of the job that ``mpirun`` started."""

    def _make(self, workers: int) -> Executor:
        from mpi4py.futures import MPIPoolExecutor

        return MPIPoolExecutor(workers)


class StandardPool(Pool):
    def __init__(self, workers: int) -> None:
        import multiprocessing

        self._pool = multiprocessing.Pool(workers)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self._pool.apply_async(fn, args)

    def result(self, handle: Any, timeout_s: float | None = None) -> Any:
        import multiprocessing

        try:
            return handle.get(timeout_s)
        except multiprocessing.TimeoutError:
            raise TimeoutError from None

    def is_done(self, handle: Any) -> bool:
        return bool(handle.ready())

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        return self._pool.imap_unordered(fn, items, chunksize=CHUNK)  # faster than its map

    def close(self) -> None:
        self._pool.terminate()
