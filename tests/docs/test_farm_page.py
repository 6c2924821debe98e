"""What docs/farm.md shows is run; the limits that it names are the code's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from masterslave import Farm, FarmSettings
from masterslave.farm.local import MAX_RESTARTS, WITHIN_S
from masterslave.protocol.hand_outs import MAX_PAYLOAD_BYTES
from masterslave.scheduler import Feeding
from tests.docs.running import prints_what_it_says
from tests.docs.test_docs import EXAMPLE, ROOT

PAGE = (ROOT / "docs" / "farm.md").read_text(encoding="utf-8")
SCRIPTS = dict(EXAMPLE.findall(PAGE))


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_example_of_the_page_prints_what_it_says(name: str, tmp_path: Path) -> None:
    prints_what_it_says(SCRIPTS[name], tmp_path / name)


def test_each_option_is_on_the_page() -> None:
    options = set(inspect.signature(Farm.options).parameters) - {"self"}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == options


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    feeding, settings = Feeding(), FarmSettings()
    text = " ".join(PAGE.split())
    assert MAX_PAYLOAD_BYTES == 128 * 1024 * 1024
    assert f"about {feeding.chunk_s * 1000:.0f} ms of work" in text
    assert f"for more than {feeding.straggler_min_s:.0f} s, and for three times" in text
    assert feeding.straggler_factor == 3
    assert f"one that is silent, after {settings.silence_s:.0f} s" in text
    assert MAX_RESTARTS == 5
    assert f"the sixth within {WITHIN_S:.0f} s" in text
