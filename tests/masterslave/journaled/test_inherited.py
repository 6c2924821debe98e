"""What slaves had when the script was killed: they bring it, or it is handed out again."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from masterslave import Farm
from masterslave.journal import Journal
from masterslave.settings import FarmSettings
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave

_SCRIPT = """
import sys, time
from pathlib import Path
from masterslave import Farm

journal, go = sys.argv[1:]

def wait_for(go):
    Path(go + ".runs").touch()
    while not Path(go).exists():
        time.sleep(0.01)
    with open(go + ".ran", "a") as file:
        file.write("ran")
    return "waited"

with Farm("inherited", local_slaves=0, journal=journal) as farm:
    farm.options(key="the task").submit(wait_for, go).result()
"""


def _again() -> str:
    return "ran again"


def _ended_while_it_runs(
    tmp_path: Path,
    start_script: Callable[..., subprocess.Popen[str]],
    by: signal.Signals = signal.SIGKILL,
) -> Path:
    """End a script while a slave runs its task; returns what has that task go on."""
    script, go = tmp_path / "script.py", tmp_path / "go"
    script.write_text(_SCRIPT)
    process = start_script(str(script), str(tmp_path / "survey.db"), str(go))
    eventually((tmp_path / "go.runs").exists, "the task runs")
    with Journal.read_only(tmp_path / "survey.db") as reader:

        def is_out() -> bool:
            reader.catch_up()
            return bool(reader.folded.out)

        eventually(is_out, "it is in the journal")
    process.send_signal(by)
    process.wait()
    return go


def _farm(tmp_path: Path, patience_s: float) -> Farm:
    settings = FarmSettings(patience_s=patience_s)
    return Farm("inherited", local_slaves=0, journal=tmp_path / "survey.db", settings=settings)


def test_a_slave_brings_what_it_had_when_the_script_was_killed(
    tmp_path: Path,
    start_script: Callable[..., subprocess.Popen[str]],
    start_slave: StartSlave,
    own_machine: Path,
) -> None:
    start_slave("inherited", "--slots", "1")
    go = _ended_while_it_runs(tmp_path, start_script)
    with _farm(tmp_path, 60.0) as farm:
        future = farm.options(key="the task").submit(_again)
        eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
        go.touch()
        assert future.result(20) == "waited"
    assert (tmp_path / "go.ran").read_text() == "ran"


def test_what_nobody_comes_with_is_handed_out_again(
    tmp_path: Path,
    start_script: Callable[..., subprocess.Popen[str]],
    start_slave: StartSlave,
    own_machine: Path,
) -> None:
    slave = start_slave("inherited", "--slots", "1")
    _ended_while_it_runs(tmp_path, start_script)
    slave.kill()
    slave.wait()
    with _farm(tmp_path, 2.0) as farm:
        future = farm.options(key="the task").submit(_again)
        assert "was at a slave when an earlier run ended" in farm.explain(future)
        assert farm.why_waiting() == (
            "1 task waits for slaves with which they were when an earlier run ended"
        )
        farm.add_local_slaves(1)
        assert future.result(20) == "ran again"


def test_ctrl_c_leaves_slaves_what_they_have(
    tmp_path: Path,
    start_script: Callable[..., subprocess.Popen[str]],
    start_slave: StartSlave,
    own_machine: Path,
) -> None:
    start_slave("inherited", "--slots", "1")
    go = _ended_while_it_runs(tmp_path, start_script, signal.SIGINT)
    with _farm(tmp_path, 60.0) as farm:
        future = farm.options(key="the task").submit(_again)
        eventually(lambda: "is at slave" in farm.explain(future), "the slave has come with it")
        go.touch()
        assert future.result(20) == "waited"
    assert (tmp_path / "go.ran").read_text() == "ran"


def test_a_task_that_waits_for_a_slave_can_be_cancelled(
    tmp_path: Path,
    start_script: Callable[..., subprocess.Popen[str]],
    start_slave: StartSlave,
    own_machine: Path,
) -> None:
    slave = start_slave("inherited", "--slots", "1")
    _ended_while_it_runs(tmp_path, start_script)
    slave.kill()
    slave.wait()
    with _farm(tmp_path, 60.0) as farm:
        assert farm.options(key="the task").submit(_again).cancel()
