"""masterslave slave --join: a machine that was never seen works for a farm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.halls import Hall, said_on

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Slave = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def slave(hall: Hall, tmp_path: Path) -> Iterator[Slave]:
    """Start a slave on the account "anna", with a text on its standard input."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        own = {"XDG_CONFIG_HOME": str(tmp_path / "anna"), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "masterslave", "slave", "--slots", "1", *options, *hall.at],
            env={**os.environ, **own, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def _heard(process: subprocess.Popen[str], wanted: str) -> str:
    """Return what it has said up to this."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if wanted in line:
            return told
    raise AssertionError(told)


def _seen_by_ps(pid: int) -> str:
    """Return the arguments of a process and those it has started, and the environment of these."""
    proc = Path(f"/proc/{pid}")
    seen = (proc / "cmdline").read_text()
    for child in map(int, (proc / "task" / str(pid) / "children").read_text().split()):
        seen += Path(f"/proc/{child}/environ").read_text() + _seen_by_ps(child)
    return seen


@pytest.mark.parametrize("way", ["input", "environment"])
def test_it_joins_and_a_farm_uses_it(hall: Hall, slave: Slave, way: str) -> None:
    token = hall.token()
    if way == "input":
        process = slave(token, "--join", "-")
    else:
        process = slave("", "--join", REMOTEOBJ_JOIN=token)
    told = _heard(process, "looks for any farm")
    assert "joined 'lab'" in told
    with Farm("joined", nameserver=False, local_slaves=0) as farm:
        assert farm.submit(os.environ.get, "REMOTEOBJ_JOIN").result(30) is None
        assert token not in _seen_by_ps(process.pid) + told


def test_who_is_in_that_cluster_goes_on(hall: Hall, account: Account, slave: Slave) -> None:
    first, second = hall.token(), hall.token()
    account("anna")
    assert said_on(first, "join").code == 0
    for text in ("", second):
        told = _heard(slave(text, "--join"), "looks for any farm")
        assert "joined" not in told
    account("hall")
    assert len(hall.members()) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--join", "render"], "a label stands before --join"),
        (["--join", "rj1-abc"], "'ps' has shown it"),
        (["--join"], "no token came on standard input"),
        (["--join", "--insecure"], "leave --local"),
    ],
)
def test_what_is_no_token_is_said(slave: Slave, options: list[str], says: str) -> None:
    process = slave("", *options)
    assert says in _heard(process, "masterslave: ")
    eventually(lambda: process.poll() == 2, "it has ended")
