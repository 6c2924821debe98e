"""For folders whose tests share farms: farms, directories, and the check of what is left.

A ``conftest.py`` takes what it needs by importing it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import eventually, processes_of
from tests.masterslave.gates import wait_at

__all__ = ["farm", "fresh", "own_machine", "wait_for_file"]


@pytest.fixture(scope="module", autouse=True)
def own_machine() -> Iterator[Path]:
    """Set directories of the module's own; check that no thread and no process outlives it."""
    resource_tracker.ensure_running()  # multiprocessing's: a process for as long as this one lives
    short = Path(tempfile.mkdtemp(prefix="ro-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(short))
        patch.setenv("XDG_CONFIG_HOME", str(short / "config"))
        patch.setenv("REMOTEOBJ_INTERFACES", "127.0.0.1")
        for name in ("CLUSTER", "FARM_HANDLERS", "FARM_HERE", "IDENTITY", "INSECURE", "NAMESERVER"):
            patch.delenv(f"REMOTEOBJ_{name}", raising=False)
        before = set(threading.enumerate())
        yield short
        eventually(
            lambda: not set(threading.enumerate()) - before,
            f"threads end: {set(threading.enumerate()) - before}",
        )
        if sys.platform == "linux":
            eventually(lambda: not processes_of(short), f"processes end: {processes_of(short)}")
    shutil.rmtree(short)


@pytest.fixture(scope="module")
def farm(own_machine: Path) -> Iterator[Farm]:
    """A farm with two local slaves of one slot each, that the tests of a module share."""
    with Farm("shared", local_slaves=2) as running:
        yield running


@pytest.fixture
def fresh(own_machine: Path) -> Iterator[Farm]:
    """A farm with two idle slots that know of no short tasks: none waits behind a long one."""
    with Farm("fresh", local_slaves=2) as running:
        eventually(lambda: len(running.slaves) == 2, "both slaves join")
        yield running


def wait_for_file(path: Path) -> Path:
    """Wait, in a task, until a test lets it go on."""
    wait_at(path)
    return path
