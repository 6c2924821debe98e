"""Tasks whose time is soon known, so that many of them are handed out ahead."""

from __future__ import annotations

import os
import time
from typing import Any


def note(number: int, folder: str = "") -> int:
    """Return the number; with a folder, wait until it is there, and note it."""
    if not folder:
        time.sleep(0.0005)
        return number
    while not os.path.isdir(folder):
        time.sleep(0.005)
    with open(f"{folder}/{number}", "a") as file:
        file.write("x")
    return number


def speak(gate: str) -> str:
    """Print before and after a gate."""
    print("first words", flush=True)
    while not os.path.exists(gate):
        time.sleep(0.005)
    print("last words", flush=True)
    return "spoken"


def weigh(shared: Any, path: str, gate: str = "") -> int:
    """Return how long an object is that was shared; before that, say so and wait for a gate."""
    with open(path, "a") as file:
        file.write("began\n")
    while gate and not os.path.exists(gate):
        time.sleep(0.005)
    return sum(shared)


def mark(number: int, folder: str) -> int:
    """Take a hundredth of a second, and note it."""
    with open(f"{folder}/{number}", "a") as file:
        file.write("x")
    time.sleep(0.01)
    return number
