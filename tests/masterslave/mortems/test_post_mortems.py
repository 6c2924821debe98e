"""How a child died, in depth: real ones, killed, crashed, stopped for time and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm, TaskLost, TaskOutOfMemory, TaskTimedOut
from masterslave.errors import SlaveTraceback
from masterslave.journal import RUN_BITS
from tests.conftest import eventually
from tests.masterslave.mortems.commands import masterslave, story_of
from tests.masterslave.mortems.victims import (
    blocks_in_c,
    dies,
    dies_at,
    eats,
    exits,
    forks_and_crashes,
    hangs,
    is_killed,
    is_lost_once,
)
from tests.masterslave.shared import own_machine

__all__ = ["own_machine"]

BASE = 1 << RUN_BITS


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "survey.db"


@pytest.fixture(scope="module")
def farm(journal: Path, own_machine: Path) -> Iterator[Farm]:
    """A farm with a slave of one slot, which has a limit."""
    words = ["--local", "--slots", "1", "--memory", "200M", "--name", "box"]
    with Farm("mortems", local_slaves=0, journal=journal, output="none") as running:
        command = [sys.executable, "-m", "masterslave", "slave", "mortems", *words]
        slave = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield running
        finally:
            slave.kill()
            slave.wait()


def fate_of(
    farm: Farm, journal: Path, function: Any, *args: Any, **options: Any
) -> tuple[Any, Any]:
    """Run a task that does not come back; returns what it raises, and its post-mortem."""
    future = farm.options(max_attempts=1, **options).submit(function, *args)
    error = future.exception(20)
    told = story_of(journal, future.number)
    step = next(step for step in told["steps"] if step["post_mortem"] is not None)
    assert step["post_mortem"]["task"] == future.number
    assert step["post_mortem"]["pid"] > 0
    assert step["post_mortem"]["peak_bytes"] > 5 << 20
    return error, step["post_mortem"]


def test_one_that_crashes(farm: Farm, journal: Path) -> None:
    error, mortem = fate_of(farm, journal, dies)
    assert isinstance(error, TaskLost)
    assert mortem["exit_code"] == -signal.SIGSEGV
    first, *calls = mortem["stacks"].splitlines()
    assert first == "Fatal Python error: Segmentation fault"
    assert calls[0] == "in the task (most recent call first):"
    assert calls[1].endswith("in string_at")
    assert calls[2].endswith("in dies")
    assert len(calls) == 3, "nothing of ours, and no thread of ours"
    assert "killed by SIGSEGV in string_at() (line " in str(error)
    assert "called by dies() (line " in str(error)


def test_one_that_is_killed_by_somebody_else(farm: Farm, journal: Path) -> None:
    error, mortem = fate_of(farm, journal, is_killed)
    assert (mortem["exit_code"], mortem["stacks"], mortem["memory"]) == (-9, "", "")
    assert mortem["output"] == "the last words"
    assert "killed by SIGKILL, not by this slave" in str(error)
    assert "of the task before" not in str(error)


def test_one_that_exits(farm: Farm, journal: Path) -> None:
    error, mortem = fate_of(farm, journal, exits)
    assert (mortem["exit_code"], mortem["stacks"]) == (3, "")
    assert "exit code 3" in str(error)


@pytest.mark.parametrize("function", [hangs, blocks_in_c])
def test_one_that_is_stopped_by_its_limit(
    farm: Farm, journal: Path, tmp_path: Path, function: Any
) -> None:
    args = [str(tmp_path / "never")] if function is hangs else []
    error, mortem = fate_of(farm, journal, function, *args, timeout_s=0.3)
    assert isinstance(error, TaskTimedOut)
    assert mortem["exit_code"] == -9
    assert mortem["seconds"] > 0.2
    assert f"in {function.__name__}" in mortem["stacks"]
    assert isinstance(error.__cause__, SlaveTraceback)
    assert f"in {function.__name__}" in error.__cause__.text
    said = masterslave("show", str(journal), function.__name__)
    assert said.count(f"in {function.__name__}\n") == 1
    assert said.count("timeout_s=0.3") == 1


def test_one_that_takes_too_much_memory(farm: Farm, journal: Path) -> None:
    error, mortem = fate_of(farm, journal, eats)
    assert isinstance(error, TaskOutOfMemory)
    assert mortem["peak_bytes"] > 150 << 20
    assert "in eats" in mortem["stacks"]


def test_of_items_the_one_that_ran_is_told(farm: Farm, journal: Path) -> None:
    results = farm.options(max_attempts=1).map(dies_at, range(10), chunksize=10)
    with pytest.raises(TaskLost):
        list(results)
    told = story_of(journal, "dies_at")
    mortem = next(step for step in told["steps"] if step["what"] == "lost")["post_mortem"]
    assert mortem["task"] == told["number"]
    assert "in dies_at" in mortem["stacks"]
    beside = story_of(journal, told["number"] - 7)
    reasons = [step["reason"] for step in beside["steps"] if step["what"] == "lost"]
    assert reasons == [f"its process died of task {told['number']}, which was handed out with it"]


def test_what_a_fork_of_a_task_crashes_with_is_not_its_own(farm: Farm, journal: Path) -> None:
    assert farm.submit(forks_and_crashes).result(20) == -signal.SIGSEGV
    assert fate_of(farm, journal, exits)[1]["stacks"] == ""


def test_how_an_agent_of_the_farm_has_ended_is_told(tmp_path: Path, own_machine: Path) -> None:
    begun = tmp_path / "begun"
    with Farm("survey", local_slaves=1, journal=tmp_path / "j.db") as farm:
        future = farm.submit(is_lost_once, begun)
        eventually(begun.exists, "it runs")
        (slave,) = farm.slaves
        os.kill(slave.pid, signal.SIGKILL)
        assert future.result(20) == "after all"
    lost = story_of(tmp_path / "j.db", 0)["steps"][2]
    assert lost["reason"] == (
        "its slave is gone: its connection closed; its agent died by signal 9"
    )
