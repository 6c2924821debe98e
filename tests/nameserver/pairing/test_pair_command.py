"""nameserver pair here, nameserver join --code there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nameserver.cli.large import large
from remoteobj import Proxy
from tests.conftest import eventually
from tests.nameserver.command import command
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.halls import Hall, said_on

Pair = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def pair(hall: Hall, tmp_path: Path) -> Iterator[Pair]:
    """Start the command; what it started is gone at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nameserver", "pair", *options, *hall.at],
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "hall"), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _shown(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return the code and the place that the command shows."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"--code (\S+) --at (\S+)", line):
            return found[1], found[2]
    raise AssertionError(process.stderr.read() if process.stderr else "")


def test_a_code_that_is_typed_joins(hall: Hall, account: Account, pair: Pair) -> None:
    process = pair("--role", "member")
    code, at = _shown(process)
    account("anna")
    assert said_on(code + "\n", "join", "--code", "-", "--at", at, "--name", "anna").code == 0
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert re.search(r"^anna joined as member \(node \w{16}\)$", out, re.MULTILINE)


def test_wrong_codes_kill_it_and_that_is_said(hall: Hall, account: Account, pair: Pair) -> None:
    process = pair()
    code, at = _shown(process)
    wrong = f"{(int(code.replace('-', '')) + 1) % 1_000_000:06}"
    account("anna")
    for _ in range(3):
        said = command("join", "--code", wrong, "--at", at)
        assert said.code == 1
        assert "this is not the code" in said.err
    _out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "3 attempts were made with another code" in err


def test_ctrl_c_takes_the_code_back_and_nothing_else(
    hall: Hall, account: Account, pair: Pair
) -> None:
    token = hall.token()
    process = pair()
    code, at = _shown(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    account("anna")
    said = command("join", "--code", code, "--at", at)
    assert said.code == 1
    assert "no code is open" in said.err
    assert said_on(token, "join").code == 0


def test_another_code_ends_the_first_one(hall: Hall, pair: Pair) -> None:
    process = pair()
    _shown(process)
    with Proxy(hall.authority, identity=hall.identity) as authority:
        authority.open_code("slave")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "another code was opened" in err


def test_a_terminal_shows_it_large_and_counts_down(hall: Hall, account: Account) -> None:
    account("hall")
    said = []
    thread = threading.Thread(
        target=lambda: said.append(command("pair", *hall.at, is_terminal=True))
    )
    thread.start()
    with Proxy(hall.authority, identity=hall.identity) as authority:
        eventually(lambda: hall.host.port is not None, "the code is open")
        threading.Event().wait(0.7)
        authority.withdraw()
    thread.join(30)
    (told,) = said
    assert told.code == 1
    assert "▀▀▀" in told.out
    assert re.search(r"5\d s left", told.out)


def test_each_digit_is_another_picture() -> None:
    assert len({large(digit) for digit in "0123456789-"}) == 11
    assert large("481-223").count("\n") == 2
