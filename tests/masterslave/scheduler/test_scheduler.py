"""The scheduler's rules, one by one; the weather and the simulation look at them together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from masterslave.scheduler import (
    Feeding,
    GiveUpTask,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    Order,
    Phase,
    RecallTasks,
    Scheduler,
    SendTasks,
    SettleTasks,
    SlaveAsked,
    SlaveHeard,
    SlaveJoined,
    SlaveLeft,
    SpanSubmitted,
    StopTasks,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
    Terms,
    TimePassed,
    Wait,
    WaitsFor,
    wait_of,
    wait_of_task,
)
from masterslave.scheduler.transitions import TABLE, IllegalTransition, Trigger, next_phase

ONCE = Terms(1, max_attempts=3)


def make_scheduler(*slots: int, known_s: float | None = None) -> Scheduler:
    """Return one with slaves a, b, ... of so many slots; *known_s* is known of function 1."""
    scheduler = Scheduler(silence_s=5.0, feeding=Feeding(feed_ahead_s=0.05))
    if known_s is not None:
        for _ in range(10):
            scheduler.state.estimates.note(1, [known_s])
    for name, count in zip("abcdef", slots, strict=False):
        scheduler.handle(SlaveJoined(name, count), 0.0)
    return scheduler


def sent(orders: Sequence[Order]) -> list[tuple[str, int, int, int]]:
    return [
        (order.slave, h.task, h.attempt, h.count)
        for order in orders
        if isinstance(order, SendTasks)
        for h in order.hand_outs
    ]


def settled(orders: Sequence[Order]) -> list[HandOut]:
    return [h for order in orders if isinstance(order, SettleTasks) for h in order.hand_outs]


def returned(slave: str, *hand_outs: HandOut, to_retry: Sequence[int] = ()) -> TasksReturned:
    return TasksReturned(slave, hand_outs, [0.001] * len(hand_outs), frozenset(to_retry))


def test_free_slots_are_served_before_anybody_is_fed_ahead() -> None:
    scheduler = make_scheduler(1, 1, known_s=0.001)
    orders = scheduler.handle(TasksSubmitted((0, 1), ONCE), 0.0)
    assert sent(orders) == [("a", 0, 1, 1), ("b", 1, 1, 1)]


def test_what_waits_is_divided_evenly() -> None:
    scheduler = make_scheduler(1, 1, known_s=0.001)
    orders = scheduler.handle(TasksSubmitted(range(42), ONCE), 0.0)
    assert [order.slave for order in orders if isinstance(order, SendTasks)] == ["a", "b"]
    assert [len(order.hand_outs) for order in orders if isinstance(order, SendTasks)] == [21, 21]


@pytest.mark.parametrize(("task_s", "ahead"), [(None, 0), (0.06, 0), (0.04, 2), (0.01, 5)])
def test_slaves_are_fed_ahead_by_time(task_s: float | None, ahead: int) -> None:
    scheduler = make_scheduler(1, known_s=task_s)
    assert len(sent(scheduler.handle(TasksSubmitted(range(100), ONCE), 0.0))) == 1 + ahead


def test_slaves_are_fed_ahead_by_number_and_by_bytes() -> None:
    scheduler = make_scheduler(1, known_s=1e-6)
    assert len(sent(scheduler.handle(TasksSubmitted(range(3000), ONCE), 0.0))) == 1 + 1024
    scheduler = make_scheduler(1, known_s=1e-6)
    submitted = TasksSubmitted(range(100), ONCE, [5_000_000] * 100)
    assert len(sent(scheduler.handle(submitted, 0.0))) == 1 + 4


def test_a_span_is_one_item_until_its_time_is_known_then_what_takes_20_ms() -> None:
    scheduler = make_scheduler(1, 1)
    orders = scheduler.handle(SpanSubmitted(0, 10_000, ONCE), 0.0)
    assert sent(orders) == [("a", 0, 1, 1), ("b", 1, 1, 1)]
    orders = scheduler.handle(returned("a", HandOut(0, 1)), 0.1)
    assert sent(orders)[0] == ("a", 2, 1, 20)


def test_the_end_of_a_span_is_balanced() -> None:
    scheduler = make_scheduler(1, 1, known_s=1e-5)
    orders = scheduler.handle(SpanSubmitted(0, 100, ONCE), 0.0)
    counts = [count for _, _, _, count in sent(orders)]
    assert max(counts) == 25
    assert sum(counts) == 100
    assert [count for _, _, _, count in sent(orders)[:1]] == [25]


def test_chunks_are_as_their_terms_say() -> None:
    scheduler = make_scheduler(1)
    assert sent(scheduler.handle(SpanSubmitted(0, 100, Terms(1, chunk=64)), 0.0)) == [
        ("a", 0, 1, 64)
    ]


def test_what_a_lost_slave_held_goes_to_the_front_in_its_order() -> None:
    scheduler = make_scheduler(2, known_s=0.02)
    scheduler.handle(TasksSubmitted((0, 1, 2, 3, 4), ONCE), 0.0)
    scheduler.handle(SlaveLeft("a", "its connection closed"), 1.0)
    orders = scheduler.handle(SlaveJoined("b", 5), 1.0)
    assert sent(orders) == [("b", task, 2, 1) for task in range(5)]


def test_a_late_result_is_the_answer_and_stops_the_second_attempt() -> None:
    scheduler = make_scheduler(1, 1)
    scheduler.handle(TasksSubmitted((0,), ONCE), 0.0)
    scheduler.handle(SlaveLeft("a", "silent"), 6.0)
    orders = scheduler.handle(returned("a", HandOut(0, 1)), 7.0)
    assert settled(orders) == [HandOut(0, 1)]
    assert StopTasks("b", [HandOut(0, 2)]) in orders
    scheduler.handle(returned("b", HandOut(0, 2)), 8.0)
    assert (scheduler.state.counts.done, scheduler.state.counts.late) == (1, 1)


def test_a_late_result_settles_the_items_that_are_open() -> None:
    scheduler = make_scheduler(1)
    scheduler.handle(SpanSubmitted(0, 10, Terms(1, chunk=10)), 0.0)
    scheduler.handle(SlaveLeft("a", "silent"), 6.0)
    scheduler.handle(SlaveJoined("b", 1), 6.0)  # one by one: it may be the items' fault
    scheduler.handle(returned("b", HandOut(0, 2)), 7.0)
    scheduler.handle(TasksCancelled((4,)), 7.0)
    orders = scheduler.handle(returned("a", HandOut(0, 1, 10)), 8.0)
    assert [h.attempt for h in settled(orders)] == [1] * 8
    assert [h.task for h in settled(orders)] == [1, 2, 3, 5, 6, 7, 8, 9]
    (stop,) = [order for order in orders if isinstance(order, StopTasks)]
    assert stop.slave == "b"
    assert len(stop.hand_outs) == 8
    assert not scheduler.state.tasks


def test_pieces_between_two_numbers_are_found_whatever_lies_there() -> None:
    scheduler = make_scheduler(3)
    scheduler.handle(TasksSubmitted((0, 1), ONCE), 0.0)
    scheduler.handle(SpanSubmitted(2, 20, Terms(1, chunk=4)), 0.0)
    scheduler.handle(TasksSubmitted((22, 23), ONCE), 0.0)
    scheduler.handle(TasksCancelled((1, 23)), 0.0)
    everything = [(0, 1), (2, 6), (6, 10), (10, 22), (22, 23)]
    pieces = scheduler.state.pieces
    for first in range(-2, 26):
        for stop in [*range(first, 26), 2**62]:
            found = [(piece.first, piece.stop) for piece in pieces.between(first, stop)]
            assert found == [(a, b) for a, b in everything if a < stop and b > first], (first, stop)


def test_a_lost_slave_is_held_against_the_tasks_that_it_ran_only() -> None:
    scheduler = make_scheduler(known_s=0.01)
    scheduler.handle(TasksSubmitted((0, 1, 2), ONCE), 0.0)
    orders: list[Order] = []
    for number in range(3):
        scheduler.handle(SlaveJoined(f"s{number}", 1), 0.0)
        orders = scheduler.handle(SlaveLeft(f"s{number}", "power cut"), 0.0)
    (given_up,) = [order for order in orders if isinstance(order, GiveUpTask)]
    assert given_up.task == 0
    assert given_up.story[1] == "attempt 2 on slave s1: power cut"
    assert scheduler.state.waiting == 2


def test_of_a_chunk_only_the_culprit_is_blamed() -> None:
    scheduler = make_scheduler(1)
    scheduler.handle(SpanSubmitted(0, 10, Terms(1, chunk=10, max_attempts=1)), 0.0)
    lost = HandOutsLost("a", HandOut(0, 1, 10), "killed by SIGKILL", 3)
    orders = scheduler.handle(lost, 1.0)
    assert GiveUpTask(3, ("attempt 1 on slave a: killed by SIGKILL",)) in orders
    assert sent(orders) == [("a", 0, 2, 3)]
    assert sent(scheduler.handle(returned("a", HandOut(0, 2, 3)), 1.0)) == [("a", 4, 2, 6)]


def test_without_a_culprit_the_items_of_a_chunk_go_one_by_one() -> None:
    scheduler = make_scheduler(1)
    scheduler.handle(SpanSubmitted(0, 4, Terms(1, chunk=4, max_attempts=1)), 0.0)
    orders = scheduler.handle(HandOutsLost("a", HandOut(0, 1, 4), "killed"), 1.0)
    assert sent(orders) == [("a", 0, 2, 1)]
    orders = scheduler.handle(HandOutsLost("a", HandOut(0, 2), "killed"), 1.0)
    assert [order.task for order in orders if isinstance(order, GiveUpTask)] == [0]


def test_leaving_in_peace_is_not_held_against_the_task() -> None:
    scheduler = make_scheduler()
    scheduler.handle(TasksSubmitted((0,), ONCE), 0.0)
    for number in range(5):
        scheduler.handle(SlaveJoined(f"s{number}", 1), 0.0)
        scheduler.handle(SlaveLeft(f"s{number}", "stopped by its user", in_peace=True), 0.0)
    assert scheduler.state.phase_of(0) is Phase.WAITING


def test_retries_wait_longer_each_time_and_end() -> None:
    scheduler = make_scheduler(1)
    scheduler.handle(TasksSubmitted((0,), Terms(1, retries=2, delay_s=1.0, factor=3.0)), 0.0)
    assert settled(scheduler.handle(returned("a", HandOut(0, 1), to_retry=[0]), 0.0)) == []
    assert wait_of_task(scheduler.state, 0).until == 1.0
    assert scheduler.next_deadline() == 1.0
    assert sent(scheduler.handle(TimePassed(), 1.0)) == [("a", 0, 2, 1)]
    scheduler.handle(returned("a", HandOut(0, 2), to_retry=[0]), 1.0)
    assert sent(scheduler.handle(TimePassed(), 3.9)) == []
    assert sent(scheduler.handle(TimePassed(), 4.0)) == [("a", 0, 3, 1)]
    orders = scheduler.handle(returned("a", HandOut(0, 3), to_retry=[0]), 4.0)
    assert settled(orders) == [HandOut(0, 3)]
    assert scheduler.state.counts.retried == 2


def test_items_that_raised_are_retried_without_the_others() -> None:
    scheduler = make_scheduler(1)
    scheduler.handle(SpanSubmitted(0, 10, Terms(1, retries=1, chunk=10)), 0.0)
    orders = scheduler.handle(returned("a", HandOut(0, 1, 10), to_retry=[3, 4, 7]), 1.0)
    assert settled(orders) == [HandOut(0, 1, 3), HandOut(5, 1, 2), HandOut(8, 1, 2)]
    assert sent(orders) == [("a", 3, 2, 2), ("a", 7, 2, 1)]


def test_higher_priorities_go_first() -> None:
    scheduler = make_scheduler()
    scheduler.handle(TasksSubmitted((0,), Terms(1, priority=0)), 0.0)
    scheduler.handle(TasksSubmitted((1,), Terms(1, priority=5)), 0.0)
    assert sent(scheduler.handle(SlaveJoined("a", 2), 0.0)) == [("a", 1, 1, 1), ("a", 0, 1, 1)]


def test_what_is_ahead_is_recalled_for_a_free_slot() -> None:
    scheduler = make_scheduler(1, known_s=0.01)
    scheduler.handle(TasksSubmitted(range(5), ONCE), 0.0)
    orders = scheduler.handle(SlaveJoined("b", 1), 0.0)
    assert orders == [RecallTasks("a", [HandOut(4, 1), HandOut(3, 1)])]
    orders = scheduler.handle(HandOutsGivenBack("a", (HandOut(4, 1), HandOut(3, 1))), 0.0)
    assert sent(orders) == [("b", 4, 2, 1), ("b", 3, 2, 1)]


def test_a_recall_that_is_not_worth_it_is_not_made() -> None:
    scheduler = make_scheduler(1, known_s=0.0004)
    scheduler.handle(TasksSubmitted(range(5), ONCE), 0.0)
    assert scheduler.handle(SlaveJoined("b", 1), 0.0) == []


def test_items_that_are_cancelled_do_not_start_with_the_others() -> None:
    scheduler = make_scheduler(1, known_s=0.001)
    orders = scheduler.handle(SpanSubmitted(0, 30, Terms(1, chunk=10)), 0.0)
    assert [h[1:] for h in sent(orders)] == [(0, 1, 10), (10, 1, 10), (20, 1, 10)]
    orders = scheduler.handle(TasksCancelled((12, 13)), 0.0)
    assert orders == [RecallTasks("a", (HandOut(10, 1, 10),))]
    assert scheduler.handle(TasksCancelled((14,)), 0.0) == [], "it is recalled already"
    orders = scheduler.handle(HandOutsGivenBack("a", (HandOut(10, 1, 10),)), 0.0)
    assert sent(orders) == [("a", 10, 2, 2), ("a", 15, 2, 5)]
    orders = scheduler.handle(TasksCancelled((3, 15, 16, 17, 18, 19)), 0.0)
    assert orders == [StopTasks("a", [HandOut(15, 2, 5)]), RecallTasks("a", (HandOut(0, 1, 10),))]
    orders = scheduler.handle(returned("a", HandOut(0, 1, 10)), 0.0)
    assert settled(orders) == [HandOut(0, 1, 3), HandOut(4, 1, 6)], "it had been started"
    assert scheduler.state.counts.recalled == 10


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_straggler_is_tried_twice_if_it_may_be(repeatable: bool) -> None:
    scheduler = make_scheduler(1, 1, known_s=1.0)
    scheduler.handle(TasksSubmitted((0,), Terms(1, repeatable=repeatable)), 0.0)
    now = 0.0
    second: list[tuple[str, int, int, int]] = []
    while not second and now < 4.0:
        now = scheduler.next_deadline() or 4.0
        second = sent(scheduler.handle(TimePassed(), now))
    assert second == ([("b", 0, 2, 1)] if repeatable else [])
    if repeatable:
        assert now == 3.0
        orders = scheduler.handle(returned("b", HandOut(0, 2)), 3.5)
        assert StopTasks("a", [HandOut(0, 1)]) in orders


def second_attempt_at(scheduler: Scheduler, task: int, now: float, patience_s: float) -> float:
    """Submit a task that never ends; return after how long it is tried twice."""
    scheduler.handle(TasksSubmitted((task,), ONCE), now)
    at = now
    while at < now + patience_s:
        at = scheduler.next_deadline() or now + patience_s
        events = [*map(SlaveHeard, scheduler.state.slaves), TimePassed()]
        if any(sent(scheduler.handle(event, at)) for event in events):
            return at - now
    return float("inf")


@pytest.mark.parametrize(
    ("slow", "quick", "expected_s"),
    [(1, 2, 300.0), (1, 20, 3.0), (5, 95, 3.0), (6, 94, 300.0), (60, 40, 300.0), (60, 100, 3.0)],
)
def test_what_was_slow_now_and_then_or_long_ago_does_not_raise_the_bar(
    slow: int, quick: int, expected_s: float
) -> None:
    scheduler = make_scheduler(1, 1)
    for task in range(slow + quick):
        orders = scheduler.handle(TasksSubmitted((task,), ONCE), 0.0)
        ((slave, *_),) = sent(orders)
        seconds = 100.0 if task < slow else 1.0
        scheduler.handle(TasksReturned(slave, (HandOut(task, 1),), (seconds,)), 0.0)
    assert second_attempt_at(scheduler, 1000, 0.0, 400.0) == pytest.approx(expected_s, abs=0.3)


def test_cancelled_items_are_not_handed_out_and_cost_little() -> None:
    scheduler = make_scheduler()
    scheduler.handle(SpanSubmitted(0, 200_000, Terms(1, chunk=1000)), 0.0)
    for task in range(0, 200_000, 1000):
        scheduler.handle(TasksCancelled((task,)), 0.0)
    scheduler.handle(TasksCancelled(range(1_000, 199_999)), 0.0)
    assert scheduler.state.unstarted() == [range(1, 1000), range(199_999, 200_000)]
    assert sent(scheduler.handle(SlaveJoined("a", 2), 0.0)) == [
        ("a", 1, 1, 999),
        ("a", 199_999, 1, 1),
    ]


def test_cancelled_tasks_leave_nothing_behind() -> None:
    scheduler = make_scheduler()
    for first in range(0, 10_000, 100):
        scheduler.handle(TasksSubmitted(range(first, first + 100), ONCE), 0.0)
        scheduler.handle(TasksCancelled(range(first, first + 100)), 0.0)
    assert not scheduler.state.tasks
    assert scheduler.state.waiting == 0
    assert sum(map(len, scheduler.state.roster.demand_of(ONCE).queue._lines.values())) < 400


def test_it_says_what_a_task_waits_for() -> None:
    scheduler = make_scheduler(known_s=0.02)
    scheduler.handle(TasksSubmitted(range(6), ONCE), 0.0)
    assert wait_of(scheduler.state) is Wait.NO_SLAVE
    assert wait_of_task(scheduler.state, 5).waits_for is WaitsFor.A_SLAVE
    scheduler.handle(SlaveJoined("a", 1), 1.0)
    running = wait_of_task(scheduler.state, 0)
    assert (running.waits_for, running.slave, running.since) == (WaitsFor.ITS_RUN, "a", 1.0)
    held = wait_of_task(scheduler.state, 2)
    assert (held.waits_for, held.slave, held.behind) == (WaitsFor.ITS_SLAVE, "a", 2)
    waiting = wait_of_task(scheduler.state, 5)
    assert (waiting.waits_for, waiting.behind) == (WaitsFor.A_SLOT, 1)
    assert wait_of(scheduler.state) is Wait.ALL_BUSY
    scheduler.handle(SlaveAsked("a", 0), 1.0)
    assert wait_of_task(scheduler.state, 5).waits_for is WaitsFor.AN_OFFER
    assert wait_of(scheduler.state) is Wait.NO_SLOTS
    assert wait_of_task(scheduler.state, 99).waits_for is WaitsFor.NOTHING


def test_what_is_known_of_functions_is_bounded() -> None:
    scheduler = make_scheduler(1)
    for number in range(5000):
        scheduler.handle(TasksSubmitted((number,), Terms(number)), 0.0)
        scheduler.handle(returned("a", HandOut(number, 1)), 0.0)
    assert len(scheduler.state.estimates.by_function) == 4096


def test_feeding_is_a_frozen_value() -> None:
    with pytest.raises(AttributeError):
        Feeding().max_ahead = 3


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("trigger", Trigger)
def test_the_table_says_what_is_legal(phase: Phase, trigger: Trigger) -> None:
    if (phase, trigger) in TABLE:
        assert next_phase(phase, trigger) is TABLE[phase, trigger]
    else:
        with pytest.raises(IllegalTransition, match=phase.value):
            next_phase(phase, trigger)
