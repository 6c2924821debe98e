"""A farm that has nothing to run on says so, and goes on when it has."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest

from masterslave import Farm, FarmSettings
from masterslave.farm.explain import Refused, explain
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from masterslave.scheduler import Wait
from remoteobj import Proxy
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave


def wait_for(path: Path) -> None:
    while not path.exists():
        threading.Event().wait(0.01)


def test_without_slaves_it_says_so_within_4_s_and_goes_on_when_one_joins(
    caplog: pytest.LogCaptureFixture, start_slave: StartSlave
) -> None:
    with caplog.at_level(logging.WARNING, "masterslave"), Farm("test", local_slaves=0) as farm:
        start = time.monotonic()
        future = farm.submit(abs, -1)
        eventually(lambda: "no slave seen" in caplog.text, "it says so", 4.0)
        assert time.monotonic() - start >= 2.5, "not before it is worth a word"
        assert "masterslave slave test" in caplog.text, "and what to do"
        assert "1 task waits: no slave seen" in repr(farm)
        start_slave("test")
        assert future.result(timeout=10) == 1
        assert "no slave" not in repr(farm)
    assert caplog.text.count("no slave seen") == 1


def test_by_default_it_has_started_local_slots_by_then(caplog: pytest.LogCaptureFixture) -> None:
    start = time.monotonic()
    with caplog.at_level(logging.WARNING, "masterslave"), Farm("test") as farm:
        assert farm.submit(abs, -1).result(timeout=4) == 1
        assert time.monotonic() - start < 4
        assert "no slave joined within 1 s, so" in caplog.text
        assert "local ones are started" in caplog.text


def test_by_default_none_are_started_where_a_slave_joins(
    caplog: pytest.LogCaptureFixture, start_slave: StartSlave
) -> None:
    slave = start_slave("test", "--slots", "1")
    assert slave.stdout is not None
    assert "looks for farm 'test'" in slave.stdout.readline()
    settings = FarmSettings(auto_slaves_after_s=8.0)
    with caplog.at_level(logging.WARNING, "masterslave"), Farm("test", settings=settings) as farm:
        assert farm.submit(abs, -1).result(timeout=8) == 1
        assert len(farm.slaves) == 1
    assert "local" not in caplog.text


def test_all_slots_busy_is_said(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    settings = FarmSettings(explain_after_s=0.3)
    with (
        caplog.at_level(logging.WARNING, "masterslave"),
        Farm("test", local_slaves=1, settings=settings) as farm,
    ):
        eventually(lambda: farm.slaves, "the slave joins")
        futures = [farm.submit(wait_for, tmp_path / "go") for _ in range(3)]
        eventually(lambda: "all 1 slots are busy" in caplog.text, "it says so")
        assert "tasks wait: all 1 slots are busy" in repr(farm)
        (tmp_path / "go").touch()
        for future in futures:
            future.result(timeout=10)


def test_refused_slaves_are_named_with_address_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = FarmSettings(explain_after_s=0.3)
    with (
        caplog.at_level(logging.WARNING, "masterslave"),
        Farm("test", local_slaves=0, settings=settings) as farm,
        Proxy(farm.uri) as door,
    ):
        future = farm.submit(abs, -1)
        other = Introduction(VERSION, "box-1", "box", 1, 1, (3, 1))
        welcome = decode(door.join(encode(other)), Welcome)
        assert "Python 3.1" in welcome.refused
        assert "start the slave with Python 3." in welcome.refused
        old = Introduction(VERSION + 1, "box-2", "box", 1, 1, (3, 11))
        assert "same release" in decode(door.join(encode(old)), Welcome).refused
        eventually(lambda: "slaves were seen, but refused" in caplog.text, "it says so")
        assert "box-1 at this machine: it runs Python 3.1" in repr(farm)
        future.cancel()


@pytest.mark.parametrize(
    ("wait", "refused", "said"),
    [
        (Wait.NOTHING, (), ""),
        (Wait.NO_SLAVE, (), "2 tasks wait: no slave seen; start one with 'masterslave slave x'"),
        (Wait.NO_SLAVE, (Refused("a at b", "no"),), "seen, but refused: a at b: no"),
        (Wait.ALL_BUSY, (Refused("a at b", "no"),), "all 4 slots are busy"),
        (Wait.NO_SLOTS, (), "busy with other farms"),
    ],
)
def test_each_condition_has_its_words(wait: Wait, refused: tuple[Refused, ...], said: str) -> None:
    assert said in explain(wait, label="x", waiting=2, slots=4, refused=refused)
