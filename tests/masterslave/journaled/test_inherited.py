"""What a slave had when the script ended: it brings that, or it is handed out again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from masterslave import DependencyFailed, Farm, FarmError
from masterslave.journal import Journal
from masterslave.settings import FarmSettings
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave

_SCRIPT = """
import sys
import time
from pathlib import Path
from masterslave import DependencyFailed, Farm

journal, gate, what = sys.argv[1:]

def wait_at(gate):
    Path(gate + ".reached").touch()
    with open(gate) as file:  # until somebody writes to it
        if said := file.read():
            raise ValueError(said)
    with open(gate + ".passed", "a") as file:
        file.write("once")
    return "passed"

def tell(gate):
    Farm.progress(1, 3)
    wait_at(gate)
    second = time.monotonic() + 0.2  # ten times a second it is told on
    while time.monotonic() < second:
        Farm.progress(2, 3)
    return wait_at(gate)

def count(gate):
    yield "one"
    wait_at(gate)
    yield "two"
    wait_at(gate)
    yield "three"
    return "passed"

with Farm("inherited", local_slaves=0, journal=journal) as farm:
    task = {"wait_at": wait_at, "tell": tell, "count": count}[what]
    future = farm.options(key="the task").submit(task, gate)
    if what == "count":
        next(future.parts())
        Path(gate + ".heard").touch()
    future.result()
"""


class Earlier:
    """A script that has ended, while a slave was at its task."""

    def __init__(
        self,
        folder: Path,
        slave: subprocess.Popen[str],
        start_script: Callable[..., subprocess.Popen[str]],
    ) -> None:
        self._journal = folder / "survey.db"
        self._script, self._gate = folder / "script.py", folder / "gate"
        self._script.write_text(_SCRIPT)
        os.mkfifo(self._gate)
        self._slave, self._start_script = slave, start_script

    def end(self, by: signal.Signals, what: str = "wait_at") -> None:
        """Start the script, and end it when its task runs and the journal knows that."""
        process = self._start_script(str(self._script), str(self._journal), str(self._gate), what)
        if what == "count":
            eventually(Path(f"{self._gate}.heard").exists, "the first part has come")
        eventually(Path(f"{self._gate}.reached").exists, "the task runs")
        with Journal.read_only(self._journal) as reader:

            def is_out() -> bool:
                reader.catch_up()
                return bool(reader.folded.out)

            eventually(is_out, "it is in the journal")
        process.send_signal(by)
        process.wait()

    def end_slave(self) -> None:
        self._slave.kill()
        self._slave.wait()

    def open_gate(self, raising: str = "") -> None:
        self._gate.write_text(raising)

    @property
    def passed(self) -> str:
        path = Path(f"{self._gate}.passed")
        return path.read_text() if path.exists() else ""

    def next(self, patience_s: float) -> Farm:
        """Return the farm of the next run."""
        settings = FarmSettings(patience_s=patience_s)
        return Farm("inherited", local_slaves=0, journal=self._journal, settings=settings)


@pytest.fixture
def earlier(
    tmp_path: Path,
    own_machine: Path,
    start_slave: StartSlave,
    start_script: Callable[..., subprocess.Popen[str]],
) -> Earlier:
    return Earlier(tmp_path, start_slave("inherited", "--slots", "1"), start_script)


def _again() -> str:
    return "ran again"


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_a_slave_brings_what_it_had(earlier: Earlier, by: signal.Signals) -> None:
    earlier.end(by)
    with earlier.next(60.0) as farm:
        future = farm.options(key="the task").submit(_again)
        eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
        earlier.open_gate()
        assert future.result(20) == "passed"
    assert earlier.passed == "once"


def test_a_task_that_tells_how_far_it_is_goes_on_and_runs_once(earlier: Earlier) -> None:
    earlier.end(signal.SIGKILL, "tell")
    with earlier.next(60.0) as farm:
        future = farm.options(key="the task").submit(_again)
        eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
        earlier.open_gate()
        eventually(lambda: future.progress == (2, 3), "it tells that to this script", 20.0)
        assert "is at slave" in farm.explain(future)
        earlier.open_gate()
        assert future.result(20) == "passed"
        assert _has_come(farm)
    assert earlier.passed == "onceonce", "it went through both gates one time"


@pytest.mark.parametrize("comes_before", [True, False])
def test_a_task_that_yields_goes_on_and_what_it_yields_comes_once_and_in_order(
    earlier: Earlier, *, comes_before: bool
) -> None:
    earlier.end(signal.SIGKILL, "count")
    with earlier.next(60.0) as farm:
        task = farm.options(key="the task")
        if comes_before:
            earlier.open_gate()
            eventually(lambda: earlier.passed == "once", "it is through", 20.0)
            earlier.open_gate()
            eventually(lambda: _has_come(farm), "its outcome has come", 20.0)
            future = task.submit(_again)
        else:
            future = task.submit(_again)
            eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
            earlier.open_gate()
            eventually(lambda: earlier.passed == "once", "it is through", 20.0)
            earlier.open_gate()
        assert future.result(20) == "passed"
        parts = []
        with contextlib.suppress(FarmError):  # the first one is missing
            parts += [next(future.parts())]
        parts += future.parts()
        # Whether the slave knew that the former script had the first one is a matter of time.
        assert parts in (["two", "three"], ["one", "two", "three"])
    assert earlier.passed == "onceonce", "it went through both gates one time"


@pytest.mark.parametrize("comes_before", [True, False])
def test_what_a_slave_brings_that_has_raised_is_tried_again(
    earlier: Earlier, *, comes_before: bool
) -> None:
    earlier.end(signal.SIGKILL)
    with earlier.next(60.0) as farm:
        task = farm.options(key="the task", retries=1)
        if comes_before:
            earlier.open_gate("no star")
            eventually(lambda: _has_come(farm), "its outcome has come", 20.0)
            future = task.submit(_again)
        else:
            future = task.submit(_again)
            eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
            earlier.open_gate("no star")
        assert future.result(20) == "ran again"


def test_what_a_slave_brings_that_has_raised_is_the_answer_of_a_task_without_retries(
    earlier: Earlier,
) -> None:
    earlier.end(signal.SIGKILL)
    with earlier.next(60.0) as farm:
        future = farm.options(key="the task").submit(_again)
        eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
        earlier.open_gate("no star")
        with pytest.raises(ValueError, match="no star"):
            future.result(20)


def _has_come(farm: Farm) -> bool:
    inherited = farm._master.inherited
    return inherited is not None and inherited.came == 1


def test_what_nobody_comes_with_is_handed_out_again(earlier: Earlier) -> None:
    earlier.end(signal.SIGKILL)
    earlier.end_slave()
    with earlier.next(2.0) as farm:
        future = farm.options(key="the task").submit(_again)
        assert "was at a slave when an earlier run ended" in farm.explain(future)
        assert farm.why_waiting() == (
            "1 task waits for slaves with which they were when an earlier run ended"
        )
        farm.add_local_slaves(1)
        assert future.result(20) == "ran again"


def test_a_task_that_waits_for_a_slave_can_be_cancelled(earlier: Earlier) -> None:
    earlier.end(signal.SIGKILL)
    earlier.end_slave()
    with earlier.next(60.0) as farm:
        assert farm.options(key="the task").submit(_again).cancel()


def test_what_follows_a_task_that_a_slave_has_waits_for_it(earlier: Earlier) -> None:
    earlier.end(signal.SIGKILL)
    with earlier.next(60.0) as farm:
        future = farm.options(key="the task").submit(_again)
        follower = farm.submit(str.upper, future)
        last = farm.options(after=[future, follower]).submit(str.lower, "LAST")
        eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
        assert "waits for a task that was at a slave" in farm.explain(last)
        earlier.open_gate()
        assert (follower.result(20), last.result(20), future.result()) == (
            "PASSED", "last", "passed",
        )  # fmt: skip
    assert earlier.passed == "once"


def test_what_follows_such_a_task_is_handed_out_after_it_if_nobody_comes(earlier: Earlier) -> None:
    earlier.end(signal.SIGKILL)
    earlier.end_slave()
    with earlier.next(1.0) as farm:
        future = farm.options(key="the task").submit(_again)
        follower = farm.submit(str.upper, future)
        last = farm.submit(str.lower, follower)
        farm.add_local_slaves(1)
        assert (last.result(20), follower.result(20)) == ("ran again", "RAN AGAIN")


def test_what_follows_such_a_task_fails_when_that_is_cancelled(earlier: Earlier) -> None:
    earlier.end(signal.SIGKILL)
    with earlier.next(60.0) as farm:
        future = farm.options(key="the task").submit(_again)
        follower = farm.submit(str.upper, future)
        last = farm.options(after=follower).submit(_again)
        assert future.cancel()
        with pytest.raises(DependencyFailed):
            follower.result(20)
        with pytest.raises(DependencyFailed):
            last.result(20)
        earlier.open_gate()


def test_a_slave_brings_what_follows_others_too(earlier: Earlier) -> None:
    earlier.end(signal.SIGKILL)
    with earlier.next(60.0) as farm:
        done = farm.submit(_again)
        future = farm.options(key="the task", after=done).submit(_again)
        eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
        earlier.open_gate()
        assert (future.result(20), done.result(20)) == ("passed", "ran again")
