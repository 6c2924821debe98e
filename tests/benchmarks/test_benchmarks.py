"""The benchmarks run, and their tables have the shape that the page promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.goals import GOALS, MEASURES
from tests.benchmarks.peers import REMOTEOBJ, SYSTEMS, System

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    tiny = ["--quick", "--reps", "1", "--seconds", "0.03", "--idle", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *tiny, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def cells_of(text: str, system: str) -> list[str]:
    line = re.search(rf"^\| {system} \|(.*)\|$", text, re.MULTILINE)
    assert line, text
    return [cell.strip() for cell in line[1].split("|")]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_system_is_a_line_with_its_ratio_to_the_raw_socket(system: System) -> None:
    for module in system.modules:
        pytest.importorskip(module)
    text = run("--only", system.name, "--measure", "echo-tcp-free")
    value, ratio, spread, note = cells_of(text, system.name)
    assert float(value.replace(",", "")) > 0
    assert float(ratio) > 0
    assert " - " in spread
    assert not note
    assert float(cells_of(text, "raw socket")[0].replace(",", "")) > 0


def test_the_page_says_what_was_measured_and_which_goals_are_missed(tmp_path: Path) -> None:
    keys = ("eight", "records", "idle")
    run("--only", REMOTEOBJ.name, *(f"--measure={key}" for key in keys), "--docs", str(tmp_path))
    page = (tmp_path / "performance.md").read_text(encoding="utf-8")
    titles = {what.title for what in MEASURES if what.key in keys}
    assert set(re.findall("^## (.*)$", page, re.MULTILINE)) == {"Goals", *titles}
    assert f"CPython {sys.version.split()[0]}" in page
    for goal in GOALS:
        if goal.measure in keys:
            assert cells_of(page, re.escape(goal.says))[-1].startswith(("met", "missed"))


def test_what_cannot_be_measured_is_a_line_that_says_why() -> None:
    text = run("--only", "Pyro5 serpent", "--measure", "array")
    try:
        import numpy  # noqa: F401
    except ImportError:
        assert "numpy" in cells_of(text, "Pyro5 serpent")[-1]
    else:
        assert "packed by hand" in cells_of(text, "Pyro5 serpent")[-1]


def test_the_figures_of_a_name_server_are_printed() -> None:
    tiny = ["--names", "1000", "--reps", "1", "--seconds", "0.05"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.names", *tiny],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert all(re.search(r" (met|MISSED)$", line) for line in lines)


def test_null_tasks_over_tls_are_a_line_beside_those_over_the_unix_socket() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.paired", "--tasks", "50", "--reps", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert float(cells_of(text, "over TLS")[1]) > 0
