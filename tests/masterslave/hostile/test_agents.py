"""Agents that are killed or stopped, and children that die again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masterslave import Farm, TaskLost
from tests.conftest import eventually, processes_of
from tests.masterslave.hostile.test_hostile import by_value
from tests.masterslave.shared import own_machine

__all__ = ["own_machine"]

pytestmark = [
    pytest.mark.serial,  # each answer has a second
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(own_machine: Path) -> Iterator[Start]:
    """Start a slave that lives as long as the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_slave(slots: int = 1) -> subprocess.Popen[bytes]:
        (own_machine / "tmp").mkdir(exist_ok=True)
        program = [sys.executable, "-m", "masterslave", "slave", "--local", "--slots", str(slots)]
        quiet = subprocess.DEVNULL
        environment = {**os.environ, "TMPDIR": str(own_machine / "tmp")}
        started.append(subprocess.Popen(program, env=environment, stdout=quiet, stderr=quiet))
        return started[-1]

    yield start_slave
    for slave in started:
        slave.kill()
        slave.wait()


@by_value
def hold_the_interpreter(path: str) -> str:
    """The first time, start a process and block in C; then say that it is the second one."""
    import ctypes
    import subprocess

    if os.path.exists(path):
        return "second attempt"
    subprocess.Popen(["sleep", "60"])
    open(path, "w").close()
    ctypes.PyDLL(None).sleep(60)
    return "never"


def test_no_process_survives_an_agent_that_is_killed(
    start: Start, own_machine: Path, tmp_path: Path
) -> None:
    with Farm("killed", local_slaves=0) as farm:
        first = start()
        future = farm.submit(hold_the_interpreter, str(tmp_path / "runs"))
        eventually((tmp_path / "runs").exists, "the task runs")
        first.kill()
        first.wait()
        eventually(lambda: not processes_of(own_machine), "child and grandchild end", 1.0)
        second = start()
        assert future.result(timeout=10) == "second attempt"
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0
    assert not list((own_machine / "tmp").iterdir()), "what the first one left is removed"


def test_an_agent_that_is_stopped_for_a_while_goes_on(start: Start) -> None:
    with Farm("stopped", local_slaves=0) as farm:
        slave = start()
        assert farm.submit(abs, -1).result(timeout=10) == 1
        limited = farm.options(timeout_s=20).submit(time.sleep, 0.3)
        slave.send_signal(signal.SIGSTOP)
        waiting = [farm.submit(abs, -number) for number in range(20)]
        with pytest.raises(TimeoutError):
            waiting[-1].result(timeout=0.5)
        slave.send_signal(signal.SIGCONT)
        assert [future.result(timeout=10) for future in waiting] == [*range(20)]
        assert limited.result(timeout=10) is None
        assert len(farm.former_slaves) == 0


def test_a_child_that_dies_again_and_again_does_not_take_the_agent_with_it(start: Start) -> None:
    with Farm("deaths", local_slaves=0) as farm:
        slave = start(slots=2)
        deadly = farm.options(max_attempts=1)
        futures = [deadly.submit(os._exit, 1) for _ in range(16)]
        innocent = [farm.submit(abs, -number) for number in range(16)]
        for future in futures:
            with pytest.raises(TaskLost, match="exit code 1"):
                future.result(timeout=60)
        assert [future.result(timeout=10) for future in innocent] == [*range(16)]
        assert farm.statistics().given_up == 16
        assert slave.poll() is None
        assert len(farm.slaves) == 1
