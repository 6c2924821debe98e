"""Console commands that are interrupted while they are still importing."""

from __future__ import annotations

import signal
import tomllib
from pathlib import Path

import pytest

import remoteobj_commands
from tests.conftest import StartScript

ROOT = Path(__file__).parents[2]
COMMANDS = ("masterslave", "nameserver", "remoteobj")


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_during_the_imports_shows_no_traceback(
    command: str, start_script: StartScript
) -> None:
    begin = f"import sys; sys.argv = [{command!r}]; from remoteobj_commands import {command} as go"
    process = start_script("-X", "importtime", "-c", f"{begin}; go()")
    assert process.stderr is not None
    while "remoteobj.errors" not in process.stderr.readline():  # it is written when that is done
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_the_commands_that_are_installed_begin_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {name: f"remoteobj_commands:{name}" for name in COMMANDS}
    assert all(callable(getattr(remoteobj_commands, name)) for name in COMMANDS)
