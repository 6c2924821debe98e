"""What docs/executor.md shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_docs import EXAMPLE, ROOT

SCRIPTS = dict(EXAMPLE.findall((ROOT / "docs" / "executor.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["areas.py", "letters.py", "grid.py"])
def test_each_example_of_the_page_prints_what_it_says(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.write_text(SCRIPTS[name], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"print\(.*\)\s+# (.*)", SCRIPTS[name])
    assert promised
    assert done.stdout.splitlines() == promised
