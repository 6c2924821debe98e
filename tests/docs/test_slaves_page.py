"""What docs/slaves.md shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "slaves.md").read_text(encoding="utf-8")


def test_the_script_of_the_page(own_machine: Path, tmp_path: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    script = tmp_path / "steer.py"
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.stderr
    expected = re.findall(r"print\(.*\)\s+# (.*)", text)
    assert done.stdout.splitlines() == expected


def test_each_option_of_the_page_is_one() -> None:
    helped = "".join(
        subprocess.run(
            [sys.executable, "-m", "masterslave", command, "--help"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
        for command in ("slave", "list")
    )
    for option in set(re.findall(r"--[a-z][a-z-]+", PAGE)):
        assert option in helped
