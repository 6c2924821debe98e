"""One slave for all hostile tasks, and what it has to look like after each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import PATIENCE_S, eventually, processes_of
from tests.masterslave.shared import own_machine

__all__ = ["Hostile", "own_machine"]

SHARE_MIB = 300
TERMS = ("--slots", "1", "--memory", f"{SHARE_MIB}M", "--nice", "5")


class Hostile:
    """A farm with one slave of one slot, whose tasks misbehave."""

    def __init__(self, farm: Farm, slave: subprocess.Popen[bytes], folder: Path) -> None:
        self.farm, self.slave, self.folder = farm, slave, folder

    def fails(
        self, kind: type[BaseException], function: Callable[..., object], *arguments: object,
        within_s: float = 2.0, **options: float,
    ) -> str:  # fmt: skip
        """Run a task that has to fail; returns what it says."""
        future = self.farm.options(max_attempts=1, **options).submit(function, *arguments)
        start = time.monotonic()
        with pytest.raises(kind) as caught:
            future.result(timeout=PATIENCE_S)
        assert time.monotonic() - start < within_s
        return str(caught.value)

    def processes(self) -> dict[int, str]:
        return processes_of(self.folder)


@pytest.fixture(scope="module")
def running(own_machine: Path) -> Iterator[Hostile]:
    temporary = own_machine / "tmp"
    temporary.mkdir()
    with Farm("hostile", local_slaves=0) as farm:
        slave = subprocess.Popen(
            [sys.executable, "-m", "masterslave", "slave", "hostile", "--local", *TERMS],
            env={**os.environ, "TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert farm.submit(abs, -1).result(timeout=20) == 1
            yield Hostile(farm, slave, own_machine)
            slave.send_signal(signal.SIGTERM)
            assert slave.wait(PATIENCE_S) == 0
            left = own_machine / "tmp"
            assert list(left.iterdir()) == [], "what tasks left is removed"
        finally:
            slave.kill()
            slave.wait()


@pytest.fixture
def hostile(running: Hostile) -> Iterator[Hostile]:
    """The farm; its slave has to work and to be clean after the test."""
    yield running
    farm = running.farm
    assert farm.submit(abs, -2).result(timeout=PATIENCE_S) == 2, "the next task runs"
    try:
        eventually(lambda: len(running.processes()) == 2, "an agent and a child", 5)
    except AssertionError:
        pytest.fail(f"not an agent and a child alone: {running.processes()}")
    assert running.slave.poll() is None
    assert len(farm.slaves) == 1
