"""What docs/shared-data.md shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "shared-data.md").read_text(encoding="utf-8")

pytest.importorskip("numpy")


def test_the_scripts_of_the_page(own_machine: Path, tmp_path: Path) -> None:
    scripts = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(scripts) == 3
    running = []
    for number, text in enumerate(scripts):
        script = tmp_path / f"script{number}.py"
        script.write_text(text, encoding="utf-8")
        running.append(subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE))
    for process in running:
        assert process.communicate(timeout=60) == (None, b"")
        assert process.returncode == 0
