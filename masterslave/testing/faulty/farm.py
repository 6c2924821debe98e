"""A played farm, to which a plan of faults is done; and what it has to have kept in the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

from msgspec import Struct

from masterslave.scheduler.promises.broken import BrokenPromise
from masterslave.slave.work import Key
from masterslave.testing.faults import Fault, Kind, plan
from masterslave.testing.faulty.copies import Host, PlayedNames
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
        taken_over: How often a standby has gone on, or a master that had a standby.
        twice: Tasks that ran more than once.
        brought: Tasks that slaves have brought to a later master.
        facts: What the journal has in the end.
    """

    seconds: float
    tasks: int
    faults: int
    masters: int
    taken_over: int
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
        standby: Whether another host has a copy of the journal, and takes over.
    """

    def __init__(
        self,
        seed: int,
        *,
        slaves: int = 5,
        tasks: int = 60,
        seconds: float = 20.0,
        kinds: Sequence[str] = KINDS,
        standby: bool = False,
    ) -> None:
        self.again = f"python -m masterslave.testing --faults --seed {seed}{' --standby' * standby}"
        self.loop = Loop()
        self._random = random = Random(f"{seed}: a played farm")
        self.faults = plan(seed, seconds, [*kinds, Kind.KILL_STANDBY] if standby else kinds)
        self.script = Script(random, tasks, seconds * 2 / 3)
        self.judge = Judge(self.loop, self.script)
        self._names = PlayedNames(self.loop)
        self._hosts: list[Host] = []
        if standby:
            self._hosts = [
                Host(self.loop, random, self._names, 16 * letter, self._serve) for letter in "ab"
            ]
            self._hosts[0].other, self._hosts[1].other = self._hosts[1], self._hosts[0]
        self._disk = Disk()
        self._service: PlayedService | None = None
        self._slaves: list[PlayedSlave] = []
        self._wanted_slaves, self._names_given = slaves, 0
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
                if any(host.is_beside_another for host in self._hosts):
                    raise BrokenPromise("two masters acted at a time")
                epochs = [began.epoch for began in self.disk.seen.runs]
                if self._hosts and sorted(set(epochs)) != epochs:
                    raise BrokenPromise(f"the epochs were {epochs}")
                self.judge.judge_all(self.disk)
            except (BrokenPromise, ArithmeticError, LookupError, AssertionError) as error:
                said = f"{type(error).__name__}: {error}"
                raise BrokenPromise(f"at {loop.now:.3f} s: {said}; again: {self.again}") from error
        return FaultyReport(
            seconds=loop.now,
            tasks=len(self.script.tasks),
            faults=len(self.faults),
            masters=self.judge.masters,
            taken_over=sum(host.took_over for host in self._hosts),
            twice=self.judge.count_twice(),
            brought=self._brought + (0 if self.service is None else self.service.brought),
            facts=len(self.disk.all_facts()),
        )

    def _is_over(self) -> bool:
        if self.judge.wrong:
            return True
        return len(self._acknowledged) == len(self.script.parts) and not self.judge.open()

    @property
    def service(self) -> PlayedService | None:
        """The master that leads, or has led last."""
        if not self._hosts:
            return self._service
        serving = [host.service for host in self._hosts if host.service is not None]
        return max(serving, key=lambda one: one.epoch, default=None)

    @property
    def disk(self) -> Disk:
        """Its disk."""
        service = self.service
        return self._disk if service is None else service.disk

    def _begin(self) -> None:
        for host in self._hosts:
            host.start()
        if not self._hosts:
            self._start_master()
        for _ in range(self._wanted_slaves):
            self.loop.after(self._random.uniform(0, 1.0), self._start_slave)
        for number, part in enumerate(self.script.parts):
            self.loop.after(part[0].at_s, partial(self._submit, number))
        for fault in self.faults:
            self.loop.after(fault.at_s, partial(self._do, fault))

    def _start_master(self) -> None:
        self._service = self._serve(self._disk, 0)

    def _serve(self, disk: Disk, epoch: int) -> PlayedService:
        self.judge.note_master()
        told = partial(self.judge.note_told, disk)
        return PlayedService(self.loop, disk, self._random, self.script, told, epoch)

    def _start_slave(self) -> None:
        self._names_given += 1
        slots = self._random.choice((1, 1, 2))
        name = f"s{self._names_given}"
        slave = PlayedSlave(self.loop, self._random, self.script, self, name, slots)
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
            self.judge.note_acknowledged(service.disk, self.script.parts[number])

    # What slaves see (slave.Watcher).

    def find_master(self, slave: PlayedSlave) -> PlayedService | None:
        """See Watcher."""
        now, service = self.loop.now, self.service
        if now < slave.wire.cut_until or now < self._names.down_until:
            return None
        return None if service is None or service.is_dead else service

    def note_start(self, slave: PlayedSlave, tasks: Sequence[Played], key: Key) -> None:
        """See Watcher."""
        for task in tasks:
            self.judge.note_start(task, Start(self.loop.now, slave, key))

    def note_forgotten(self, slave: PlayedSlave, key: Key) -> None:
        """See Watcher."""
        if slave.master is not None:
            self.judge.note_forgotten(slave.master.disk, slave, key)

    # What is done.

    def _do(self, fault: Fault) -> None:
        now, for_s = self.loop.now, fault.for_s
        match fault.kind:
            case Kind.KILL_MASTER:
                self._kill_master(for_s)
            case Kind.STOP_MASTER:
                self._stop_master(for_s)
                self.judge.note_hurt_master(now, now + for_s)
            case Kind.KILL_NAMESERVER:
                self._names.die(for_s)
            case Kind.FULL_DISK:
                disk = self._hosts[fault.target % 2].disk if self._hosts else self._disk
                disk.full_until = max(disk.full_until, now + for_s)
            case Kind.CLOCK_BACK:
                self.loop.day -= for_s
            case Kind.KILL_STANDBY:
                self._kill_host(for_s, is_leading=False)
            case _:
                here = [slave for slave in self._slaves if not slave.is_dead]
                if here:
                    self._do_to_slave(fault, here[fault.target % len(here)])

    def _kill_master(self, for_s: float) -> None:
        if self._hosts:
            self._kill_host(for_s, is_leading=True)
            return
        service = self._service
        if service is None or service.is_dead:
            return
        service.die()
        self._brought += service.brought
        self.loop.after(for_s, self._start_master)

    def _kill_host(self, for_s: float, *, is_leading: bool) -> None:
        for host in self._hosts:
            if host.is_up and (host.service is not None) == is_leading:
                self._brought += host.service.brought if host.service is not None else 0
                host.die()
                self.loop.after(for_s, host.start)
                return

    def _stop_master(self, for_s: float) -> None:
        if self._service is not None:
            until = self.loop.now + for_s
            self._service.stopped_until = max(self._service.stopped_until, until)
        for host in self._hosts:
            if host.service is not None:
                host.stop(for_s)
                return

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
