"""A master of a kept farm in a process of its own, which does what it reads: a line of Python each.

What is asked (``say(...)``) is answered by a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from masterslave.errors import FarmError
from masterslave.farm import places
from remoteobj import Identity
from tests.conftest import eventually
from tests.masterslave.gates import wait_at
from tests.masterslave.keeping.kept import Inherited, kept_farm

__all__ = ["MasterProcess", "StartMaster", "note_and_wait"]


class MasterProcess:
    """A master, as a test has it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def do(self, line: str) -> None:
        """Have a line run."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, expression: str) -> Any:
        """Return what an expression is there."""
        self.do(f"say({expression})")
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the master has died: {self.process.communicate()[1]}"
        return json.loads(line)

    def eventually(self, expression: str, what: str, timeout_s: float = 20.0) -> Any:
        """Wait until an expression is true there, and return it."""
        seen: list[Any] = []

        def look() -> Any:
            seen.append(self.ask(expression))
            return seen[-1]

        eventually(look, what, timeout_s)
        return seen[-1]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)


StartMaster = Callable[..., MasterProcess]


def note_and_wait(path: str, seconds: float = 0.0, gate: str = "") -> str:
    """Note that this was begun, and ended; in between wait, or for a gate."""
    with open(path, "a") as file:
        file.write(f"began in {os.getpid()}\n")
    if gate:
        wait_at(gate)
    time.sleep(seconds)  # a task of so many seconds is what the test is about
    with open(path, "a") as file:
        file.write("ended\n")
    return Path(path).name


def main(label: str, farm_id: str, keep_s: str, run: str, options: str = "{}") -> None:
    """Serve until standard input ends; the options of the farm are JSON.

    Of them, *lease_s* is how long a name server lists it once it is silent.
    """
    told: dict[str, Any] = json.loads(options)
    places._LEASE_S = told.pop("lease_s", places._LEASE_S)
    if "identity" in told:
        told["identity"] = Identity.from_files(*told["identity"])
    inherited = Inherited(log=told.pop("log", ""))
    printed: list[Any] = []
    told.setdefault("local_slaves", 0)
    told.setdefault("output", lambda one: printed.append([one.task, one.text]))
    names: dict[str, Any] = {
        "inherited": inherited,
        "printed": printed,
        "note_and_wait": note_and_wait,
        "say": lambda value: print(json.dumps(value, default=to_builtins), flush=True),
    }
    try:
        with kept_farm(
            label, farm_id=farm_id, keep_s=float(keep_s), run=int(run), inherited=inherited, **told
        ) as names["farm"]:
            for line in sys.stdin:
                exec(line, names)
    except FarmError as error:
        print(json.dumps(str(error)), flush=True)
        raise
