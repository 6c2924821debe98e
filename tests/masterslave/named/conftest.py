"""A slave with handlers, as it is started on a command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.masterslave.shared import own_machine

__all__ = ["own_machine"]

HERE = Path(__file__).parent

StartSlave = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def start_slave(own_machine: Path) -> Iterator[StartSlave]:
    """Start ``masterslave slave --local`` with arguments, in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, python: str = sys.executable) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [python, "-m", "masterslave", "slave", "--local", *arguments],
            cwd=HERE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.communicate(timeout=15)


@pytest.fixture(scope="module")
def studio(start_slave: StartSlave) -> Iterator[Farm]:
    """A farm with one slot that has the handlers of ``studio``."""
    with Farm("studio", local_slaves=0) as farm:
        start_slave("studio", "--slots", "1", "--name", "box", "--handlers", "studio:Render")
        eventually(lambda: len(farm.slaves) == 1, "the slave joins")
        yield farm
