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
print("right")
"""
    assert output_of(start_script, code, PYRO_FOO="1", PYRO_THREADPOOL_SIZE="many") == "right\n"


def test_pyro5s_own_marks_are_understood_and_ours_by_it(start_script: StartScript) -> None:
    code = """
import remoteobj
from Pyro5 import server
from remoteobj.dispatch import exposed_members

def write(expose, oneway):
    @expose
    class Camera:
        def shoot(self): pass
        @oneway
        def turn(self): pass
        @classmethod
        def make(cls): pass
        @staticmethod
        def models(): pass
        @property
        def gain(self): pass
        @gain.setter
        def gain(self, value): pass
        def __len__(self): pass
        def __repr__(self): pass
        def _hidden(self): pass
        limit, Lens = 3, type("Lens", (), {})
    return Camera

ours, theirs = write(remoteobj.expose, remoteobj.oneway), write(server.expose, server.oneway)
assert exposed_members(ours) == exposed_members(theirs)
seen = [server._get_exposed_members(cls) for cls in (ours, theirs)]
assert seen[0] == seen[1] and len(seen[0]["methods"]) == 5, seen

from remoteobj import _pyro
for name in dir(theirs) + ["_", "__", "____", "__x", "_x_", "__x__"]:
    assert _pyro.is_private(name) == server.is_private_attribute(name), name
assert _pyro._PRIVATE == server._private_dunder_methods

def refusal(act, *args):
    try:
        act(*args)
    except Exception as error:
        return type(error), str(error)

def _private(): pass
for wrong in (_private, property(_private), classmethod(print), staticmethod(print), 3):
    assert refusal(remoteobj.expose, wrong) == refusal(server.expose, wrong) != None, wrong
for args in (("often",), (3,), ("single", 3)):
    both = [refusal(lambda: pyro.behavior(*args)(ours)) for pyro in (remoteobj, server)]
    assert both[0] == both[1] != None, both
print("right")
"""
    assert output_of(start_script, code) == "right\n"


LATE = {
    *("asyncio", "click", "cryptography", "ctypes", "email", "numpy", "rich", "spake2", "ssl"),
    *("Pyro5", "serpent", "zeroconf"),
}
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
        assert {"msgspec", "remoteobj"} <= set(packages)
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
