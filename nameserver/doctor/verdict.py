"""How a finding looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "Finding", "Level", "note", "ok", "wrong"]

Level = Literal["ok", "note", "wrong"]
Check = str
"""What was looked at, in a word or two."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: Check
    level: Level
    """"note": nothing has to be done, but it may explain something."""

    text: str
    mend: str = ""
    """The command that mends it, or what to do; never empty where something is wrong."""


def ok(check: Check, text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(check, "ok", text)


def note(check: Check, text: str, mend: str = "") -> Finding:
    """Say something that may explain something."""
    return Finding(check, "note", text, mend)


def wrong(check: Check, text: str, mend: str) -> Finding:
    """Say that something is wrong."""
    return Finding(check, "wrong", text, mend)
