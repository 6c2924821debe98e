"""A slice of ``python -m tests.fuzz``; ``make soak`` does a million."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from pathlib import Path
from random import Random

import pytest

from nameserver.errors import BadToken, JoinRefused
from nameserver.pairing.guest_side import CodeGuest
from nameserver.pairing.messages import VERSION, Hello, Refused
from nameserver.pairing.token import read_token
from tests.fuzz.parsers import Parser, parsers
from tests.fuzz.running import run
from tests.fuzz.sockets import attack

INPUTS = int(os.environ.get("FUZZ_INPUTS", "6000"))


def test_broken_bytes_give_documented_errors_and_nothing_else(tmp_path: Path) -> None:
    report = run(parsers(tmp_path), INPUTS, seed=int.from_bytes(os.urandom(3), "big"))
    assert not report.complaints, str(report)
    assert report.inputs >= INPUTS


def test_each_parser_reads_some_inputs_and_refuses_others(tmp_path: Path) -> None:
    """Else it is the input that is wrong, and nothing is tried."""
    report = run(parsers(tmp_path), 2500, seed=502)
    for name, outcomes in report.outcomes.items():
        if sum(outcomes.values()) >= 60:
            assert len(outcomes) >= 2, f"{name}: {outcomes}"


@pytest.mark.serial
@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_a_member_goes_on_calling_while_strangers_say_broken_things(own_machine: Path) -> None:
    made = attack(own_machine, 1000, seed=int.from_bytes(os.urandom(3), "big"))
    assert not made.complaints, str(made)
    assert made.calls > 20, str(made)
    assert made.answers > 20, str(made)


def _falls(chance: Random) -> None:
    if chance.randrange(100) == 0:
        json.loads("{")


def test_an_error_that_is_not_documented_is_found_and_can_be_had_again() -> None:
    report = run([Parser("bad", 1, _falls, (BadToken,))], 500, seed=1)
    assert 1 <= len(report.complaints) <= 20
    assert "--only 'bad' --seed 1 --at" in report.complaints[0]
    assert "JSONDecodeError" in report.complaints[0]


def test_growth_and_slowness_are_found() -> None:
    kept: list[bytes] = []
    slow = Parser("slow", 1, lambda chance: sum(range(10**5)), cpu_s=1e-9)
    report = run([Parser("leaks", 1, lambda chance: kept.append(bytes(5000)))], 200, seed=1)
    assert any("bytes more after the same inputs" in each for each in report.complaints)
    assert "of the processor" in run([slow], 1, seed=1).complaints[0]


def test_a_token_whose_texts_are_no_text_is_damaged() -> None:
    """Found by this; the checksum is right."""
    data = b"\x96\xc4\x00\xc4\x00\xc4\x00\xa1\xff\x01\x90"
    data += hashlib.sha256(b"remoteobj token" + data).digest()[:4]
    with pytest.raises(BadToken, match="damaged"):
        read_token("rj1-" + base64.urlsafe_b64encode(data).decode().rstrip("="))


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_host_whose_clock_shows_no_time_is_refused(now: float) -> None:
    """Found by this, too: a guest with a code has no other reason to believe it yet."""
    guest = CodeGuest("481223", b"shown", b"request", "anna", lambda: 1.8e9)
    with pytest.raises(JoinRefused, match="does not speak"):
        guest.answer(Hello(VERSION, now, b"ca", "lab"))


def test_what_a_host_says_does_nothing_to_a_terminal() -> None:
    guest = CodeGuest("481223", b"shown", b"request", "anna", lambda: 1.8e9)
    with pytest.raises(JoinRefused) as caught:
        guest.answer(Refused("no\x1b[2J\r" + "x" * 9999))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) == 500
