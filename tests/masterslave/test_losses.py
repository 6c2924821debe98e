"""Slaves that are killed: nothing is lost, nothing is answered twice, nothing is left behind."""

from __future__ import annotations

import os
import signal
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import StartScript, eventually, processes_of
from tests.masterslave.conftest import StartSlave

TASKS = 1000


def slow_square(number: int) -> int:
    sum(range(20_000))
    return number * number


def hang(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    while True:
        pass


def alive(farm: Farm, killed: set[int]) -> list[int]:
    return [slave.pid for slave in farm.slaves if slave.pid not in killed]


def test_a_slave_killed_every_100_results_costs_nothing() -> None:
    answered: Counter[Future[int]] = Counter()
    killed: set[int] = set()
    with Farm("test", local_slaves=2) as farm:
        futures = [farm.submit(slow_square, number) for number in range(TASKS)]
        for future in futures:
            future.add_done_callback(lambda f: answered.update([f]))
        for threshold in range(100, TASKS, 100):
            eventually(lambda at=threshold: len(answered) >= at, f"{threshold} results")
            eventually(lambda: alive(farm, killed), "one has joined for the last one")
            victim = alive(farm, killed)[0]
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
            farm.add_local_slaves(1)
        assert [future.result(timeout=30) for future in futures] == [n * n for n in range(TASKS)]
        counts = farm.statistics()
    assert len(killed) == counts.slaves_lost == 9
    assert counts.slaves_joined >= 10, "beside those that the farm starts for lost ones"
    assert counts.done == TASKS
    assert set(answered.values()) == {1}
    assert counts.handed_out_again > 0, "no slave was killed with a task in hand"
    assert {slave.state for slave in farm.former_slaves} == {"lost", "left"}


def test_a_killed_child_costs_its_own_task_one_attempt(farm: Farm, tmp_path: Path) -> None:
    def die_the_first_time() -> str:
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "second attempt"

    assert farm.submit(die_the_first_time).result() == "second attempt"
    assert farm.statistics().handed_out_again == 1
    assert farm.statistics().slaves_lost == 0


def test_children_end_when_their_agent_is_killed(
    start_slave: StartSlave, tmp_path: Path, own_machine: Path
) -> None:
    slave = start_slave("test", "--slots", "2")
    with Farm("test", local_slaves=0) as farm:
        future = farm.submit(hang, str(tmp_path / "pid"))
        eventually((tmp_path / "pid").exists, "the task runs")
        slave.kill()
        eventually(lambda: not processes_of(own_machine), "its children end, computing or not")
        assert future.cancel()


def test_local_slaves_and_running_tasks_end_when_the_script_is_killed(
    start_script: StartScript, tmp_path: Path, own_machine: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\n"
        "from masterslave import Farm\n"
        "def hang(path):\n"
        "    open(path, 'w').close()\n"
        "    while True: pass\n"
        "with Farm('test', local_slaves=2) as farm:\n"
        "    farm.submit(hang, sys.argv[1]).result()\n"
    )
    process = start_script(str(script), str(tmp_path / "runs"))
    eventually((tmp_path / "runs").exists, "the task runs")
    process.kill()
    eventually(lambda: not processes_of(own_machine), "nothing of the script is left")


def test_an_external_slave_stops_what_it_ran_for_a_killed_script(
    start_script: StartScript, start_slave: StartSlave, tmp_path: Path
) -> None:
    slave = start_slave("--slots", "1")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, os\n"
        "from masterslave import Farm\n"
        "def hang(path):\n"
        "    open(path, 'w').write(str(os.getpid()))\n"
        "    while True: pass\n"
        "with Farm('first', local_slaves=0) as farm:\n"
        "    farm.submit(hang, sys.argv[1]).result()\n"
    )
    process = start_script(str(script), str(tmp_path / "pid"))
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it runs")
    child = int((tmp_path / "pid").read_text())
    process.kill()
    with Farm("second", local_slaves=0) as farm:
        assert farm.submit(abs, -1).result(timeout=15) == 1, "the slave serves the next farm"
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    slave.send_signal(signal.SIGTERM)
    assert slave.wait(10) == 0
