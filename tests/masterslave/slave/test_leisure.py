"""Slaves that leave when there is nothing to do, and rest while others use the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.naming import FarmRecord
from masterslave.slave.agent import Agent
from masterslave.slave.leisure import FREE_S, Courtesy, Idleness
from masterslave.slave.usage import LinuxMeter, Use
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.test_command_line import hang_until, line_with

TICKS = os.sysconf("SC_CLK_TCK")


def test_a_slave_leaves_when_it_has_had_nothing_to_do(start_slave: StartSlave) -> None:
    slave = start_slave("test", "--slots", "1", "--idle-exit", "0.5")
    with Farm("test", local_slaves=0) as farm:
        assert farm.submit(abs, -1).result(timeout=10) == 1
        line_with(slave, "nothing to do for 0.5 s: leaving")
        assert slave.wait(10) == 0
        assert farm.statistics().slaves_lost == 0


def test_idleness_begins_when_work_ends() -> None:
    idle = Idleness(10.0)
    assert idle.note(15.0, busy=0, done=0) == 0.0
    assert idle.note(20.0, busy=0, done=0) == 5.0
    assert idle.note(21.0, busy=1, done=0) == 0.0
    assert idle.note(23.0, busy=0, done=7) == 0.0  # short ones, between two looks
    assert idle.note(24.0, busy=0, done=7) == 1.0


def test_others_are_back_at_once_and_gone_after_a_while() -> None:
    courtesy = Courtesy(2)
    quiet, busy = Use(0.05, None), Use(1.0, None)
    assert courtesy.note(0.0, quiet) == ""
    assert courtesy.note(2.0, busy) == "others use 0.5 of its CPUs"
    for second in range(4, 22, 2):
        assert courtesy.note(second, busy)
    for second in range(22, 60, 2):
        assert courtesy.note(second, quiet), "a pause"
    assert courtesy.note(20.0 + FREE_S, quiet) == ""
    assert courtesy.note(90.0, Use(None, 3.0)) == "somebody typed 3 s ago"
    assert courtesy.note(92.0, Use(0.0, 65.0)) == ""


def test_daemons_of_a_large_machine_are_no_users() -> None:
    assert Courtesy(64).note(0.0, Use(0.8, None)) == ""
    assert Courtesy(4).note(0.0, Use(0.8, None))


def stat(pid: int, session: int, ticks: tuple[int, int, int, int], nice: int = 0) -> str:
    head = f"{pid} (a name) with) S 1 {session} {session} 0 -1 0 0 0 0 0"
    return f"{head} {' '.join(map(str, ticks))} 20 {nice} 1 0 0"


def test_what_the_slave_uses_itself_does_not_count(tmp_path: Path) -> None:
    own = [1.0]
    meter = LinuxMeter(tmp_path, lambda: own[0])
    processes = {
        50: (50, (100, 0, 0, 0), 0),  # a child
        51: (50, (0, 0, 0, 0), 0),  # and what its task has started
        60: (60, (0, 0, 0, 0), 5),  # a child that gives way
        70: (70, (9, 9, 9, 9), 0),  # somebody else's
    }
    busy = 1000

    def write() -> None:
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc/stat").write_text(f"cpu  {busy} 77 0 5000 0 0 0 0 0 0\ncpu0 1 1\n")
        for pid, (session, ticks, nice) in processes.items():
            (tmp_path / f"proc/{pid}").mkdir(exist_ok=True)
            (tmp_path / f"proc/{pid}/stat").write_text(stat(pid, session, ticks, nice))

    write()
    assert meter([50, 60]).cpus is None
    own[0] += 2.0
    processes[50] = (50, (100 + TICKS, 0, TICKS, 0), 0)
    processes[51] = (50, (TICKS, TICKS, 0, 0), 0)
    processes[60] = (60, (50 * TICKS, TICKS, 50 * TICKS, 0), 5)
    busy += 7 * TICKS
    write()
    assert meter([50, 60]).cpus == pytest.approx(0.0, abs=1e-6)
    processes[60] = (60, (100 * TICKS, TICKS, 50 * TICKS, 0), 5)
    busy += TICKS
    write()
    assert (meter([50, 60]).cpus or 0) > 0, "somebody else did that"
    busy += 10_000_000 * TICKS
    write()
    use = meter([50, 60])
    assert use.cpus is not None
    assert use.cpus > 1000
    assert use.input_age_s is None
    (tmp_path / "dev/pts").mkdir(parents=True)
    terminal = tmp_path / "dev/pts/3"
    terminal.touch()
    age = meter([50, 60]).input_age_s
    assert age is not None
    assert 0 <= age < 10


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux only")
def test_this_machine_can_be_measured() -> None:
    meter = LinuxMeter()
    meter([])
    until = time.monotonic() + 0.2  # the system counts in hundredths
    while time.monotonic() < until:
        pass
    use = meter([])
    assert use.cpus is not None
    assert 0 <= use.cpus <= 2 * (os.cpu_count() or 1)


class _Others:
    def __init__(self) -> None:
        self.use = Use(0.0, None)

    def __call__(self, children: Collection[int]) -> Use:
        return self.use


def test_a_slave_rests_while_others_use_the_machine(tmp_path: Path) -> None:
    go, started = tmp_path / "go", tmp_path / "started"
    said: list[str] = []
    others = _Others()
    agent = Agent(slots=1, report=said.append, meter=others, look_s=0.05)
    with Farm("test", local_slaves=0) as farm:
        agent.open()
        agent.found(FarmRecord("test", "1", farm.uri, "", 0, "x"), "here")
        assert farm.submit(abs, -1).result(timeout=10) == 1
        running = farm.submit(hang_until, go, started)
        eventually(started.exists, "the task runs")
        ahead = [farm.submit(time.sleep, 0.2) for _ in range(5)]
        others.use = Use(None, 1.0)
        eventually(lambda: farm.slaves[0].takes_nothing, "it rests")
        assert farm.slaves[0].takes_nothing == "the machine is in use: somebody typed 1 s ago"
        go.touch()
        assert running.result(timeout=10) == "finished"
        eventually(lambda: not farm.slaves[0].held, "it gives back the rest")
        assert not ahead[-1].done()  # the first may have begun before its child had heard
        assert "the machine is in use" in farm.why_waiting()
        others.use = Use(0.0, None)
        assert ahead[-1].result(timeout=10) is None
        assert farm.slaves[0].takes_nothing == ""
        agent.drain()
        assert agent.wait_until_left(10)
    agent.close()
    assert [line for line in said if "takes" in line][-1].startswith("takes tasks")
