"""The real scheduler with toy slaves on a fake clock: every promise, under thousands of seeds."""

from __future__ import annotations

import os

import pytest

from masterslave.scheduler import HandOut, Scheduler, SettleTasks, Terms
from masterslave.testing import BrokenPromise, Climate, SimFarm, SimReport
from tests.masterslave.hash_seeds import printed_with_hash_seeds

SEEDS = int(os.environ.get("SEEDS", "2000"))
GROUPS = 40

CALM = Climate(join_within_s=0.0, submit_within_s=0.0, task_s=(1.0,), span_share=0.0)


def run_small(seed: int, *, traced: bool = False) -> SimReport:
    return SimFarm(
        seed, slaves=8, slots=(1, 1, 2, 4), tasks=150, check_every=25, traced=traced
    ).run()


@pytest.mark.parametrize("group", range(GROUPS))
def test_promises_are_kept_whatever_the_seed(group: int) -> None:
    for seed in range(group, SEEDS, GROUPS):
        report = run_small(seed)
        assert report.done + report.given_up + report.cancelled == report.submitted == 150


def test_the_climates_are_rough() -> None:
    reports = [run_small(seed) for seed in range(60)]
    for name in (
        *("given_up", "cancelled", "handed_out_again", "retried", "speculated", "recalled"),
        *("late", "slaves_left", "slaves_lost", "slaves_quarantined"),
    ):
        assert sum(getattr(report, name) > 0 for report in reports) >= 2, name


def test_equal_seeds_are_equal_runs_in_every_process() -> None:
    seed, other = 3, 4
    assert run_small(seed, traced=True) == run_small(seed, traced=True)
    assert run_small(seed, traced=True).trace != run_small(other, traced=True).trace
    program = (
        "from tests.masterslave.test_simulation import run_small; "
        f"print(run_small({seed}, traced=True).trace)"
    )
    assert printed_with_hash_seeds(program) == {run_small(seed, traced=True).trace}


def test_a_broken_promise_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Scheduler.handle

    def forget_answers(self: Scheduler, event: object, now: float) -> list[object]:
        orders = handle(self, event, now)
        return [order for order in orders if not isinstance(order, SettleTasks)]

    monkeypatch.setattr(Scheduler, "handle", forget_answers)
    with pytest.raises(
        BrokenPromise, match=r"first outcome is the answer.*again: SimFarm"
    ) as caught:
        SimFarm(5, slaves=3, tasks=20).run()
    again = str(caught.value).partition("again: ")[2]
    with pytest.raises(BrokenPromise, match="first outcome is the answer"):
        eval(again, {"SimFarm": SimFarm, "Climate": Climate})


def test_calm_farms_are_busy() -> None:
    report = SimFarm(1, slaves=10, tasks=500, climate=CALM).run()
    assert (report.done, report.handed_out_again, report.late) == (500, 0, 0)
    assert report.idle_slot_s < 0.02 * report.busy_slot_s


def test_nobody_waits_for_a_host_that_sleeps_and_it_comes_back() -> None:
    class OneSleeps(SimFarm):
        """A slave sleeps for an hour while it has something to do."""

        def _have_mishap(self) -> None:
            sleeper = next(iter(self._slaves.values()))
            sleeper.sleep(3600.0)

    climate = Climate(
        join_within_s=0.0, submit_within_s=0.0, task_s=(1.0,), span_share=0.0, mishap_every_s=3.0
    )
    for seed in range(1, 6):
        report = OneSleeps(seed, slaves=4, tasks=200, climate=climate, check_every=1).run()
        assert report.done + report.given_up == 200
        assert report.slaves_lost == 1
        assert report.handed_out_again + report.given_up >= 1, "what it ran"
        assert report.seconds < 600.0


def test_a_straggler_is_tried_twice_though_one_task_was_slow_long_ago() -> None:
    class OneSlow(SimFarm):
        """The first task takes 10 minutes, and much later one hangs on the slave that has it."""

        def seconds_of(self, hand_out: HandOut) -> float:
            if hand_out.task == 0:
                return 600.0
            return 1e6 if (hand_out.task, hand_out.attempt) == (8000, 1) else 1.0

    farm = OneSlow(1, slaves=10, tasks=8001, climate=CALM, check_every=1000)
    # All of one function, which a workload does not draw by itself.
    farm._workload._draw_terms = lambda *, is_span: Terms(0)
    report = farm.run()
    assert report.done == 8001
    assert report.speculated == 1
    assert report.seconds < 1000.0


@pytest.mark.serial
def test_a_task_costs_the_same_with_ten_thousand_slaves() -> None:
    def cost_s(slaves: int) -> float:
        farm = SimFarm(1, slaves=slaves, tasks=40_000, climate=CALM, check_every=0)
        return farm.run().scheduler_s / 40_000

    few_s, many_s = cost_s(100), cost_s(10_000)
    assert many_s <= 3 * few_s, f"{1e6 * many_s:.1f} us with 10,000 slaves, {1e6 * few_s:.1f}"
