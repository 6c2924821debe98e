"""What is kept, for how long, and what a link can come to: the rules."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.protocol.hand_outs import CALL, WireTask
from masterslave.protocol.joining import Hold
from masterslave.protocol.outcomes import GIVEN_BACK, LOST, PART, PROGRESS, REPORT, VALUE, Outcome
from masterslave.slave import keeping
from masterslave.slave.keeping import Countdown, Happening, Kept, State, state_after
from masterslave.slave.work import FarmWork, Job


def rows() -> set[tuple[str, str, str]]:
    """Return the rows of the table in the module's words."""
    assert keeping.__doc__ is not None
    lines = [line.split() for line in keeping.__doc__.splitlines()]
    states = State.__members__
    return {
        (line[0], line[1], line[2].strip(",")) for line in lines if line[:1] and line[0] in states
    }


def test_the_table_is_what_the_rules_say() -> None:
    said = set()
    for state, happening in product(State, Happening):
        try:
            then = state_after(state, happening, keeps=True)
        except KeyError:
            continue
        said.add((state.name, happening.name, then.name))
    assert rows() == said


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("happening", Happening)
def test_nothing_is_kept_of_a_farm_that_is_not(state: State, happening: Happening) -> None:
    try:
        kept = state_after(state, happening, keeps=True)
    except KeyError:
        return
    plain = state_after(state, happening, keeps=False)
    assert plain is (State.OVER if kept is State.KEPT else kept)


def test_only_the_end_of_a_kept_farm_ends_it_at_once() -> None:
    ends = [
        happening
        for happening in (Happening.GONE, Happening.TURNED_AWAY, Happening.ENDED, Happening.LEFT)
        if state_after(State.SERVING, happening, keeps=True) is State.OVER
    ]
    assert ends == [Happening.ENDED, Happening.LEFT]


@given(st.floats(0.1, 1000.0), st.lists(st.floats(0.01, 100.0), max_size=50))
def test_time_in_which_nobody_looked_does_not_count(seconds: float, steps: list[float]) -> None:
    now = 5.0
    countdown = Countdown(seconds, now)
    awake_s = 0.0
    for step in steps:
        now += step
        awake_s += step if step <= 2.0 else 0.0
        assert countdown.left_s(now) == pytest.approx(max(0.0, seconds - awake_s), abs=1e-6)


outcomes = st.builds(
    Outcome,
    st.integers(0, 3),
    st.integers(1, 2),
    st.just(1),
    st.sampled_from([VALUE, LOST, GIVEN_BACK, PART, PROGRESS, REPORT]),
    st.binary(max_size=20),
)


@given(st.lists(outcomes, max_size=30), st.lists(outcomes, max_size=30))
def test_all_is_kept_but_reports_and_old_progress(
    before: list[Outcome], later: list[Outcome]
) -> None:
    kept = Kept(100, before)
    result = kept.first + kept.sift(later) + kept.progress()
    told = before + later
    plain = [one for one in told if one.kind not in (PROGRESS, REPORT)]
    assert result[: len(plain)] == plain
    assert kept.bytes == sum(len(one.payload) for one in plain)
    assert kept.is_full == (kept.bytes > 100)
    latest: dict[tuple[int, int], Outcome] = {}
    for one in told:
        if one.kind == PROGRESS:
            latest[one.task, one.attempt] = one
        elif one.kind not in (PART, REPORT):
            latest.pop((one.task, one.attempt), None)
    assert result[len(plain) :] == list(latest.values())


def work_with(*tasks: int) -> FarmWork:
    work = FarmWork()
    given = [WireTask(task, 1, 2, CALL, b"f", b"") for task in tasks]
    work.take_in(1, given, {b"f": b"\x80"})
    return work


def test_each_hand_out_is_held_once() -> None:
    work = work_with(1, 2, 3)
    running = [work.waiting.popleft()]
    work.running = 1
    work.tell([Outcome(9, 4, 1, VALUE, b"x"), Outcome(1, 1, 2, PART, b"x")])
    holds = (Hold(9, 4, 1), Hold(2, 1, 2), Hold(3, 1, 2), Hold(1, 1, 2))
    assert work.holds(running) == holds
    assert work.held_in_words(running) == "7 tasks (1 ended, 2 at work, 4 waiting)"
    running[0].is_unwanted = True
    assert work.holds(running) == holds[:3]


def test_what_is_kept_is_delivered_to_the_next_from_its_first_number_on() -> None:
    work = work_with()
    work.tell([Outcome(task, 1, 1, VALUE, b"x") for task in range(5)])
    work.acknowledge(2)
    work.begin_to_keep(10)
    work.tell([Outcome(7, 1, 1, PROGRESS, b"1"), Outcome(7, 1, 1, PROGRESS, b"2")])
    assert work.to_deliver(1000)[0] == 5
    assert not work.takes_nothing
    work.tell([Outcome(8, 1, 1, VALUE, b"y" * 10)])
    assert work.takes_nothing, "there is no room"
    work.end_keeping()
    assert not work.takes_nothing
    sequence, told = work.to_deliver(1000)
    assert (sequence, [one.task for one in told]) == (7, [2, 3, 4, 8, 7])
    assert told[-1].payload == b"2"


def test_what_another_master_has_handed_out_is_inherited() -> None:
    work = work_with(1)
    running = Job(work, WireTask(0, 1, 1, CALL, b"f", b""), b"\x80")
    work.change_master([running])
    assert running.is_inherited
    assert work.waiting[0].is_inherited
    work.take_in(2, [WireTask(5, 1, 1, CALL, b"f", b"")], {b"f": b"\x80"})
    assert not work.waiting[1].is_inherited
