"""``masterslave slave --only``: named tasks with data, and nothing else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from masterslave import Farm, NotData
from masterslave.cli import main_group
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.joining import ONLY_NAMED, VERSION, Introduction, Welcome
from remoteobj import Proxy
from tests.conftest import eventually
from tests.masterslave.named.conftest import HERE, StartSlave


class Scene:
    """What pickle alone can carry."""


@pytest.fixture(scope="module")
def closed(start_slave: StartSlave) -> Iterator[Farm]:
    """A farm with one slave, which takes the named tasks of ``studio`` only."""
    with Farm("closed", local_slaves=0, initializer=os._exit, initargs=(3,)) as farm:
        slave = start_slave("closed", "--slots", "1", "--name", "box", "--only", "studio:Render")
        assert slave.stdout is not None
        lines = iter(slave.stdout.readline, "")
        said = next(line for line in lines if "offers the named tasks" in line)
        assert said.endswith(" (studio:Render), and takes nothing else\n")
        eventually(lambda: len(farm.slaves) == 1, "the slave joins")
        assert farm.slaves[0].only_named
        yield farm


def test_named_tasks_run_and_answer_with_data(closed: Farm) -> None:
    assert closed.submit("frame", 7, scale=2).result(20) == 14, "and no initializer has run"
    assert list(closed.map("frame", range(20))) == list(range(20))
    assert list(closed.submit("parts", 2).parts()) == [0, 1]
    with pytest.raises(KeyError, match="lost"):
        closed.submit("fail", "lost").result(20)
    with pytest.raises(NotData, match=r"of Render\.do_function\(\) is no data.*function.*return"):
        closed.submit("function").result(20)


def test_functions_wait_and_it_is_said_why(closed: Farm) -> None:
    future = closed.submit(os.getpid)
    assert closed.explain(future) == (
        "getpid() waits: no slave here takes functions: named tasks only (box: its owner has "
        "started it with --only)"
    )
    assert "box: its owner has started it with --only" in closed.why_waiting()
    assert closed.submit("frame", 1).result(20) == 1, "it holds up nothing"
    assert not future.done()
    assert future.cancel()


def test_show_says_so(closed: Farm) -> None:
    done = CliRunner().invoke(main_group, ["show", "closed"])
    assert "named tasks only" in " ".join(done.output.split())


def test_a_pickled_argument_is_refused(closed: Farm) -> None:
    with pytest.raises(NotData, match="an argument could only be pickled, and this slave takes no"):
        closed.submit("kind_of", Scene()).result(20)
    assert closed.submit("kind_of", {1}).result(20) == "set"


def test_code_goes_to_another_slave(start_slave: StartSlave) -> None:
    with Farm("mixed", local_slaves=1) as farm:
        start_slave("mixed", "--slots", "1", "--only", "studio:Render")
        eventually(lambda: len(farm.slaves) == 2, "both join")
        pids = set(farm.map(lambda _: os.getppid(), range(8), chunksize=1))
        assert len(pids) == 1
        assert farm.submit("frame", 3).result(20) == 3
        each = farm.each_slave(os.getpid)
        assert len(each.results(timeout_s=20)) == 1


def _welcome_of(farm: Farm, python: tuple[int, int], *tasks: str) -> Welcome:
    me = Introduction(VERSION, "box", "here", 1, 1, python, tasks=tasks, only_named=True)
    with Proxy(farm.uri) as door:
        return decode(door.join(encode(me)), Welcome)


def test_the_master_is_told_when_it_joins(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "masterslave"),
        Farm("told", local_slaves=0, initializer=print) as farm,
    ):
        for python in ((3, 99), sys.version_info[:2]):
            welcome = _welcome_of(farm, python, "frame")
            assert (welcome.refused, welcome.no_code) == ("", ONLY_NAMED)
            assert (welcome.data_only, welcome.initializer) == (True, b"")
        assert f"slave box at this machine {ONLY_NAMED}" in caplog.messages
        assert _welcome_of(farm, sys.version_info[:2]).refused == (
            "it takes named tasks only, and offers none: give it --only MODULE:CLASS"
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "studio:Render", "--handlers", "studio:Twin"], "with --only, give every class"),
        (["--only", "studio:Nobody"], "module studio has no class 'Nobody'"),
    ],
)
def test_what_is_refused(options: list[str], said: str) -> None:
    command = [sys.executable, "-m", "masterslave", "slave", "--local", *options]
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
