"""A slave that is stopped for longer than its master waits for it, and then goes on: what it brings
late is taken if it is the first, dropped and counted if it is not, and it gets new work.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from masterslave import Farm, FarmSettings
from masterslave.journal import Journal
from tests.conftest import children_of, eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.gates import wait_at

SETTINGS = FarmSettings(heartbeat_s=0.2, silence_s=0.8)


def turn(folder: Path) -> int:
    """Say which attempt this is, when the gate of that one is open."""
    for number in (1, 2, 3):
        try:
            (folder / f"began-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        wait_at(folder / f"gate-{number}")
        return number
    raise AssertionError("more attempts than there can be")


def _send(slave: subprocess.Popen[str], what: signal.Signals) -> None:
    for pid in (slave.pid, *children_of(slave.pid)):
        os.kill(pid, what)


@pytest.fixture(params=["without a journal", "with a journal"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "survey.db" if request.param == "with a journal" else None


def _is_settled_once(journal: Path | None, tasks: int) -> bool:
    if journal is None:
        return True
    with Journal.read_only(journal) as reader:
        counts = reader.folded.counts
        return (counts.settled, counts.again, counts.orphans) == (tasks, 0, 0)


def test_what_is_late_and_the_first_is_the_answer(
    start_slave: StartSlave, tmp_path: Path, journal: Path | None
) -> None:
    with Farm("survey", local_slaves=0, journal=journal, settings=SETTINGS) as farm:
        slave = start_slave("survey", "--slots", "1", "--name", "one")
        late = farm.submit(turn, tmp_path)
        eventually((tmp_path / "began-1").exists, "it runs", 20.0)
        _send(slave, signal.SIGSTOP)
        eventually(lambda: farm.statistics().slaves_lost == 1, "the slave is given up", 20.0)
        assert not late.done()
        (tmp_path / "gate-1").touch()
        _send(slave, signal.SIGCONT)
        assert late.result(timeout=20) == 1  # should it run again meanwhile, it is at a gate
        assert farm.submit(abs, -7).result(timeout=20) == 7
        assert farm.statistics().late == 0
    assert _is_settled_once(journal, 2)


def test_what_is_late_and_not_the_first_is_dropped_and_counted(
    start_slave: StartSlave, tmp_path: Path, journal: Path | None
) -> None:
    (tmp_path / "gate-2").touch()
    with Farm("survey", local_slaves=0, journal=journal, settings=SETTINGS) as farm:
        slave = start_slave("survey", "--slots", "1", "--name", "one")
        task = farm.submit(turn, tmp_path)
        eventually((tmp_path / "began-1").exists, "it runs", 20.0)
        _send(slave, signal.SIGSTOP)
        start_slave("survey", "--slots", "1", "--name", "two")
        assert task.result(timeout=20) == 2
        (tmp_path / "gate-1").touch()
        _send(slave, signal.SIGCONT)
        eventually(lambda: farm.statistics().late == 1, "its result comes, and is counted", 20.0)
        assert task.result() == 2
        assert farm.options(on="one").submit(abs, -7).result(timeout=20) == 7
        assert farm.statistics().late == 1
    assert _is_settled_once(journal, 2)
