"""Two services of one label on one machine: the second one says so."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import StartScript
from tests.masterslave.attached.conftest import StartService


def test_a_label_that_another_farm_has_is_said(
    start_service: StartService, start_script: StartScript, tmp_path: Path
) -> None:
    first = start_service()
    command = ("-m", "masterslave", "master", "lab", "--journal")
    second = start_script(*command, str(tmp_path / "other.db"))
    assert second.stderr is not None
    said = next(line for line in second.stderr if "has a farm" in line)
    assert f"(process {first.pid}) has a farm 'lab' here, too" in said
