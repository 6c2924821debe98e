"""``masterslave drain``, ``stop``, ``release`` and what ``list`` and ``show`` tell of slaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from masterslave import Farm, FarmError, SlaveGone
from masterslave.cli import main_group
from masterslave.cli.finding import SlaveSeen, choose
from masterslave.naming import SlaveEntry
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.test_command_line import hang_until, line_with


def masterslave(*arguments: str) -> str:
    """Run a command in this process; returns what it prints."""
    done = CliRunner().invoke(main_group, arguments, catch_exceptions=True)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_a_slave_without_a_farm_is_listed_and_drained(start_slave: StartSlave) -> None:
    slave = start_slave("test", "--slots", "2", "--name", "box")
    line_with(slave, "looks for")
    eventually(lambda: "box" in masterslave("list", "--slaves"), "it is listed")
    (listed,) = json.loads(masterslave("list", "--slaves", "--json"))
    assert (listed["name"], listed["pid"], listed["slots"]) == ("box", slave.pid, 2)
    assert listed["farms"] == []
    assert "no farm now" in masterslave("list")
    with pytest.raises(SlaveGone, match="no slave 'bax' is seen: box"):
        masterslave("drain", "bax")
    with pytest.raises(FarmError, match="slave box is in quarantine in no farm"):
        masterslave("release", "box")
    assert masterslave("drain", "box") == "slave box finishes what it runs, and ends\n"
    assert "told to leave" in line_with(slave, "told to leave")
    assert slave.wait(10) == 0
    assert json.loads(masterslave("list", "--slaves", "--json")) == []


def test_stop_ends_a_slave_whatever_it_serves(start_slave: StartSlave, tmp_path: Path) -> None:
    go, started = tmp_path / "go", tmp_path / "started"
    slave = start_slave("--slots", "1")
    with Farm("one", local_slaves=0) as one, Farm("two", local_slaves=1) as two:
        running = one.submit(hang_until, go, started)
        eventually(started.exists, "the task runs")
        eventually(lambda: len(two.slaves) == 2, "both serve the other farm")
        shown = " ".join(masterslave("show", "one").split())
        assert "hang_until() for" in shown
        seen = json.loads(masterslave("list", "--slaves", "--json"))
        farms = {one["pid"]: one["farms"] for one in seen}
        assert farms.pop(slave.pid) == ["one", "two"]
        ((own_pid, own_farms),) = farms.items()
        assert own_farms == ["two"]
        assert masterslave("stop", str(slave.pid)).endswith("ends\n")
        assert slave.wait(10) == 0
        eventually(lambda: not one.slaves, "it has left")
        assert (one.statistics().slaves_lost, two.statistics().slaves_lost) == (0, 0)
        stopped = masterslave("stop", str(own_pid))  # which is told through its farm
        assert "has left farm 'two'" in stopped
        assert two.slaves == ()
        go.touch()
        one.add_local_slaves(1)
        assert running.result(timeout=10) == "finished"


def test_names_that_several_have_are_told_apart() -> None:
    slaves = [SlaveSeen(SlaveEntry("box", host, pid, 1)) for host, pid in (("a", 1), ("b", 2))]
    slaves += [SlaveSeen(SlaveEntry("2", "c", 3, 1)), SlaveSeen(SlaveEntry("x", "d", 1, 1))]
    with pytest.raises(SlaveGone, match="2 slaves are called 'box': say which by 1@a, 2@b"):
        choose(slaves, "box")
    with pytest.raises(SlaveGone, match="2 slaves are called '1': say which by 1@a, 1@d"):
        choose(slaves, "1")
    assert choose(slaves, "1@d").entry.name == "x"
    assert choose(slaves, "2").entry.host == "c", "names come before numbers"
    assert choose(slaves, "3").entry.host == "c"
    with pytest.raises(SlaveGone, match="there is none"):
        choose([], "box")
