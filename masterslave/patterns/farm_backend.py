"""A parallel backend of joblib whose workers are the slots of a farm; imported late, with joblib.

::

    Parallel(...)(calls) --submit(batch)--> Farm --callback--> Parallel, which dispatches the next

joblib keeps twice as many batches under way as there were slots when the call began; for slots that
join later, this backend has it dispatch more.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, SequentialBackend
from joblib.parallel import ParallelBackendBase

from masterslave.farm.farm import Farm

__all__ = ["FarmBackend"]


class FarmBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's batches on a farm, and leaves the farm running.

    Threads: as joblib's; callbacks come in a thread of the farm.
    """

    supports_retrieve_callback = True

    def __init__(self, farm: Farm) -> None:
        super().__init__()
        self._farm = farm
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()
        self._takes_all = False
        self._known_slots = 0

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how much runs at a time; waits for the first slave where that decides."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(1, self._slots() + 1 + n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Get ready for a parallel call; one job at a time is not worth a farm."""
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        count: int = self.effective_n_jobs(n_jobs)
        self._takes_all = n_jobs == -1
        self._known_slots = count
        return max(2, count)  # at 1, joblib would call here what is meant for the farm's only slot

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Future[Any]], object] | None = None
    ) -> Future[Any]:
        """Give a batch to the farm."""
        future = self._farm.submit(operator.call, func)  # as an argument: all batches, one function
        with self._lock:
            self._open.add(future)
        if callback is not None:
            future.add_done_callback(callback)
        future.add_done_callback(self._forget)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return a batch's results, or raise what it raised."""
        return out.result()

    def batch_completed(self, batch_size: int, duration: float) -> None:
        """Note how long a batch took, and have slots that joined meanwhile get batches too."""
        super().batch_completed(batch_size, duration)
        if not self._takes_all:
            return
        with self.parallel._lock:
            slots = sum(slave.slots for slave in self._farm.slaves)
            joined, self._known_slots = slots - self._known_slots, max(slots, self._known_slots)
            for _ in range(2 * joined):
                if self.parallel._original_iterator is not None:
                    self.parallel.dispatch_next()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Drop what is under way, and stop what runs."""
        with self._lock:
            dropped = list(self._open)
        for future in dropped:
            future.cancel()

    def terminate(self) -> None:
        """End a parallel call; the farm goes on."""
        self.reset_batch_stats()

    def get_nested_backend(self) -> tuple[Any, None]:
        """Have a parallel call within a task run in its slot: other slots have tasks too."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def _slots(self) -> int:
        slots = sum(slave.slots for slave in self._farm.slaves)
        if not slots:
            self._farm.submit(int).result()  # answered when a slave has joined
            slots = sum(slave.slots for slave in self._farm.slaves)
        return slots

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._open.discard(future)
