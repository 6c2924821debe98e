"""Slaves that fail what others do: they get no more, are tried after a while, and come back."""

from __future__ import annotations

import pytest

from masterslave.scheduler import (
    HandOut,
    HandOutsLost,
    Order,
    QuarantineSlave,
    ReleaseSlave,
    Scheduler,
    SlaveAsked,
    SlaveHeard,
    SlaveReleased,
    TasksCancelled,
    TasksSubmitted,
    Terms,
    TimePassed,
)
from tests.masterslave.scheduler.test_scheduler import ONCE, make_scheduler, returned, sent


def test_a_slave_that_fails_what_others_do_is_quarantined() -> None:
    scheduler = make_scheduler(1, 1)
    quarantined: list[Order] = []
    for task in range(5):
        scheduler.handle(SlaveAsked("b", 0), 0.0)
        scheduler.handle(TasksSubmitted((task,), Terms(1, retries=1, delay_s=1.0)), 0.0)
        scheduler.handle(returned("a", HandOut(task, 1), to_retry=[task]), 2.0 * task)
        scheduler.handle(SlaveAsked("b", 1), 2.0 * task)
        scheduler.handle(SlaveAsked("a", 0), 2.0 * task)
        scheduler.handle(TimePassed(), 2.0 * task + 1)
        scheduler.handle(SlaveAsked("a", 1), 2.0 * task + 1)
        orders = scheduler.handle(returned("b", HandOut(task, 2)), 2.0 * task + 1)
        quarantined += [order for order in orders if isinstance(order, QuarantineSlave)]
        if quarantined:
            break
    (order,) = quarantined
    assert isinstance(order, QuarantineSlave)
    assert order.slave == "a"
    assert len(order.evidence) == 3
    assert order.evidence[0] == "task 0: attempt 1 raised here, and was done by b"
    assert sent(scheduler.handle(TasksSubmitted((9,), ONCE), 9.0)) == [("b", 9, 1, 1)]
    assert scheduler.state.roster.able == 1


def quarantined(*, dies: bool = False) -> Scheduler:
    """Return a scheduler with slaves a, in quarantine since 10.0, and b, which runs task 99."""
    scheduler = make_scheduler(1, 1)
    for task in range(3):
        scheduler.handle(SlaveAsked("b", 0), 9.0)
        scheduler.handle(TasksSubmitted((task,), Terms(1, retries=1)), 9.0)
        scheduler.handle(SlaveAsked("a", 0), 9.0)
        if dies:
            scheduler.handle(HandOutsLost("a", HandOut(task, 1), "killed"), 9.0)
        else:
            scheduler.handle(returned("a", HandOut(task, 1), to_retry=[task]), 9.0)
        scheduler.handle(SlaveAsked("b", 1), 9.0)
        scheduler.handle(SlaveAsked("a", 1), 9.0)
        orders = scheduler.handle(returned("b", HandOut(task, 2)), 10.0)
    assert any(isinstance(order, QuarantineSlave) for order in orders)
    scheduler.handle(TasksSubmitted((99,), ONCE), 10.0)
    return scheduler


def let_it_be(scheduler: Scheduler, now: float) -> list[Order]:
    """Return what comes of it when nothing happens, but that the slaves are heard."""
    orders: list[Order] = []
    for event in (SlaveHeard("a"), SlaveHeard("b"), TimePassed()):
        orders += scheduler.handle(event, now)
    return orders


CAN_FAIL = Terms(2, retries=1)


def test_a_slave_in_quarantine_is_tried_with_one_task_and_comes_back() -> None:
    scheduler = quarantined()
    assert sent(scheduler.handle(TasksSubmitted((3, 4), CAN_FAIL), 11.0)) == []
    assert sent(let_it_be(scheduler, 69.9)) == []
    assert scheduler.next_deadline() == 70.0
    assert sent(let_it_be(scheduler, 70.0)) == [("a", 3, 1, 1)]
    orders = scheduler.handle(returned("a", HandOut(3, 1)), 71.0)
    assert ReleaseSlave("a") in orders
    assert sent(orders) == [("a", 4, 1, 1)]
    assert scheduler.state.slaves["a"].evidence == ()
    assert scheduler.state.roster.able == 2


@pytest.mark.parametrize("is_tried", [True, False])
def test_a_slave_that_the_script_releases_is_as_good_as_any(is_tried: bool) -> None:
    scheduler = quarantined()
    scheduler.handle(TasksSubmitted((3, 4), CAN_FAIL), 11.0)
    if is_tried:
        assert sent(let_it_be(scheduler, 70.0)) == [("a", 3, 1, 1)]
        scheduler.handle(SlaveAsked("a", 2), 70.0)
    orders = scheduler.handle(SlaveReleased("a"), 70.0)
    assert ReleaseSlave("a") in orders
    assert sent(orders) == [("a", 4 if is_tried else 3, 1, 1)]
    assert scheduler.state.slaves["a"].evidence == ()
    assert scheduler.state.counts.slaves_released == 1
    assert not scheduler.handle(SlaveReleased("a"), 70.0), "it is in none"
    assert not scheduler.handle(SlaveReleased("nobody"), 70.0)


@pytest.mark.parametrize("dies", [True, False])
def test_a_trial_that_fails_makes_the_next_quarantine_twice_as_long(dies: bool) -> None:
    scheduler = quarantined()
    for task in range(3, 20):
        scheduler.handle(TasksSubmitted((task,), Terms(task, retries=1)), 11.0)
    now, lengths = 10.0, []
    for _ in range(8):
        since = now
        while not (trial := sent(let_it_be(scheduler, now))):
            now += 10.0
        ((name, task, attempt, _),) = trial
        assert name == "a"
        lengths.append(now - since)
        hand_out = HandOut(task, attempt)
        failed = HandOutsLost("a", hand_out, "killed", task)
        scheduler.handle(failed if dies else returned("a", hand_out, to_retry=[task]), now)
        scheduler.handle(TasksCancelled((task,)), now)
    assert lengths == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0, 3840.0]


@pytest.mark.parametrize(
    ("dies", "terms", "is_tried"),
    [
        (False, Terms(2), False),
        (True, Terms(2), True),
        (True, Terms(2, max_attempts=1), False),
        (False, Terms(2, retries=1, max_attempts=1), False),
    ],
)
def test_a_trial_is_a_task_that_can_afford_to_fail(
    dies: bool, terms: Terms, is_tried: bool
) -> None:
    scheduler = quarantined(dies=dies)
    scheduler.handle(TasksSubmitted((3,), terms), 11.0)
    assert bool(sent(let_it_be(scheduler, 70.0))) is is_tried


def test_a_trial_that_comes_to_nothing_is_made_again() -> None:
    scheduler = quarantined()
    scheduler.handle(TasksSubmitted((3, 4), CAN_FAIL), 11.0)
    assert sent(let_it_be(scheduler, 70.0)) == [("a", 3, 1, 1)]
    scheduler.handle(TasksCancelled((3,)), 71.0)
    assert sent(let_it_be(scheduler, 129.0)) == []
    assert sent(let_it_be(scheduler, 130.0)) == [("a", 4, 1, 1)]
