"""Other minor versions of Python than this one, where they are installed."""

from __future__ import annotations

import glob
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import masterslave

__all__ = ["OTHERS", "OURS", "OtherPython", "other_python"]

OURS = ".".join(map(str, sys.version_info[:2]))
OTHERS = [version for version in ("3.11", "3.12", "3.13") if version != OURS]


class OtherPython(NamedTuple):
    """An interpreter, and what makes it find our packages, and msgspec as built for it."""

    program: str
    path: str


def other_python(versions: list[str], folder: Path) -> OtherPython:
    """Return one of these, whichever is installed; the test is skipped where none is.

    Args:
        folder: Where its packages are put.
    """
    found = [
        (version, program)
        for version in versions
        for program in _programs(version)
        if _runs(program, version)
    ]
    if not found:  # a machine may have one Python only
        pytest.skip(f"none of Python {', '.join(versions)} is installed")
    version, program = found[0]
    install = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", version]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *install, "--target", str(folder), "msgspec"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:  # there is no network, or no wheel for a version that is new
        pytest.skip(f"pip found no msgspec for Python {version}: {done.stderr.splitlines()[-1:]}")
    ours = Path(masterslave.__file__).parents[1]  # the others of our packages are pure Python
    return OtherPython(program, os.pathsep.join(map(str, (folder, ours, *site.getsitepackages()))))


def _programs(version: str) -> list[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [
        *glob.glob(f"{pyenv}/{version}.*/bin/python{version}"),
        *filter(None, [shutil.which(f"python{version}")]),
    ]


def _runs(program: str, version: str) -> bool:
    check = f"import sys; assert '%d.%d' % sys.version_info[:2] == '{version}'"
    done = subprocess.run([program, "-c", check], capture_output=True, check=False)
    return not done.returncode
