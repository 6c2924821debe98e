"""What a slave holds for one farm, as pure rules: tasks that wait, run, or are done and not
acknowledged yet.

Its promises: a hand-out that was taken in is run, given back, or stopped; its outcome is kept until
the master has acknowledged it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from types import MappingProxyType

from msgspec import Struct

from masterslave.codeset import DATA, MAIN, NOTHING, CodeSet, Entry, unpack_entries, with_code
from masterslave.protocol.encoding import encode
from masterslave.protocol.functions import NAMED, KnownFunctions
from masterslave.protocol.hand_outs import Stop, WireTask
from masterslave.protocol.joining import GivenHandlers, Hold
from masterslave.protocol.outcomes import (
    GIVEN_BACK,
    LOST,
    PART,
    PROGRESS,
    RAISED,
    REPORT,
    Outcome,
    PostMortem,
    Raised,
)
from masterslave.slave.keeping import Kept
from masterslave.slave.lines import Lines
from masterslave.slave.rights import refuse

__all__ = ["FarmWork", "Job", "Key"]

Key = tuple[int, int]
"""A hand-out: task and attempt."""

NO_LIMITS: Mapping[int, float] = MappingProxyType({})

_GO_ON = (PART, PROGRESS, REPORT)
"""Kinds of outcomes after which a hand-out goes on, or of none."""

MAX_DEATHS = 3
"""Children that may die while they hold a hand-out that they had not started, before it is lost."""


class Job(Struct, weakref=False):
    """A hand-out with its function, which may be forgotten before it is run.

    Attributes:
        is_unwanted: Nobody waits for it any more: its outcome is dropped.
        is_recalled: It is given back if it has not been started.
        deaths: Children that died while they held it, though it was not what they ran.
        limit_s: How long it may run, in seconds; 0: for ever.
        is_inherited: It was handed out by a master that is gone: what that one has shared is not
            to be had any more.
    """

    work: FarmWork
    task: WireTask
    pickled: bytes
    expected_s: float = 0.0
    is_unwanted: bool = False
    is_recalled: bool = False
    deaths: int = 0
    limit_s: float = 0.0
    is_inherited: bool = False


class FarmWork:
    """What a slave holds for one farm.

    Args:
        known: By which functions are forgotten, as the master does.
        only_named: Named tasks with data are taken in, and nothing else, whoever sends it.
    """

    def __init__(self, *, known: KnownFunctions | None = None, only_named: bool = False) -> None:
        self._only_named = only_named
        self.acknowledged = 0
        """Number of the last batch that was taken in."""
        self.waiting: deque[Job] = deque()
        """What has not been given to a child."""
        self.running = 0
        """How many were given to children."""
        self.done = 0
        self.draining = False
        self.is_limited = False
        """Whether something of the last batch may run for some time only."""
        self.has_limits = False
        """Whether something of any batch may."""
        self.rests = False
        """Whether nothing new is taken for now: the machine is in use."""
        self.has_refused = False
        """Whether something of the last batch was refused: who has brought it delivers that."""
        self.is_in_lane = False
        """Whether a child asks and delivers: nobody else delivers then."""
        self.times_joined = 0
        self.masters = 1
        """How many masters of the farm it was given work by, one after the other."""
        self.kept: Kept | None = None
        """What is kept while there is no master; None: there is one."""
        self.code: dict[bytes, bytes] = {}
        """Parts of code sets, by hash; they stay as long as the farm."""
        self._modules: dict[bytes, dict[str, Entry]] = {}
        self.lines = Lines()
        """What its tasks have printed."""
        self._functions: dict[bytes, bytes] = {}
        self._known = known or KnownFunctions()
        self._handled: frozenset[bytes] = frozenset()
        """Functions that the farm's handlers do, and the modules that these need."""
        self._handlers_code = NOTHING
        self._last_function = self._last_pickled = b""
        self._outcomes: deque[Outcome] = deque()
        self._sequence = 0
        """Number of the last outcome."""

    def take_in(
        self,
        batch: int,
        tasks: Iterable[WireTask],
        functions: dict[bytes, bytes],
        limits: Mapping[int, float] = NO_LIMITS,
        code: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Take in a batch; one that was taken in before changes nothing.

        Args:
            limits: As in ``Instructions``, with *code*.
        """
        if batch <= self.acknowledged:
            return
        self.acknowledged = batch
        if code and not self._only_named:
            self.code.update(code)
        self.has_refused = False
        first = len(self.waiting)
        for task in tasks:
            if task.function != self._last_function:  # once more in a row makes no difference
                self._use(task.function, functions)
            if self._only_named and (refused := refuse(task, self._last_pickled)):
                self.has_refused = True
                self.tell([refused])
                continue
            self.waiting.append(Job(self, task, self._last_pickled))
        self.is_limited = bool(limits)
        if limits:
            self.has_limits = True
            for job in islice(self.waiting, first, None):
                job.limit_s = limits.get(job.task.task, 0.0)
        if self.takes_nothing:
            self.give_back_waiting()

    def take_handlers(self, given: GivenHandlers) -> None:
        """Have the tasks that the farm gives handlers for run where the modules of these are."""
        self._handled = frozenset(NAMED + name.encode() for name in given.tasks)
        self._handlers_code = CodeSet(given.code, given.parts)
        self.code.update(given.parts)

    def modules_of(self, code: bytes) -> dict[str, Entry]:
        """Return what a code set has that must be the same for all that a child runs."""
        modules = self._modules.get(code)
        if modules is None:
            entries = unpack_entries(self.code[code]) if code else ()
            named = ((each.file if each.kind == DATA else each.name, each) for each in entries)
            modules = {name: each for name, each in named if each.kind != MAIN}
            self._modules[code] = modules
        return modules

    def join_anew(self) -> None:
        """The master knows nothing of this slave any more: it sends batch 1, and all functions."""
        self.acknowledged = 0
        self.times_joined += 1
        self._functions.clear()
        self._last_function = b""
        self._known = KnownFunctions()

    def begin_to_keep(self, most_bytes: int) -> None:
        """The master is gone: keep what becomes of tasks, up to about so much."""
        self.kept = Kept(most_bytes, self._outcomes)
        self._outcomes = deque(self.kept.first)

    def end_keeping(self) -> None:
        """There is a master again, to which all of it is delivered."""
        if self.kept is not None:
            progress, self.kept = self.kept.progress(), None
            self.tell(progress)

    def change_master(self, jobs: Iterable[Job]) -> None:
        """It is another one than before.

        Args:
            jobs: What is with children.
        """
        self.masters += 1
        for job in (*self.waiting, *jobs):
            job.is_inherited = True

    def holds(self, jobs: Iterable[Job]) -> tuple[Hold, ...]:
        """Return what the master is to know that there is: each hand-out once.

        Args:
            jobs: What is with children, or in lanes.
        """
        ended = (each for each in self._outcomes if each.kind not in _GO_ON)
        tasks = (job.task for job in (*self.waiting, *jobs) if not job.is_unwanted)
        names = [(each.task, each.attempt, each.count) for each in ended]
        names += [(each.task, each.attempt, each.count) for each in tasks]
        return tuple(Hold(*each) for each in dict.fromkeys(names))

    def held_in_words(self, jobs: Iterable[Job]) -> str:
        """Return how many tasks ``holds`` is about, in words; empty if none."""
        ended = sum(each.count for each in self._outcomes if each.kind not in _GO_ON)
        runs = sum(job.task.count for job in jobs if not job.is_unwanted)
        waits = sum(job.task.count for job in self.waiting)
        counts = (ended, "ended"), (runs, "at work"), (waits, "waiting")
        words = [f"{count} {how}" for count, how in counts if count]
        total = ended + runs + waits
        return f"{total} task{'s' * (total != 1)} ({', '.join(words)})" if total else ""

    def give_to_lane(self) -> tuple[int, list[Outcome]]:
        """A child delivers and asks from now on; returns what is to be delivered.

        Returns:
            The number of the last outcome that the master has, and the outcomes after it.
        """
        outcomes = list(self._outcomes)
        self._outcomes.clear()
        self.is_in_lane = True
        return self._sequence - len(outcomes), outcomes

    def take_from_lane(self, batch: int, sequence: int, outcomes: Iterable[Outcome]) -> None:
        """The child does not any more.

        Args:
            batch: The last one that was taken in.
            sequence: As ``give_to_lane`` returns it, with *outcomes*.
        """
        self.is_in_lane = False
        self.acknowledged = max(self.acknowledged, batch)
        self._outcomes = deque([*outcomes, *self._outcomes])
        self._sequence = sequence + len(self._outcomes)

    def tell(self, outcomes: list[Outcome]) -> None:
        """Note what became of tasks, to be delivered."""
        if self.kept is not None:
            outcomes = self.kept.sift(outcomes)
        self._sequence += len(outcomes)
        self._outcomes.extend(outcomes)

    def hear(self, outcomes: list[Outcome], ended: int) -> None:
        """Note what became of tasks with children, of which so many hand-outs have ended."""
        self.running -= ended
        self.done += ended
        self.tell(outcomes)

    def give_up(self, job: Job, post_mortem: PostMortem, item: int) -> None:
        """The child that ran this job has died."""
        task = job.task
        payload = encode(post_mortem)
        lost = Outcome(task.task, task.attempt, task.count, LOST, payload, 0.0, item)
        self.hear([] if job.is_unwanted else [lost], 1)

    def raise_for(self, job: Job, raised: Raised, seconds: float) -> None:
        """The child that ran this job was ended for it: this is what it has raised, in a way."""
        task = job.task
        outcome = Outcome(task.task, task.attempt, task.count, RAISED, encode(raised), seconds)
        self.hear([] if job.is_unwanted else [outcome], 1)

    def put_back(self, jobs: list[Job]) -> None:
        """Take back what was given to a child and has not been started; it is next in the line."""
        self.running -= len(jobs)
        for job in reversed(jobs):
            if job.is_unwanted:
                continue
            if job.is_recalled or self.takes_nothing:
                self._give_back(job)
            else:
                self.waiting.appendleft(job)

    def mourn(self, jobs: list[Job], post_mortem: PostMortem) -> None:
        """A child has died that held these jobs, and had not started them."""
        for job in jobs:
            job.deaths += 1
        self.put_back([job for job in jobs if job.deaths < MAX_DEATHS])
        for job in jobs:
            if job.deaths >= MAX_DEATHS:
                self.give_up(job, post_mortem, -1)

    def stop(self, stops: Iterable[Stop]) -> Callable[[Job], bool]:
        """Drop hand-outs that nobody waits for; returns what tells whether a job is one of them."""
        return self._take_out(stops)[0]

    def recall(self, stops: Iterable[Stop]) -> Callable[[Job], bool]:
        """Give back what waits of these; returns what tells whether a job is one of them."""
        is_meant, waited = self._take_out(stops)
        for job in waited:
            self._give_back(job)
        return is_meant

    def give_back_waiting(self) -> None:
        """Hand what has not been given to a child back to the master."""
        while self.waiting:
            self._give_back(self.waiting.popleft())

    def give_back_running(self, jobs: Iterable[Job]) -> None:
        """Hand back what is with children; it must be stopped for it."""
        for job in jobs:
            if not job.is_unwanted:
                job.is_unwanted = True
                self._give_back(job)

    def to_deliver(self, max_bytes: int) -> tuple[int, tuple[Outcome, ...]]:
        """Return outcomes that are not acknowledged, oldest first, and the last one's number.

        Args:
            max_bytes: Stop before this many bytes of payload, but return one at least.
        """
        if self.is_in_lane:
            return self._sequence, ()
        count = size = 0
        for outcome in self._outcomes:
            size += len(outcome.payload)
            if count and size > max_bytes:
                break
            count += 1
        if count == len(self._outcomes):
            return self._sequence, tuple(self._outcomes)
        first = self._sequence - len(self._outcomes)
        return first + count, tuple(self._outcomes[index] for index in range(count))

    def acknowledge(self, sequence: int) -> None:
        """The master has these outcomes: forget them."""
        if self.is_in_lane:
            return
        has = sequence - (self._sequence - len(self._outcomes))
        if has >= len(self._outcomes):
            self._outcomes.clear()
        else:
            for _ in range(has):
                self._outcomes.popleft()

    @property
    def takes_nothing(self) -> bool:
        """Whether new hand-outs are given back, for good or for now."""
        return self.draining or self.rests or (self.kept is not None and self.kept.is_full)

    @property
    def has_outcomes(self) -> bool:
        """Whether something is to be delivered."""
        return bool(self._outcomes) and not self.is_in_lane

    def is_empty(self) -> bool:
        """Tell whether nothing waits, runs, or is to be delivered."""
        return not (self.waiting or self.running or self._outcomes or self.is_in_lane)

    def _use(self, function: bytes, new: dict[bytes, bytes]) -> None:
        pickled = new.get(function) or self._functions.get(function, b"")
        if not (pickled or self._only_named):  # which does not believe its master
            raise KeyError(function)
        self._functions[function] = pickled
        for forgotten in self._known.use(function, len(pickled)):
            del self._functions[forgotten]
        known = function if pickled else b""
        if pickled in self._handled:
            pickled = with_code(self._handlers_code, pickled)
        self._last_function, self._last_pickled = known, pickled

    def _take_out(self, stops: Iterable[Stop]) -> tuple[Callable[[Job], bool], list[Job]]:
        """Return what tells whether a job is one of these, and those that waited till now."""
        keys = {(stop.task, stop.attempt) for stop in stops}

        def is_meant(job: Job) -> bool:
            return job.work is self and (job.task.task, job.task.attempt) in keys

        waited = [job for job in self.waiting if is_meant(job)]
        if waited:
            self.waiting = deque(job for job in self.waiting if not is_meant(job))
        return is_meant, waited

    def _give_back(self, job: Job) -> None:
        task = job.task
        self.tell([Outcome(task.task, task.attempt, task.count, GIVEN_BACK, b"")])
