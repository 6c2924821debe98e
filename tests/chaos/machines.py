"""Computers for a chaos run: hosts of a network of namespaces, or directories on this machine.

Where namespaces cannot be made, all of them are this machine: TLS over loopback, with a runtime and
a configuration directory each; a cable is cut by its wire then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from tests.conftest import eventually, processes_of
from tests.lan.hosts import FORGOTTEN, Lan, Running, why_impossible

__all__ = ["Machine", "Place", "machines", "why_no_hosts"]


@cache
def why_no_hosts() -> str:
    """Return why no network can be made here; empty if it can."""
    return why_impossible()


class Machine(Protocol):
    """What a run needs of a computer."""

    name: str
    can_cut: bool

    @property
    def address(self) -> str: ...
    @property
    def config(self) -> Path: ...
    def python(self, *arguments: str, **environment: str) -> Running: ...
    def cut(self) -> None: ...
    def mend(self) -> None: ...


class Place:
    """This machine, with directories of its own."""

    address = "127.0.0.1"
    can_cut = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._home = Path(tempfile.mkdtemp(prefix="ro-"))  # short enough for a Unix socket
        self.config = self._home / "config"
        self._run = self._home / "run"
        for part in (self.config, self._run):
            part.mkdir(mode=0o700)
        self._started: list[Running] = []

    def python(self, *arguments: str, **environment: str) -> Running:
        """Start the interpreter that runs this."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(FORGOTTEN)}
        own = {
            "HOME": str(self._home),
            "XDG_RUNTIME_DIR": str(self._run),
            "XDG_CONFIG_HOME": str(self.config),
            "REMOTEOBJ_INTERFACES": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
        }
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**kept, **own, **environment},
        )
        running = Running(process, f"{' '.join(arguments[:4])} on {self.name}")
        self._started.append(running)
        return running

    def cut(self) -> None:
        """It has no cable."""
        raise AssertionError("a machine of this kind has no cable")

    mend = cut

    def end_processes(self) -> None:
        """End what runs on it; what outlives that is an error."""
        for running in self._started:
            running.close()
        eventually(lambda: not processes_of(self._run), f"{processes_of(self._run)} end", 10.0)
        for running in self._started:
            running.close_pipes()
        self._started.clear()

    def close(self) -> None:
        """Remove its directories."""
        shutil.rmtree(self._home, ignore_errors=True)


@contextmanager
def machines(names: Sequence[str], *, are_hosts: bool) -> Iterator[dict[str, Machine]]:
    """Make machines with these names.

    Args:
        are_hosts: Hosts of a network, where that can be made; else all are this machine.
    """
    if are_hosts and not why_no_hosts():
        with Lan(*names) as lan:
            lan.patience_s = 10.0
            yield {name: _Host(lan, name) for name in names}
        return
    places = {name: Place(name) for name in names}
    try:
        yield dict(places)
        for place in places.values():
            place.end_processes()
    finally:
        for place in places.values():
            place.close()


class _Host:
    can_cut = True

    def __init__(self, lan: Lan, name: str) -> None:
        self.name = name
        self._host = lan[name]
        self.python = self._host.python
        self.cut, self.mend = self._host.cut, self._host.mend

    @property
    def address(self) -> str:
        return self._host.address

    @property
    def config(self) -> Path:
        return self._host.config
