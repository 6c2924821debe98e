"""A slave of another minor version of Python: it is given named tasks with data, and no code."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from masterslave import Farm, NotData
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from remoteobj import Proxy
from tests.conftest import eventually
from tests.masterslave.named.conftest import StartSlave
from tests.masterslave.other_pythons import OTHERS, OURS, OtherPython, other_python


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


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> OtherPython:
    """One of the other versions, whichever is installed here."""
    return other_python(OTHERS, tmp_path_factory.mktemp("packages"))


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
