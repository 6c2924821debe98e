"""The commands that docs/post-mortems.md shows are run, about a task that comes to such an end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "post-mortems.md").read_text(encoding="utf-8")

SCRIPT = """
import ctypes
from masterslave import Farm

def measure(star):
    if star == 12:
        print("looking at star", star)
        ctypes.string_at(0)
    return star

with Farm("survey", local_slaves=1, journal="survey.db", output="none") as farm:
    list(farm.imap_unordered(measure, range(12)))
    farm.submit(measure, 12).exception()
"""


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=60,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_the_commands_of_the_page(own_machine: Path, tmp_path: Path) -> None:
    (tmp_path / "survey.py").write_text(SCRIPT)
    _run(tmp_path, "survey.py")
    commands = re.findall(r"^masterslave ((?:show|replay) survey\.db[^#\n]*)#", PAGE, re.MULTILINE)
    assert len(commands) == 4
    listed, told, replayed, looked_into = (
        _run(tmp_path, "-m", "masterslave", *command.split()) for command in commands
    )
    assert re.search(r"1:12 +measure +given up", listed)
    (story,) = re.findall(r"^(task 1:12 .*?)```", PAGE, re.MULTILINE | re.DOTALL)
    said = [*map(_shape, told.splitlines())]
    for line in filter(str.strip, story.replace("...", "").splitlines()):
        assert _shape(line) in said, told
    for again in (replayed, looked_into):
        assert "measure(12)" in again
        assert "Segmentation fault" in again


_DIFFERS = re.compile(
    r", an item of a map|, with \d+ others| on (?:studio|eve)|Python [\d.]+|(?<=\")[^\"]*/"
)


def _shape(line: str) -> str:
    """Return a line of a story without what differs from run to run."""
    line = re.sub(r"on \S+ \(pid", "(pid", _DIFFERS.sub("", line))
    line = re.sub(r" (?:to|at) \S+?(?=[,:])", " at a slave", line)
    return re.sub(r"[0-9a-f]{32}|[\d.]+", "0", line).strip()
