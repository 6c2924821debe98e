"""What docs/journal.md shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr


def test_the_script_of_the_page_is_started_twice(own_machine: Path, tmp_path: Path) -> None:
    script = re.findall(r"```python\n(from masterslave.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "survey.py").write_text(script, encoding="utf-8")
    first = _run(tmp_path, "survey.py")
    (promised,) = re.findall(r"^farm 'survey'.*$", PAGE, re.MULTILINE)
    promised = promised.replace("/home/eve", str(tmp_path.resolve()))
    assert sorted(_run(tmp_path, "survey.py").split("\n")) == sorted([*first.split("\n"), promised])


def test_the_commands_of_the_page(own_machine: Path, tmp_path: Path) -> None:
    script = re.findall(r"```python\n(from masterslave.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "survey.py").write_text(script, encoding="utf-8")
    _run(tmp_path, "survey.py")
    commands = re.findall(
        r"^masterslave (status|invalidate) (survey\.db.*?) *#", PAGE, re.MULTILINE
    )
    said = [_run(tmp_path, "-m", "masterslave", verb, *rest.split()) for verb, rest in commands]
    assert re.search(r"measure +1000 +0 +0", said[0])
    assert said[1] == "1000 tasks run again when the script is started next\n"
    assert "results were in" not in _run(tmp_path, "survey.py")
