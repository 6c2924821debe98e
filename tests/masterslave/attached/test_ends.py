"""How scripts end that are attached: without a block, forgotten, by Ctrl-C, as forks of another."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from masterslave import Farm
from remoteobj import BadInput
from tests.conftest import StartScript, eventually
from tests.masterslave.attached.conftest import StartService
from tests.masterslave.attached.test_attached import jobs, square
from tests.masterslave.gates import wait_at

WITHOUT_A_BLOCK = """
from masterslave import Farm
farm = Farm.attach("lab")
farm.submit(abs, -7).add_done_callback(lambda future: print(future.result(), flush=True))
"""
ALONE = """
import sys
from masterslave import Farm
with Farm("own", local_slaves=0):
    loaded = [name for name in sys.modules if "attached" in name or ".service" in name]
print(loaded)
"""
INTERRUPTED = """
import logging, os, signal, time
from masterslave import Farm
logging.basicConfig()
with Farm.attach("lab") as farm:
    farm.submit(time.sleep, 3600)
    done = farm.submit(abs, -7).result()
    signal.raise_signal(signal.SIGINT)
"""
FAILS_IN_THE_BLOCK = """
import sys, time
from masterslave import Farm
with Farm.attach("lab", ticket=sys.argv[1]) as farm:
    farm.submit(time.sleep, 3600)
    raise KeyError("a typo")
"""
FAILS_WITHOUT_A_BLOCK = """
import sys
from masterslave import Farm
farm = Farm.attach("lab", ticket=sys.argv[1])
print(farm.submit(abs, -8).result())
raise KeyError("a typo")
"""
FORKS = """
import os
from masterslave import Farm, FarmClosed
with Farm.attach("lab") as farm:
    first = farm.submit(abs, -7)
    child = os.fork()
    if not child:
        try:
            farm.submit(abs, -8)
        except FarmClosed:
            farm.shutdown()
            assert farm.detach() == farm.ticket
            os._exit(5)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), first.result())
"""


def test_how_attached_scripts_end(
    start_service: StartService, start_script: StartScript, tmp_path: Path
) -> None:
    start_service("--local-slaves", "2")
    scripts = {"plain": WITHOUT_A_BLOCK, "interrupted": INTERRUPTED, "forks": FORKS, "alone": ALONE}
    running = {}
    for name, text in scripts.items():
        (tmp_path / f"{name}.py").write_text(text)
        running[name] = start_script(str(tmp_path / f"{name}.py"))
    said = {name: script.communicate(timeout=30) for name, script in running.items()}
    assert said["plain"] == ("7\n", "")
    assert said["alone"] == ("[]\n", ""), "only who attaches pays for it"
    assert said["forks"] == ("5 7\n", "")
    assert "farm 'lab' interrupted: 1 tasks under way are dropped" in said["interrupted"][1]
    (kept,) = jobs()
    assert f"farm 'lab' keeps what ticket {kept['ticket']} has: attach" in said["interrupted"][1]
    with Farm.attach("lab", ticket=kept["ticket"]) as farm:
        dropped, done = farm.futures
        assert done.result(timeout=30) == 7
        with pytest.raises(CancelledError):
            dropped.result(timeout=30)
    assert jobs() == []
    farm = Farm.attach("lab")
    future, gone = farm.submit(square, 3), weakref.ref(farm)
    del farm
    gc.collect()
    assert gone() is None
    assert future.result(timeout=30) == 9
    eventually(lambda: jobs() == [], "it has left")
    with pytest.raises(BadInput, match="an empty ticket names nothing: leave it out"):
        Farm.attach("lab", ticket="")


def test_a_script_that_comes_back_and_fails_loses_nothing_of_its_ticket(
    start_service: StartService, start_script: StartScript, tmp_path: Path
) -> None:
    start_service("--local-slaves", "1")
    gate = tmp_path / "gate"
    farm = Farm.attach("lab")
    assert farm.submit(square, 3).result(timeout=30) == 9
    farm.submit(wait_at, gate)
    ticket = farm.detach()
    for text in (FAILS_IN_THE_BLOCK, FAILS_WITHOUT_A_BLOCK):
        (tmp_path / "fails.py").write_text(text)
        script = start_script(str(tmp_path / "fails.py"), ticket)
        if text is FAILS_WITHOUT_A_BLOCK:
            gate.touch()
        _, said = script.communicate(timeout=30)
        assert "KeyError: 'a typo'" in said
        assert f"farm 'lab' keeps what ticket {ticket} has" in said
    with Farm.attach("lab", ticket=ticket) as farm:
        done, waited, dropped, last = farm.futures
        assert [one.result(timeout=30) for one in (done, waited, last)] == [9, None, 8]
        with pytest.raises(CancelledError):
            dropped.result(timeout=30)
    assert jobs() == []
