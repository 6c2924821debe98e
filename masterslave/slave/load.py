"""How much a child is given at once, as pure rules.

A child always has the task that it runs, and as much more as it does in ``AHEAD_S``, so that it
does not wait for its agent between short tasks. What it has not started can be taken back. As long
as it is not known how long a function takes, it is given one task of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from masterslave.codeset import code_of
from masterslave.protocol.functions import KnownFunctions
from masterslave.slave.work import Job

__all__ = ["Load", "Pace"]

AHEAD_S = 0.3
"""Work that a child is given beyond what it runs, in seconds. It is given more when half of that is
left: that is more than it does from one report to the next (``child.outbox.GATHER_S``)."""

AHEAD_BYTES = 32 * 1024
"""Most bytes of arguments ahead: they are in the pipe while the child runs, and whoever writes them
must not wait for that."""

UNKNOWN_S = 0.1
"""What is expected of a task of whose function nothing is known."""

_FUNCTIONS = 1000
_WEIGHT_OF_LATEST = 0.3  # of a report, which may be about one task or hundreds


class Pace:
    """How long a call of each function takes, from what was measured lately."""

    def __init__(self) -> None:
        self._seconds: dict[bytes, float] = {}

    def expect(self, function: bytes) -> float | None:
        """Return how many seconds a call of this function takes; None if that is not known."""
        return self._seconds.get(function)

    def note(self, function: bytes, seconds: float, count: int) -> None:
        """*count* calls have taken so long together."""
        seconds /= count
        before = self._seconds.get(function)
        if before is None:
            if len(self._seconds) >= _FUNCTIONS:
                self._seconds.clear()
            self._seconds[function] = seconds
        else:
            self._seconds[function] = before + _WEIGHT_OF_LATEST * (seconds - before)


class Load:
    """What one child has been given and has not answered.

    Attributes:
        jobs: By the number of the call, in the order in which they were sent.
        calls: How many were sent, ever: the number of the next one.
        expected_s: How long *jobs* will take together.
        size: Bytes of their arguments.
        given: How many tasks of each farm that limits that it was given, by the farm's number.
    """

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.calls = 0
        self.expected_s = 0.0
        self.size = 0
        self.given: dict[int, int] = {}
        self.known = KnownFunctions()
        self.last_function = b""

    def take(
        self, waiting: deque[Job], pace: Pace, most: int, turn_s: float = float("inf")
    ) -> list[Job]:
        """Take from the head of *waiting* what the child is to be given now.

        Args:
            most: No more tasks than that, but for the last hand-out.
            turn_s: No more than what takes so long, but for the first hand-out.
        """
        jobs = self.jobs
        if not jobs and len(waiting) == 1:
            return [self._take_only(waiting.popleft(), pace)]
        taken: list[Job] = []
        held, size, ahead_s, taken_s = len(jobs), self.size, 0.0, 0.0
        if held:
            ahead_s = self.expected_s - next(iter(jobs.values())).expected_s
            if held > 1 and ahead_s > AHEAD_S / 2:
                return taken
        last = b""
        per_task_s: float | None = None
        while waiting and most > 0:
            job = waiting[0]
            task = job.task
            if task.function != last:
                if taken and code_of(job.pickled) != code_of(taken[-1].pickled):
                    break
                last = task.function
                per_task_s = pace.expect(last)
            expected_s = UNKNOWN_S if per_task_s is None else per_task_s * task.count
            taken_s += expected_s
            if taken and taken_s > turn_s:
                break
            if held:
                if per_task_s is None or size + len(task.arguments) > AHEAD_BYTES:
                    break
                ahead_s += expected_s
                if ahead_s > AHEAD_S:
                    break
            waiting.popleft()
            job.expected_s = expected_s
            size += len(task.arguments)
            held += 1
            most -= task.count
            taken.append(job)
            self.expected_s += expected_s
        self.size = size
        jobs.update(zip(range(self.calls, self.calls + len(taken)), taken, strict=True))
        self.calls += len(taken)
        return taken

    def _take_only(self, job: Job, pace: Pace) -> Job:
        per_task_s = pace.expect(job.task.function)
        expected_s = UNKNOWN_S if per_task_s is None else per_task_s * job.task.count
        job.expected_s = self.expected_s = expected_s
        self.size = len(job.task.arguments)
        self.jobs[self.calls] = job
        self.calls += 1
        return job

    def note_given(self, farm: int, jobs: Iterable[Job]) -> None:
        """Note that the child was given these of a farm."""
        self.given[farm] = self.given.get(farm, 0) + sum(job.task.count for job in jobs)

    def numbers_of(self, is_meant: Callable[[Job], bool]) -> list[int]:
        """Return the numbers of the calls that are meant."""
        return [number for number, job in self.jobs.items() if is_meant(job)]

    def drop(self, number: int) -> Job | None:
        """The child has answered; returns what, if it had it."""
        job = self.jobs.pop(number, None)
        if job is not None:
            if self.jobs:
                self.expected_s -= job.expected_s
                self.size -= len(job.task.arguments)
            else:  # nothing of what does not sum up exactly stays
                self.expected_s, self.size = 0.0, 0
        return job
