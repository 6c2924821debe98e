"""The scheduler under random weather: every promise is checked after every event."""

from __future__ import annotations

from collections.abc import Mapping

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from masterslave.scheduler import (
    Event,
    Feeding,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    RecallTasks,
    Scheduler,
    SendTasks,
    SlaveAsked,
    SlaveHeard,
    SlaveJoined,
    SlaveLeft,
    SlaveReleased,
    SlaveUnable,
    SpanSubmitted,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
    Terms,
    TimePassed,
)
from masterslave.scheduler.check import check_all
from masterslave.scheduler.ledger import Ledger

SILENCE_S = 5.0
FEEDINGS = (
    Feeding(quarantine_s=1.0),
    Feeding(max_ahead=3, max_chunk=5),
    Feeding(feed_ahead_s=0.5, chunk_s=0.2, quarantine_s=0.0),
)
TIMES = (0.0, 1e-5, 0.001, 0.004, 0.01, 0.03, 0.3, 5.0)

terms = st.builds(
    Terms,
    function=st.integers(0, 2),
    priority=st.sampled_from((0, 0, 0, 1, -1)),
    retries=st.integers(0, 2),
    delay_s=st.sampled_from((0.0, 0.0, 0.5)),
    factor=st.sampled_from((1.0, 2.0)),
    max_attempts=st.integers(1, 3),
    repeatable=st.booleans(),
    chunk=st.sampled_from((0, 0, 0, 1, 4)),
    needs=st.sampled_from(((), (), (), (("gpu", 1.0),), (("gpu", 0.7), ("ram", 0.1)))),
    tags=st.sampled_from((frozenset(), frozenset(), frozenset("x"), frozenset("xy"))),
    owner=st.sampled_from(("", "", "one", "other")),
)
OFFERS = ({}, {"gpu": 1.0}, {"gpu": 2.5, "ram": 0.3})
TAGS = (frozenset(), frozenset("x"), frozenset("xyz"))


class Weather(RuleBasedStateMachine):
    """Slaves that join, die, fall silent, answer late, twice, or for others; tasks come and go."""

    slaves = Bundle("slaves")
    buried = Bundle("buried")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.names = 0
        self.tasks = 0
        self.ever_sent: list[tuple[str, HandOut]] = []
        self.recalled: list[tuple[str, HandOut]] = []
        self.choose_feeding(FEEDINGS[0])

    def choose_feeding(self, feeding: Feeding) -> None:
        scheduler = Scheduler(silence_s=SILENCE_S, feeding=feeding)
        self.ledger = Ledger(scheduler, silence_s=SILENCE_S, feeding=feeding)

    def say(self, event: Event) -> None:
        for order in self.ledger.handle(event, self.now):
            if isinstance(order, SendTasks):
                self.ever_sent += [(order.slave, hand_out) for hand_out in order.hand_outs]
            elif isinstance(order, RecallTasks):
                self.recalled += [(order.slave, hand_out) for hand_out in order.hand_outs]

    def pick(self, data: st.DataObject, slave: str | None = None) -> list[HandOut]:
        mine = [h for holder, h in self.ever_sent if slave is None or holder == slave]
        return data.draw(st.lists(st.sampled_from(mine), max_size=4)) if mine else []

    def first_of(self, slave: str, count: int = 1) -> list[HandOut]:
        """Return what a slave runs, or does next."""
        seat = self.ledger.seats.get(slave)
        if seat is None:
            return []
        keys = [*seat.started, *seat.ahead][:count]
        return [HandOut(*key, len(self.ledger.out[key].tasks)) for key in keys]

    def deliver(self, slave: str, hand_outs: list[HandOut], data: st.DataObject) -> None:
        tasks = [task for h in hand_outs for task in range(h.task, h.task + h.count)][:50]
        to_retry = data.draw(st.sets(st.sampled_from(tasks), max_size=3)) if tasks else ()
        one_s = data.draw(st.sampled_from(TIMES))
        seconds = [one_s * h.count for h in hand_outs]
        failed = data.draw(st.sets(st.sampled_from(tasks), max_size=3)) if tasks else set()
        failed |= set(to_retry)
        self.say(TasksReturned(slave, hand_outs, seconds, frozenset(to_retry), frozenset(failed)))

    @rule(feeding=st.sampled_from(FEEDINGS))
    def begin_anew(self, feeding: Feeding) -> None:
        if not self.tasks and not self.names:
            self.choose_feeding(feeding)

    @rule(count=st.integers(1, 6), terms=terms, size=st.sampled_from((0, 0, 10, 70_000_000)))
    def submit(self, count: int, terms: Terms, size: int) -> None:
        numbers = range(self.tasks, self.tasks + count)
        self.tasks += count
        self.say(TasksSubmitted(numbers, terms, [size] * count if size else ()))

    @rule(count=st.integers(1, 3), terms=terms, data=st.data(), is_span=st.booleans())
    def submit_after_others(
        self, count: int, terms: Terms, data: st.DataObject, is_span: bool
    ) -> None:
        first = self.tasks
        if not first:
            return
        after = data.draw(st.lists(st.integers(max(0, first - 20), first - 1), max_size=3))
        self.tasks += count
        if is_span:
            self.say(SpanSubmitted(first, count, terms, 0, after))
        else:
            self.say(TasksSubmitted(range(first, first + count), terms, (), after))

    @rule(count=st.integers(1, 60), terms=terms, item_bytes=st.sampled_from((0, 0, 10_000_000)))
    def submit_span(self, count: int, terms: Terms, item_bytes: int) -> None:
        self.tasks += count
        self.say(SpanSubmitted(self.tasks - count, count, terms, item_bytes))

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.tasks:
            chosen = data.draw(st.lists(st.integers(0, self.tasks - 1), max_size=3, unique=True))
            self.say(TasksCancelled(tuple(chosen)))

    @rule(data=st.data(), count=st.integers(1, 12))
    def cancel_row(self, data: st.DataObject, count: int) -> None:
        if self.tasks:
            first = data.draw(st.integers(0, self.tasks - 1))
            self.say(TasksCancelled(range(first, min(first + count, self.tasks))))

    @rule(
        target=slaves,
        slots=st.integers(1, 3),
        offers=st.sampled_from(OFFERS),
        tags=st.sampled_from(TAGS),
    )
    def join(
        self,
        slots: int,
        offers: Mapping[str, float] = OFFERS[2],
        tags: frozenset[str] = TAGS[2],
    ) -> str:
        self.names += 1
        self.say(SlaveJoined(f"s{self.names}", slots, offers, tags))
        return f"s{self.names}"

    @rule(slave=slaves, count=st.integers(1, 3))
    def is_unable(self, slave: str, count: int) -> None:
        for hand_out in self.first_of(slave, count):
            self.say(SlaveUnable(slave, hand_out, "no module named nothing"))

    @rule(slave=slaves, slots=st.sampled_from((-1, 0, 1, 1, 2, 3)))
    def ask(self, slave: str, slots: int) -> None:
        self.say(SlaveAsked(slave, slots))

    @rule(slave=slaves)
    def heard(self, slave: str) -> None:
        self.say(SlaveHeard(slave))

    @rule(slave=st.one_of(slaves, buried))
    def release(self, slave: str) -> None:
        self.say(SlaveReleased(slave))

    @rule(target=buried, slave=consumes(slaves), in_peace=st.booleans())
    def leave(self, slave: str, in_peace: bool) -> str:
        self.say(SlaveLeft(slave, "its connection closed", in_peace))
        return slave

    @rule(slave=st.one_of(slaves, buried), data=st.data())
    def deliver_anything(self, slave: str, data: st.DataObject) -> None:
        self.deliver(slave, self.pick(data, slave), data)

    @rule(slave=st.one_of(slaves, buried), data=st.data())
    def deliver_what_others_hold(self, slave: str, data: st.DataObject) -> None:
        self.deliver(slave, self.pick(data), data)

    @rule(slave=slaves, data=st.data(), count=st.integers(1, 6))
    def deliver_what_runs(self, slave: str, data: st.DataObject, count: int) -> None:
        self.deliver(slave, self.first_of(slave, count), data)

    @rule(slave=slaves, count=st.integers(1, 9), one_s=st.sampled_from(TIMES))
    def do_what_runs(self, slave: str, count: int, one_s: float) -> None:
        hand_outs = self.first_of(slave, count)
        self.say(TasksReturned(slave, hand_outs, [one_s * h.count for h in hand_outs]))

    @rule(slave=st.one_of(slaves, buried), data=st.data())
    def lie_about_what_others_hold(self, slave: str, data: st.DataObject) -> None:
        """Whatever it says is lost or given back, it changes nothing."""
        for hand_out in [h for h in self.pick(data) if (slave, h) not in self.ever_sent]:
            open_before = {*self.ledger.out}
            self.say(HandOutsLost(slave, hand_out, "it says", hand_out.task))
            self.say(HandOutsGivenBack(slave, (hand_out,)))
            assert open_before <= {*self.ledger.out}

    @rule(slave=slaves, data=st.data())
    def lose_a_child(self, slave: str, data: st.DataObject) -> None:
        for hand_out in self.pick(data, slave):
            culprit = data.draw(st.integers(hand_out.task - 1, hand_out.task + hand_out.count))
            self.say(HandOutsLost(slave, hand_out, "killed by signal 9", max(culprit, -1)))

    @rule(slave=slaves, knows=st.booleans(), data=st.data())
    def lose_what_runs(self, slave: str, knows: bool, data: st.DataObject) -> None:
        for hand_out in self.first_of(slave):
            last = hand_out.task + hand_out.count - 1
            culprit = data.draw(st.integers(hand_out.task, last)) if knows else -1
            self.say(HandOutsLost(slave, hand_out, "killed by signal 9", culprit))

    @rule(slave=slaves, data=st.data(), chunk=st.sampled_from((0, 4)), knows=st.booleans())
    def lose_a_chunk(self, slave: str, data: st.DataObject, chunk: int, knows: bool) -> None:
        """Of items that are out together, one kills their process."""
        self.submit_span(20, Terms(0, priority=1, chunk=chunk), 0)
        for hand_out in self.first_of(slave, 9):
            if hand_out.count > 1:
                tasks = range(hand_out.task, hand_out.task + hand_out.count)
                culprit = data.draw(st.sampled_from(tasks)) if knows else -1
                self.say(HandOutsLost(slave, hand_out, "killed by signal 9", culprit))
                break

    @rule(
        rounds=st.integers(1, 5),
        waits_s=st.sampled_from((0.0, 0.5, 1.0)),
        factor=st.sampled_from((1.0, 2.0)),
    )
    def raise_again_and_again(self, rounds: int, waits_s: float, factor: float) -> None:
        """What a slave runs raises, whenever it is run again."""
        slave = self.join(2)
        self.submit(1, Terms(0, priority=2, retries=3, delay_s=0.5, factor=factor), 0)
        for _ in range(rounds):
            held = self.first_of(slave, 3)
            tasks = frozenset(task for h in held for task in range(h.task, h.task + h.count))
            self.say(TasksReturned(slave, held, [0.001] * len(held), tasks))
            self.now += waits_s
            self.say(SlaveHeard(slave))
            self.say(TimePassed())

    @rule(
        slots=st.integers(1, 3),
        left=st.integers(1, 3),
        again=st.integers(1, 3),
        repeatable=st.booleans(),
        chunk=st.sampled_from((0, 0, 2)),
    )
    def stragglers(self, slots: int, left: int, again: int, repeatable: bool, chunk: int) -> None:
        """All is done but a few, which run and run, or are lost and run again."""
        slow, fast = self.join(slots), self.join(3)
        self.submit_span(16, Terms(1, priority=1, repeatable=repeatable, chunk=chunk), 0)
        for _ in range(self.tasks):
            for name in [name for name in self.ledger.seats if name != slow]:
                self.do_what_runs(name, 9, 0.001)
            self.do_what_runs(slow, max(0, len(self.first_of(slow, 9)) - left), 0.001)
            if not self.ledger.waiting_count:
                break
        for _ in range(again):
            self.deadlines_come(3)
            for hand_out in self.first_of(fast):
                self.say(HandOutsLost(fast, hand_out, "killed by signal 9"))

    @rule(data=st.data(), times=st.integers(1, 4), slots=st.integers(1, 2))
    def machines_that_die_young(self, data: st.DataObject, times: int, slots: int) -> None:
        for _ in range(times):
            name = self.join(slots)
            for hand_out in self.first_of(name):
                if data.draw(st.booleans()):
                    self.say(HandOutsLost(name, hand_out, "killed by signal 9"))
            self.leave(name, in_peace=False)

    @rule(slave=slaves, data=st.data())
    def give_back(self, slave: str, data: st.DataObject) -> None:
        self.say(HandOutsGivenBack(slave, self.pick(data, slave)))

    @rule(count=st.integers(1, 5))
    def answer_recalls(self, count: int) -> None:
        for slave, hand_out in self.recalled[:count]:
            self.say(HandOutsGivenBack(slave, (hand_out,)))
        del self.recalled[:count]

    @rule(rounds=st.integers(1, 7), dies=st.booleans(), drains=st.booleans())
    def fail_what_others_do(self, rounds: int, dies: bool, drains: bool) -> None:
        """A bad slave loses, or raises, what another one does, which may be about to leave."""
        bad, good = self.join(1), self.join(3)
        for _ in range(rounds):
            self.submit(2, Terms(0, priority=3, retries=3), 0)
            for hand_out in self.first_of(bad):
                if dies:
                    self.say(HandOutsLost(bad, hand_out, "killed by signal 9", hand_out.task))
                else:
                    items = frozenset(range(hand_out.task, hand_out.task + hand_out.count))
                    self.say(TasksReturned(bad, (hand_out,), (0.001,), items))
                self.say(SlaveAsked(bad, 0))
                self.say(HandOutsGivenBack(bad, self.first_of(bad, 9)))
            if drains:
                self.say(SlaveAsked(good, 0))
            self.say(SlaveAsked(bad, 1))
            self.do_what_runs(good, 9, 0.001)
            self.say(SlaveAsked(good, 3))

    @rule(seconds=st.floats(0.0, SILENCE_S))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.say(TimePassed())

    @rule(times=st.integers(1, 6))
    def deadlines_come(self, times: int) -> None:
        for _ in range(times):
            deadline = self.ledger.scheduler.next_deadline()
            if deadline is not None:
                for name in list(self.ledger.seats):
                    self.say(SlaveHeard(name))
                self.now = max(self.now, deadline)
                self.say(TimePassed())
                check_all(self.ledger)

    @rule(task=st.integers(0, 3), attempt=st.integers(-1, 9))
    def deliver_nonsense(self, task: int, attempt: int) -> None:
        if all(hand_out.attempt < attempt for _, hand_out in self.ever_sent) or attempt < 1:
            self.say(TasksReturned("nobody", (HandOut(task, attempt),), (0.1,)))

    @invariant()
    def promises_are_kept(self) -> None:
        check_all(self.ledger)

    def teardown(self) -> None:
        """Fair weather at last: one healthy slave answers everything, and nothing is left."""
        self.say(SlaveJoined("last", 2, OFFERS[2], TAGS[2]))
        for _ in range(10 * self.tasks + 10):
            self.now += 0.01
            self.do_what_runs("last", 50, 0.001)
            check_all(self.ledger)
            self.now += SILENCE_S
            self.say(SlaveHeard("last"))
            self.say(TimePassed())
            check_all(self.ledger)
            if not any(self.ledger.is_open(task) for task in range(self.tasks)):
                break
        assert not [task for task in range(self.tasks) if self.ledger.is_open(task)]


TestWeather = Weather.TestCase
TestWeather.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
