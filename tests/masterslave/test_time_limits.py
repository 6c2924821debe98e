"""``timeout_s``: a task that runs for longer ends with its process, and says why."""

from __future__ import annotations

import ctypes
import math
import pickle
import signal
import time
from pathlib import Path

import pytest

from masterslave import Farm, RetryPolicy, TaskError, TaskTimedOut
from tests.masterslave.shared import farm, own_machine, wait_for_file

__all__ = ["farm", "own_machine"]

LIMIT_S = 0.3


def sleep(seconds: float) -> float:
    """Take so long: the task that is limited."""
    print("sleeping for", seconds, flush=True)
    time.sleep(seconds)
    return seconds


def sleep_in_c(seconds: float) -> None:
    """Sleep without letting go of Python's lock, as a loop in an extension does."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@pytest.fixture(autouse=True, scope="module")
def imported(farm: Farm) -> None:
    """Have both children import this module, which takes longer than the limits of its tests."""
    for future in [farm.submit(sleep, 0.3) for _ in range(2)]:
        future.result(timeout=20)


def test_a_task_that_runs_for_too_long_is_ended_and_says_why(farm: Farm) -> None:
    future = farm.options(timeout_s=LIMIT_S).submit(sleep, 60)
    start = time.monotonic()
    with pytest.raises(TaskTimedOut) as caught:
        future.result(timeout=10)
    assert LIMIT_S < time.monotonic() - start < LIMIT_S + 1.0
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, TaskError)
    message = str(caught.value)
    for part in ("sleep()", "timeout_s=0.3", farm.slaves[0].host, "sleeping for 60"):
        assert part in message
    assert any(slave.name in message for slave in farm.slaves)
    assert str(pickle.loads(pickle.dumps(caught.value))) == message
    assert farm.statistics().handed_out_again == 0


def test_one_that_never_lets_go_of_the_interpreter_is_ended_too(farm: Farm) -> None:
    future = farm.options(timeout_s=LIMIT_S).submit(sleep_in_c, 60)
    with pytest.raises(TaskTimedOut):
        future.result(timeout=LIMIT_S + 2)


def test_time_counts_from_when_a_task_is_started(farm: Farm, tmp_path: Path) -> None:
    held = [farm.submit(wait_for_file, tmp_path / "go") for _ in range(2)]
    waiting = farm.options(timeout_s=LIMIT_S).submit(sleep, 0)
    with pytest.raises(TimeoutError):
        waiting.result(timeout=2 * LIMIT_S)
    assert not waiting.done()
    (tmp_path / "go").touch()
    assert waiting.result(timeout=10) == 0
    assert [future.result(timeout=10) for future in held] == [tmp_path / "go"] * 2


def test_each_item_has_its_own_limit_and_those_before_it_are_not_lost(farm: Farm) -> None:
    limited = farm.options(timeout_s=LIMIT_S)
    times = [0.001] * 100 + [60] + [0.001] * 100
    before = farm.statistics().done
    ended = {"TaskTimedOut": 0, "value": 0}
    stream = limited.imap(sleep, times)
    while True:
        try:
            next(stream)
            ended["value"] += 1
        except StopIteration:
            break
        except TaskTimedOut:
            ended["TaskTimedOut"] += 1
    assert ended == {"TaskTimedOut": 1, "value": 200}
    assert farm.statistics().done - before == 201
    with pytest.raises(ValueError, match="chunksize"):
        limited.map(sleep, times, chunksize=10)
    assert list(farm.map(sleep, [0] * 20, chunksize=10)) == [0] * 20


def test_a_retry_has_its_time_anew(farm: Farm, tmp_path: Path) -> None:
    def hang_the_first_time() -> str:
        if not (tmp_path / "hung").exists():
            (tmp_path / "hung").touch()
            signal.pause()
        return "second attempt"

    policy = RetryPolicy(1, on=TaskTimedOut)
    future = farm.options(timeout_s=LIMIT_S, retries=policy).submit(hang_the_first_time)
    assert future.result(timeout=10) == "second attempt"


def test_lone_tasks_keep_their_limit_after_many_without() -> None:
    with Farm("lone", local_slaves=1) as farm:
        for _ in range(40):  # a child asks the master itself by now
            assert farm.submit(time.sleep, 0).result(timeout=10) is None
        limited = farm.options(timeout_s=LIMIT_S)
        with pytest.raises(TaskTimedOut):
            limited.submit(time.sleep, 60).result(timeout=10)
        unlimited = limited.options(timeout_s=math.inf)
        assert unlimited.submit(time.sleep, LIMIT_S + 0.1).result(timeout=10) is None


@pytest.mark.parametrize("limit", [0, -1, math.nan, "soon", True])
def test_what_is_no_limit_is_refused(farm: Farm, limit: object) -> None:
    with pytest.raises((ValueError, TypeError), match="timeout_s"):
        farm.options(timeout_s=limit)
