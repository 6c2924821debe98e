"""What a journal costs, a slice of what ``tests.masterslave.journal.measure`` measures in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.masterslave.journal.measure import open_elsewhere, write


@pytest.mark.serial
def test_recording_opening_and_memory_stay_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, tasks = tmp_path / "survey.db", 100_000
    written = write(path, tasks)
    opened = open_elsewhere(path)
    with capsys.disabled():
        print(f"\n  {written}\n  {opened}")
    assert written.cpu_s < 12e-6  # 6 are aimed at; machines of tests are busy
    assert written.size < 150
    assert opened.seconds < 3  # and 30 of a million
    assert opened.size < 50_000_000
