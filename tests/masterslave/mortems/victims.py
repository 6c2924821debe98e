"""Tasks that come to a bad end. Nothing is imported that takes its time: each child does it."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from tests.masterslave.gates import wait_at

__all__ = [
    "HOSTILE",
    "blocks_in_c",
    "dies",
    "dies_at",
    "eats",
    "exits",
    "fails",
    "fails_once",
    "fails_unless",
    "forks_and_crashes",
    "hangs",
    "is_killed",
    "is_lost_once",
    "prints",
    "waits",
]

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e"
"""What clears a terminal, names its window, and turns what follows around."""


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


def hangs(gate: str) -> None:
    print("hanging")
    wait_at(gate)


def blocks_in_c() -> None:
    ctypes.PyDLL(None).pause()  # which holds the interpreter's lock


def eats() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(b"x") * (4 << 20))


def prints(text: str) -> None:
    print(text)


def forks_and_crashes() -> int:
    pid = os.fork()
    if not pid:
        ctypes.string_at(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dies_at(number: int) -> int:
    if number == 7:
        ctypes.string_at(0)
    return number


def is_lost_once(begun: Path) -> str:
    if begun.exists():
        return "after all"
    begun.touch()
    wait_at(begun.with_name("never"))
    return "at once"


def fails_unless(flag: Path) -> None:
    """Raise as long as there is no such file."""
    if not os.path.exists(flag):
        raise OSError("not yet")


def fails_once(flag: Path) -> None:
    """Raise the first time."""
    if not flag.exists():
        flag.touch()
        raise OSError("not yet")
