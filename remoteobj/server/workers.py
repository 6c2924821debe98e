"""The threads that serve: few while calls are short, more when all of them are held up.

A worker takes a job (a connection that has something to say, or an answer that is ready), and then
the next. A thread is started at once while there are fewer than ``_SPREAD``, and then only when no
job was taken for two ticks: then every worker is inside a method of the user's that takes its time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

__all__ = ["TICK_S", "Workers"]

log = logging.getLogger("remoteobj.daemon")

TICK_S = 0.01
"""How often ``tick`` has to be called while jobs wait."""

_SPREAD = 16
_IDLE_S = 5.0


Job = Callable[[], None]


class Workers:
    """A pool of threads.

    Args:
        name: Of its threads.
        most: How many threads there may be.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.nobody_waits = self._jobs.empty
        """Tells whether no job waits: then a worker may wait for a connection to go on."""
        self._lock = threading.RLock()  # a signal handler may close while its thread is in here
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._taken = self._taken_before = 0
        self._was_stuck = False
        self._is_short = False
        self._next_tick = 0.0
        self._closed = False

    def __len__(self) -> int:
        return len(self._threads)

    def submit(self, job: Job) -> bool:
        """Have a worker do this. Returns whether ``tick`` has to be called until it is taken."""
        self._jobs.put(job)
        waiting = self._jobs.qsize()
        if waiting <= self._idle:
            return False
        self._is_short = True
        if len(self._threads) < min(_SPREAD, self._most):
            self._start(1)
        return True

    def tick(self, now: float) -> bool:
        """Start workers if no job was taken for two ticks; tells whether jobs wait for a worker.

        It may be called more often than every ``TICK_S``: on a busy machine it is, many times
        before a worker has had its turn, and that says nothing.
        """
        if not self._is_short:
            return False
        self._is_short = False  # before looking: who puts a job in meanwhile sets it again
        waiting = self._jobs.qsize()
        if waiting:
            self._is_short = True
        if now < self._next_tick:
            return waiting > 0
        self._next_tick = now + TICK_S
        is_stuck = waiting > 0 and self._taken == self._taken_before
        if is_stuck and self._was_stuck:
            self._start(max(1, min(waiting - self._idle, len(self._threads) // 2)))
        self._was_stuck = is_stuck
        self._taken_before = self._taken
        return waiting > 0

    def close(self, deadline: float) -> None:
        """End every thread that is done by *deadline*; a worker that closes goes on."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def has(self, thread: threading.Thread) -> bool:
        """Tell whether this thread is a worker."""
        return thread in self._threads

    def _start(self, count: int) -> None:
        for _ in range(count):
            with self._lock:
                if self._closed or len(self._threads) >= self._most:
                    return
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                try:
                    thread.start()  # under the lock: close() joins no thread that was not started
                except RuntimeError as error:
                    log.warning("cannot start another thread to serve: %s", error)
                    return
                self._threads.add(thread)

    def _work(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                self._taken += 1
                try:
                    job()
                except BaseException:
                    log.exception("a worker met a fault")
                del job
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next_job(self) -> Job | None:
        try:
            return self._jobs.get_nowait()
        except Empty:
            pass
        with self._lock:
            if len(self._threads) > _SPREAD:
                return None
            self._idle += 1
        job: Job | None = None
        is_late = False
        try:
            job = self._jobs.get(timeout=_IDLE_S)
        except Empty:
            is_late = True
        with self._lock:
            self._idle -= 1
        # Who put a job in just now may have counted on this thread.
        return self._next_job() if is_late and not self._jobs.empty() else job
