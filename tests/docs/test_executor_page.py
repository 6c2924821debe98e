"""What docs/executor.md shows is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.running import prints_what_it_says
from tests.docs.test_docs import EXAMPLE, ROOT

SCRIPTS = dict(EXAMPLE.findall((ROOT / "docs" / "executor.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["areas.py", "letters.py", "grid.py"])
def test_each_example_of_the_page_prints_what_it_says(name: str, tmp_path: Path) -> None:
    prints_what_it_says(SCRIPTS[name], tmp_path / name)
