"""Compacting: what can be asked for is what it was, in less room, whenever it is interrupted."""

from __future__ import annotations

import errno
import logging
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.errors import JournalInUse, JournalUnusable
from masterslave.journal import (
    Ended,
    Fact,
    Folded,
    FunctionKnown,
    HandedOut,
    Invalidated,
    Journal,
    Lost,
    Noted,
    Place,
    Settled,
    Submitted,
    compacting,
)
from masterslave.journal.facts import RUN_BITS, write_facts
from masterslave.journal.needed import Needed, moved
from tests.conftest import StartScript
from tests.masterslave.journal.facts import (
    BASE,
    Work,
    began,
    files_of,
    folded,
    histories,
    key,
    results_of,
)

KILLS = int(os.environ.get("KILLS", "5"))
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))


def needed_of(facts: list[Fact], keep_runs: int | None = None) -> list[Fact]:
    needed = Needed(folded(*facts), keep_runs)
    return [part for fact in facts for part in needed.of(fact)] + list(needed.hand_outs())


def asked_for(state: Folded) -> dict[str, object]:
    """Return what somebody can ask for."""
    return {
        "finished": {
            each: (finish.kind, finish.place, finish.skip, finish.slave, finish.number)
            for each, finish in state.finished.items()
        },
        "out": state.out,
        "runs": state.runs,
        "slaves": state.slaves,
        "functions": state.functions,
        "losses": state.losses,
        "notes": state.notes,
        "keys": {
            number: state.key_of(number)
            for loss in state.losses
            for number in range(loss.task, loss.task + loss.count)
        },
        "ends": last_ends(state),
    }


def last_ends(state: Folded) -> dict[bytes, tuple[str, Place | None]]:
    return {
        each: (end.why, end.place)
        for end in state.ends
        for number in range(end.first, end.first + end.count)
        if (each := state.key_of(number)) is not None and each not in state.finished
    }


@given(histories())
def test_what_can_be_asked_for_is_what_it_was(facts: list[Fact]) -> None:
    before, left = folded(*facts), needed_of(facts)
    assert asked_for(folded(*left)) == asked_for(before)
    assert write_facts(needed_of(left)) == write_facts(left)


@given(histories(), st.integers(0, 3))
def test_results_that_nobody_asks_for_go_alone(facts: list[Fact], keep_runs: int) -> None:
    before, left = folded(*facts), needed_of(facts, keep_runs)
    asked = {
        row.key(at)
        for row in before.numbers
        for at in range(len(row.states))
        if row.first >> RUN_BITS > before.run - keep_runs
    }
    assert set(folded(*left).finished) == set(before.finished) & asked
    assert asked_for(folded(*needed_of(needed_of(facts), keep_runs))) == asked_for(folded(*left))


def test_what_is_dead_goes() -> None:
    at, other, packed = Place(1, 0, 9), Place(1, 9, 9), Place(2, 0, 99)
    arguments = Place(3, 0, 1), Place(3, 1, 1), Place(3, 2, 1)
    submitted = Submitted(BASE, 0, key(1) + key(2) + key(3), arguments)
    facts: list[Fact] = [
        began(1),
        FunctionKnown(0, "f", b"f", packed),
        submitted,
        HandedOut(0, ((BASE, 1, 3),)),
        Settled(BASE, 1, 2, 5, 0, at, 0),
        Lost(BASE + 2, 1, 1, 0, "gone"),
        Ended(BASE + 2, 1, "cancelled"),
        Invalidated(key(1)),
    ]
    assert needed_of(facts) == [
        began(1),
        FunctionKnown(0, "f", b"f", packed),
        Submitted(BASE + 1, 0, key(2)),  # whose arguments nobody needs
        Settled(BASE + 1, 1, 1, 6, 0, at, 0),
    ]
    places = [moved(fact, lambda place: other) for fact in (facts[1], submitted, facts[4])]
    assert places == [
        FunctionKnown(0, "f", b"f", other),
        Submitted(BASE, 0, submitted.keys, (other,) * 3),
        Settled(BASE, 1, 2, 5, 0, other, 0),
    ]


def test_arguments_are_kept_of_what_may_be_run_again() -> None:
    raised = Settled(BASE, 1, 1, -1, 1, Place(1, 0, 9))
    arguments = Place(3, 0, 1), Place(3, 1, 1)
    facts: list[Fact] = [Submitted(BASE, 0, key(1) + key(2), arguments), raised]
    assert needed_of(facts) == facts


def fill(path: Path, *, seed: int = 1, rounds: int = 12) -> dict[bytes, bytes]:
    """Make a journal most of which is dead; returns the results that are not."""
    with Journal.open(path, "survey") as journal:
        work = Work(seed)
        for turn in range(rounds):
            work.do(journal, 300, largest=2000)
            if turn % 4:
                journal.record(Invalidated(b"".join(work.results)))
                work.results.clear()
        work.do(journal, 200, largest=2000)
        work.do(journal, 5, largest=200_000)
        journal.record(Noted("kind", b"body"))
    return work.results


def test_a_journal_that_is_mostly_dead_is_compacted_when_it_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "survey.db"
    with Journal.open(path, "survey") as journal:
        farm_id, work = journal.farm_id, Work(SEED)
        for _ in range(10):
            work.do(journal, 300, largest=2000)
            journal.record(Invalidated(b"".join(work.results)))
            work.results.clear()
        work.do(journal, 300, largest=2000)
    before = path.stat().st_size
    with caplog.at_level(logging.INFO, "masterslave"), Journal.open(path, "survey") as journal:
        assert "was compacted to" in caplog.text
        assert (journal.run, journal.farm_id, journal.notices) == (2, farm_id, ())
        assert results_of(journal) == work.results
        assert set(journal.folded.out) == work.open
    assert path.stat().st_size < before / 3
    assert files_of(path) == set()
    caplog.clear()
    with caplog.at_level(logging.INFO, "masterslave"), Journal.open(path, "survey") as journal:
        assert (journal.run, results_of(journal)) == (3, work.results)
        assert not caplog.text


def test_a_journal_that_lives_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, work = tmp_path / "survey.db", Work(SEED)
    with Journal.open(path, "survey") as journal:
        work.do(journal, 3000, largest=2000)
    with caplog.at_level(logging.INFO, "masterslave"), Journal.open(path, "survey") as journal:
        assert results_of(journal) == work.results
        assert not caplog.text


def test_results_of_tasks_that_are_not_submitted_any_more_go_when_told(tmp_path: Path) -> None:
    path, work = tmp_path / "survey.db", Work(SEED)
    for run in (1, 2, 3):
        with Journal.open(path, "survey") as journal:
            work.do(journal, 10)
            if run == 1:
                old = dict(work.results)
            if run == 3:  # the script asks for one of the first again
                again = next(iter(old))
                journal.record(Submitted((3 << RUN_BITS) + (1 << 30), 0, again))
    size, after = Journal.compact(path, "survey")
    with Journal.read_only(path) as reader:
        assert results_of(reader) == work.results
    Journal.compact(path, "survey", keep_runs=2)
    with Journal.read_only(path) as reader:
        left = {each: value for each, value in work.results.items() if each not in old}
        assert results_of(reader) == left | {again: old[again]}
    assert after <= size


def test_who_looks_at_a_journal_goes_on_looking(tmp_path: Path) -> None:
    path = tmp_path / "survey.db"
    results = fill(path)
    with Journal.read_only(path) as reader:
        with pytest.raises(JournalInUse, match="somebody looks at"):
            Journal.compact(path, "survey")
        with Journal.open(path, "survey") as journal:  # which is not compacted
            assert results_of(journal) == results
        reader.catch_up()
        assert (reader.folded.run, results_of(reader)) == (2, results)
    size, after = Journal.compact(path, "survey")
    assert after < size


def test_a_journal_in_use_is_not_compacted(tmp_path: Path) -> None:
    path = tmp_path / "survey.db"
    with Journal.open(path, "survey"), pytest.raises(JournalInUse, match="by this process"):
        Journal.compact(path, "survey")


def test_facts_of_a_later_release_are_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "survey.db"
    results = fill(path)
    before = path.stat().st_size
    monkeypatch.setattr("masterslave.journal.facts._KNOWN", range(1, 10))  # all but notes
    monkeypatch.setattr("masterslave.journal.facts._read_all", _refuse)
    with pytest.raises(JournalUnusable, match="has facts of a later release"):
        Journal.compact(path, "survey")
    with Journal.open(path, "survey") as journal:
        assert journal.folded.counts.unknown == 1
        assert results_of(journal) == results
    assert path.stat().st_size >= before
    monkeypatch.undo()
    with Journal.read_only(path) as reader:
        assert reader.folded.notes == {"kind": [b"body"]}


def _refuse(body: bytes) -> list[Fact]:
    import msgspec

    raise msgspec.ValidationError("a number that is not known")


def test_a_disk_that_is_full_leaves_the_journal_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "survey.db"
    results = fill(path)

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(compacting, "write_rows", fail)
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match="No space left on device"):
        Journal.compact(path, "survey")
    assert path.read_bytes() == before
    with Journal.open(path, "survey") as journal:
        assert "could not be compacted, and is used as it is" in caplog.text
        assert results_of(journal) == results
    assert files_of(path) == set()


def test_a_payload_that_is_damaged_is_found_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "survey.db"
    results = fill(path)
    victim = max(results.values(), key=len)
    data = path.read_bytes()
    at = data.find(victim[1000:1100])
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(JournalUnusable, match="start its farm, which keeps what can be read"):
        Journal.compact(path, "survey")
    with Journal.open(path, "survey") as journal:
        assert "was damaged" in journal.notices[0]
        left = {each: value for each, value in results.items() if value != victim}
        assert results_of(journal) == left
        assert path.stat().st_size < len(data) / 2  # it was compacted as well


COMPACT = """
import os, sys
from masterslave.journal import Journal
os.write(1, b"begun\\n")
while True:
    Journal.compact(sys.argv[1], "survey")
"""


def test_a_kill_while_it_is_compacted_loses_nothing(
    tmp_path: Path, start_script: StartScript
) -> None:
    path, chance = tmp_path / "survey.db", random.Random(SEED)
    results = fill(path)
    for kill in range(KILLS):
        process = start_script("-c", COMPACT, str(path))
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        threading.Event().wait(chance.random() * 0.3)
        process.kill()
        process.wait()
        with Journal.open(path, "survey") as journal:
            assert journal.notices == (), f"SEED={SEED}, kill {kill}"
            assert journal.run == kill + 2
            assert results_of(journal) == results, f"SEED={SEED}, kill {kill}"
    assert files_of(path) == set()


@pytest.mark.parametrize("left", [b"", bytes(512)])
def test_what_sqlite_has_left_of_a_change_of_mode_goes(left: bytes, tmp_path: Path) -> None:
    path = tmp_path / "survey.db"
    results = fill(path, rounds=0)
    Path(f"{path}-journal").write_bytes(left)
    with Journal.open(path, "survey") as journal:
        assert (journal.notices, results_of(journal)) == ((), results)
    assert files_of(path) == set()


FILL_AND_DIE = """
import os, signal, sys, threading
from pathlib import Path
from masterslave.journal import Journal
from tests.masterslave.journal import test_compacting
Journal.close = lambda journal: journal.after(written.set)
written = threading.Event()
test_compacting.fill(Path(sys.argv[1]))
written.wait()
os.kill(os.getpid(), signal.SIGKILL)
"""

COMPACT_AND_DIE = """
import os, signal, sys
from masterslave.journal import Journal
replace = os.replace
def replace_and_die(*arguments):
    replace(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace_and_die
Journal.open(sys.argv[1], "survey")
"""


def test_rows_that_are_numbered_anew_are_not_missed(
    tmp_path: Path, start_script: StartScript
) -> None:
    path = tmp_path / "survey.db"
    for code in (FILL_AND_DIE, COMPACT_AND_DIE):
        assert start_script("-c", code, str(path)).wait(60) == -signal.SIGKILL
        assert ".lock" in files_of(path)
    with Journal.open(path, "survey") as journal:
        assert (journal.run, journal.notices) == (2, ())
        assert len(journal.folded.finished) > 100


MEND = """
import os, signal, sys
from masterslave.journal import Journal, mending
path, at = sys.argv[1], int(sys.argv[2])
replace, calls = os.replace, []
def replace_or_die(*arguments):
    calls.append(arguments)
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)
os.replace = replace_or_die
Journal.open(path, "survey")
print("opened")
"""


@pytest.mark.parametrize("at", range(1, 7))
def test_a_kill_while_it_is_mended_loses_nothing_more(
    at: int, tmp_path: Path, start_script: StartScript
) -> None:
    path = tmp_path / "survey.db"
    results = fill(path, rounds=0)
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    said, _ = start_script("-c", MEND, str(path), str(at)).communicate(timeout=60)
    assert (said == "opened\n") == (at > 4)
    with Journal.open(path, "survey") as journal:
        assert bool(journal.notices) == (at <= 4)
        assert results_of(journal) == results
    assert Path(f"{path}.damaged-1").read_bytes() == data
    assert files_of(path) == {".damaged-1"}
