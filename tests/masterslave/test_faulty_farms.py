"""Plans of faults, done to small farms with a journal: nothing is lost; planted bugs are found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from masterslave.journal.fold import Folded
from masterslave.master.conversation import Conversation
from masterslave.slave.work import FarmWork
from masterslave.testing import BrokenPromise
from masterslave.testing.faults import Kind
from masterslave.testing.faulty.farm import FaultyFarm
from nameserver.changes import Registrant
from nameserver.leadership import Claim, Leadership, Leaderships

SEEDS = int(os.environ.get("FAULTY_SEEDS", "40"))
FOUND_WITHIN = 40
"""A planted bug is found within so many seeds."""


def test_whatever_is_done_nothing_is_lost() -> None:
    reports = [FaultyFarm(seed).run() for seed in range(SEEDS)]
    assert sum(report.masters > 1 for report in reports) > SEEDS / 10
    assert sum(report.twice for report in reports) > SEEDS / 10
    assert sum(report.brought for report in reports) > SEEDS / 10


def test_nothing_is_lost_where_a_standby_takes_over_and_one_master_acts_at_a_time() -> None:
    reports = [FaultyFarm(seed, standby=True).run() for seed in range(SEEDS // 2)]
    assert sum(report.taken_over for report in reports) > SEEDS / 10


@pytest.mark.parametrize("seed", [1639, 2649, 2686])
def test_seeds_that_have_found_something(seed: int) -> None:
    FaultyFarm(seed, standby=True).run()


def test_each_kind_alone() -> None:
    for kind in Kind:
        FaultyFarm(7, kinds=(kind,), standby=kind is Kind.KILL_STANDBY).run()


def test_equal_seeds_are_equal_runs() -> None:
    assert FaultyFarm(6).run() == FaultyFarm(6).run()


def acknowledges_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    """The master tells a slave that its outcomes are safe when it has them in memory."""
    patch.setattr(Conversation, "deliver", Conversation.take_delivery)


def forgets_who_has_what(patch: pytest.MonkeyPatch) -> None:
    """A journal that is folded does not tell the next master what slaves have."""
    patch.setattr(Folded, "out", property(lambda self: {}))


def lets_a_successor_take_over_at_once(patch: pytest.MonkeyPatch) -> None:
    """A name server gives the lead to a standby as soon as it asks."""
    taken = Leaderships._taken

    def take(
        self: Leaderships, claim: Claim, by: Registrant, held: Leadership, now: float
    ) -> Leadership:
        return taken(self, claim, by, held, float("inf"))

    patch.setattr(Leaderships, "_taken", take)


def drops_what_it_kept(patch: pytest.MonkeyPatch) -> None:
    """A slave that has lost its master forgets the outcomes that it was to keep for the next."""

    def begin_to_keep(self: FarmWork, most_bytes: int) -> None:
        self._outcomes.clear()
        begin(self, most_bytes)

    begin = FarmWork.begin_to_keep
    patch.setattr(FarmWork, "begin_to_keep", begin_to_keep)


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lets_a_successor_take_over_at_once, "which is on no disk"),
        (acknowledges_before_the_disk, "which is on no disk"),
        (forgets_who_has_what, "which is on no disk"),
        (drops_what_it_kept, "without a reason"),
    ],
)
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    has_standby = plant is lets_a_successor_take_over_at_once
    for seed in range(FOUND_WITHIN):
        try:
            FaultyFarm(seed, standby=has_standby).run()
        except BrokenPromise as error:
            found = str(error)
            break
    else:
        raise AssertionError(f"{plant.__name__} was not found by {FOUND_WITHIN} seeds")
    assert said in found
    monkeypatch.undo()
    assert FaultyFarm(seed, standby=has_standby).run().tasks, "without the bug the same seed passes"


def test_a_seed_that_fails_is_one_line_that_runs_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acknowledges_before_the_disk(monkeypatch)
    with pytest.raises(BrokenPromise, match=r"again: python -m masterslave\.testing") as caught:
        for seed in range(FOUND_WITHIN):
            FaultyFarm(seed).run()
    again = str(caught.value).partition("again: python ")[2].split()
    done = subprocess.run([sys.executable, *again], capture_output=True, text=True, check=True)
    assert "broken               0 of 1 seeds" in done.stdout, "here the bug is not planted"
