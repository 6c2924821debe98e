"""Farms that share a slave get equal parts of its time, however long their tasks are."""

from __future__ import annotations

import math
import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterslave.slave.equipment import STAY_S
from masterslave.slave.shares import Shares

START_S = 0.1


class Room:
    """A slave of some slots, on a clock of its own; each farm always has more to do.

    Args:
        is_apart: Each farm has modules of its own: another child takes ``START_S``, one at a time.
    """

    def __init__(
        self,
        slots: int,
        task_s: dict[str, float],
        labels: dict[str, str],
        *,
        is_apart: bool = False,
    ) -> None:
        self.is_apart = is_apart
        self.equipped: dict[int, str] = {}
        self.starts = 0
        self.starting: tuple[int, float] | None = None
        self.shares: Shares[str] = Shares()
        self.now = 0.0
        self.used: dict[str, float] = defaultdict(float)
        self.task_s = task_s
        self.active = set(task_s)
        self.running: dict[int, tuple[float, str, float] | None] = dict.fromkeys(range(slots))
        for farm, label in labels.items():
            self.shares.add(farm, label, 0.0)

    def run(self, until: float) -> None:
        while self.now < until:
            if self.starting is not None and self.starting[1] <= self.now:
                self.starting = None
            for slot, task in self.running.items():
                if task is not None and task[0] <= self.now:
                    _, farm, expected_s = task
                    self.used[farm] += self.task_s[farm]
                    self.running[slot] = None
                    self.shares.take(farm, expected_s)
                    self.shares.occupy(slot, None, self.now)
            for slot, task in self.running.items():
                if task is None and (self.starting is None or self.starting[0] != slot):
                    chosen = self.choose_for(slot)
                    if chosen is None:
                        continue
                    seconds = self.task_s[chosen]
                    self.shares.give(chosen, seconds)
                    self.shares.occupy(slot, chosen, self.now)
                    self.running[slot] = self.now + seconds, chosen, seconds
            ends = [task[0] for task in self.running.values() if task is not None]
            if self.starting is not None:
                ends.append(self.starting[1])
            self.now = min(ends, default=until)

    def choose_for(self, slot: int) -> str | None:
        """Return for whom a slot that is free works next; None if another child is started."""

        def suits(farm: str) -> bool:
            return not self.is_apart or self.equipped.get(slot, farm) == farm

        stay_s = STAY_S if self.starting is None else math.inf
        chosen = self.shares.choose(lambda each: each in self.active, self.now, suits, stay_s)
        if chosen is None:
            return None
        if not suits(chosen):
            del self.equipped[slot]
            self.starts += 1
            self.starting = slot, self.now + START_S
            return None
        self.equipped[slot] = chosen
        return chosen

    def parts(self) -> dict[str, float]:
        total = sum(self.used.values())
        return {farm: used / total for farm, used in self.used.items()}


LABELS = {"a1": "a", "a2": "a", "b": "b", "c": "c"}


@settings(deadline=None, max_examples=15)
@given(
    slots=st.integers(1, 5),
    times=st.lists(st.floats(0.001, 1.0), min_size=4, max_size=4),
)
def test_labels_get_equal_parts_and_so_do_the_farms_of_one(slots: int, times: list[float]) -> None:
    room = Room(slots, dict(zip(LABELS, times, strict=True)), LABELS)
    room.run(100 * max(times))
    parts = room.parts()
    for part in (parts["a1"] + parts["a2"], parts["b"], parts["c"]):
        assert part == pytest.approx(1 / 3, rel=0.1)
    assert parts["a1"] == pytest.approx(parts["a2"], rel=0.2)


@settings(deadline=None, max_examples=10)
@given(
    slots=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    times=st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4),
)
def test_two_farms_and_three_labels_get_their_parts_of_two_slaves(
    slots: tuple[int, int], times: list[float]
) -> None:
    task_s = dict(zip(LABELS, times, strict=True))
    rooms = [Room(count, task_s, LABELS) for count in slots]
    for room in rooms:
        room.run(200 * max(times))
    used = {farm: sum(room.used[farm] for room in rooms) for farm in LABELS}
    total = sum(used.values())
    for farm, part in {"a1": 1 / 6, "a2": 1 / 6, "b": 1 / 3, "c": 1 / 3}.items():
        assert used[farm] / total == pytest.approx(part, rel=0.1)


@settings(deadline=None, max_examples=15)
@given(
    slots=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    times=st.lists(st.floats(0.01, 0.1), min_size=4, max_size=4),
)
def test_what_a_stay_gives_away_is_made_up_for(slots: tuple[int, int], times: list[float]) -> None:
    task_s = dict(zip(LABELS, times, strict=True))
    rooms = [Room(count, task_s, LABELS, is_apart=True) for count in slots]
    window_s = 60.0
    for room in rooms:
        room.run(window_s)
        # Nobody is ready for another one more often than after each stay.
        assert room.starts <= window_s * len(room.running) / STAY_S
    used = {farm: sum(room.used[farm] for room in rooms) for farm in LABELS}
    total = sum(used.values())
    for farm, part in {"a1": 1 / 6, "a2": 1 / 6, "b": 1 / 3, "c": 1 / 3}.items():
        assert used[farm] / total == pytest.approx(part, rel=0.1)


def test_two_that_do_not_get_on_have_a_slot_each() -> None:
    room = Room(2, {"x": 0.01, "y": 0.02}, {"x": "x", "y": "x"}, is_apart=True)
    room.run(20)
    assert room.starts <= 2
    assert room.parts()["x"] == pytest.approx(0.5, rel=0.1)


def test_a_report_divides_the_time_among_those_it_was_run_for() -> None:
    shares: Shares[str] = Shares()
    shares.add("x", "l", 0.0)
    shares.add("y", "l", 0.0)
    now = 0.0
    shares.occupy("slot", "x", now)
    for _ in range(10):  # x is always first in line, and has a tenth of what is run
        now += 1.0
        shares.occupy("slot", "x", now, {"x": 0.1, "y": 0.9})
    shares.choose(lambda farm: True, now)  # settles
    used = {name: account.used_s for name, account in shares._labels["l"].members.items()}
    assert used == pytest.approx({"x": 1.0, "y": 9.0})


def test_a_task_that_goes_on_has_what_is_left_of_the_time() -> None:
    shares: Shares[str] = Shares()
    shares.add("x", "x", 0.0)
    shares.add("y", "y", 0.0)
    shares.occupy("slot", "x", 0.0)
    shares.occupy("slot", "y", 1.0, {"x": 0.2})  # y has run for 0.8 s
    shares.occupy("slot", "x", 2.0, {"y": 1.8})
    shares.choose(lambda farm: True, 2.0)
    used = {name: account.used_s for name, account in shares._labels.items()}
    assert used == pytest.approx({"x": 0.2, "y": 1.8})


def test_who_was_idle_has_earned_nothing() -> None:
    room = Room(2, {"x": 0.1, "y": 0.03}, {"x": "x", "y": "y"})
    room.active = {"x"}
    room.run(100)
    assert room.used["y"] == 0
    room.active = {"x", "y"}
    room.used.clear()
    room.run(200)
    assert room.parts()["x"] == pytest.approx(0.5, rel=0.1)
    room.active = {"y"}
    room.run(300)
    room.active = {"x", "y"}
    room.used.clear()
    room.run(400)
    assert room.parts()["x"] == pytest.approx(0.5, rel=0.1)


def test_who_comes_later_begins_where_the_others_are() -> None:
    room = Room(1, {"x": 0.1, "y": 0.1}, {"x": "x"})
    room.run(100)
    room.shares.add("y", "y", room.now)
    room.used.clear()
    room.run(200)
    assert room.parts()["x"] == pytest.approx(0.5, rel=0.1)


def test_slots_that_are_free_at_once_are_shared_at_once() -> None:
    room = Room(4, {"x": 600.0, "y": 600.0}, {"x": "x", "y": "y"})
    room.run(1)
    farms = sorted(task[1] for task in room.running.values() if task is not None)
    assert farms == ["x", "x", "y", "y"]


def test_a_farm_that_is_gone_leaves_nothing() -> None:
    draw = random.Random(3)
    shares: Shares[int] = Shares()
    for farm in range(200):
        shares.add(farm, draw.choice("ab"), float(farm))
        shares.give(farm, 1.0)
        shares.occupy(farm % 3, farm, float(farm))
        if farm >= 5:
            shares.remove(farm - 5)
    for farm in range(195, 200):
        shares.remove(farm)
    assert shares.choose(lambda farm: True, 300.0) is None
    assert not shares._labels
    assert not shares._occupants
