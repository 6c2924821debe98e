"""What tests have children do, in a module that imports little: a child has to import it."""

from __future__ import annotations

import enum
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Level(enum.Enum):
    """A value that names a class."""

    HIGH = 1


@dataclass
class Reading:
    """Another one."""

    volts: float


def act(what: Any, gate: str = "") -> Any:
    """Return a number, or wait for a gate, or die: one function, whose time is soon known."""
    if what == "wait":
        Path(gate + ".started").touch()
        while not os.path.exists(gate):
            time.sleep(0.005)
    if what == "die":
        os._exit(9)
    if what == "stubborn":
        while True:
            time.sleep(0.005)
    return what


def fork_and_finish(path: str, way: str) -> None:
    """Leave a process behind that lives on, and end in one way or another."""
    forked = os.fork()
    if forked == 0:
        while True:
            signal.pause()
    Path(path).write_text(str(forked))
    if way == "by itself":
        os._exit(3)
    while True:
        signal.pause()


def note(folder: str, number: int) -> int:
    """Note that this was run, and return the number."""
    with open(f"{folder}/{number}", "a") as file:
        file.write("x")
    return number
