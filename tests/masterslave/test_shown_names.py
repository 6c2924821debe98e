"""Names of others in listings: hostile ones do nothing to the terminal, few are counted right."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from masterslave import Farm
from masterslave.cli import main_group
from masterslave.cli.cells import cell, how_many

HOSTILE = "[b]\x1b]0;yours\x07\x1b[2Jmeasure"


def test_a_hostile_name_is_seen_and_does_nothing() -> None:
    assert cell(HOSTILE).plain == r"[b]\x1b]0;yours\x07\x1b[2Jmeasure"


def test_how_many() -> None:
    assert [how_many(count, "run") for count in (0, 1, 2, 1000)] == [
        "0 runs", "1 run", "2 runs", "1000 runs",
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["status", "show"])
def test_a_journal_with_hostile_names_is_listed(tmp_path: Path, command: str) -> None:
    def measure() -> None:
        raise ValueError(HOSTILE)

    measure.__name__ = measure.__qualname__ = HOSTILE
    path = tmp_path / "survey.db"
    with Farm("survey", local_slaves=1, journal=path) as farm:
        assert farm.submit(measure).exception() is not None
    told = CliRunner().invoke(main_group, [command, str(path)], color=True)
    assert told.exit_code == 0, told.output
    assert r"\x1b" in told.output
    assert "\x1b" not in told.output
    assert "\x07" not in told.output
    assert {"status": "1 task has failed", "show": "1 failed task;"}[command] in told.output
