"""What the README and the docs show is run; what they draw is what the code says."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nameserver
import remoteobj
from tests.docs.running import prints_what_it_says

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "remote-objects.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
GUIDED = dict(EXAMPLE.findall(GUIDE))
SCRIPTS = dict(EXAMPLE.findall(README))


@pytest.mark.parametrize("name", ["squares.py", "trials.py", "warehouse.py", "names.py"])
def test_each_example_of_the_readme_prints_what_it_says(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.write_text(SCRIPTS[name], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"print\(.*\)\s+# ([\d\[].*|lab.*|True)", SCRIPTS[name])
    assert promised
    assert done.stdout.splitlines()[: len(promised)] == promised


@pytest.mark.parametrize("name", GUIDED)
def test_each_example_of_the_guide_prints_what_it_says(name: str, tmp_path: Path) -> None:
    prints_what_it_says(GUIDED[name], tmp_path / name)


def test_each_example_is_about_twenty_lines() -> None:
    assert set(SCRIPTS) == {"squares.py", "trials.py", "warehouse.py", "names.py"}
    assert all(script.count("\n") <= 20 for script in SCRIPTS.values())


@pytest.mark.parametrize("module", [remoteobj, nameserver])
def test_the_packages_own_examples(module: object) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_life_of_a_task_is_drawn_from_the_table() -> None:
    check = [sys.executable, str(ROOT / "tools" / "draw_task_life.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_command_of_the_readme_exists() -> None:
    for command in re.findall(r"^(masterslave|nameserver) (\w+)", README, re.MULTILINE):
        done = subprocess.run(
            [sys.executable, "-m", *command, "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0, command
