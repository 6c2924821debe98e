"""A minute of chaos, and a bug that is planted into the master: it has to be found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLANTS = Path(__file__).with_name("plants")


def _run(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.chaos", *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=170, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.serial
def test_a_minute_of_chaos() -> None:
    code, said = _run("--seconds", "50", "--jobs", "2")  # what fails is kept, and said where
    print(said)
    assert code == 0, said


@pytest.mark.serial
def test_an_acknowledgement_that_comes_too_early_is_found(tmp_path: Path) -> None:
    code, said = _run(
        "--seeds", "8", "--seed", "4", "--first", "--scenes", "home", "--kinds", "kill_master",
        "--plant", str(PLANTS / "acknowledges_early.py"), "--keep", str(tmp_path / "kept"),
    )  # fmt: skip
    assert code == 1, said
    assert "and the journal did not know that" in said
    assert list((tmp_path / "kept").glob("*/story.txt"))
