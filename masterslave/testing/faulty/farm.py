"""A played farm, to which a plan of faults is done; and what it has to have kept in the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

from msgspec import Struct

from masterslave.scheduler.promises.broken import BrokenPromise
from masterslave.slave.work import Key
from masterslave.testing.faults import Fault, Kind, plan
from masterslave.testing.faulty.disk import Disk
from masterslave.testing.faulty.judging import Judge, Start
from masterslave.testing.faulty.loop import Loop, on_fake_clock
from masterslave.testing.faulty.script import Played, Script
from masterslave.testing.faulty.service import PlayedService
from masterslave.testing.faulty.slave import PlayedSlave

__all__ = ["FaultyFarm", "FaultyReport"]

KINDS = tuple(kind for kind in Kind if kind is not Kind.KILL_STANDBY)
_PATIENCE_S = 400.0


class FaultyReport(Struct, frozen=True):
    """What has happened to a played farm.

    Attributes:
        seconds: On the fake clock.
        tasks: How many there were.
        faults: How many were done to it.
        masters: Runs of its master.
        twice: Tasks that ran more than once.
        brought: Tasks that slaves have brought to a later master.
        facts: What the journal has in the end.
    """

    seconds: float
    tasks: int
    faults: int
    masters: int
    twice: int
    brought: int
    facts: int


class FaultyFarm:
    """A farm with a journal, slaves that keep their work, and a script whose answers are known.

    Args:
        seed: Whatever happens is drawn from it.
        slaves: How many there are; each that is killed is followed by another one.
        tasks: How many are submitted, in the first two thirds of the time.
        seconds: How long faults are done to it.
        kinds: Which, of those that concern it.
    """

    def __init__(
        self,
        seed: int,
        *,
        slaves: int = 5,
        tasks: int = 60,
        seconds: float = 20.0,
        kinds: Sequence[str] = KINDS,
    ) -> None:
        self.again = f"python -m masterslave.testing --faults --seed {seed}"
        self.loop = Loop()
        self._random = random = Random(f"{seed}: a played farm")
        self.faults = plan(seed, seconds, kinds)
        self.script = Script(random, tasks, seconds * 2 / 3)
        self.disk = Disk()
        self.service: PlayedService | None = None
        self.judge = Judge(self.loop, self.script, self.disk)
        self._directory_down_until = 0.0
        self._slaves: list[PlayedSlave] = []
        self._wanted_slaves, self._names = slaves, 0
        self._acknowledged: set[int] = set()
        self._brought = 0

    def run(self) -> FaultyReport:
        """Run until every task has its answer.

        Raises:
            BrokenPromise: Something was not kept; the message says what, and how to see it again.

        Blocks: as long as it computes.
        """
        loop = self.loop
        with on_fake_clock(loop):
            try:
                self._begin()
                if not loop.run(self._is_over, _PATIENCE_S):
                    raise BrokenPromise(f"not settled in {_PATIENCE_S:g} s: {self.judge.open()}")
                if self.judge.wrong:
                    raise BrokenPromise(self.judge.wrong[0])
                self.judge.judge_all()
            except (BrokenPromise, ArithmeticError, LookupError, AssertionError) as error:
                said = f"{type(error).__name__}: {error}"
                raise BrokenPromise(f"at {loop.now:.3f} s: {said}; again: {self.again}") from error
        return FaultyReport(
            seconds=loop.now,
            tasks=len(self.script.tasks),
            faults=len(self.faults),
            masters=self.judge.masters,
            twice=self.judge.count_twice(),
            brought=self._brought + (0 if self.service is None else self.service.brought),
            facts=len(self.disk.all_facts()),
        )

    def _is_over(self) -> bool:
        if self.judge.wrong:
            return True
        return len(self._acknowledged) == len(self.script.parts) and not self.judge.open()

    def _begin(self) -> None:
        self._start_master()
        for _ in range(self._wanted_slaves):
            self.loop.after(self._random.uniform(0, 1.0), self._start_slave)
        for number, part in enumerate(self.script.parts):
            self.loop.after(part[0].at_s, partial(self._submit, number))
        for fault in self.faults:
            self.loop.after(fault.at_s, partial(self._do, fault))

    def _start_master(self) -> None:
        self.judge.note_master()
        self.service = PlayedService(
            self.loop, self.disk, self._random, self.script, self.judge.note_told
        )

    def _start_slave(self) -> None:
        self._names += 1
        slots = self._random.choice((1, 1, 2))
        slave = PlayedSlave(self.loop, self._random, self.script, self, f"s{self._names}", slots)
        self._slaves.append(slave)

    def _submit(self, number: int) -> None:
        """The script submits, again and again until it is told that this is on the disk."""
        if number in self._acknowledged:
            return
        service = self.service
        if service is not None and not service.is_dead and service.stopped_until <= self.loop.now:
            part = self.script.parts[number]
            service.submit(part, partial(self._acknowledge, number, service))
        self.loop.after(2.0, partial(self._submit, number))

    def _acknowledge(self, number: int, service: PlayedService) -> None:
        if not service.is_dead:
            self._acknowledged.add(number)
            self.judge.note_acknowledged(self.script.parts[number])

    # What slaves see (slave.Watcher).

    def find_master(self, slave: PlayedSlave) -> PlayedService | None:
        """See Watcher."""
        now, service = self.loop.now, self.service
        if now < slave.wire.cut_until or now < self._directory_down_until:
            return None
        return None if service is None or service.is_dead else service

    def note_start(self, slave: PlayedSlave, tasks: Sequence[Played], key: Key) -> None:
        """See Watcher."""
        for task in tasks:
            self.judge.note_start(task, Start(self.loop.now, slave, key))

    def note_forgotten(self, slave: PlayedSlave, key: Key) -> None:
        """See Watcher."""
        self.judge.note_forgotten(slave, key)

    # What is done.

    def _do(self, fault: Fault) -> None:
        now, for_s = self.loop.now, fault.for_s
        match fault.kind:
            case Kind.KILL_MASTER:
                self._kill_master(for_s)
            case Kind.STOP_MASTER:
                if self.service is not None:
                    self.service.stopped_until = max(self.service.stopped_until, now + for_s)
                    self.judge.note_hurt_master(now, now + for_s)
            case Kind.KILL_NAMESERVER:
                self._directory_down_until = max(self._directory_down_until, now + for_s)
            case Kind.FULL_DISK:
                self.disk.full_until = max(self.disk.full_until, now + for_s)
            case Kind.CLOCK_BACK:
                self.loop.day -= for_s
            case Kind.KILL_STANDBY:
                pass
            case _:
                here = [slave for slave in self._slaves if not slave.is_dead]
                if here:
                    self._do_to_slave(fault, here[fault.target % len(here)])

    def _kill_master(self, for_s: float) -> None:
        service = self.service
        if service is None or service.is_dead:
            return
        service.die()
        self._brought += service.brought
        self.loop.after(for_s, self._start_master)

    def _do_to_slave(self, fault: Fault, slave: PlayedSlave) -> None:
        now, wire = self.loop.now, slave.wire
        until = now + fault.for_s
        slave.hurt.append((now, until))
        match fault.kind:
            case Kind.KILL_SLAVE:
                slave.hurt[-1] = (now, float("inf"))
                slave.die()
                self._slaves.remove(slave)
                self.loop.after(fault.for_s, self._start_slave)
            case Kind.STOP_SLAVE:
                slave.stopped_until = max(slave.stopped_until, until)
            case Kind.KILL_CHILD | Kind.OUT_OF_MEMORY:
                slave.lose_child(fault.target)
            case Kind.CUT:
                wire.cut_until = max(wire.cut_until, until)
            case Kind.HALF_OPEN:
                if slave.master is not None:
                    slave.master.lose(slave.token)
            case Kind.SLOW:
                wire.slow_until = max(wire.slow_until, until)
            case Kind.LOSSY:
                wire.lossy_until = max(wire.lossy_until, until)
            case Kind.DUPLICATE:
                wire.double_until = max(wire.double_until, until)
            case Kind.TRUNCATE:
                wire.short_until = max(wire.short_until, until)
