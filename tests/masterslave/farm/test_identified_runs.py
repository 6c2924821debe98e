"""Identities are the same in each process that runs the script, however that was started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import masterslave
from tests.masterslave.farm.identified import edited, write
from tests.masterslave.other_pythons import OTHERS, other_python

OURS = str(Path(masterslave.__file__).parents[1])
HEX = frozenset("0123456789abcdef")
NUMBERS_ONLY = """
from random import Random
arange = array = mean = lambda *args: args
class random:
    default_rng = Random
    normal = sum
def sqrt(x):
    return x ** 0.5
"""


def run(seed: int, cwd: Path, *command: str, path: str = OURS) -> dict[str, str]:
    """Run Python with a hash seed in a directory; return what the script tells."""
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": path}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


def test_they_are_the_same_however_a_script_is_started(tmp_path: Path) -> None:
    script = write(tmp_path / "project")
    home, python = script.parent, sys.executable
    first = run(1, home, python, "script.py")
    assert len(first) > 70
    for said in (
        run(2, tmp_path, python, str(script)),
        run(3, tmp_path, python, "project/script.py"),
        run(4, home, python, "-m", "script"),
        run(5, home, python, "-O", "-X", "pycache_prefix=pycache", "script.py"),
        run(6, tmp_path, python, "-m", "masterslave", "run", "--slaves", "0", "project/script.py"),
        run(0, home, python, "-m", "masterslave", "run", "--here", "script.py"),
    ):
        assert said == first


def test_they_are_the_same_after_the_project_was_moved(tmp_path: Path) -> None:
    script = write(tmp_path / "project")
    first = run(1, tmp_path, sys.executable, str(script))
    moved = tmp_path / "elsewhere" / "of mine"
    shutil.move(script.parent, moved)
    assert run(2, moved, sys.executable, "script.py") == first


def test_a_script_that_is_imported_has_the_same_ones(tmp_path: Path) -> None:
    """But slaves have what it holds from its text then, as of any module."""
    home = write(tmp_path).parent
    first = run(1, home, sys.executable, "script.py")
    told = run(2, home, sys.executable, "-c", "import script; script.tell()")
    assert set(told.pop("writes")) <= HEX
    assert not set(first.pop("writes")) <= HEX
    assert told == first


@pytest.mark.parametrize("version", OTHERS)
def test_in_other_pythons_they_are_as_constant(version: str, tmp_path: Path) -> None:
    """Named tasks and arguments have the same in all of them, functions in none."""
    other = other_python([version], tmp_path / "packages")
    plain = edited(("script.py", "import numpy as np", "import numbers_only as np"))
    home = write(tmp_path / "project", {**plain, "numbers_only.py": NUMBERS_ONLY}).parent
    told = [run(seed, home, other.program, "script.py", path=other.path) for seed in (1, 2)]
    told.append(run(3, home, other.program, "-m", "script", path=other.path))
    assert told[0] == told[1] == told[2]
    assert set(told[0]["made3"]) <= HEX
    ours = run(4, home, sys.executable, "script.py")
    same = {name for name, identity in told[0].items() if identity == ours[name]}
    functions = {name for name in ours if not name.startswith("(")}
    assert same & functions == {"named"}
    assert {"(nan)", "(members)", "(pairs_turned)", "(text)"} <= same


COMPILED = """
import json
import _cffi_backend as fast
from masterslave.farm.recognising.identifying import Identities
from masterslave.farm.travelling import LocalCode

def calls():
    return fast.FFI()

identities = Identities(LocalCode())
called = calls, fast.FFI, fast.typeof
print(json.dumps({each.__name__: identities.of(each).hex() for each in called}))
"""


def test_a_compiled_module_of_the_script_is_known_by_its_file(tmp_path: Path) -> None:
    found = find_spec("_cffi_backend")
    assert found is not None
    assert found.origin is not None
    machine_code = Path(found.origin).read_bytes()
    home = tmp_path / "project"
    home.mkdir()
    (home / "script.py").write_text(COMPILED)
    file = home / Path(found.origin).name
    file.write_bytes(machine_code)
    first = run(1, home, sys.executable, "script.py")
    os.utime(file, (1, 1))
    assert run(2, home, sys.executable, "script.py") == first
    file.write_bytes(machine_code + b"made anew")
    changed = run(3, home, sys.executable, "script.py")
    assert not set(changed.values()) & set(first.values())
