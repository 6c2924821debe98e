"""What a slave holds, as pure rules: tasks that wait, run, or are done and not acknowledged yet.

Its promises: a hand-out that was taken in is run, given back, or stopped; its outcome is kept until
the master has acknowledged it; farms that share the slave get their turns in the order of who
has the fewest slots.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from masterslave.protocol import GIVEN_BACK, KnownFunctions, Outcome, Stop, WireTask
from masterslave.settings import FarmSettings

__all__ = ["FarmWork", "Job", "Key", "choose_farm"]

Key = tuple[int, int]
"""A hand-out: task and attempt."""

# A mean over about the last ten tasks follows a change of their length within a few of them.
_WEIGHT_OF_LATEST = 0.1


class Job(Struct, frozen=True):
    """A task with its function, which may be forgotten before it is run."""

    task: int
    attempt: int
    function: bytes
    pickled: bytes
    arguments: bytes


class FarmWork:
    """What a slave holds for one farm.

    Args:
        slots: Tasks that the slave runs at once.
        settings: How far ahead a slot is fed.
        known: By which functions are forgotten, as the master does.
    """

    def __init__(
        self, slots: int, settings: FarmSettings, *, known: KnownFunctions | None = None
    ) -> None:
        self.slots = slots
        self.acknowledged = 0
        """Number of the last batch that was taken in."""
        self.running: set[Key] = set()
        self.done = 0
        self.draining = False
        self._settings = settings
        self._functions: dict[bytes, bytes] = {}
        self._known = known or KnownFunctions()
        self._waiting: deque[Job] = deque()
        self._outcomes: deque[tuple[int, Outcome]] = deque()
        self._sequence = 0
        self._task_s: float | None = None

    def take_in(self, batch: int, tasks: Iterable[WireTask], functions: dict[bytes, bytes]) -> None:
        """Take in a batch; one that was taken in before changes nothing."""
        if batch <= self.acknowledged:
            return
        self.acknowledged = batch
        for task in tasks:
            pickled = functions.get(task.function) or self._functions[task.function]
            self._functions[task.function] = pickled
            for forgotten in self._known.use(task.function, len(pickled)):
                del self._functions[forgotten]
            self._waiting.append(
                Job(task.task, task.attempt, task.function, pickled, task.arguments)
            )
        if self.draining:
            self.give_back_waiting()

    def join_anew(self) -> None:
        """The master knows nothing of this slave any more: it sends batch 1, and all functions."""
        self.acknowledged = 0
        self._functions.clear()
        self._known = KnownFunctions()

    @property
    def waiting(self) -> int:
        """Number of tasks that have not been started."""
        return len(self._waiting)

    def start_next(self) -> Job | None:
        """Take the next waiting task to run it now."""
        if not self._waiting:
            return None
        task = self._waiting.popleft()
        self.running.add((task.task, task.attempt))
        return task

    def finish(self, outcome: Outcome) -> None:
        """Note what became of a running task; one that was stopped meanwhile is dropped."""
        key = (outcome.task, outcome.attempt)
        if key not in self.running:
            return
        self.running.discard(key)
        self.done += 1
        if outcome.seconds > 0:
            before = self._task_s if self._task_s is not None else outcome.seconds
            self._task_s = before + _WEIGHT_OF_LATEST * (outcome.seconds - before)
        self._post(outcome)

    def stop(self, stops: Iterable[Stop]) -> list[Key]:
        """Drop hand-outs that nobody waits for; returns those that run and must be stopped."""
        unwanted = {(stop.task, stop.attempt) for stop in stops}
        self._waiting = deque(t for t in self._waiting if (t.task, t.attempt) not in unwanted)
        running = sorted(self.running & unwanted)
        self.running -= unwanted
        return running

    def give_back_waiting(self) -> None:
        """Hand what has not been started back to the master."""
        while self._waiting:
            task = self._waiting.popleft()
            self._post(Outcome(task.task, task.attempt, GIVEN_BACK, b""))

    def give_back_running(self) -> list[Key]:
        """Hand what runs back as well; returns what must be stopped for it."""
        running = sorted(self.running)
        self.running.clear()
        for task, attempt in running:
            self._post(Outcome(task, attempt, GIVEN_BACK, b""))
        return running

    def credit(self) -> int:
        """Return how many more tasks the slave would take now."""
        if self.draining:
            return 0
        return max(0, self.slots * (1 + self.ahead()) - len(self._waiting) - len(self.running))

    def ahead(self) -> int:
        """Return how many tasks a slot is given ahead, from the task time measured so far."""
        if self._task_s is None:
            return 0
        return min(
            self._settings.max_ahead,
            math.floor(self._settings.feed_ahead_s / max(self._task_s, 1e-6)),
        )

    def to_deliver(self, max_bytes: int) -> tuple[int, tuple[Outcome, ...]]:
        """Return outcomes that are not acknowledged, oldest first, and the last one's number.

        Args:
            max_bytes: Stop before this many bytes of payload, but return one at least.
        """
        chosen: list[Outcome] = []
        size = last = 0
        for number, outcome in self._outcomes:
            size += len(outcome.payload)
            if chosen and size > max_bytes:
                break
            chosen.append(outcome)
            last = number
        return last, tuple(chosen)

    def acknowledge(self, sequence: int) -> None:
        """The master has these outcomes: forget them."""
        while self._outcomes and self._outcomes[0][0] <= sequence:
            self._outcomes.popleft()

    def is_empty(self) -> bool:
        """Tell whether nothing waits, runs, or is to be delivered."""
        return not (self._waiting or self.running or self._outcomes)

    def _post(self, outcome: Outcome) -> None:
        self._sequence += 1
        self._outcomes.append((self._sequence, outcome))


def choose_farm(farms: Iterable[FarmWork]) -> FarmWork | None:
    """Return whose turn it is: of the farms with waiting tasks, the one that runs the fewest."""
    return min((farm for farm in farms if farm.waiting), key=lambda f: len(f.running), default=None)
