"""Owners of one priority get the same share of the slots, whatever their tasks are like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest
from msgspec import Struct

from masterslave.scheduler import Event, HandOut, SpanSubmitted, TasksReturned, TasksSubmitted
from masterslave.scheduler import Terms as SchedulerTerms
from masterslave.testing import Climate, SimFarm

CALM = Climate(join_within_s=0.0, submit_within_s=0.0, task_s=(1.0,), span_share=0.0)


class Batch(Struct):
    """Tasks of one owner, submitted at once."""

    owner: str
    task_s: float
    count: int
    at_s: float = 0.0
    priority: int = 0
    needs: tuple[tuple[str, float], ...] = ()
    is_span: bool = False


class SharedFarm(SimFarm):
    """A farm of several owners; notes what of the slots each got, second by second."""

    def __init__(self, *batches: Batch, slaves: int = 4, seed: int = 1) -> None:
        tasks = sum(batch.count for batch in batches)
        super().__init__(seed, slaves=slaves, tasks=tasks, climate=CALM, check_every=1000)
        self.batches = batches
        self.started: dict[str, dict[HandOut, float]] = defaultdict(dict)
        self.used_s: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        self._workload.submissions = self._events_of_all

    def _events_of_all(self) -> Iterator[Event]:
        first = 0
        for function, batch in enumerate(self.batches):
            terms = SchedulerTerms(
                function, priority=batch.priority, needs=batch.needs, owner=batch.owner
            )
            self._workload._firsts.append(first)
            self._workload._terms.append(terms)
            if batch.is_span:
                yield SpanSubmitted(first, batch.count, terms)
            else:
                yield TasksSubmitted(range(first, first + batch.count), terms)
            first += batch.count

    def _submit(self, event: Event) -> None:
        at_s = self.batches[self._function_of(event)].at_s
        if self.now() < at_s:
            self.after(at_s - self.now(), lambda: SimFarm._submit(self, event))
        else:
            super()._submit(event)

    def _function_of(self, event: Event) -> int:
        assert isinstance(event, SpanSubmitted | TasksSubmitted)
        return event.terms.function

    def batch_of(self, hand_out: HandOut) -> Batch:
        return self.batches[self._workload.terms_of(hand_out.task).function]

    def seconds_of(self, hand_out: HandOut) -> float:
        return self.batch_of(hand_out).task_s * hand_out.count

    def say(self, event: Event) -> None:
        if isinstance(event, TasksReturned):
            for hand_out, seconds in zip(event.hand_outs, event.seconds, strict=True):
                self.note_use(self.batch_of(hand_out).owner, seconds)
        super().say(event)

    def note_use(self, owner: str, seconds: float) -> None:
        """It ended now: what it took lies in the seconds before."""
        end = self.now()
        begin = end - seconds
        while begin < end:
            stop = min(end, int(begin) + 1.0)
            self.used_s[owner][int(begin)] += stop - begin
            begin = stop

    def shares(self, begin: int, end: int) -> Mapping[str, float]:
        """Run, and return what each got of the slots between two seconds."""
        self.run()
        used = {
            owner: sum(seconds[second] for second in range(begin, end))
            for owner, seconds in self.used_s.items()
        }
        return {owner: seconds / sum(used.values()) for owner, seconds in used.items()}


def test_two_owners_with_endless_tasks_get_the_same() -> None:
    for one_s, other_s in ((0.1, 0.1), (0.01, 1.0), (0.05, 0.01)):
        one = Batch("one", one_s, int(60 / one_s))
        other = Batch("other", other_s, int(60 / other_s))
        share = SharedFarm(one, other).shares(3, 25)["one"]
        assert share == pytest.approx(0.5, abs=0.05), (one_s, other_s)


def test_so_do_items_of_a_span_and_single_tasks_and_three_owners() -> None:
    batches = [
        Batch("one", 0.01, 4_000, is_span=True),
        Batch("two", 0.2, 200),
        Batch("three", 0.002, 20_000, is_span=True),
    ]
    shares = SharedFarm(*batches).shares(3, 25)
    assert all(share == pytest.approx(1 / 3, abs=0.035) for share in shares.values()), shares


def test_who_comes_late_is_not_owed_the_past() -> None:
    farm = SharedFarm(Batch("early", 0.05, 4_000), Batch("late", 0.05, 1_500, at_s=20.0))
    shares = farm.shares(21, 27)
    assert shares["late"] == pytest.approx(0.5, abs=0.05)
    assert farm.used_s["early"][10] == pytest.approx(4.0, abs=0.2)


def test_who_was_away_or_could_not_run_is_not_owed_it_either() -> None:
    rare = Batch("picky", 0.2, 100, needs=(("ram_gb", 0.9),))  # for one slave of four
    batches = [rare, Batch("other", 0.05, 4_000), Batch("picky", 0.05, 2_000, at_s=18.0)]
    farm = SharedFarm(*batches)
    shares = farm.shares(20, 30)
    assert shares["picky"] == pytest.approx(0.5, abs=0.1)


def test_priorities_come_before_owners() -> None:
    batches = [Batch("one", 0.1, 400), Batch("other", 0.1, 100, priority=1)]
    farm = SharedFarm(*batches)
    assert farm.shares(0, 2)["other"] > 0.9


def test_an_owner_alone_has_all_and_two_leave_nothing_idle() -> None:
    farm = SharedFarm(Batch("one", 0.05, 800), Batch("other", 0.3, 40))
    report = farm.run()
    assert report.seconds < (800 * 0.05 + 40 * 0.3) / 4 + 1.5
    assert not farm._scheduler.state.shares.is_shared or farm._scheduler.state.tasks == {}
