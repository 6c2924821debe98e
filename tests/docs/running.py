"""Running what a page shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

__all__ = ["prints_what_it_says"]


def prints_what_it_says(text: str, script: Path) -> None:
    """Check that a script prints what stands behind its prints, and nothing else."""
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"print\(.*\)\s+# (.*)", text)
    assert promised
    assert done.stdout.splitlines() == promised
