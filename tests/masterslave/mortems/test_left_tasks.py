"""Tasks that scripts have left with a farm that runs as a service: shown, and run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from masterslave.service.service import Service
from tests.masterslave.mortems.commands import story_of

SCRIPT = """
from masterslave import Farm
from beside import half

def odd(number):
    number = half(number)
    if number % 2:
        raise ArithmeticError(f"{number} is odd")
    return number

def both(one, other):
    return one / other

def share_of(numbers, place, total):
    return numbers[place] / total

def told(value):
    return value

farm = Farm.attach("lab")
futures = [farm.submit(odd, 8), farm.submit(odd, 6)]
shared, nothing = farm.share([3, 4, {"of": "many"}]), farm.submit(told, 0)
futures.append(farm.submit(share_of, shared, 1, nothing))
for future in futures:
    future.exception()
try:
    list(farm.map(both, [4, 5], [2, 0]))
except ZeroDivisionError:
    pass
farm.detach()
"""


def test_tasks_of_a_service_run_again_with_the_modules_that_were_sent(
    tmp_path: Path, own_machine: Path
) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    (folder / "beside.py").write_text("def half(number):\n    return number // 2\n")
    (folder / "script.py").write_text(SCRIPT)
    service = Service("lab", tmp_path / "lab.db", local_slaves=1)
    service.open()
    try:
        command = [sys.executable, str(folder / "script.py")]
        subprocess.run(command, check=True, timeout=60)
        (folder / "beside.py").unlink()
        raised = story_of("lab", "odd")
        assert raised["state"] == "raised"
        assert raised["arguments"] == "kept"
        assert _replayed("lab", "odd")[0] == 1
        assert "ArithmeticError: 3 is odd" in _replayed("lab", "odd")[1]
    finally:
        service.close()
    code, said = _replayed(str(tmp_path / "lab.db"), "both")
    assert "both(5, 0)" in said
    assert "ZeroDivisionError" in said
    code, said = _replayed(str(tmp_path / "lab.db"), "share_of")
    assert "share_of([3, 4, {'of': 'many'}], 1, 0)" in said
    assert "ZeroDivisionError" in said
    code, said = _replayed(str(tmp_path / "lab.db"), "0")  # which has not failed
    assert code == 0
    assert " s: 4\n" in said


def _replayed(where: str, task: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "masterslave", "replay", where, task]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr
