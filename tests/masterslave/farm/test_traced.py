"""A farm whose scheduler is traced: what it has heard is there, and is decided the same again."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from masterslave import Farm, FarmSettings, RetryPolicy
from masterslave.errors import FarmError
from masterslave.journal.trace import Trace, read_trace
from masterslave.scheduler import Event, Scheduler, TimePassed
from masterslave.stories.retraced import read, retrace


def _trace(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "masterslave", "trace", *arguments],
        env={**os.environ, "PYTHONHASHSEED": "7"},  # the order of sets is another one
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_traced_run_is_decided_the_same_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "survey.db"

    def odd(number: int, folder: Path = tmp_path) -> int:
        mark = folder / f"tried-{number}"
        if number % 7 == 0 and not mark.exists():
            mark.touch()
            raise ValueError(number)
        if number == 5 and not mark.exists():
            mark.touch()
            os._exit(1)
        return number

    settings = FarmSettings(trace=True)
    with Farm("survey", local_slaves=2, journal=path, settings=settings) as farm:
        view = farm.options(retries=RetryPolicy(2, on=ValueError), priority=2)
        futures = [view.submit(odd, number) for number in range(200)]
        dropped = [farm.submit(odd, number) for number in range(1000, 1500)]
        assert sum(future.cancel() for future in dropped) > 0
        assert [future.result() for future in futures] == [*range(200)]
        assert sum(view.map(odd, range(200, 1000))) == sum(range(200, 1000))
    found = retrace(read(path))
    assert found.is_same
    assert found.events == found.compared > 200

    shown = _trace(str(path), "--replay")
    same = f"run 1: {found.events} events, and the scheduler decides the same"
    assert (shown.returncode, shown.stdout) == (
        0, f"{same} ({found.events} decisions compared)\n"
    )  # fmt: skip
    lines = _trace(str(path), "--last", "3").stdout.splitlines()
    assert lines[0] == f"run 1: {found.events} events"
    assert lines[1].split()[0] == str(found.events - 3)
    assert json.loads(_trace(f"{path}.trace", "--json").stdout)["about"]["label"] == "survey"


def test_where_a_scheduler_decides_otherwise_or_fails_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FarmSettings(trace=str(tmp_path / "lone"))
    with Farm(here=True, settings=settings) as farm:
        assert list(farm.map(abs, range(50))) == [*range(50)]
    handle = Scheduler.handle

    def otherwise(self: Scheduler, event: Event, now: float) -> object:
        return [] if (orders := handle(self, event, now)) and now else orders

    def fails(self: Scheduler, event: Event, now: float) -> object:
        raise LookupError("no such task")

    stretch = read(tmp_path / "lone.trace")
    monkeypatch.setattr(Scheduler, "handle", otherwise)
    found = retrace(stretch)
    assert found.differs_at == found.events - 1
    assert not found.is_same
    monkeypatch.setattr(Scheduler, "handle", fails)
    assert retrace(stretch).error == "LookupError: no such task"


def test_a_trace_that_has_lost_its_beginning_is_not_fed_to_a_scheduler(tmp_path: Path) -> None:
    trace = Trace(tmp_path / "survey.db", 3, max_bytes=2000)
    for number in range(200):
        trace.note(float(number), TimePassed())
        trace.note_decided(float(number), [])
    trace.close()
    stretch = read(tmp_path / "survey.db")
    assert stretch.decided == [stretch.decided[0]] * len(stretch.events)
    with pytest.raises(FarmError, match=r"has lost its first \d+ events.*trace_bytes"):
        retrace(stretch)
    with pytest.raises(FarmError, match="holds no events, so there is nothing to compare"):
        retrace(dataclasses.replace(stretch, first=0, events=[], decided=[]))
    assert "are not there any more" in _trace(str(tmp_path / "survey.db")).stdout
    assert _trace(str(tmp_path / "none.db")).returncode == 2


def test_the_environment_has_farms_traced_and_without_it_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with Farm(here=True, journal="quiet.db"):
        pass
    assert not [*tmp_path.glob("*.trace")]
    monkeypatch.setenv("REMOTEOBJ_FARM_TRACE", "1")
    with Farm(here=True, journal="survey.db"):
        pass
    (stretch,) = read_trace(tmp_path / "survey.db", get_args(Event))
    assert stretch.run == 1
    with caplog.at_level(logging.WARNING), Farm(here=True):
        pass
    assert "is not traced: it has no journal, so give the trace a path" in caplog.text
    monkeypatch.setenv("REMOTEOBJ_FARM_TRACE", str(tmp_path / "no" / "where"))
    with Farm(here=True) as farm:
        assert farm.submit(abs, -1).result() == 1
    assert "No such file or directory" in caplog.text
