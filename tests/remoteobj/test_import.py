"""Importing remoteobj changes nothing for others; and its examples run."""

from __future__ import annotations

import doctest
import pkgutil
import subprocess
from pathlib import Path

import pytest
from servants import StartScript

import remoteobj
from remoteobj import identity

pytestmark = pytest.mark.serial


def output_of(start_script: StartScript, code: str, **environment: str) -> str:
    process: subprocess.Popen[str] = start_script("-W", "error", "-c", code, **environment)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    return output


def test_pyro_variables_do_not_break_the_import(start_script: StartScript) -> None:
    code = """
import logging, os
logging.getLogger("Pyro5").setLevel(logging.INFO)
import remoteobj
assert logging.getLogger("Pyro5").level == logging.INFO
assert os.environ["PYRO_FOO"] == "1"
import Pyro5.api
print(Pyro5.config.SERIALIZER, Pyro5.config.THREADPOOL_SIZE)
"""
    seen = output_of(start_script, code, PYRO_FOO="1", PYRO_SERIALIZER="json")
    assert seen == "json 80\n"
    bad = output_of(start_script, code, PYRO_FOO="1", PYRO_THREADPOOL_SIZE="many")
    assert bad == "serpent 80\n"


def test_the_loggers_level_is_as_it_was(start_script: StartScript) -> None:
    code = "import logging, remoteobj; print(logging.getLogger('Pyro5').level)"
    assert output_of(start_script, code) == "0\n"


def test_a_users_own_configuration_of_pyro5_stays(start_script: StartScript) -> None:
    code = """
import Pyro5.api
Pyro5.config.SERIALIZER = "json"
import remoteobj
print(Pyro5.config.SERIALIZER)
"""
    assert output_of(start_script, code) == "json\n"


LATE = {"asyncio", "click", "cryptography", "ctypes", "numpy", "rich", "spake2", "zeroconf"}
"""What only those pay for who use it."""


def test_slow_modules_are_not_imported(start_script: StartScript) -> None:
    code = f"import sys, remoteobj; print({LATE} & set(sys.modules))"
    assert output_of(start_script, code) == "set()\n"


IMPORT = """
import sys, time
before, started = set(sys.modules), time.process_time()
import remoteobj
spent = time.process_time() - started
packages = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
print(f"{spent * 1000:.1f}", *packages)
"""


def test_importing_takes_less_than_a_tenth_of_a_second(
    start_script: StartScript, tmp_path: Path
) -> None:
    """Processor time of the import, bytecode at hand; others only add to it: one is enough."""
    with_bytecode = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    output_of(start_script, IMPORT, **with_bytecode)
    least = float("inf")
    for _ in range(25):
        spent, *packages = output_of(start_script, IMPORT, **with_bytecode).split()
        assert {"Pyro5", "msgspec", "remoteobj"} <= set(packages)
        least = min(least, float(spent))
        if least < 100:
            break
    print(f"{least} ms: {', '.join(packages)}")
    assert least < 100


MODULES = [
    found.name
    for package, prefix in ((remoteobj, "remoteobj."), (identity, "remoteobj.identity."))
    for found in pkgutil.iter_modules(package.__path__, prefix)
]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports_alone(start_script: StartScript, name: str) -> None:
    assert output_of(start_script, f"import {name}; print('right')") == "right\n"


def test_the_examples_in_the_docstring_run() -> None:
    assert doctest.testmod(remoteobj).attempted > 0
    assert doctest.testmod(remoteobj).failed == 0


def test_the_face_is_whole() -> None:
    for name in remoteobj.__all__:
        assert getattr(remoteobj, name).__doc__
