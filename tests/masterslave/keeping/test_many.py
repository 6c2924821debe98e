"""Master after master is killed, slaves go on: nothing is run twice, and nothing is left out."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from masterslave.protocol.hand_outs import RUN_BITS
from tests.masterslave.conftest import StartSlave
from tests.masterslave.keeping.masters import StartMaster
from tests.masterslave.test_command_line import line_with

MASTERS, TASKS = 5, 300


def test_five_masters_in_a_row(
    start_master: StartMaster, start_slave: StartSlave, tmp_path: Path
) -> None:
    dice = random.Random(8)
    for name in ("one", "two"):
        line_with(start_slave("--slots", "2", "--name", name), "looks for")
    folder, log = tmp_path / "ran", tmp_path / "log"
    folder.mkdir()
    for run in range(1, MASTERS + 1):
        master = start_master(run, log=str(log))
        master.eventually("len(farm.slaves) == 2", "both slaves come")
        master.do("from tests.masterslave.keeping.ahead import mark")
        numbers = f"range({run << RUN_BITS}, {(run << RUN_BITS) + TASKS})"
        master.do(f"futures = [farm.submit(mark, n, {str(folder)!r}) for n in {numbers}]")
        if run < MASTERS:
            master.eventually("any(future.done() for future in futures)", "it has begun")
            threading.Event().wait(dice.uniform(0.0, 0.3))  # any moment will do
            master.kill()
    master.eventually("all(future.done() for future in futures)", "all of its own is done")
    master.eventually(
        "{h.task for hs in inherited.holds for h in hs} <= {o.task for o in inherited.outcomes}",
        "what is held is delivered",
    )
    ran = [path.read_text() for path in folder.iterdir()]
    assert set(ran) == {"x"}, "what was begun was run once"
    lines = [line.split() for line in log.read_text().splitlines()]
    held = {int(task) for what, task in lines if what == "hold"}
    told = {int(task) for what, task in lines if what == "outcome"}
    assert held == told
    assert len(held) > MASTERS
