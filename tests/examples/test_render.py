"""Tests of the film in examples/render.py, which handlers of slaves draw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import StartScript

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_slaves_draw_the_film(start_script: StartScript) -> None:
    slave = start_script(
        "-c",
        f"import os; os.chdir({str(EXAMPLES)!r}); from masterslave.cli import main; main()",
        *["slave", "--local", "--name", "easel", "--slots", "1", "--handlers", "render:Render"],
    )
    assert slave.stdout is not None
    assert "offers" in [slave.stdout.readline() for _ in range(2)][1], "it is ready"
    film = [sys.executable, str(EXAMPLES / "render.py"), "--frames", "5", "--still"]
    done = subprocess.run(film, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "5 frames; tasks done by easel 5"
    assert [len(line) for line in lines[:-1]] == [64] * 22
    assert "@" in done.stdout
    slave.terminate()
    assert slave.wait(10) == 0


def test_a_thread_draws_it_alone() -> None:
    film = ["-m", "masterslave", "run", str(EXAMPLES / "render.py"), "--here", "--frames", "2"]
    done = subprocess.run(
        [sys.executable, *film, "--still"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "2 frames; tasks done by here 2"
