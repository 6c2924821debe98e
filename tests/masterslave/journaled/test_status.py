"""``masterslave status`` of a journal whose script was killed: what was out is not out any more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from masterslave.cli import main_group
from tests.conftest import eventually

SCRIPT = """
import pathlib, sys
from masterslave import Farm
from tests.masterslave.gates import wait_at

journal, gate, first = sys.argv[1:]

def held(number):
    wait_at(pathlib.Path(gate))
    return number

with Farm("survey", local_slaves=1, journal=journal) as farm:
    print(farm.submit(held, int(first)).result())
"""


def _counted(journal: Path) -> tuple[int, int, int]:
    told = CliRunner().invoke(main_group, ["status", str(journal), "--json"])
    if told.exit_code:  # it is not there yet
        return 0, 0, 0
    found = json.loads(told.output)["functions"]
    if not found:
        return 0, 0, 0
    return found[0]["results"], found[0]["out"], found[0]["was_out"]


def test_only_what_a_living_farm_has_handed_out_is_out(
    tmp_path: Path, start_script: Callable[..., subprocess.Popen[str]]
) -> None:
    script, journal, gate = tmp_path / "script.py", tmp_path / "survey.db", tmp_path / "go"
    script.write_text(SCRIPT)

    first = start_script(str(script), str(journal), str(gate), "1")
    eventually(lambda: _counted(journal) == (0, 1, 0), "it is out")
    first.kill()
    first.communicate()
    assert _counted(journal) == (0, 0, 1)
    shown = CliRunner().invoke(main_group, ["status", str(journal)])
    assert shown.output.splitlines()[1].split()[-3:] == ["out", "was", "out"]
    assert shown.output.splitlines()[2].split() == ["held", "0", "0", "0", "1"]

    other = start_script(str(script), str(journal), str(gate), "2")
    eventually(lambda: _counted(journal) == (0, 1, 1), "another one is out")
    gate.touch()
    output, said = other.communicate(timeout=60)
    assert output == "2\n"
    assert "handed out again" not in said, "it has not run what was out"
    assert _counted(journal) == (1, 0, 1)

    again = start_script(str(script), str(journal), str(gate), "1")
    output, said = again.communicate(timeout=60)
    assert output == "1\n"
    assert (
        "1 task was handed out again that an earlier run had handed out: its slave had ended with "
        "that run"
    ) in said
    assert _counted(journal) == (2, 0, 0)
