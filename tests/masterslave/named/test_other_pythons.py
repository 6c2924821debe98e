"""A slave of another minor version of Python: it is given named tasks with data, and no code."""

from __future__ import annotations

import glob
import logging
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import masterslave
from masterslave import Farm, NotData
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from remoteobj import Proxy
from tests.conftest import eventually
from tests.masterslave.named.conftest import StartSlave

OURS = ".".join(map(str, sys.version_info[:2]))
OTHERS = [version for version in ("3.11", "3.12", "3.13") if version != OURS]


def _welcome_of(farm: Farm, *tasks: str) -> Welcome:
    me = Introduction(VERSION, "box", "here", 1, 1, (3, 99), tasks=tasks)
    with Proxy(farm.uri) as door:
        return decode(door.join(encode(me)), Welcome)


def test_without_handlers_it_is_refused_with_a_hint(own_machine: Path) -> None:
    with Farm("other", local_slaves=0) as farm:
        welcome = _welcome_of(farm)
        assert welcome.refused == (
            f"it runs Python 3.99, the script Python {OURS}: functions do not travel between minor "
            f"versions; start the slave with Python {OURS}, or give it named tasks with --handlers "
            "MODULE:CLASS"
        )
        assert not farm.slaves


def test_with_handlers_it_is_told_so_and_so_is_the_script(
    own_machine: Path, caplog: pytest.LogCaptureFixture
) -> None:
    why = f"runs Python 3.99, the script {OURS}: only named tasks"
    with (
        caplog.at_level(logging.WARNING, "masterslave"),
        Farm("other", local_slaves=0, initializer=print, initargs=("code",)) as farm,
    ):
        welcome = _welcome_of(farm, "frame")
        assert (welcome.refused, welcome.no_code) == ("", why)
        assert welcome.data_only
        assert not welcome.initializer, "which is code"
        assert caplog.messages[0] == f"slave box at this machine {why}"


class OtherPython(NamedTuple):
    """An interpreter, and what makes it find our packages, and msgspec as built for it."""

    program: str
    path: str


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


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> OtherPython:
    """One of the other versions, whichever is installed here."""
    found = [
        (version, program)
        for version in OTHERS
        for program in _programs(version)
        if _runs(program, version)
    ]
    if not found:
        pytest.skip(f"none of Python {', '.join(OTHERS)} is installed")
    version, program = found[0]
    folder = tmp_path_factory.mktemp(f"python{version}")
    install = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", version]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *install, "--target", str(folder), "msgspec"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"pip found no msgspec for Python {version}: {done.stderr.splitlines()[-1:]}")
    ours = Path(masterslave.__file__).parents[1]  # the others of our packages are pure Python
    return OtherPython(program, os.pathsep.join(map(str, (folder, ours, *site.getsitepackages()))))


class Scene:
    """What pickle alone can carry."""


def test_it_runs_named_tasks_beside_a_slave_that_runs_functions(
    other: OtherPython, start_slave: StartSlave, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = f"beside{Path(other.program).name.replace('.', '-')}"
    with Farm(label, local_slaves=1) as farm:
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", other.path)
            slave = start_slave(
                label, "--name", "new", "--slots", "1", "--handlers", "studio:Render",
                python=other.program,
            )  # fmt: skip
        assert slave.stdout is not None
        lines = iter(slave.stdout.readline, "")
        assert any(f", the script {OURS}: only named tasks" in line for line in lines)
        eventually(lambda: len(farm.slaves) == 2, "both join")
        assert list(farm.map("frame", range(20))) == list(range(20))
        assert farm.submit("count").result(10)[0] != os.getpid()
        assert list(farm.submit("parts", 2).parts()) == [0, 1]
        assert list(farm.map(lambda number: number + 1, range(20))) == list(range(1, 21))
        with pytest.raises(KeyError, match="lost"):
            farm.submit("fail", "lost").result(10)
        with pytest.raises(NotData, match="an argument could only be pickled") as raised:
            farm.submit("kind_of", Scene()).result(10)
        assert f", the script {OURS}" in str(raised.value)
        with pytest.raises(NotData, match="an argument could only be pickled"):
            list(farm.map("kind_of", [Scene(), Scene()]))
        assert farm.submit("kind_of", {1}).result(10) == "set"
        with pytest.raises(NotData, match="the result of Render"):
            farm.submit("function").result(10)
        start_slave(label, "--slots", "1", "--handlers", "studio:Render")
        eventually(lambda: len(farm.slaves) == 3, "one of our Python joins")
        kinds = [farm.submit("kind_of", Scene()) for _ in range(5)]
        assert {kind.result(10) for kind in kinds} == {"Scene"}, "which goes where it can be read"
        assert list(farm.map("kind_of", [Scene(), 1])) == ["Scene", "int"]
