"""A farm whose master is lost goes on with its standby, within 5 s; never do two act at once."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from masterslave.errors import JournalUnusable
from masterslave.journal import HandedOut, Journal, JournalReader, RunBegan, Settled
from masterslave.journal.facts import EPOCH, Noted
from tests.conftest import eventually
from tests.lan.hosts import Lan, Running
from tests.lan.room import CLUSTER
from tests.pairing import Pairing

SCRIPT = str(Path(__file__).with_name("attached_script.py"))
FAIL_OVER_S = 5.0
PATIENCE_S = 30.0


class Standing:
    """A farm on a network: name server and script on "hall", masters on "anna" and "ben"."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self.lan, self.folder = lan, folder
        self.ran = folder / "ran"
        self.ran.touch()
        self.start_nameserver()

    def start_nameserver(self) -> None:
        hall = self.lan["hall"]
        self.nameserver = hall.python(
            "-m",
            "nameserver",
            "run",
            "--host",
            hall.address,
            "--cluster",
            CLUSTER,
            "--store",
            str(self.ran.with_name("names.db")),
        )
        self.nameserver.wait_for(rf"name server at {hall.address}:\d+, announced by zeroconf")

    def journal(self, name: str) -> Path:
        return self.folder / f"{name}.db"

    def start(self, what: str, name: str) -> Running:
        """Start a master, or a standby, on a host."""
        command = ("-m", "masterslave", what, "survey", "--journal", str(self.journal(name)))
        return self.lan[name].python(*command)

    def start_master(self, name: str) -> Running:
        master = self.start("master", name)
        master.wait_for("farm 'survey' at ")
        master.wait_for("registered at the name server", PATIENCE_S)
        return master

    def start_standby(self, name: str) -> Running:
        standby = self.start("standby", name)
        standby.wait_for("^in step", PATIENCE_S)
        return standby

    def start_slave(self, name: str) -> Running:
        return self.lan[name].python("-m", "masterslave", "slave", "survey", "--slots", "2")

    def start_script(self) -> Running:
        script = self.lan["hall"].python(SCRIPT, str(self.ran))
        script.wait_for('"progress"', PATIENCE_S)
        return script

    def lines(self) -> list[tuple[int, str, float]]:
        """Return what has run: number, host, and when it began."""
        parts = [line.split() for line in self.ran.read_text().splitlines()]
        return [(int(number), host, float(began)) for number, host, began in parts]

    def successor(self) -> str:
        """Return the copy that may take over, as the name server knows it."""
        told = self.lan["hall"].run([sys.executable, "-m", "nameserver", "leaders", "--json"])
        (leadership,) = json.loads(told)
        return str(leadership["successor"])

    def shown(self) -> str:
        """Return what `masterslave show` says of the farm."""
        return self.lan["hall"].run([sys.executable, "-m", "masterslave", "show", "survey"])


@dataclass
class Acting:
    """What one master has done, as its own journal says, and when that was seen there.

    Attributes:
        first_at: When its first hand-out was seen; 0: there was none.
        last_at: When its last hand-out was, or the last result that it took.
    """

    host: str
    run: int
    epoch: int
    first_at: float = 0.0
    last_at: float = 0.0


class Watching:
    """Reads the journals of hosts all the time while they are written.

    Args:
        journal: Returns where the one of a host is.

    Raises:
        Exception: At the end, or while something is waited for: they could not be read any more.
    """

    def __init__(self, journal: Callable[[str], Path], *hosts: str) -> None:
        self.acting: dict[tuple[str, int], Acting] = {}
        self._paths = {host: journal(host) for host in hosts}
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()
        self._raise_error()

    def _raise_error(self) -> None:
        """Nothing is known of who acts once this has failed."""
        if self._error is not None:
            raise self._error

    def by_epoch(self) -> list[Acting]:
        """Return those that have acted, in the order of their epochs."""
        return sorted(
            (each for each in list(self.acting.values()) if each.first_at),
            key=lambda each: each.epoch,
        )

    def next_after(self, at: float, host: str) -> Acting:
        """Wait for the first hand-out of a host's master after a moment."""

        def look() -> Acting | None:
            self._raise_error()
            found = (each for each in self.by_epoch() if each.host == host and each.first_at > at)
            return next(found, None)

        eventually(look, f"{host} hands out", PATIENCE_S)
        found = look()
        assert found is not None
        return found

    def check(self) -> None:
        """Check that one acted after the other, with epochs that grow."""
        acting = self.by_epoch()
        for before, after in pairwise(acting):
            assert before.epoch < after.epoch, acting
            assert before.last_at < after.first_at, acting

    def _watch(self) -> None:
        readers: dict[str, Reading] = {}
        try:
            while not self._ended.wait(0.02):  # how exactly the times are known
                self._look(readers)
        except BaseException as error:  # whatever it is, the test is to fail with it
            self._error = error
        finally:
            for reading in readers.values():
                reading.reader.close()

    def _look(self, readers: dict[str, Reading]) -> None:
        for host, path in self._paths.items():
            if host not in readers or readers[host].is_gone():
                reading = Reading.begin(host, path, set(self.acting))
                if reading is None:
                    continue
                readers[host] = reading
            readers[host].take(self.acting)


class Reading:
    """One file of one host, which may have another one put in its place.

    Args:
        known: What was seen in files before: in a copy that is made anew it comes once more.
    """

    def __init__(self, host: str, path: Path, known: set[tuple[str, int]]) -> None:
        self._host, self._path = host, path
        self._file = path.stat().st_ino
        self.reader = JournalReader(path)
        self._known = known
        self._run = 0
        self._is_own = False
        self._is_first = True

    @classmethod
    def begin(cls, host: str, path: Path, known: set[tuple[str, int]]) -> Reading | None:
        try:
            return cls(host, path, known)
        except (JournalUnusable, OSError):  # it is not there yet, or just being made
            return None

    def is_gone(self) -> bool:
        try:
            gone = self._path.stat().st_ino != self._file
        except OSError:
            return False
        if gone:
            self.reader.close()
        return gone

    def take(self, acting: dict[tuple[str, int], Acting]) -> None:
        try:
            facts = list(self.reader.facts()) if self._is_first else self.reader.catch_up()
        except JournalUnusable:
            return
        self._is_first, now = False, time.time()
        for fact in facts:
            match fact:
                case RunBegan(run=run, epoch=epoch, host=host):
                    self._run = run
                    self._is_own = host == self._host and (host, run) not in self._known
                    if self._is_own:
                        acting.setdefault((host, run), Acting(host, run, epoch))
                case Noted(kind=kind, body=body) if kind == EPOCH and self._is_own:
                    acting[self._host, self._run].epoch = int(body)
                case HandedOut() | Settled() if self._is_own:
                    mine = acting[self._host, self._run]
                    mine.last_at = now
                    if isinstance(fact, HandedOut):
                        mine.first_at = mine.first_at or now


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    with Lan("hall", "anna", "ben", "cleo", "dora") as lan:
        cluster = Pairing(CLUSTER, lan["hall"].config)
        for name in ("anna", "ben", "cleo", "dora"):
            cluster.pair(lan[name].config, name, "member")
        yield Standing(lan, tmp_path)


def test_the_standby_goes_on_and_the_old_master_becomes_the_standby(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    slaves = [standing.start_slave(name) for name in ("cleo", "dora")]
    master = standing.start_master("anna")
    with Watching(standing.journal, "anna", "ben") as watching:
        standby = standing.start_standby("ben")
        script = standing.start_script()
        took: list[float] = []
        done_twice = 0
        for at, to in (("anna", "ben"), ("ben", "anna"), ("anna", "ben")):
            since = len(script.lines)
            script.wait_for('"progress"', since=since)
            killed_at = time.time()
            master.signal(signal.SIGKILL)
            done = {number for number, _, _ in standing.lines()}
            next_master = watching.next_after(killed_at, to)
            took.append(next_master.first_at - killed_at)
            standby.wait_for("took farm 'survey' over")
            script.wait_for('"progress"', PATIENCE_S, since=len(script.lines))
            again = Counter(number for number, _, began in standing.lines() if began > killed_at)
            done_twice += len(done & again.keys())
            master, standby = standby, standing.start_standby(at)
        script.say("enough")
        summary = _summary(script)
    with capsys.disabled():
        print(f"\n  from kill -9 to the next hand-out: {[round(each, 2) for each in took]} s")
        print(f"  tasks: {summary['submitted']}, done twice: {done_twice}")
    assert max(took) < FAIL_OVER_S
    assert done_twice == 0, "slaves have kept what they had done, and brought it"
    watching.check()
    assert len(watching.by_epoch()) == 4
    for slave in slaves:
        slave.close()


def test_of_a_network_that_is_split_one_half_has_a_master(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    lan = standing.lan
    lan.halve("anna", "cleo")
    slaves = [standing.start_slave(name) for name in ("cleo", "dora")]
    master = standing.start_master("anna")
    with Watching(standing.journal, "anna", "ben") as watching:
        standby = standing.start_standby("ben")
        script = standing.start_script()
        eventually(lambda: _hosts(standing) == {"cleo", "dora"}, "both slaves work", PATIENCE_S)
        cut_at = time.time()
        lan.cut_line()
        stopped = master.wait_for("has stopped here: the lease could not be renewed")
        took = standby.wait_for("took farm 'survey' over")
        assert stopped.at < took.at
        after = watching.next_after(cut_at, "ben")
        eventually(lambda: _hosts(standing, after.first_at) == {"dora"}, "dora works", PATIENCE_S)
        lan.mend_line()
        mended_at = time.time()
        master.wait_for("is no more led from here.*masterslave standby survey", PATIENCE_S)
        assert master.wait() == 1
        eventually(lambda: "cleo" in _hosts(standing, mended_at), "cleo works again", PATIENCE_S)
        refused = standing.start("master", "anna")
        refused.wait_for("may be led from here, and it does not.*masterslave standby", PATIENCE_S)
        assert refused.wait() == 1
        back = standing.start_standby("anna")
        script.say("enough")
        summary = _summary(script)
        for each in (*slaves, back, standby):
            each.close()
    with capsys.disabled():
        print(f"\n  from the cut to the next hand-out: {after.first_at - cut_at:.2f} s")
    assert after.first_at - cut_at < FAIL_OVER_S
    runs = Counter(number for number, _, _ in standing.lines())
    assert set(runs) == set(range(summary["submitted"]))
    watching.check()
    assert [each.host for each in watching.by_epoch()] == ["anna", "ben"]


def test_without_its_standby_a_master_goes_on_when_the_name_server_knows_it(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    slave = standing.start_slave("cleo")
    master = standing.start_master("anna")
    with Watching(standing.journal, "anna", "ben") as watching:
        standby = standing.start_standby("ben")
        script = standing.start_script()
        assert standing.successor()
        assert "standby: in step, on " in standing.shown()
        standing.lan["ben"].cut()
        cut_at = time.time()
        master.wait_for("the standby is gone, and the master goes on alone")
        alone_s = time.time() - cut_at
        assert not standing.successor()
        assert "standby:" not in standing.shown()
        script.wait_for('"progress"', since=len(script.lines))
        standing.lan["ben"].mend()
        standby.wait_for("^in step", PATIENCE_S, since=len(standby.lines))
        standing.nameserver.signal(signal.SIGKILL)
        standby.signal(signal.SIGKILL)
        master.wait_for("has stopped here: the lease could not be renewed")
        acknowledged = len(script.lines)
        master.close()
        standing.start_nameserver()
        assert len(script.lines) == acknowledged, "nobody acknowledges what only one disk has"
        master = standing.start_master("anna")
        script.wait_for('"progress"', PATIENCE_S, since=acknowledged)
        standby = standing.start_standby("ben")
        script.say("enough")
        _summary(script)
    with capsys.disabled():
        print(f"\n  alone {alone_s:.2f} s after the standby was cut off")
    watching.check()
    assert [each.host for each in watching.by_epoch()] == ["anna", "anna"]
    for each in (slave, master, standby):
        each.close()


def test_who_cannot_watch_any_more_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(*_: object) -> None:
        raise KeyError("anna", 3)

    monkeypatch.setattr(Reading, "take", take)
    Journal.open(tmp_path / "anna", "survey").close()
    with pytest.raises(KeyError), Watching(tmp_path.joinpath, "anna") as watching:
        watching.next_after(0.0, "anna")
    with pytest.raises(KeyError), Watching(tmp_path.joinpath, "anna") as watching:
        watching._thread.join()


def _hosts(standing: Standing, since: float = 0.0) -> set[str]:
    return {host for _, host, began in standing.lines() if began > since}


def _summary(script: Running) -> dict[str, Any]:
    assert script.wait(PATIENCE_S) == 0, script.output()
    summary: dict[str, Any] = json.loads(script.lines[-1].text)
    assert summary["wrong"] == []
    assert summary["results"] == summary["submitted"]
    return summary
