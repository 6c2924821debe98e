"""What comes in floods, at the wrong time, or makes no sense: the farm stands it, and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from masterslave import Farm, FarmSettings, OnlyInScript


@pytest.mark.parametrize(
    "ask",
    [
        lambda farm: farm.map(abs, range(9), chunksize=9 / 6),  # killed slaves, and the farm
        lambda farm: farm.imap(abs, range(9), limit=1.5),
        lambda farm: farm.imap_unordered(abs, range(9), limit=None),
        lambda farm: farm.options(priority="high"),
        lambda farm: farm.options(max_attempts=2.5),
        lambda farm: farm.add_local_slaves("2"),
    ],
)
def test_what_is_no_whole_number_is_refused(ask: Callable[[Farm], Any]) -> None:
    with Farm("test", local_slaves=0) as farm, pytest.raises(TypeError, match="whole number"):
        ask(farm)


@pytest.mark.parametrize(
    "settings",
    [
        {"heartbeat_s": -1},  # ended the farm's clock
        {"heartbeat_s": float("nan")},
        {"silence_s": "5"},
        {"patience_s": None},
        {"explain_after_s": -1},
        {"max_attempts": None},
        {"max_open_tasks": -1},
        {"feeding": 3},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
        FarmSettings(**settings)


def test_other_things_that_make_no_sense_are_refused(farm: Farm) -> None:
    with pytest.raises(TypeError, match="settings is a FarmSettings"):
        Farm("test", settings={"heartbeat_s": 3})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="number of slaves"):
        farm.add_local_slaves(-1)
    with (
        Farm("other", local_slaves=0) as other,
        pytest.raises(TypeError, match="a future of this farm"),
    ):
        other.explain(farm.submit(abs, -1))


def test_a_task_that_names_a_view_of_its_farm_is_told_what_it_may(farm: Farm) -> None:
    urgent = farm.options(priority=5)

    def submit_more() -> object:
        return urgent.submit(abs, -1).result()

    with pytest.raises(OnlyInScript):
        farm.submit(submit_more).result(timeout=10)
