"""Masters that are killed while slaves work for them, and those that come after them: processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from masterslave.protocol.hand_outs import RUN_BITS
from masterslave.protocol.outcomes import GIVEN_BACK
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.keeping.masters import MasterProcess, StartMaster
from tests.masterslave.test_command_line import line_with, masterslave

FIRST = 1 << RUN_BITS
ANOTHER = "ddccbbaa33221100"


@pytest.fixture
def slave(start_slave: StartSlave) -> subprocess.Popen[str]:
    started = start_slave("--slots", "1", "--name", "box")
    line_with(started, "looks for")
    return started


def begun(path: Path) -> Callable[[], bool]:
    return lambda: path.exists() and "began" in path.read_text()


def hang(master: MasterProcess, path: Path, gate: Path) -> None:
    """Have a task run until there is a gate."""
    master.do(f"future = farm.submit(note_and_wait, {str(path)!r}, gate={str(gate)!r})")
    eventually(begun(path), "the task runs", 20.0)


def values(master: MasterProcess, count: int, timeout_s: float = 30.0) -> dict[int, str]:
    """Return what a master has been told of earlier tasks, when it is so many."""
    told = master.eventually(
        f"len(inherited.values) >= {count} and list(inherited.values.items())",
        f"{count} outcomes are delivered",
        timeout_s,
    )
    return dict(told)


def test_a_task_that_runs_when_its_master_is_killed_is_run_once(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    path, first = tmp_path / "ran", start_master(1)
    first.do(f"future = farm.submit(note_and_wait, {str(path)!r}, 2.0)")
    eventually(begun(path), "the task runs", 20.0)
    first.kill()
    assert "kept for the next one, for 60 s: 1 task (1 at work)" in line_with(slave, "kept for")
    second = start_master(2)
    assert "goes on with it, and with 1 task" in line_with(slave, "goes on")
    assert second.eventually("inherited.holds", "it joins") == [[[FIRST, 1, 1]]]
    assert values(second, 1) == {FIRST: "ran"}
    assert path.read_text().count("began") == path.read_text().count("ended") == 1
    assert second.ask("farm.submit(abs, -7).result(timeout=20)") == 7
    assert second.ask("farm.statistics().late") == 0


def test_what_could_not_be_delivered_is_delivered_to_the_next(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1)
    hang(first, path, gate)
    os.kill(first.process.pid, signal.SIGSTOP)
    gate.touch()
    eventually(lambda: "ended" in path.read_text(), "it has ended")
    first.kill()
    assert "1 task" in line_with(slave, "kept for")
    assert values(start_master(2), 1) == {FIRST: "ran"}


def test_a_hundred_that_wait_are_run_once_and_delivered(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    first, gate = start_master(1), tmp_path / "gate"
    first.do("from tests.masterslave.keeping.ahead import note")
    first.do("from concurrent.futures import wait")
    assert first.ask("len(wait([farm.submit(note, n) for n in range(300)]).done)") == 300
    first.do(f"futures = [farm.submit(note, n, {str(gate)!r}) for n in range(300)]")
    seats = "list(farm._master._table.seats.values())"
    first.eventually(
        f"farm.slaves[0].held > 100 and not any(seat.mailbox.has_mail() for seat in {seats})",
        "a hundred wait at the slave",
    )
    first.kill()
    said = line_with(slave, "kept for")
    held = int(said.partition(" s: ")[2].partition(" task")[0])
    assert held > 100
    gate.mkdir()
    second = start_master(2)
    told = values(second, held)
    assert sorted(told) == [FIRST + 300 + n for n in range(len(told))]
    assert [told[task] for task in sorted(told)] == [*range(len(told))]
    ran = {path.name: path.read_text() for path in gate.iterdir()}
    assert ran == {str(number): "x" for number in range(len(told))}
    assert second.ask("len(inherited.holds[0])") == len(told)


def test_another_farm_of_the_label_gets_nothing_and_is_served_beside(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1)
    hang(first, path, gate)
    first.kill()
    line_with(slave, "kept for")
    other = start_master(2, farm_id=ANOTHER)
    other.eventually("len(farm.slaves) == 1", "the slave joins")
    other.do("future = farm.submit(abs, -7)")
    gate.touch()
    assert other.ask("future.result(timeout=20)") == 7
    assert other.ask("inherited.holds") == [[]]
    second = start_master(2)
    assert values(second, 1) == {FIRST: "ran"}
    assert other.ask("inherited.outcomes") == []
    assert other.ask("farm.submit(abs, -8).result(timeout=20)") == 8
    assert second.ask("farm.submit(abs, -9).result(timeout=20)") == 9


def test_after_keep_s_it_is_dropped_and_said(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1, keep_s=0.5)
    hang(first, path, gate)
    first.kill()
    line_with(slave, "kept for")
    said = line_with(slave, "dropped: ")
    assert "no other master of it came within 0.5 s; dropped: 1 task (1 at work)" in said
    second = start_master(2)
    assert second.ask("farm.submit(abs, -7).result(timeout=20)") == 7
    assert second.ask("inherited.holds") == [[]]


def test_whose_work_a_slave_keeps_is_told(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    first, gate = start_master(1), tmp_path / "gate"
    hang(first, tmp_path / "ran", gate)
    assert "kept for its next run" not in _who()
    first.kill()
    line_with(slave, "kept for")
    assert "its script has ended; kept for its next run" in _who()
    gate.touch()


def _who() -> str:
    command = [sys.executable, "-m", "masterslave", "who"]
    said = subprocess.run(
        command, env={**os.environ, "COLUMNS": "200"},
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    return " ".join(said.split())


def test_a_slave_that_was_stopped_meanwhile_drops_nothing(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1, keep_s=5.0)
    hang(first, path, gate)
    first.kill()
    line_with(slave, "kept for")
    os.kill(slave.pid, signal.SIGSTOP)
    stopped_at = time.monotonic()
    gate.touch()
    second = start_master(2, keep_s=5.0)
    eventually(lambda: time.monotonic() - stopped_at > 5.5, "longer than it keeps", 20.0)
    os.kill(slave.pid, signal.SIGCONT)
    assert values(second, 1) == {FIRST: "ran"}


def test_a_master_that_is_stopped_is_left_for_the_next(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1)
    hang(first, path, gate)
    os.kill(first.process.pid, signal.SIGSTOP)
    second = start_master(2)
    second.eventually("farm.slaves", "the slave comes over")
    told = line_with(slave, "kept for the next one")
    assert "another one was found" in told, "it does not try the first for as long as it may"
    gate.touch()
    assert values(second, 1) == {FIRST: "ran"}
    os.kill(first.process.pid, signal.SIGCONT)
    first.eventually("not farm.slaves", "it has given the slave up")
    assert second.ask("len(farm.slaves)") == 1


def test_what_is_printed_meanwhile_is_shown_by_the_next(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    first, gate = start_master(1), tmp_path / "gate"
    first.do("from tests.masterslave.keeping.ahead import speak")
    first.do(f"future = farm.submit(speak, {str(gate)!r})")
    first.eventually("printed", "its first words are shown")
    first.kill()
    line_with(slave, "kept for")
    gate.touch()
    second = start_master(2)
    assert values(second, 1) == {FIRST: "spoken"}
    printed = second.eventually("printed", "its last words are shown")
    assert printed == [[FIRST, "last words"]]


def test_ctrl_c_waits_for_the_next_master_and_ctrl_c_again_does_not(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1)
    hang(first, path, gate)
    first.kill()
    line_with(slave, "kept for")
    slave.send_signal(signal.SIGINT)
    said = line_with(slave, "waits for its next master")
    assert "to deliver 1 task (1 at work); Ctrl-C again drops that" in said
    slave.send_signal(signal.SIGINT)
    said = line_with(slave, "dropped")
    assert "was left before its next master came; dropped: 1 task (1 at work)" in said
    assert slave.wait(10) == 130


@pytest.mark.parametrize("how", ["drain", "stop"])
def test_drain_waits_for_the_next_master_and_stop_does_not(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path, how: str
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1)
    hang(first, path, gate)
    first.kill()
    line_with(slave, "kept for")
    masterslave(how, "box")
    if how == "drain":
        line_with(slave, "waits for its next master")
        second = start_master(2)
        line_with(slave, "goes on")
        gate.touch()
        assert values(second, 1) == {FIRST: "ran"}
    else:
        assert "dropped: 1 task (1 at work)" in line_with(slave, "dropped")
    assert slave.wait(10) == 0


def test_of_shared_objects_what_a_child_has_stays_and_what_it_has_not_is_given_back(
    start_master: StartMaster, slave: subprocess.Popen[str], tmp_path: Path
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1)
    first.do("from tests.masterslave.keeping.ahead import weigh")
    first.do("has, has_not = (farm.share(bytes([n]) * 1_000_000) for n in (1, 2))")
    first.do(f"args = {str(path)!r}, {str(gate)!r}")
    first.do("for _ in range(20): farm.submit(weigh, has, args[0]).result(timeout=20)")
    first.do("say('known')")
    assert first.process.stdout is not None
    assert first.process.stdout.readline() == '"known"\n'
    first.do("futures = [farm.submit(weigh, one, *args) for one in (has, has, has_not)]")
    eventually(lambda: path.read_text().count("began") == 21, "the first of them runs", 20.0)
    seats = "list(farm._master._table.seats.values())"
    first.eventually(
        f"farm.slaves[0].held == 3 and not any(seat.mailbox.has_mail() for seat in {seats})",
        "the others wait at the slave",
    )
    first.kill()
    line_with(slave, "kept for")
    second = start_master(2)
    line_with(slave, "goes on with it")
    second.do("from tests.masterslave.keeping.ahead import weigh")
    second.do("has_not = farm.share(bytes([2]) * 1_000_000)")
    second.do(f"future = farm.submit(weigh, has_not, {str(path)!r})")
    gate.touch()
    tasks = [FIRST + 20 + number for number in range(3)]
    assert values(second, 2) == {tasks[0]: 1_000_000, tasks[1]: 1_000_000}
    told = "{one.task: one.kind for one in inherited.outcomes}"
    assert second.eventually(f"{told}.get({tasks[2]})", "one is given back") == GIVEN_BACK
    assert second.ask("future.result(timeout=20)") == 2_000_000
