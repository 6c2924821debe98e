"""Tasks that come to a bad end, for a farm in a test; and the command line that tells of it."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from masterslave.cli import main_group
from remoteobj import RemoteObjError
from tests.masterslave.gates import wait_at

__all__ = [
    "dies", "exits", "fails", "is_killed", "masterslave", "story_of", "waits",
]  # fmt: skip

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e"
"""What clears a terminal, names its window, and turns what follows around."""


def masterslave(*arguments: str) -> str:
    """Run a command in this process, which is ten times as fast; returns what it says."""
    said, path = io.StringIO(), sys.path.copy()
    with contextlib.redirect_stdout(said):
        try:
            main_group.main(list(arguments), "masterslave", standalone_mode=False)
        except (RemoteObjError, click.ClickException) as error:
            return f"{said.getvalue()}masterslave: {error}"
        finally:
            sys.path[:] = path
    return said.getvalue()


def story_of(journal: Path | str, task: object) -> dict[str, Any]:
    """Return the story of a task, as ``masterslave show`` tells it to programs."""
    told: dict[str, Any] = json.loads(masterslave("show", str(journal), str(task), "--json"))
    return told


def fails(number: int) -> int:
    """Raise, of each third, after it has printed."""
    print(f"{HOSTILE}looking at {number}")
    if number % 3 == 0:
        raise ValueError(f"{HOSTILE}no use: {number}")
    return number


def is_killed() -> None:
    """Be killed by who is not the slave."""
    print("the last words")
    os.kill(os.getpid(), signal.SIGKILL)


def exits() -> None:
    """End the process."""
    os._exit(3)


def dies() -> None:
    """Read from nowhere."""
    ctypes.string_at(0)


def waits(gate: Path, begun: Path, once: Path) -> str:
    """Wait at a gate; who comes after somebody else has waited there, does not."""
    if once.exists():
        return "after all"
    begun.touch()
    wait_at(gate)
    return "at once"
