"""The threads that serve: few while calls are short, more when all of them are held up.

A worker takes a job (a connection that has something to say, or an answer that is ready), and then
the next. One that has nothing to do rests, and is handed its next job; the one that rested last
comes first, since its memory is near, and the others are left asleep. A thread is started at once
while there are fewer than ``_SPREAD``, and then only when no job was taken for two ticks: then
every worker is inside a method of the user's that takes its time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from operator import not_

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
        self.jobs: deque[Job] = deque()
        """What waits for a worker; others only look at it."""
        self.nobody_waits: Callable[[], bool] = partial(not_, self.jobs)
        """Tells whether no job waits: then a worker may wait for a connection to go on."""
        self._lock = threading.RLock()  # a signal handler may close while its thread is in here
        self._threads: set[threading.Thread] = set()
        self._resting: list[_Rest] = []
        self._taken = self._taken_before = 0
        self._was_stuck = False
        self._is_short = False
        self._next_tick = 0.0
        self._closed = False

    def __len__(self) -> int:
        return len(self._threads)

    def submit(self, job: Job) -> bool:
        """Have a worker do this. Returns whether ``tick`` has to be called until it is taken."""
        # Whoever is about to rest looks for jobs once more then: one of the two sees the other.
        self.jobs.append(job)
        if self._resting:
            self._hand_out()
            if not self.jobs:
                return False
        self._is_short = True
        if len(self._threads) < min(_SPREAD, self._most):
            self._start(1)
        return True

    def _hand_out(self) -> None:
        """Hand jobs to workers that rest."""
        while self.jobs:
            try:
                rest = self._resting.pop()
            except IndexError:
                return
            with contextlib.suppress(IndexError):  # another thread was faster
                rest.job = self.jobs.popleft()
            rest.over.release()

    def tick(self, now: float) -> bool:
        """Start workers if no job was taken for two ticks; tells whether jobs wait for a worker.

        It may be called more often than every ``TICK_S``: on a busy machine it is, many times
        before a worker has had its turn, and that says nothing.
        """
        if not self._is_short:
            return False
        self._is_short = False  # before looking: who puts a job in meanwhile sets it again
        waiting = len(self.jobs)
        if waiting:
            self._is_short = True
        if now < self._next_tick:
            return waiting > 0
        self._next_tick = now + TICK_S
        is_stuck = waiting > 0 and self._taken == self._taken_before
        if is_stuck and self._was_stuck:
            self._start(max(1, min(waiting, len(self._threads) // 2)))
        self._was_stuck = is_stuck
        self._taken_before = self._taken
        return waiting > 0

    def make_room(self, count: int) -> None:
        """Start so many threads, because those that there are are held up, unless some rest."""
        self._start(count - len(self._resting))

    def close(self, deadline: float) -> None:
        """End every thread that is done by *deadline*; a worker that closes goes on."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        while self._resting:
            with contextlib.suppress(IndexError):
                self._resting.pop().over.release()
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
        """Return what to do next, waiting for it; None: the thread is not needed any more."""
        while True:
            try:
                return self.jobs.popleft()
            except IndexError:
                pass
            if self._closed or (len(self._threads) > _SPREAD and self._resting):
                return None  # but one: where all others are held up, the next job waits for none
            rest = _Rest()
            self._resting.append(rest)
            if self.jobs or self._closed:  # since before it could be seen to rest
                if self._gets_up(rest):
                    continue
            elif not rest.over.acquire(timeout=_IDLE_S) and self._gets_up(rest):
                if not self.jobs:
                    return None
                continue
            if rest.job is not None:
                return rest.job

    def _gets_up(self, rest: _Rest) -> bool:
        """Stop resting; False if somebody has ended it meanwhile."""
        try:
            self._resting.remove(rest)
        except ValueError:
            rest.over.acquire()
            return False
        return True


class _Rest:
    """A worker that waits.

    Attributes:
        job: What it is handed; None: it is to look for itself.
        over: Locked until it is to get up.
    """

    __slots__ = ("job", "over")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.over = threading.Lock()
        self.over.acquire()
