"""A farm's own slaves: they are replaced when they die, and end with it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.farm.local import MAX_RESTARTS
from tests.conftest import children_of, eventually


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def nap(_: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def agents(farm: Farm) -> set[int]:
    return {slave.pid for slave in farm.slaves}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_local_slave_that_is_killed_is_replaced_and_nothing_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Farm("kill", local_slaves=2) as farm:
        eventually(lambda: len(agents(farm)) == 2, "both have joined")
        futures = [farm.submit(nap, n) for n in range(200)]
        victim = min(agents(farm))
        children = children_of(victim)
        assert children
        os.kill(victim, signal.SIGKILL)
        assert len({future.result() for future in futures}) >= 2
        eventually(lambda: len(agents(farm) - {victim}) == 2, "another one has joined")
        eventually(lambda: not any(map(is_alive, children)), "its children are gone")
    assert "died by signal 9; another one is started" in caplog.text


def test_slaves_that_die_again_and_again_are_not_replaced_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Farm("again", local_slaves=1) as farm:
        for _ in range(MAX_RESTARTS + 1):
            eventually(lambda: len(agents(farm)) == 1, "it has joined")
            (pid,) = agents(farm)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: pid not in agents(farm), "it is gone")  # noqa: B023
        eventually(lambda: "is not replaced" in caplog.text, "it is said")
        assert not farm.slaves
        farm.add_local_slaves(1)
        assert farm.submit(nap, 1).result()
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1
