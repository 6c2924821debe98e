"""A copy that is in step holds what was acknowledged, whoever is killed at whatever moment."""

from __future__ import annotations

import contextlib
import os
import platform
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from masterslave import Farm
from masterslave.errors import JournalUnusable
from masterslave.journal import Journal, Settled, Submitted, copying
from masterslave.journal.copying import ASIDE, Copy
from masterslave.journal.database import COPY_ID, connect, read_meta
from masterslave.journal.facts import ARBITER, RUN_BITS, Noted
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.following import FOLLOW_ID, Met, Rows
from masterslave.service.following import FollowDoor
from masterslave.standby.follower import Follower, NoCopies
from remoteobj import ConnectionLost, Daemon
from tests.conftest import StartScript, eventually
from tests.masterslave.standby.two_processes import FileLead

PATIENCE_S = 40.0  # machines of tests are busy
KILLS = int(os.environ.get("KILLS", "3"))
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
SCRIPT = ("-m", "tests.masterslave.standby.two_processes")


def test_whoever_is_killed_what_was_acknowledged_is_with_the_successor(
    tmp_path: Path, start_script: StartScript
) -> None:
    chance, seed = random.Random(SEED), f"SEED={SEED}"
    lead = FileLead(tmp_path / "lead")
    path, copy_path = tmp_path / "survey.db", tmp_path / "copy.db"
    last_of_run: dict[int, int] = {}
    in_step = 0

    def start_copy() -> subprocess.Popen[str]:
        return start_script(*SCRIPT, "copy", str(copy_path), str(tmp_path / "lead"))

    copier = start_copy()
    for kill in range(KILLS):
        writer = Writing(
            start_script(*SCRIPT, "write", str(path), str(tmp_path / "lead"), f"{SEED} {kill}")
        )
        eventually(lambda: lead.read()[1], f"{seed}: a copy is in step", PATIENCE_S)
        writer.wait_for_more(f"{seed}: and the master acknowledges")
        time.sleep(chance.random() * 0.4)  # a random moment is what this is about
        if kill % 2:
            copier.kill()
            eventually(lambda: not lead.read()[1], f"{seed}: the master goes on alone", PATIENCE_S)
            writer.wait_for_more(f"{seed}: and acknowledges")
            copier = start_copy()
            eventually(lambda: lead.read()[1], f"{seed}: the copy is in step again", PATIENCE_S)
            time.sleep(chance.random() * 0.4)  # a random moment is what this is about
        last = writer.kill()
        last_of_run[last >> RUN_BITS] = last
        if kill % 3 == 2:
            copier.kill()
        successor = lead.read()[1]
        if successor:
            in_step += 1
            _check(copy_path, successor, last_of_run, f"{seed}, kill {kill}")
        if kill % 3 == 2:
            copier = start_copy()
    assert in_step, "there nearly always is a successor"


class Writing:
    """A process that writes, and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process, self._output = process, process.stdout
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self._output:
            self._lines.append(line)

    def wait_for_more(self, what: str) -> None:
        count = len(self._lines)
        eventually(lambda: len(self._lines) > count + 5, what, PATIENCE_S)

    def kill(self) -> int:
        """Kill it, and return the last number that was acknowledged."""
        self._process.kill()
        self._thread.join()
        return max(int(line) for line in self._lines if line.endswith("\n"))


def _check(path: Path, successor: str, last: dict[int, int], seed: str) -> None:
    """Check what the copy holds, as it is now."""
    with Journal.read_only(path) as reader:
        with contextlib.closing(connect(path, read_only=True)) as database:
            meta = read_meta(database)
        assert meta[COPY_ID].decode() == successor, seed
        finished = reader.folded.finished
        for run, number in last.items():
            missing = [
                each
                for each in range(run << RUN_BITS, number + 1)
                if each.to_bytes(16, "big") not in finished
            ]
            assert not missing, f"{seed}: run {run} lacks {missing[:5]} of {number}"
        for finish in list(finished.values())[-500:]:
            text = str(finish.number).encode()
            payload = reader.read(finish.place)
            assert payload == text * (len(payload) // len(text)), seed


class Pair:
    """A journal and a copy in this process, and what they say to each other, step by step."""

    def __init__(self, folder: Path) -> None:
        self.paths = (folder / "survey.db", folder / "copy.db")
        self.lead = FileLead(folder / "lead")
        self.lead.write(1, "")
        self.journal = self.open_journal(epoch=1)
        self.copy = Copy.open(self.paths[1], "survey")

    def open_journal(self, *, epoch: int) -> Journal:
        journal = Journal.open(self.paths[0], "survey", epoch=epoch)
        journal.let_follow(self.lead, follow_s=PATIENCE_S)
        self.door = FollowDoor(journal.following)
        return journal

    def work(self, *numbers: int, size: int = 10) -> None:
        for number in numbers:
            key = (number + 1).to_bytes(16, "big")
            self.journal.record(Submitted(self.journal.first_number + number, 0, key))
            place = self.journal.keep(bytes([number % 256]) * size)
            self.journal.record(Settled(self.journal.first_number + number, 1, 1, -1, 0, place))
        self.is_acknowledged = threading.Event()
        self.journal.after(self.is_acknowledged.set)

    def meet(self) -> int:
        """Say hello until it is heard; returns how often that was."""
        for times in range(1, 4):
            if self.copy.met(decode(self.door.meet(encode(self.copy.hello())), Met)):
                return times
        raise AssertionError

    def ask(self) -> Rows:
        """Ask once, and write what comes."""
        answer: SimpleQueue[bytes] = SimpleQueue()
        self.door.follow(encode(self.copy.poll())).when_set(answer.put)
        rows = decode(answer.get(timeout=10), Rows)
        self.copy.take(rows)
        return rows

    def come_into_step(self) -> None:
        """Follow until the copy is in step, and has all that was recorded before."""
        written = threading.Event()
        self.journal.after(written.set)
        self.meet()
        deadline = time.monotonic() + PATIENCE_S
        while not (rows := self.ask()).is_in_step or not written.is_set() or rows.facts:
            assert time.monotonic() < deadline

    def leave(self) -> None:
        self.door.follow(encode(self.copy.poll(is_leaving=True)))
        self.copy.close()

    def close(self) -> None:
        self.copy.close()
        self.journal.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    both = Pair(tmp_path)
    yield both
    both.close()


def test_nothing_is_acknowledged_that_the_copy_in_step_has_not(pair: Pair) -> None:
    pair.work(1, 2, 3)
    assert pair.is_acknowledged.wait(10), "nobody follows"
    assert pair.journal.following.standby is None
    pair.come_into_step()
    assert pair.journal.following.standby == {"host": platform.node(), "state": "in step"}
    assert pair.lead.read()[1] == pair.copy.copy_id
    pair.work(4)
    rows = pair.ask()
    while not rows.facts:
        rows = pair.ask()
    assert not pair.is_acknowledged.is_set(), "it is on its way to the copy"
    pair.door.follow(encode(pair.copy.poll()))
    assert pair.is_acknowledged.is_set()
    assert _results(pair) == {1, 2, 3, 4}


def test_a_copy_that_falls_silent_is_left_behind_once_that_is_known(pair: Pair) -> None:
    pair.come_into_step()
    pair.work(1)
    assert not pair.is_acknowledged.wait(0.3), "it waits for the copy"
    pair.journal.let_follow(pair.lead, follow_s=0.5)
    eventually(
        lambda: not pair.lead.read()[1], "the copy is nobody's successor any more", PATIENCE_S
    )
    assert pair.is_acknowledged.wait(10)
    assert pair.copy.poll().seq < pair.journal.following.written.seq
    pair.come_into_step()
    assert _results(pair) == {1}


def test_a_master_that_cannot_say_so_acknowledges_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.come_into_step()
    silent = threading.Event()

    def name(copy_id: str, node: str) -> None:
        if not silent.is_set():
            raise ConnectionLost("the name server is gone", executed="maybe")
        pair.lead.write(1, copy_id)

    monkeypatch.setattr(pair.lead, "name", name)
    pair.journal.let_follow(pair.lead, follow_s=0.5)
    pair.work(1)
    eventually(lambda: "is gone" in pair.journal.following.why_not, "it was tried", PATIENCE_S)
    assert not pair.is_acknowledged.wait(0.5)
    silent.set()
    assert pair.is_acknowledged.wait(10)


def test_who_stops_acting_writes_and_acknowledges_nothing(pair: Pair) -> None:
    pair.come_into_step()
    pair.work(1)
    pair.come_into_step()
    pair.journal.freeze()
    pair.work(2)
    pair.journal.close()
    assert not pair.is_acknowledged.is_set()
    with Journal.read_only(pair.paths[0]) as reader:
        assert {int.from_bytes(key, "big") - 1 for key in reader.folded.finished} == {1}


def test_a_copy_that_was_away_gets_what_it_lacks(pair: Pair) -> None:
    pair.come_into_step()
    identity = pair.copy.copy_id
    pair.leave()
    pair.work(*range(200), size=70_000)
    assert pair.is_acknowledged.wait(PATIENCE_S), "the master goes on alone"
    pair.copy = Copy.open(pair.paths[1], "survey")
    assert pair.copy.copy_id == identity
    assert pair.meet() == 1, "it is the beginning of the journal"
    pair.come_into_step()
    assert _results(pair) == set(range(200))


def test_a_copy_that_has_diverged_is_made_anew_under_another_id(pair: Pair) -> None:
    pair.come_into_step()
    pair.work(1)
    pair.come_into_step()
    old = pair.copy.copy_id
    pair.leave()
    with Journal.open(pair.paths[1], "survey", epoch=2) as taken:  # and was taken over from
        taken.record(Submitted(taken.first_number, 0, bytes(15) + b"x"))
    pair.journal.close()
    pair.journal = pair.open_journal(epoch=3)
    pair.copy = Copy.open(pair.paths[1], "survey")
    assert pair.meet() == 2
    assert pair.copy.copy_id != old
    assert str(pair.paths[1]) + ASIDE in pair.copy.notice
    assert Path(str(pair.paths[1]) + ASIDE).exists()
    pair.come_into_step()
    assert _results(pair) == {1}


def test_a_master_of_an_older_epoch_is_not_followed(pair: Pair) -> None:
    pair.come_into_step()
    pair.leave()
    Journal.open(pair.paths[1], "survey", epoch=5).close()
    pair.copy = Copy.open(pair.paths[1], "survey")
    told = decode(pair.door.meet(encode(pair.copy.hello())), Met)
    assert "taken over" in told.refused
    with pytest.raises(JournalUnusable, match="knows of epoch 5"):
        pair.copy.met(Met(farm_id=pair.journal.farm_id, epoch=1))
    with pytest.raises(JournalUnusable, match="knows of epoch 5"):
        pair.copy.take(Rows(epoch=1, run=1))


def test_a_full_disk_is_told_as_one_that_cannot_be_written(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    pair.come_into_step()
    pair.work(1)
    monkeypatch.setattr(copying, "write_checked_rows", fail)
    with pytest.raises(JournalUnusable, match=r"copy\.db cannot be written: No space left"):
        while True:
            pair.ask()
    monkeypatch.undo()
    pair.come_into_step()
    assert _results(pair) == {1}


def test_which_name_server_decides_is_heard_with_the_rows(pair: Pair) -> None:
    pair.come_into_step()
    assert pair.copy.arbiter == "", "the master did not know it when they met"
    pair.journal.record(Noted(ARBITER, b"192.0.2.1:9090"))
    while not pair.ask().facts:
        pass
    assert pair.copy.arbiter == "192.0.2.1:9090"
    pair.leave()
    pair.copy = Copy.open(pair.paths[1], "survey")
    assert pair.copy.arbiter == "192.0.2.1:9090", "and it is on the disk"
    pair.meet()
    assert pair.copy.arbiter == "192.0.2.1:9090"


def test_a_mistake_here_is_not_taken_for_a_farm_without_copies(pair: Pair) -> None:
    def fail() -> None:
        raise AttributeError("a mistake")

    with Daemon() as daemon:
        daemon.start()
        with pytest.raises(NoCopies):
            Follower(pair.copy, daemon.uri_of(FOLLOW_ID)).run()
        daemon.register(pair.door, FOLLOW_ID)
        with pytest.raises(AttributeError, match=r"^a mistake$"):
            Follower(pair.copy, daemon.uri_of(FOLLOW_ID), on_change=fail).run()


def test_a_script_has_no_farm_of_its_own_on_a_journal_with_a_standby(pair: Pair) -> None:
    pair.come_into_step()
    pair.journal.close()
    with pytest.raises(JournalUnusable, match="masterslave master survey"):
        Farm("survey", journal=pair.paths[0], local_slaves=0)


def test_a_journal_that_was_compacted_is_copied_anew(pair: Pair) -> None:
    pair.work(*range(50), size=50_000)
    pair.come_into_step()
    pair.work(*range(50), size=10)  # what was there before is dead
    pair.come_into_step()
    pair.journal.close()
    had, has = Journal.compact(pair.paths[0], "survey")
    assert has < had
    pair.journal = pair.open_journal(epoch=2)
    assert pair.meet() == 2
    pair.come_into_step()
    assert _results(pair) == set(range(50))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_damaged_copy_is_made_anew(pair: Pair, share: float) -> None:
    pair.work(*range(300), size=1000)
    pair.come_into_step()
    old = pair.copy.copy_id
    pair.leave()
    _damage(pair.paths[1], share)
    pair.copy = Copy.open(pair.paths[1], "survey")
    pair.meet()
    pair.come_into_step()
    if pair.copy.notice:
        assert pair.copy.copy_id != old
    assert _results(pair) == set(range(300))


def test_a_copy_of_another_farm_is_refused_and_stays(pair: Pair, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    Journal.open(other, "survey").close()
    before = other.read_bytes()
    with Copy.open(other, "survey") as copy, pytest.raises(JournalUnusable, match="another farm"):
        copy.met(decode(pair.door.meet(encode(copy.hello())), Met))
    with pytest.raises(JournalUnusable, match="label 'survey', not 'census'"):
        Copy.open(other, "census")
    assert len(before) == other.stat().st_size


def test_a_copy_is_a_journal(pair: Pair) -> None:
    pair.work(1, 2)
    pair.come_into_step()
    pair.leave()
    pair.journal.close()
    with Journal.open(pair.paths[1], "survey", epoch=2) as journal:
        assert journal.farm_id == pair.journal.farm_id
        assert journal.copy_id == pair.copy.copy_id
        assert journal.run == 2
        assert len(journal.folded.finished) == 2
        assert journal.notices == ()


def _results(pair: Pair) -> set[int]:
    with Journal.read_only(pair.paths[1]) as reader:
        finished = reader.folded.finished
        for finish in finished.values():
            assert reader.read(finish.place)
        return {int.from_bytes(key, "big") - 1 for key in finished}


def _damage(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        at = int(path.stat().st_size * share)
        file.seek(at)
        some = file.read(64)
        file.seek(at)
        file.write(bytes(byte ^ 0x5A for byte in some))
