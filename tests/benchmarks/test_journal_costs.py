"""A slice of the measurement of journals: it runs, and costs no more than it may."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks.journal import compare, make_finished, measure_resume, short_task

pytestmark = pytest.mark.serial


def test_tasks_of_10_ms_are_as_fast_with_a_journal(own_machine: object) -> None:
    found = compare(short_task, 60, 2)
    assert found["ratio"] > 0.7
    assert 0 < found["bytes"] < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_journal_with_many_results_is_opened_in_time(own_machine: object, tmp_path: Path) -> None:
    make_finished(tmp_path / "finished.db", 50_000)
    found = measure_resume(tmp_path / "finished.db")
    assert found["results"] == 50_000
    assert found["seconds"] < 10
    assert found["bytes"] < 250 * 2**20
