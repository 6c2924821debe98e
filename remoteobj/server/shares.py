"""What one peer may hold of a daemon's threads and connections, so that it starves no other.

A peer is a machine of the cluster, by its certificate, however many connections it has; where
nobody says who he is, it is an address. Who comes by the Unix socket, or by what stands for it, is
this user, and is not counted once that is known.

The rules:

* Of each peer, ``SPREAD`` jobs are with the workers at a time (a job is to serve a connection until
  it is quiet or its turn is over, or to run a oneway call); the next ones are held back here, in
  their order. What is not read is not in memory: who says more than is taken waits in its own
  socket.
* While the process takes one core's worth of time, its threads wait for each other inside the
  interpreter. More of them are no help to a peer then, and a burden to all others: where there are
  others it is ``FEW`` jobs.
* Methods that take their time hold up the peer's other connections. So where no job of a peer has
  ended for two ticks, it gets half as many again, up to ``most``; but one more a second, from
  ``SPREAD`` on, while the interpreter is busy.

So a call of another peer waits for one turn of a greedy one, and not for all that it has said.

Threads: any.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from remoteobj.server.workers import TICK_S

__all__ = ["FEW", "SPREAD", "TURN", "Share", "Shares"]

SPREAD = 16
"""Jobs of one peer that are with the workers at a time, while they are short."""

FEW = 2
"""The same while the interpreter is busy, where there is more than one peer."""

TURN = 8
"""How often a worker goes on with a connection while others wait: some calls each time."""

_BUSY = (0.7, 1.25)
"""Cores that a process takes whose threads wait for each other inside the interpreter."""

_SELDOM_S = 1.0
_SAMPLE_S = 0.05

Job = Callable[[], None]


class Share:
    """What one peer has in hand.

    Attributes:
        connections: How many it has, with those that are not let in yet.
        admitted: How many were let in.
        nobody_waits: Tells whether no job waits for a thread, of this peer or of all.
    """

    __slots__ = (
        "admitted",
        "connections",
        "ended",
        "ended_before",
        "extra",
        "grown_at",
        "held",
        "key",
        "nobody_waits",
        "running",
        "was_stuck",
    )

    def __init__(self, key: str, jobs: deque[Job]) -> None:
        self.key = key
        self.connections = self.admitted = self.running = 0
        self.held: deque[Job] = deque()
        self.extra = 0
        self.ended = self.ended_before = 0
        self.was_stuck = False
        self.grown_at = 0.0
        held = self.held
        self.nobody_waits: Callable[[], bool] = lambda: not (jobs or held)


class Shares:
    """All peers, and who of them has to wait.

    Args:
        most: Jobs of one peer that may be with the workers at a time, however long they take.
        jobs: What waits for a worker.
        hand_out: Gives a job to the workers.
        make_room: Starts so many workers, because all are held up.
    """

    def __init__(
        self,
        most: int,
        jobs: deque[Job],
        hand_out: Callable[[Job], None],
        make_room: Callable[[int], None],
    ) -> None:
        self.held_back = 0
        """How many jobs had to wait because their peer had its share."""
        self._most = most
        self._jobs = jobs
        self._hand_out = hand_out
        self._make_room = make_room
        self._lock = threading.RLock()  # a signal handler may close while its thread is in here
        self._all: dict[str, Share] = {}
        self._crowded: dict[str, Share] = {}
        self._sampled = (0.0, 0.0)
        self._is_busy = False
        self._next_tick = 0.0

    def join(self, key: str) -> Share:
        """Return the share of a peer that has one connection more."""
        with self._lock:
            share = self._all.get(key)
            if share is None:
                share = self._all[key] = Share(key, self._jobs)
            share.connections += 1
            return share

    def leave(self, share: Share, *, was_admitted: bool) -> None:
        """A connection of this peer has ended, or is another peer's from now on."""
        with self._lock:
            share.connections -= 1
            share.admitted -= was_admitted
            self._forget_unused(share)

    def admit(self, share: Share, most: int) -> bool:
        """A connection of this peer is let in, unless it has so many; tells whether it is."""
        with self._lock:
            if share.admitted >= most:
                return False
            share.admitted += 1
            return True

    def submit(self, share: Share, job: Job) -> bool:
        """Have a worker do this when it is the peer's turn; tells whether ``tick`` is wanted."""
        with self._lock:
            if share.running >= self._limit(share):
                self.held_back += 1
                self._hold(share, job)
                return True
            share.running += 1
        self._hand_out(partial(self._run, share, job))
        return False

    def _limit(self, share: Share) -> int:
        few = self._is_busy and len(self._all) > 1
        return min(self._most, (FEW if few else SPREAD) + share.extra)

    def _hold(self, share: Share, job: Job) -> None:
        share.held.append(job)
        self._crowded[share.key] = share

    def _run(self, share: Share, job: Job) -> None:
        try:
            job()
        finally:
            self._go_on(share)

    def _go_on(self, share: Share) -> None:
        """A job has ended: the next one that was held back takes its place."""
        with self._lock:
            share.ended += 1
            if not share.held or share.running > self._limit(share):
                share.running -= 1
                if share.running < FEW:
                    share.extra = 0
                self._forget_unused(share)
                return
            job = self._next_held(share)
        self._hand_out(partial(self._run, share, job))

    def _next_held(self, share: Share) -> Job:
        job = share.held.popleft()
        if not share.held:
            self._crowded.pop(share.key, None)
            share.was_stuck = False
        return job

    def _forget_unused(self, share: Share) -> None:
        # Who has jobs that run on would get a new share by connecting anew.
        if not (share.connections or share.running) and self._all.get(share.key) is share:
            del self._all[share.key]

    def tick(self, now: float, cpu_s: float) -> bool:
        """Give more threads to peers of whom nothing has ended; tells whether to call it again.

        Args:
            now: The time, in seconds.
            cpu_s: What this process has taken of the processor so far, in seconds.
        """
        if now - self._sampled[0] >= _SAMPLE_S:
            self._sample(now, cpu_s)
        if not self._crowded:
            return False
        if now < self._next_tick:  # on a busy machine it is called many times before anything ends
            return True
        self._next_tick = now + TICK_S
        for share in list(self._crowded.values()):
            with self._lock:
                jobs = [self._next_held(share) for _ in range(self._growth(share, now))]
                share.running += len(jobs)
            if jobs:
                self._make_room(len(jobs))
            for job in jobs:
                self._hand_out(partial(self._run, share, job))
        return bool(self._crowded)

    def _sample(self, now: float, cpu_s: float) -> None:
        before, cpu_before_s = self._sampled
        self._is_busy = _BUSY[0] <= (cpu_s - cpu_before_s) / (now - before) <= _BUSY[1]
        self._sampled = now, cpu_s
        if self._is_busy:
            with self._lock:
                for share in self._all.values():
                    if not share.held and share.running > self._limit(share):
                        self._hold(share, _nothing)  # so that its turns end

    def _growth(self, share: Share, now: float) -> int:
        """Return how many jobs more a peer may have in hand now."""
        is_stuck = share.ended == share.ended_before
        share.ended_before = share.ended
        was_stuck, share.was_stuck = share.was_stuck, is_stuck
        if not (is_stuck and was_stuck):
            return 0
        count = min(len(share.held), self._most - share.running)
        if self._is_busy and share.running >= SPREAD:
            count = min(count, 1) if now - share.grown_at >= _SELDOM_S else 0
        else:
            count = min(count, max(1, share.running // 2))
        if count > 0:
            share.extra += count
            share.grown_at = now
        return max(0, count)


def _nothing() -> None:
    """Take a place."""
