"""The Makefile, its help and CONTRIBUTING.md agree on what there is to make."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def test_every_target_is_phony_and_in_the_help() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == TARGETS
    told = re.findall(r'@echo "make ([a-z-]+(?:, [a-z-]+)*)', MAKEFILE)
    assert {target for line in told for target in line.split(", ")} == TARGETS - {"help"}


def test_contributors_are_told_of_every_target_and_of_no_other() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([a-z-]+)", text)) == TARGETS
