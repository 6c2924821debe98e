"""Records of slaves that steer them, over the slaves' own connections."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from masterslave import Farm, SlaveGone, SlaveRecord, SlaveSilent
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.test_command_line import hang_until, line_with


def slave_of(farm: Farm) -> SlaveRecord:
    eventually(lambda: farm.slaves, "the slave joins")
    return farm.slaves[0]


def test_a_slave_says_how_it_is(start_slave: StartSlave, tmp_path: Path) -> None:
    go, started = tmp_path / "go", tmp_path / "started"
    slave = start_slave("test", "--slots", "2")
    with Farm("test", local_slaves=0) as farm, Farm("other", local_slaves=0):
        record = slave_of(farm)
        idle = record.status()
        assert (idle.state, idle.slots, idle.runs, idle.farms) == ("idle", 2, (), ("test",))
        assert idle.uptime_s > 0
        assert idle.memory_bytes > 1_000_000
        running = farm.submit(hang_until, go, started)
        eventually(started.exists, "the task runs")
        busy = record.status()
        (run,) = busy.runs
        assert (busy.state, run.function, run.label) == ("busy", "hang_until", "test")
        assert run.child not in (0, slave.pid)
        assert run.memory_bytes > 1_000_000
        assert 0 <= run.since_s < busy.uptime_s
        eventually(lambda: record.status().runs[0].since_s > run.since_s, "time passes")
        (seen,) = slave_of(farm).runs
        assert (seen.function, seen.task) == ("hang_until", run.task)
        go.touch()
        running.result(timeout=10)


def test_while_tasks_come_one_by_one_a_slave_answers_too(start_slave: StartSlave) -> None:
    start_slave("test", "--slots", "1")
    with Farm("test", local_slaves=0) as farm:
        record = slave_of(farm)
        for _ in range(10):
            for number in range(30):  # soon in a lane
                assert farm.submit(abs, -number).result(timeout=10) == number
            running = farm.submit(time.sleep, 0.002)
            with ThreadPoolExecutor(1) as thread:
                asked = thread.submit(record.status)
                farm.submit(abs, -1).result(timeout=10)  # which may come with the errand
                assert asked.result().slots == 1
            running.result(timeout=10)


def test_drain_finishes_what_runs_and_leaves_that_farm_alone(
    start_slave: StartSlave, tmp_path: Path
) -> None:
    go, started = tmp_path / "go", tmp_path / "started"
    slave = start_slave("--label", "one", "--label", "two", "--slots", "1")
    assert "farm 'one' or 'two'" in line_with(slave, "looks for")
    with Farm("one", local_slaves=0) as one:
        record = slave_of(one)
        running = one.submit(hang_until, go, started)
        eventually(started.exists, "the task runs")
        waiting = one.submit(abs, -1)
        record.drain()
        assert "farm 'one' wants no more of this slave" in line_with(slave, "wants no more")
        assert slave_of(one).takes_nothing == "it finishes what runs, and leaves"
        go.touch()
        assert running.result(timeout=10) == "finished"
        eventually(lambda: not one.slaves, "it leaves")
        assert one.statistics().slaves_left == 1
        with Farm("two", local_slaves=0) as two:  # it is found where the first one still is
            assert two.submit(abs, -2).result(timeout=10) == 2, "it serves others on"
        assert one.statistics().slaves_joined == 1
        with pytest.raises(SlaveGone, match="has left the farm"):
            record.drain()
        one.add_local_slaves(1)
        assert waiting.result(timeout=10) == 1


def test_stop_gives_all_back_at_once(start_slave: StartSlave, tmp_path: Path) -> None:
    go, started = tmp_path / "go", tmp_path / "started"
    start_slave("test", "--slots", "1")
    with Farm("test", local_slaves=0) as farm:
        record = slave_of(farm)
        running = farm.submit(hang_until, go, started)
        eventually(started.exists, "the task runs")
        record.stop()
        assert not farm.slaves
        counts = farm.statistics()
        assert (counts.slaves_left, counts.slaves_lost) == (1, 0)
        go.touch()
        farm.add_local_slaves(1)
        assert running.result(timeout=10) == "finished"


def test_a_slave_of_the_farm_ends_when_it_is_drained() -> None:
    with Farm("test", local_slaves=1) as farm:
        record = slave_of(farm)
        record.drain()
        eventually(lambda: not farm.slaves, "it leaves")
        eventually(lambda: not Path(f"/proc/{record.pid}").exists(), "it ends")
        assert [slave.state for slave in farm.former_slaves] == ["left"]


def test_a_slave_that_is_suspended_does_not_answer(start_slave: StartSlave) -> None:
    slave = start_slave("test", "--slots", "1", "--name", "box")
    with Farm("test", local_slaves=0) as farm:
        record = slave_of(farm)
        os.kill(slave.pid, signal.SIGSTOP)
        with pytest.raises(SlaveSilent, match=r"slave box has not answered for 0\.1 s"):
            record.status(timeout_s=0.1)
        slave.kill()
        with pytest.raises(SlaveGone, match="slave box was lost"):
            record.status()


def test_copies_of_records_are_plain(farm: Farm) -> None:
    record = slave_of(farm)
    copy = pickle.loads(pickle.dumps(record))
    assert copy == record
    assert "steering" not in str(dataclasses.asdict(record))
    with pytest.raises(SlaveGone, match="is a copy, which steers nothing"):
        copy.drain()
