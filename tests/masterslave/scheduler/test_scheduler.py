"""The scheduler under random weather: every promise is checked after every event."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from masterslave.scheduler import (
    GiveUpTask,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    Scheduler,
    SendTasks,
    SlaveAsked,
    SlaveHeard,
    SlaveJoined,
    SlaveLeft,
    StopTasks,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
    TimePassed,
)
from masterslave.scheduler.check import Ledger, check_all
from masterslave.scheduler.transitions import (
    TABLE,
    IllegalTransition,
    Phase,
    Trigger,
    next_phase,
)

SILENCE_S, MAX_ATTEMPTS = 5.0, 3


class Weather(RuleBasedStateMachine):
    """Slaves that join, die, fall silent, answer late, twice, or for others; tasks come and go."""

    slaves = Bundle("slaves")
    buried = Bundle("buried")

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(silence_s=SILENCE_S, max_attempts=MAX_ATTEMPTS)
        self.ledger = Ledger(self.scheduler, SILENCE_S, MAX_ATTEMPTS)
        self.now = 0.0
        self.names = 0
        self.tasks = 0
        self.ever_sent: list[tuple[str, HandOut]] = []

    def say(self, event: object) -> None:
        for order in self.ledger.handle(event, self.now):  # type: ignore[arg-type]
            if isinstance(order, SendTasks):
                self.ever_sent += [(order.slave, hand_out) for hand_out in order.hand_outs]

    def pick(self, data: st.DataObject, slave: str | None = None) -> tuple[HandOut, ...]:
        mine = [h for holder, h in self.ever_sent if slave is None or holder == slave]
        if not mine:
            return ()
        return tuple(data.draw(st.lists(st.sampled_from(mine), max_size=4)))

    def first_of(self, slave: str) -> tuple[HandOut, ...]:
        held = [hand_out for hand_out, holder in self.ledger.out.items() if holder == slave]
        return tuple(held[:1])

    @rule(count=st.integers(1, 6))
    def submit(self, count: int) -> None:
        self.say(TasksSubmitted(tuple(range(self.tasks, self.tasks + count))))
        self.tasks += count

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.tasks:
            chosen = data.draw(st.lists(st.integers(0, self.tasks - 1), max_size=3, unique=True))
            self.say(TasksCancelled(tuple(chosen)))

    @rule(target=slaves, slots=st.integers(1, 3))
    def join(self, slots: int) -> str:
        self.names += 1
        self.say(SlaveJoined(f"s{self.names}", slots))
        return f"s{self.names}"

    @rule(slave=slaves, credit=st.integers(-1, 5))
    def ask(self, slave: str, credit: int) -> None:
        self.say(SlaveAsked(slave, credit))

    @rule(slave=slaves)
    def heard(self, slave: str) -> None:
        self.say(SlaveHeard(slave))

    @rule(target=buried, slave=consumes(slaves), in_peace=st.booleans())
    def leave(self, slave: str, in_peace: bool) -> str:
        self.say(SlaveLeft(slave, "its connection closed", in_peace))
        return slave

    @rule(slave=st.one_of(slaves, buried), data=st.data())
    def deliver(self, slave: str, data: st.DataObject) -> None:
        self.say(TasksReturned(slave, self.pick(data, slave)))

    @rule(slave=st.one_of(slaves, buried), data=st.data())
    def deliver_what_others_hold(self, slave: str, data: st.DataObject) -> None:
        self.say(TasksReturned(slave, self.pick(data)))

    @rule(slave=slaves, data=st.data())
    def lose_a_child(self, slave: str, data: st.DataObject) -> None:
        self.say(HandOutsLost(slave, self.pick(data, slave), "killed by signal 9"))

    @rule(slave=slaves)
    def lose_what_runs(self, slave: str) -> None:
        self.say(HandOutsLost(slave, self.first_of(slave), "killed by signal 9"))

    @rule(slave=slaves)
    def deliver_what_runs(self, slave: str) -> None:
        self.say(TasksReturned(slave, self.first_of(slave)))

    @rule(times=st.integers(1, 4), slots=st.integers(1, 2), credit=st.integers(1, 4))
    def machines_that_die_young(self, times: int, slots: int, credit: int) -> None:
        for _ in range(times):
            name = self.join(slots)
            self.ask(name, credit)
            self.leave(name, in_peace=False)

    @rule(slave=slaves, data=st.data())
    def give_back(self, slave: str, data: st.DataObject) -> None:
        self.say(HandOutsGivenBack(slave, self.pick(data, slave)))

    @rule(seconds=st.floats(0.0, SILENCE_S))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.say(TimePassed())

    @rule(task=st.integers(0, 3), attempt=st.integers(-1, 9))
    def deliver_nonsense(self, task: int, attempt: int) -> None:
        if all(hand_out != HandOut(task, attempt) for _, hand_out in self.ever_sent):
            self.say(TasksReturned("nobody", (HandOut(task, attempt),)))

    @invariant()
    def promises_are_kept(self) -> None:
        check_all(self.ledger)

    def teardown(self) -> None:
        """Fair weather at last: one healthy slave answers everything, and nothing is left."""
        self.say(SlaveJoined("last", 2))
        for _ in range(10 * self.tasks + 10):
            self.now += 0.01
            self.say(SlaveAsked("last", 5))
            held = tuple(h for h, slave in self.ledger.out.items() if slave == "last")
            self.say(TasksReturned("last", held))
            self.now += SILENCE_S
            self.say(SlaveHeard("last"))
            self.say(TimePassed())
            if not any(self.ledger.is_open(task) for task in self.ledger.submitted):
                break
        check_all(self.ledger)
        assert not [task for task in self.ledger.submitted if self.ledger.is_open(task)]


TestWeather = Weather.TestCase
TestWeather.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def make_scheduler() -> Scheduler:
    return Scheduler(silence_s=SILENCE_S, max_attempts=MAX_ATTEMPTS)


def sent(orders: list[object]) -> list[tuple[str, int, int]]:
    return [
        (order.slave, hand_out.task, hand_out.attempt)
        for order in orders
        if isinstance(order, SendTasks)
        for hand_out in order.hand_outs
    ]


def test_free_slots_are_served_before_anybody_is_fed_ahead() -> None:
    scheduler = make_scheduler()
    for name in ("a", "b"):
        scheduler.handle(SlaveJoined(name, 1), 0.0)
        scheduler.handle(SlaveAsked(name, 3), 0.0)
    orders = scheduler.handle(TasksSubmitted((0, 1)), 0.0)
    assert sorted(slave for slave, _, _ in sent(orders)) == ["a", "b"]


def test_a_slave_whose_task_came_back_is_served_before_a_busy_one() -> None:
    scheduler = make_scheduler()
    for name in ("a", "b"):
        scheduler.handle(SlaveJoined(name, 1), 0.0)
        scheduler.handle(SlaveAsked(name, 2), 0.0)
    scheduler.handle(TasksSubmitted((0, 1)), 0.0)
    scheduler.handle(TasksReturned("b", (HandOut(1, 1),)), 0.0)
    assert sent(scheduler.handle(TasksSubmitted((2,)), 0.0)) == [("b", 2, 1)]


def test_what_a_lost_slave_held_goes_to_the_front_in_its_order() -> None:
    scheduler = make_scheduler()
    scheduler.handle(SlaveJoined("a", 2), 0.0)
    scheduler.handle(SlaveAsked("a", 2), 0.0)
    scheduler.handle(TasksSubmitted((0, 1, 2, 3)), 0.0)
    scheduler.handle(SlaveLeft("a", "its connection closed"), 1.0)
    scheduler.handle(SlaveJoined("b", 4), 1.0)
    orders = scheduler.handle(SlaveAsked("b", 4), 1.0)
    assert sent(orders) == [("b", 0, 2), ("b", 1, 2), ("b", 2, 1), ("b", 3, 1)]


def test_a_late_result_is_the_answer_and_stops_the_second_attempt() -> None:
    scheduler = make_scheduler()
    for name in ("a", "b"):
        scheduler.handle(SlaveJoined(name, 1), 0.0)
        scheduler.handle(SlaveAsked(name, 1), 0.0)
    scheduler.handle(TasksSubmitted((0,)), 0.0)
    scheduler.handle(SlaveLeft("a", "silent"), 6.0)
    orders = scheduler.handle(TasksReturned("a", (HandOut(0, 1),)), 7.0)
    assert StopTasks("b", (HandOut(0, 2),)) in orders
    assert scheduler.state.counts.done == 1
    scheduler.handle(TasksReturned("b", (HandOut(0, 2),)), 8.0)
    assert (scheduler.state.counts.done, scheduler.state.counts.late) == (1, 1)


def test_a_lost_slave_is_held_against_the_tasks_that_it_ran_only() -> None:
    scheduler = make_scheduler()
    scheduler.handle(TasksSubmitted((0, 1, 2)), 0.0)
    for number in range(MAX_ATTEMPTS):
        scheduler.handle(SlaveJoined(f"s{number}", 1), 0.0)
        scheduler.handle(SlaveAsked(f"s{number}", 3), 0.0)
        orders = scheduler.handle(SlaveLeft(f"s{number}", "power cut"), 0.0)
    assert [order.task for order in orders if isinstance(order, GiveUpTask)] == [0]
    assert [scheduler.state.tasks[task].losses for task in (1, 2)] == [0, 0]


def test_leaving_in_peace_is_not_held_against_the_task() -> None:
    scheduler = make_scheduler()
    scheduler.handle(TasksSubmitted((0,)), 0.0)
    for number in range(MAX_ATTEMPTS + 2):
        scheduler.handle(SlaveJoined(f"s{number}", 1), 0.0)
        scheduler.handle(SlaveAsked(f"s{number}", 1), 0.0)
        scheduler.handle(SlaveLeft(f"s{number}", "stopped by its user", in_peace=True), 0.0)
    assert scheduler.state.tasks[0].phase is Phase.WAITING


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("trigger", Trigger)
def test_the_table_says_what_is_legal(phase: Phase, trigger: Trigger) -> None:
    if (phase, trigger) in TABLE:
        assert next_phase(phase, trigger) is TABLE[phase, trigger]
    else:
        with pytest.raises(IllegalTransition, match=phase.value):
            next_phase(phase, trigger)
