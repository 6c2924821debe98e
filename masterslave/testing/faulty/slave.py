"""A slave of a played farm: what it holds is the real ``FarmWork``; its children only take time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Protocol

import msgspec

from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from masterslave.protocol.outcomes import ENDS, PostMortem
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from masterslave.slave.epochs import Epochs
from masterslave.slave.keeping import KEPT_BYTES, Countdown, Happening, State, state_after
from masterslave.slave.work import FarmWork, Job, Key
from masterslave.testing.faulty.disk import Disk
from masterslave.testing.faulty.loop import Loop
from masterslave.testing.faulty.script import Played, Script, outcome_of
from masterslave.testing.faulty.wire import Callee, NobodyListens, Wire

__all__ = ["Master", "PlayedSlave", "Watcher"]

_PATIENCE_S = 10.0
_RETRY_S = 0.3
_LOOK_S = 0.25
_ANSWER_S = 5.0
_GATHER_S = 0.04
_MOST_BYTES = 1 << 20
_NAMES = 8
"""A master knows a slave by so many of the names that it had."""


class Master(Callee, Protocol):
    """A master, as slaves find it."""

    epoch: int
    disk: Disk


class Watcher(Protocol):
    """Looks at what happens, from everywhere at once."""

    def find_master(self, slave: PlayedSlave) -> Master | None:
        """Return the master that is registered, as this slave can see."""

    def note_start(self, slave: PlayedSlave, tasks: Sequence[Played], key: Key) -> None:
        """A child begins with a hand-out."""

    def note_forgotten(self, slave: PlayedSlave, key: Key) -> None:
        """A slave need not keep the outcome of a hand-out any more, which is an answer."""


class PlayedSlave:
    """One slave, which lives until it is killed.

    Attributes:
        hurt: From when to when something was done to it, or to its way to the master.
        stopped_until: It is stopped.
    """

    def __init__(
        self, loop: Loop, random: Random, script: Script, watcher: Watcher, name: str, slots: int
    ) -> None:
        self.name, self.slots = name, slots
        self.wire = Wire(loop, random)
        self.hurt: list[tuple[float, float]] = []
        self.stopped_until = 0.0
        self.is_dead = False
        self.master: Master | None = None
        self.token = ""
        self._last: Master | None = None
        self._epochs = Epochs()
        self._loop, self._random, self._script, self._watcher = loop, random, script, watcher
        self._work = FarmWork()
        self._children: dict[Key, Job] = {}
        self._taken_in: dict[Key, int] = {}
        """How often it had joined when it was given each hand-out."""
        self._state = State.JOINING
        self._session = 0
        self._is_delivering = self._is_joining = False
        self._silent_since: float | None = None
        self._countdown: Countdown | None = None
        self._farm_id = ""
        self._look()

    # What is done to it.

    def die(self) -> None:
        """Its processes are killed; what it called notices at once, if there is a way."""
        self.is_dead = True
        self._children.clear()
        master, token = self.master, self.token
        if master is not None and self._loop.now >= self.wire.cut_until:
            self._loop.after(0.001, lambda: master.lose(token))

    def lose_child(self, pick: int) -> None:
        """One of its processes dies."""
        if not self._children:
            return
        key = list(self._children)[pick % len(self._children)]
        job = self._children.pop(key)
        self._work.give_up(job, PostMortem("killed by signal 9"), 0)
        self._go_on()

    def _awake(self, act: Callable[[], None]) -> bool:
        """Tell whether its processes run; if they are stopped, *act* comes later."""
        if self.is_dead:
            return False
        wait_s = self.stopped_until - self._loop.now
        if wait_s > 0:
            self._loop.after(wait_s, act)
            return False
        return True

    # Masters, one after the other.

    def _look(self) -> None:
        if not self._awake(self._look):
            return
        if self._state in (State.SERVING, State.OVER):
            return
        if self._countdown is not None and not self._countdown.left_s(self._loop.now):
            self._drop_all()
        found = self._watcher.find_master(self)
        if found is not None and not self._is_joining:
            self._join(found)
        self._loop.after(_LOOK_S, self._look)

    def _drop_all(self) -> None:
        self._work, self._children, self._countdown = FarmWork(), {}, None
        self._farm_id, self.token, self._last, self._state = "", "", None, State.JOINING

    def _join(self, master: Master) -> None:
        self._is_joining = True
        introduction = Introduction(
            VERSION, self.name, f"host of {self.name}", 1, self.slots, sys.version_info[:2],
            formerly=self.token, farm_id=self._farm_id,
            holds=self._work.holds(self._children.values()) if self._farm_id else (),
        )  # fmt: skip

        def then(answer: bytes | Exception) -> None:
            if not self._awake(lambda: then(answer)):
                return
            self._is_joining = False
            if not isinstance(answer, Exception):
                self._be_welcome(master, decode(answer, Welcome))
            elif self._state is State.SERVING and not self._is_gone(answer):
                self._is_joining = True
                self._loop.after(_RETRY_S, lambda: self._join(master))

        self.wire.call(master, "", "join", encode(introduction), _ANSWER_S, then)

    def _be_welcome(self, master: Master, welcome: Welcome) -> None:
        if self._epochs.note(welcome):  # it was succeeded
            self._be_left()
            return
        is_another = self._last is not None and master is not self._last
        self.master = self._last = master
        self.token, self._farm_id = welcome.slave, welcome.farm_id
        self._state, self._countdown, self._silent_since = State.SERVING, None, None
        self._work.join_anew()
        self._work.end_keeping()
        if is_another:
            self._work.change_master(self._children.values())
        self._session += 1
        self._is_delivering = False
        self._poll(self._session)
        self._deliver_soon()

    def _be_left(self) -> None:
        """The master is gone: what is held is kept for the next one."""
        if self._state is not State.SERVING:
            return
        keeps = not self._work.is_empty()
        self._session += 1
        self.master = None
        self._state = state_after(self._state, Happening.GONE, keeps=keeps)
        if self._state is State.KEPT:
            self._work.begin_to_keep(KEPT_BYTES)
            self._countdown = Countdown(60.0, self._loop.now)
            self._loop.after(0.5, self._count_down)
        else:
            self._drop_all()
        self._look()

    def _count_down(self) -> None:
        if self._countdown is not None and self._awake(self._count_down):
            self._countdown.left_s(self._loop.now)
            self._loop.after(0.5, self._count_down)

    # The two verbs.

    def _call(
        self, verb: str, message: bytes, timeout_s: float, then: Callable[[Instructions], None],
        again: Callable[[int], None],
    ) -> None:  # fmt: skip
        session, token = self._session, self.token

        def answered(answer: bytes | Exception) -> None:
            if not self._awake(lambda: answered(answer)) or session != self._session:
                return
            if not isinstance(answer, Exception):
                self._silent_since = None
                told = decode(answer, Instructions)
                if told.unknown:
                    if not self._is_joining and self.master is not None:
                        self._join(self.master)
                else:
                    then(told)
                return
            if not self._is_gone(answer):
                self._loop.after(_RETRY_S * self._random.random(), lambda: again(session))

        self.wire.call(self.master, token, verb, message, timeout_s, answered)

    def _is_gone(self, error: Exception) -> bool:
        """The master has not answered: tell whether it is taken to be gone."""
        now = self._loop.now
        self._silent_since = now if self._silent_since is None else self._silent_since
        is_gone = isinstance(error, NobodyListens) or now - self._silent_since > _PATIENCE_S
        if is_gone:
            self._be_left()
        return is_gone

    def _poll(self, session: int) -> None:
        if not self._awake(lambda: self._poll(session)) or session != self._session:
            return

        def then(told: Instructions) -> None:
            self._take(told)
            self._poll(session)

        ask = Ask(self.token, self.slots, self._work.acknowledged)
        self._call("next", encode(ask), 1.0 + _ANSWER_S, then, self._poll)

    def _deliver_soon(self) -> None:
        if self._state is State.SERVING and not self._is_delivering and self._work.has_outcomes:
            self._is_delivering = True
            session = self._session
            self._loop.after(_GATHER_S * self._random.random(), lambda: self._deliver(session))

    def _deliver(self, session: int) -> None:
        if not self._awake(lambda: self._deliver(session)) or session != self._session:
            return

        def then(told: Instructions) -> None:
            self._is_delivering = False
            self._take(told)
            self._deliver_soon()

        work = self._work
        sequence, outcomes = work.to_deliver(_MOST_BYTES)
        delivery = Delivery(self.token, sequence, outcomes, self.slots, work.acknowledged)
        self._call("deliver", encode(delivery), _ANSWER_S, then, self._deliver)

    def _take(self, told: Instructions) -> None:
        work = self._work
        _, before = work.to_deliver(_MOST_BYTES)
        work.acknowledge(told.delivered)
        _, after = work.to_deliver(_MOST_BYTES)
        for outcome in before[: len(before) - len(after)]:
            key = (outcome.task, outcome.attempt)
            rejoined = work.times_joined - self._taken_in.pop(key, work.times_joined)
            if outcome.kind in ENDS and rejoined < _NAMES:
                self._watcher.note_forgotten(self, key)
        if told.batch <= work.acknowledged:
            return
        taken_in = [(task.task, task.attempt) for task in told.tasks]
        self._taken_in.update(dict.fromkeys(taken_in, work.times_joined))
        work.take_in(told.batch, told.tasks, told.functions, told.limits, told.code)
        if told.stops:
            is_meant = work.stop(told.stops)
            for key in [key for key, job in self._children.items() if is_meant(job)]:
                self._children.pop(key).is_unwanted = True
                work.hear([], 1)
        if told.recalls:
            work.recall(told.recalls)
        self._go_on()

    # Its children.

    def _go_on(self) -> None:
        work = self._work
        while work.waiting and len(self._children) < self.slots:
            job = work.waiting.popleft()
            work.running += 1
            key = (job.task.task, job.task.attempt)
            if key in self._children:  # it runs already: handed out anew by the same number
                work.running -= 1
                continue
            self._children[key] = job
            tasks = self._tasks_of(job)
            self._watcher.note_start(self, tasks, key)
            seconds = sum(task.seconds for task in tasks)
            self._loop.after(seconds, partial(self._end, key, job, seconds))
        self._deliver_soon()

    def _tasks_of(self, job: Job) -> list[Played]:
        indices = msgspec.msgpack.decode(job.task.arguments, type=list[int])
        return [self._script.tasks[index] for index in indices]

    def _end(self, key: Key, job: Job, seconds: float) -> None:
        if not self._awake(lambda: self._end(key, job, seconds)):
            return
        if self._children.get(key) is not job:
            return
        del self._children[key]
        tasks = self._tasks_of(job)
        for item, task in enumerate(tasks):
            if task.kind == "kills":
                self._work.give_up(job, PostMortem("killed by signal 11"), item)
                break
        else:
            outcome = outcome_of(tasks, job.task.attempt, job.task.task, seconds)
            self._work.hear([] if job.is_unwanted else [outcome], 1)
        self._go_on()
