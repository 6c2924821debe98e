"""The trace of a run: bounded, and when it has its beginning, it happens again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from masterslave.errors import JournalUnusable
from masterslave.journal.trace import Trace, read_trace
from masterslave.scheduler import Scheduler
from masterslave.scheduler.events import (
    Event,
    HandOut,
    SlaveHeard,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
    Terms,
    TimePassed,
)
from masterslave.testing import SimFarm
from tests.conftest import StartScript

KINDS = get_args(Event)


@pytest.mark.parametrize("seed", range(3))
def test_a_traced_run_happens_again(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = SimFarm(seed, slaves=20, tasks=500, silence_s=5.0)
    trace, handle = Trace(tmp_path / "survey.db", 1, about={"silence_s": 5.0}), Scheduler.handle
    ordered: list[Any] = []

    def traced(event: Event, now: float) -> Any:
        trace.note(now, event)
        ordered.append(handle(farm._scheduler, event, now))
        return ordered[-1]

    monkeypatch.setattr(farm._scheduler, "handle", traced)
    farm.run()
    trace.close()
    (stretch,) = read_trace(tmp_path / "survey.db", KINDS)
    assert (stretch.run, stretch.first, trace.failure) == (1, 0, "")
    again = Scheduler(silence_s=stretch.about["silence_s"])
    for (now, event), orders in zip(stretch.events, ordered, strict=True):
        assert again.handle(event, now) == orders


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    terms = Terms(3, priority=2, needs=(("gpu", 1.0),), tags=frozenset({"a", "b"}))
    events = [
        (0.5, TasksSubmitted([1, 2], terms, [9, 9], [0])),
        (1.5, TasksReturned("slave#1", [HandOut(1, 1)], [0.25], frozenset({1}))),
        (2.5, TimePassed()),
    ]
    trace = Trace(tmp_path / "survey.db", 7)
    for now, event in events:
        trace.note(now, event)
    trace.note(3.5, TasksCancelled(range(3, 6)))
    trace.close()
    (stretch,) = read_trace(tmp_path / "survey.db", KINDS)
    assert stretch.events == [*events, (3.5, TasksCancelled([3, 4, 5]))]


def test_a_trace_is_a_ring_and_says_what_it_has_dropped(tmp_path: Path) -> None:
    path = tmp_path / "survey.db"
    for run in (1, 2):
        trace = Trace(path, run, max_bytes=4000)
        for number in range(500):
            trace.note(float(number), SlaveHeard(f"slave#{run}"))
            assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 4000
        trace.close()
    (stretch,) = read_trace(path, KINDS)
    assert (stretch.run, stretch.first + len(stretch.events)) == (2, 500)
    assert stretch.first > 0
    assert stretch.events[0] == (float(stretch.first), SlaveHeard("slave#2"))


def test_the_run_before_is_there_until_its_room_is_needed(tmp_path: Path) -> None:
    for run in (1, 2):
        trace = Trace(tmp_path / "survey.db", run)
        trace.note(0.0, TimePassed())
        trace.close()
    stretches = read_trace(tmp_path / "survey.db", KINDS)
    assert [(stretch.run, len(stretch.events)) for stretch in stretches] == [(1, 1), (2, 1)]
    (tmp_path / "survey.db.trace").write_bytes(b"")  # killed as it began this file
    assert [stretch.run for stretch in read_trace(tmp_path / "survey.db", KINDS)] == [1]


KILLED = """
import os, signal, sys
from pathlib import Path
from masterslave.journal.trace import Trace
from masterslave.scheduler.events import SlaveHeard
trace = Trace(Path(sys.argv[1]), 1)
for number in range(100):
    trace.note(float(number), SlaveHeard("slave"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_all_events(tmp_path: Path, start_script: StartScript) -> None:
    process = start_script("-c", KILLED, str(tmp_path / "survey.db"))
    assert process.wait(60) == -signal.SIGKILL
    (stretch,) = read_trace(tmp_path / "survey.db", KINDS)
    assert len(stretch.events) == 100


@pytest.mark.parametrize("where", ["cut", "flipped"])
def test_what_comes_after_damage_is_not_believed(where: str, tmp_path: Path) -> None:
    trace = Trace(tmp_path / "survey.db", 1)
    sizes = []
    for number in range(10):
        trace.note(float(number), TimePassed())
        sizes.append((tmp_path / "survey.db.trace").stat().st_size)
    trace.close()
    path = tmp_path / "survey.db.trace"
    if where == "cut":
        os.truncate(path, sizes[5] - 1)
    else:
        data = bytearray(path.read_bytes())
        data[sizes[5] - 1] ^= 1
        path.write_bytes(data)
    (stretch,) = read_trace(tmp_path / "survey.db", KINDS)
    assert [now for now, _ in stretch.events] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_trace_of_nothing_and_of_another_release_is_told(tmp_path: Path) -> None:
    path = tmp_path / "survey.db"
    with pytest.raises(JournalUnusable, match=r"there is no trace of .* REMOTEOBJ_FARM_TRACE=1"):
        read_trace(path, KINDS)
    trace = Trace(path, 1)
    trace.note(0.0, TimePassed())
    trace.close()
    with pytest.raises(JournalUnusable, match=r"by this release .*: use the one that wrote it"):
        read_trace(path, [SlaveHeard])
    (tmp_path / "survey.db.trace").write_bytes(b"")
    with pytest.raises(JournalUnusable, match="was cut before its first event"):
        read_trace(path, KINDS)


def test_a_trace_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = Trace(tmp_path / "survey.db", 1)
    trace.note(0.0, TimePassed())
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, trace._fd)
    os.close(full)
    trace.note(1.0, TimePassed())
    trace.note(2.0, TimePassed())
    assert "survey.db.trace is not written any more: [Errno 28]" in trace.failure
    assert caplog.text.count("not written any more") == 1
    (stretch,) = read_trace(tmp_path / "survey.db", KINDS)
    assert len(stretch.events) == 1


@pytest.mark.serial
def test_an_event_costs_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = Trace(tmp_path / "survey.db", 1)
    hand_outs = [HandOut(number, 1) for number in range(50)]
    event = TasksReturned("slave#1", hand_outs, [0.001] * 50)
    began = time.process_time()
    for number in range(5000):
        trace.note(float(number), event)
    each_s = (time.process_time() - began) / 5000
    trace.close()
    with capsys.disabled():
        print(f"\n  an event of 50 tasks: {each_s * 1e6:.1f} us")
    assert each_s < 100e-6
