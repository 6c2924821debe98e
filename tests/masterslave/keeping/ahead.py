"""Tasks whose time is soon known, so that many of them are handed out ahead."""

from __future__ import annotations

import time
from typing import Any

from tests.masterslave.gates import wait_at


def note(number: int, folder: str = "") -> int:
    """Return the number; with a folder, wait until it is there, and note it."""
    if not folder:
        time.sleep(0.0005)  # what it is about: a task is known to take so long
        return number
    wait_at(folder)
    with open(f"{folder}/{number}", "a") as file:
        file.write("x")
    return number


def speak(gate: str) -> str:
    """Print before and after a gate."""
    print("first words", flush=True)
    wait_at(gate)
    print("last words", flush=True)
    return "spoken"


def weigh(shared: Any, path: str, gate: str = "") -> int:
    """Return how long an object is that was shared; before that, say so and wait for a gate."""
    with open(path, "a") as file:
        file.write("began\n")
    if gate:
        wait_at(gate)
    return sum(shared)


def mark(number: int, folder: str) -> int:
    """Take a hundredth of a second, and note it."""
    with open(f"{folder}/{number}", "a") as file:
        file.write("x")
    time.sleep(0.01)  # what it is about, as above
    return number
