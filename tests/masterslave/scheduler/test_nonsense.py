"""Slaves that say what is not so: of what others hold, of what never was, in no possible times."""

from __future__ import annotations

import pytest

from masterslave.scheduler import (
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    Phase,
    SlaveAsked,
    SlaveJoined,
    SlaveLeft,
    SpanSubmitted,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
    Terms,
)
from tests.masterslave.scheduler.test_scheduler import ONCE, make_scheduler, returned, sent, settled


@pytest.mark.parametrize("liar", ["b", "a", "nobody"])
def test_what_others_say_of_an_attempt_changes_nothing(liar: str) -> None:
    scheduler = make_scheduler(1, 1)
    scheduler.handle(TasksSubmitted((0,), ONCE), 0.0)
    scheduler.handle(SlaveAsked("b", 0), 0.0)
    scheduler.handle(SlaveLeft("a", "silent"), 6.0)
    scheduler.handle(SlaveJoined("c", 1), 6.0)
    for attempt in (2, 1, 0, -1, 3) if liar != "a" else (2, 0):
        lie = HandOut(0, attempt)
        assert scheduler.handle(HandOutsLost(liar, lie, "killed"), 7.0) == []
        assert scheduler.handle(HandOutsGivenBack(liar, (lie,)), 7.0) == []
        assert scheduler.handle(returned(liar, lie), 7.0) == []
        assert scheduler.handle(returned(liar, lie, to_retry=[0]), 7.0) == []
    assert settled(scheduler.handle(returned("a", HandOut(0, 1)), 8.0)) == [HandOut(0, 1)]


def test_of_items_that_are_out_with_several_a_slave_answers_its_own() -> None:
    scheduler = make_scheduler(1, 1)
    scheduler.handle(SpanSubmitted(0, 10, Terms(1, chunk=5)), 0.0)
    orders = scheduler.handle(returned("a", HandOut(0, 1, 10)), 1.0)
    assert settled(orders) == [HandOut(0, 1, 5)]
    assert settled(scheduler.handle(returned("b", HandOut(5, 1, 5)), 1.0)) == [HandOut(5, 1, 5)]


@pytest.mark.parametrize("count", [0, -1, -(2**62), 2**62])
@pytest.mark.parametrize("first", [-(2**62), -1, 0, 3, 1000, 2**62])
def test_a_range_that_is_nonsense_costs_nothing_and_changes_nothing(first: int, count: int) -> None:
    scheduler = make_scheduler(2)
    scheduler.handle(SpanSubmitted(0, 6, Terms(1, chunk=3)), 0.0)
    scheduler.handle(TasksSubmitted(range(10, 20), ONCE), 0.0)
    nobodys = "nobody", HandOut(first, 1, count)
    assert scheduler.handle(returned(*nobodys), 0.0) == []
    scheduler.handle(HandOutsGivenBack("a", (HandOut(first, 1, count),)), 0.0)
    scheduler.handle(HandOutsLost("a", HandOut(first, 1, count), "killed", first), 0.0)
    assert scheduler.state.roster.by_name["a"].held_count == 6
    scheduler.handle(TasksCancelled(range(first, first + max(0, count))), 0.0)
    assert scheduler.handle(returned("a", HandOut(first, 1, count)), 0.0) is not None


def test_outcomes_without_their_times_change_nothing() -> None:
    scheduler = make_scheduler(2)
    scheduler.handle(TasksSubmitted((0, 1), ONCE), 0.0)
    with pytest.raises(ValueError, match="1 times for 2 hand-outs"):
        scheduler.handle(TasksReturned("a", (HandOut(0, 1), HandOut(1, 1)), (0.1,)), 0.0)
    assert [scheduler.state.phase_of(task) for task in (0, 1)] == [Phase.OUT, Phase.OUT]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 1e300])
def test_times_that_cannot_be_are_passed_over(seconds: float) -> None:
    scheduler = make_scheduler(1, known_s=0.01)
    scheduler.handle(SpanSubmitted(0, 1000, ONCE), 0.0)
    scheduler.handle(TasksReturned("a", (HandOut(0, 1, 2),), (seconds,)), 0.0)
    assert scheduler.state.estimates.by_function[1].mean_s == pytest.approx(0.01)
    assert sent(scheduler.handle(SlaveJoined("b", 1), 0.0))
