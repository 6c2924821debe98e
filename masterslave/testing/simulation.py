"""The simulated farm: an event heap, a fake clock, the real scheduler, and toy slaves."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random

import msgspec

from masterslave.scheduler import (
    DismissSlave,
    Event,
    Feeding,
    HandOut,
    Order,
    RecallTasks,
    Scheduler,
    SendTasks,
    SlaveJoined,
    StopTasks,
    TimePassed,
)
from masterslave.scheduler.check import LASTING, MOMENTARY, check_all, check_event
from masterslave.scheduler.ledger import Ledger
from masterslave.scheduler.promises.broken import BrokenPromise
from masterslave.testing.climate import Climate
from masterslave.testing.report import SimReport
from masterslave.testing.toys import ToySlave
from masterslave.testing.workload import OFFERS, Workload

__all__ = ["SimFarm"]

_spell = msgspec.json.Encoder(order="deterministic", enc_hook=list).encode

_MOST_EVENTS_A_TASK = 1000
"""A farm that needs more of them runs in circles."""


class SimFarm:
    """A farm of toy slaves under a random climate; equal seeds and options, equal runs.

    Args:
        seed: Whatever happens is drawn from it.
        slaves: How many there are, about: for each that goes, a new one joins.
        slots: Tasks that a slave runs at once; a sequence has each choose among them.
        tasks: How many are submitted, items of spans among them.
        climate: What happens, and how often; None draws that from the seed as well.
        feeding: As the scheduler's.
        silence_s: As the scheduler's.
        check_every: After so many events, the promises are checked that look at everything; the
            others after each. 0 checks nothing, and keeps no ledger.
        traced: Whether the report holds a hash of all events and orders.

    Threads: the one that calls ``run``, which needs no other.
    """

    def __init__(
        self,
        seed: int,
        *,
        slaves: int = 100,
        slots: int | tuple[int, ...] = 1,
        tasks: int = 10_000,
        climate: Climate | None = None,
        feeding: Feeding | None = None,
        silence_s: float = 5.0,
        check_every: int = 100,
        traced: bool = False,
    ) -> None:
        self._again = (
            f"SimFarm({seed}, {slaves=}, {slots=}, {tasks=}, {climate=}, {feeding=}, {silence_s=}, "
            f"check_every=1).run()"
        )
        self.random = Random(seed)
        self.climate = climate or Climate.of(self.random)
        self.silence_s = silence_s
        self.heartbeat_s = silence_s / 4
        self._slots = (slots,) if isinstance(slots, int) else slots
        self._wanted_slaves = slaves
        self._check_every = check_every
        self._workload = Workload(self.random, self.climate, tasks)
        self._scheduler = Scheduler(silence_s=silence_s, feeding=feeding)
        self._ledger = (
            Ledger(self._scheduler, silence_s=silence_s, feeding=feeding or Feeding())
            if check_every
            else None
        )
        self._trace = hashlib.blake2b(digest_size=16) if traced else None
        self._slaves: dict[str, ToySlave] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = count()
        self._names = count(1)
        self._now = 0.0
        self._timer_at = float("inf")
        self._to_submit = 0
        self._events = self._checks = 0
        self._scheduler_s = 0.0
        self._slots_here = self._running = 0
        self._counted_at = self._busy_s = self._idle_s = 0.0

    def run(self) -> SimReport:
        """Run until every task has its end.

        Raises:
            BrokenPromise: The scheduler has done what it must not; the message says what, and how
                to see it again.

        Blocks: as long as it computes; it waits for nothing.
        """
        try:
            self._schedule_all()
            self._run()
            if self._ledger is not None:
                check_all(self._ledger)
        except (BrokenPromise, ArithmeticError, LookupError, AssertionError) as error:
            error.add_note(f"at {self._now} s; again: {self._again}")
            raise BrokenPromise(f"{error}; again: {self._again}") from error
        return self._report()

    # What toy slaves need (toys.World).

    def now(self) -> float:
        """Return the time of the fake clock."""
        return self._now

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later."""
        heappush(self._heap, (self._now + seconds, next(self._sequence), act))

    def say(self, event: Event) -> None:
        """Tell the scheduler, and carry out what it says."""
        self._events += 1
        begin = time.process_time()
        if self._ledger is None:
            orders = self._scheduler.handle(event, self._now)
            self._scheduler_s += time.process_time() - begin
        else:
            orders = self._ledger.handle(event, self._now)
            self._check(self._ledger)
        if self._trace is not None:
            for said in (event, *orders):
                self._trace.update(f"{self._now!r} {type(said).__name__} ".encode())
                self._trace.update(_spell(said))
        for order in orders:
            self._carry_out(order)
        self._set_timer()

    def seconds_of(self, hand_out: HandOut) -> float:
        """Return how long a hand-out takes on a usual slave."""
        return self._workload.seconds_of(hand_out)

    def limit_of(self, hand_out: HandOut) -> float:
        """Return how long a hand-out may run, in seconds."""
        return self._workload.limit_of(hand_out)

    def killer_in(self, hand_out: HandOut) -> int | None:
        """Return the task of it that kills its process."""
        return self._workload.killer_in(hand_out)

    def raising_in(self, hand_out: HandOut, *, is_bad: bool) -> list[int]:
        """Return those tasks of it that raise."""
        return self._workload.raising_in(hand_out, is_bad=is_bad)

    def has_retries(self, task: int) -> bool:
        """Tell whether a task that raises is to be run again."""
        return self._workload.terms_of(task).retries > 0

    def is_unable(self, host: int, hand_out: HandOut) -> bool:
        """Tell whether the slaves of a host cannot run the function of this."""
        return self._workload.is_unable(host, hand_out)

    def count_running(self, slots: int, hand_outs: int) -> None:
        """Note that so many more slots are there, and so many more hand-outs run."""
        since_s = self._now - self._counted_at
        if since_s > 0.0:
            self._counted_at = self._now
            self._busy_s += since_s * self._running
            idle = self._slots_here - self._running
            if idle > 0:
                counts, state = self._scheduler.state.counts, self._scheduler.state
                ended = counts.done + counts.given_up + counts.cancelled
                unstarted = counts.submitted - ended - self._running
                self._idle_s += since_s * max(0, min(idle, unstarted)) if state.tasks else 0.0
        self._slots_here += slots
        self._running += hand_outs

    # What happens.

    def _schedule_all(self) -> None:
        random, climate = self.random, self.climate
        for number in range(self._wanted_slaves):
            wait_s = 0.0 if number == 0 else random.uniform(0, climate.join_within_s)
            self.after(wait_s, partial(self._join, number))
        submissions = list(self._workload.submissions())
        moments = sorted(random.uniform(0, climate.submit_within_s) for _ in submissions)
        self._to_submit = len(submissions)
        for moment, event in zip(moments, submissions, strict=True):
            self.after(moment, partial(self._submit, event))
        last = climate.submit_within_s + 1.0
        for cancelled in self._workload.cancellations():
            self.after(random.uniform(0, last), partial(self.say, cancelled))
        if climate.mishap_every_s:
            self._await_mishap()

    def _run(self) -> None:
        heap, most = self._heap, 10_000 + _MOST_EVENTS_A_TASK * self._workload.tasks
        steps = 0
        while self._to_submit or self._scheduler.state.tasks:
            if not heap or steps > most:
                raise BrokenPromise(f"nothing is lost: {len(self._scheduler.state.tasks)} are left")
            self._now, _, act = heappop(heap)
            act()
            steps += 1

    def _submit(self, event: Event) -> None:
        self._to_submit -= 1
        self.say(event)

    def _join(self, host: int) -> None:
        random, climate = self.random, self.climate
        name = f"s{next(self._names)}"
        slave = ToySlave(
            self,
            name,
            random.choice(self._slots),
            pace=10.0 if random.random() < climate.slow_share else 1.0,
            is_bad=random.random() < climate.bad_share,
            host=host,
        )
        self._slaves[name] = slave
        tags = {f"on:h{host}", "code"} if host % 3 != 1 else {f"on:h{host}"}
        if host % 4 == 0:
            tags.add("task:frame")
        self.say(SlaveJoined(name, slave.slots, OFFERS[host % len(OFFERS)], frozenset(tags)))

    def _await_mishap(self) -> None:
        self.after(self.random.expovariate(1 / self.climate.mishap_every_s), self._have_mishap)

    def _have_mishap(self) -> None:
        self._await_mishap()
        here = [slave for slave in self._slaves.values() if slave.is_here and slave.is_known]
        if not here:
            return
        slave, random = self.random.choice(here), self.random
        match random.choice(("crash", "cable", "cut", "sleep", "drain", "slots")):
            case "crash":
                slave.crash()
            case "cable":
                slave.lose_its_cable()
            case "cut":
                slave.be_cut_off(random.uniform(0.0, 2 * self.silence_s))
                return
            case "sleep":
                slave.sleep(random.uniform(0.0, 4 * self.silence_s))
                return
            case "drain":
                slave.drain()
            case _:
                slave.change_slots(random.choice((0, *self._slots)))
                self.after(self.silence_s, partial(self._give_slots_back, slave))
                return
        self.after(random.uniform(0, 1.0), partial(self._join, slave.host))

    def _give_slots_back(self, slave: ToySlave) -> None:
        if slave.is_here and slave.is_known:
            slave.change_slots(self.random.choice(self._slots))

    def _carry_out(self, order: Order) -> None:
        match order:
            case SendTasks() | StopTasks() | RecallTasks():
                self._slaves[order.slave].post(order)
            case DismissSlave():
                slave = self._slaves[order.slave]
                slave.be_dismissed()
                if slave.is_here:  # it was cut off: it comes back under another name
                    wait_s = max(0.0, slave.cut_off_until - self._now)
                    self.after(wait_s + self.climate.exchange_s, partial(self._join, slave.host))

    def _set_timer(self) -> None:
        deadline = self._scheduler.next_deadline()
        if deadline is not None and deadline < self._timer_at:
            self._timer_at = max(deadline, self._now)
            heappush(self._heap, (self._timer_at, next(self._sequence), self._let_time_pass))

    def _let_time_pass(self) -> None:
        self._timer_at = float("inf")
        deadline = self._scheduler.next_deadline()
        if deadline is not None and deadline <= self._now:
            self.say(TimePassed())
        else:
            self._set_timer()

    def _check(self, ledger: Ledger) -> None:
        if self._events % self._check_every:
            check_event(ledger)
            self._checks += len(MOMENTARY)
        else:
            check_all(ledger)
            self._checks += len(MOMENTARY) + len(LASTING)

    def _report(self) -> SimReport:
        self.count_running(0, 0)
        counts = self._scheduler.state.counts
        return SimReport(
            seconds=self._now,
            submitted=counts.submitted,
            done=counts.done,
            given_up=counts.given_up,
            cancelled=counts.cancelled,
            handed_out=counts.handed_out,
            handed_out_again=counts.handed_out_again,
            retried=counts.retried,
            speculated=counts.speculated,
            recalled=counts.recalled,
            late=counts.late,
            slaves_joined=counts.slaves_joined,
            slaves_left=counts.slaves_left,
            slaves_lost=counts.slaves_lost,
            slaves_quarantined=counts.slaves_quarantined,
            slaves_released=counts.slaves_released,
            busy_slot_s=self._busy_s,
            idle_slot_s=self._idle_s,
            events=self._events,
            checks=self._checks,
            trace=self._trace.hexdigest() if self._trace is not None else "",
            scheduler_s=self._scheduler_s,
        )
