"""What docs/service.md shows is run, and so is its example."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import StartScript
from tests.docs.running import prints_what_it_says

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
SCRIPTS = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))


def _run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_scripts_of_the_page_and_the_example(start_script: StartScript, tmp_path: Path) -> None:
    journal = str(tmp_path / "lab.db")
    service = start_script("-m", "masterslave", "master", "lab", "--journal", journal)
    assert service.stdout is not None
    assert "Ctrl-C ends it" in service.stdout.readline()
    start_script("-m", "masterslave", "slave", "--local", "lab", "--slots", "2")
    prints_what_it_says(SCRIPTS["attached.py"], tmp_path / "attached.py")
    (tmp_path / "evening.py").write_text(SCRIPTS["evening.py"], encoding="utf-8")
    ticket = _run(str(tmp_path / "evening.py")).strip()
    assert ticket in _run("-m", "masterslave", "jobs")
    (tmp_path / "morning.py").write_text(SCRIPTS["morning.py"], encoding="utf-8")
    promised = re.findall(r"print\(.*\)\s+# (.*)", SCRIPTS["morning.py"])
    assert _run(str(tmp_path / "morning.py"), ticket).splitlines() == promised
    overnight = str(ROOT / "examples" / "overnight.py")
    ticket = _run(overnight, "leave", "--below", "20000").strip()
    assert _run(overnight, "fetch", ticket) == "17673 takes 278 steps; of 2 blocks\n"
