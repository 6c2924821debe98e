"""A script that loses its ticket to another one while it cannot hear of that."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from masterslave import Farm
from tests.conftest import StartScript, eventually
from tests.masterslave.attached.conftest import StartService

HALTED = """
from masterslave import CannotAttach, Farm
from tests.conftest import eventually
with Farm.attach("lab") as farm:
    future = farm.submit(abs, -1)
    eventually(lambda: farm.statistics().on_disk == 1, "it is taken")
    print(farm.ticket, flush=True)
    try:
        print(future.result(timeout=60))
    except CannotAttach as error:
        print(error)
"""


def test_a_script_that_was_halted_is_told_that_another_one_has_submitted(
    start_service: StartService, start_script: StartScript, tmp_path: Path
) -> None:
    start_service()  # without slaves: nothing is answered
    (tmp_path / "halted.py").write_text(HALTED)
    script = start_script(str(tmp_path / "halted.py"))
    assert script.stdout is not None
    ticket = script.stdout.readline().strip()
    script.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, script.pid, os.WSTOPPED)
    with Farm.attach("lab", ticket=ticket) as farm:
        farm.submit(abs, -2)
        eventually(lambda: farm.statistics().on_disk == 2, "it is taken")
        farm.detach()
    script.send_signal(signal.SIGCONT)
    said = script.stdout.read()
    assert "somebody else has come" in said, said
    assert "submit again" in said
    assert script.wait() == 0
