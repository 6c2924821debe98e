"""What docs/named-tasks.md shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.running import prints_what_it_says
from tests.docs.test_docs import EXAMPLE, ROOT
from tests.masterslave.shared import own_machine

__all__ = ["own_machine"]

PAGE = (ROOT / "docs" / "named-tasks.md").read_text(encoding="utf-8")
SCRIPTS = dict(EXAMPLE.findall(PAGE))
COMMAND = re.findall(r"^masterslave (slave .*)$", PAGE, re.MULTILINE)[0]


@pytest.fixture(scope="module")
def studio(own_machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the page's handlers, and a slave that was started in it."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "studio.py").write_text(SCRIPTS["studio.py"], encoding="utf-8")
    slave = subprocess.Popen(
        [sys.executable, "-m", "masterslave", *COMMAND.split(), "film", "--local", "--slots", "1"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    yield folder
    slave.terminate()
    slave.wait(10)


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "studio.py"])
def test_each_example_of_the_page_prints_what_it_says(
    name: str, studio: Path, tmp_path: Path
) -> None:
    prints_what_it_says(SCRIPTS[name], tmp_path / name)
