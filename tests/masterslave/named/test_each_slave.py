"""``farm.each_slave``: once on every slave, also on those that join later."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from masterslave import Farm, FarmClosed, NotPicklable, TaskLost
from tests.conftest import eventually
from tests.masterslave.named.conftest import StartSlave
from tests.masterslave.shared import wait_for_file


def agent() -> int:
    return os.getppid()


def append(path: Path, word: str) -> int:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{word}\n")
    return os.getppid()


def fail_on(pid: int) -> int:
    if os.getppid() == pid:
        raise ValueError(f"not on {pid}")
    return os.getppid()


def test_it_runs_once_on_each_and_first_on_those_that_join(
    own_machine: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with Farm("each", local_slaves=0) as farm:
        each = farm.each_slave(append, log, "each")
        tasks = [farm.options(priority=9).submit(append, log, "task") for _ in range(5)]
        assert (dict(each), each.errors()) == ({}, {})
        farm.add_local_slaves(1)
        (name,) = each.results(timeout_s=10)
        assert {task.result(10) for task in tasks} == {each[name].result()}
        assert log.read_text().split() == ["each"] + 5 * ["task"]
        farm.add_local_slaves(1)
        pids = each.results(timeout_s=10, at_least=2)
        assert pids == {slave.name: slave.pid for slave in farm.slaves}
        assert repr(each) == "<append() on each slave: 2 of 2 done>"
        each.close()
        farm.add_local_slaves(1)
        eventually(lambda: len(farm.slaves) == 3, "the third joins")
        assert len(each) == 2
        assert len(farm.each_slave(agent).results(timeout_s=10, at_least=3)) == 3
        assert log.read_text().split().count("each") == 2


def test_errors_are_told_by_slave(own_machine: Path) -> None:
    with Farm("each", local_slaves=2) as farm:
        eventually(lambda: len(farm.slaves) == 2, "both join")
        bad, good = farm.slaves
        each = farm.each_slave(fail_on, bad.pid)
        with pytest.raises(ExceptionGroup, match=r"fail_on\(\) failed on 1 of 2 slaves") as raised:
            each.results(timeout_s=10)
        (error,) = raised.value.exceptions
        assert error.__notes__ == [f"This was raised on slave {bad.name}."]
        assert each.errors() == {bad.name: error}
        assert each[good.name].result() == good.pid


def test_slaves_of_one_name_are_meant_each(
    own_machine: Path, start_slave: StartSlave, tmp_path: Path
) -> None:
    with Farm("twins", local_slaves=0) as farm:
        started = [start_slave("twins", "--name", "twin", "--slots", "1") for _ in range(2)]
        each = farm.each_slave(agent)
        results = each.results(timeout_s=10, at_least=2)
        assert sorted(results.values()) == sorted(process.pid for process in started)
        first, second = results
        assert first == "twin"
        assert second.startswith("twin#")


def test_a_slave_that_is_lost_is_taken_out(own_machine: Path, tmp_path: Path) -> None:
    with Farm("lost", local_slaves=2) as farm:
        each = farm.each_slave(wait_for_file, tmp_path / "go")
        eventually(lambda: len(each) == 2, "both join")
        gone, stays = farm.slaves
        future = each[gone.name]
        with pytest.raises(TimeoutError, match=gone.name):
            each.results(timeout_s=0.01)
        os.kill(gone.pid, signal.SIGKILL)
        with pytest.raises(TaskLost, match=f"slave {gone.name} was gone before it had answered"):
            future.result(10)
        (tmp_path / "go").touch()
        results = each.results(timeout_s=10, at_least=2)  # a local slave is replaced
        assert stays.name in results
        assert gone.name not in results


def test_named_tasks_run_where_they_are_offered(
    studio: Farm, start_slave: StartSlave, own_machine: Path
) -> None:
    start_slave("studio", "--name", "plain", "--slots", "1")
    eventually(lambda: len(studio.slaves) == 2, "the other one joins")
    assert studio.each_slave("frame", 3).results(timeout_s=10) == {"box": 3}
    assert set(studio.each_slave(agent).results(timeout_s=10, at_least=2)) == {"box", "plain"}
    on_one = studio.options(on="plain").each_slave(agent)
    assert set(on_one.results(timeout_s=10)) == {"plain"}


def test_what_cannot_be_given_is_refused_at_once(own_machine: Path) -> None:
    with Farm("each", local_slaves=0) as farm:
        with open(os.devnull) as file, pytest.raises(NotPicklable):
            farm.each_slave(print, file.buffer)
        each = farm.each_slave(agent)
    assert each.errors() == {}
    with pytest.raises(FarmClosed):
        farm.each_slave(agent)
    each.close()
