"""A service that ends while scripts have left tasks with it: the next one goes on, alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from masterslave.journal import Journal
from masterslave.naming import PREFIX, read_record
from masterslave.protocol.attaching import CANCELLED, reception_at
from nameserver import Directory
from remoteobj import URI
from tests.conftest import StartScript, eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.gates import wait_at
from tests.masterslave.service.bare import Bare


def work(task: tuple[str, str, int]) -> int:
    folder, gate, number = task
    if gate:
        wait_at(f"{folder}/{gate}")
    with open(f"{folder}/ran", "a") as file:
        file.write(f"{number}\n")
    if number % 10 == 7:
        raise ValueError(number)
    return number * number


class Survey:
    """``masterslave master`` on one journal, started again and again."""

    def __init__(self, folder: Path, start_script: StartScript) -> None:
        self.journal = folder / "survey.db"
        self._start_script = start_script

    def start(self) -> None:
        command = ("-m", "masterslave", "master", "survey", "--journal", str(self.journal))
        self._process = self._start_script(*command)
        eventually(self._found, "the service is there", 20)

    def _found(self) -> URI | None:
        assert self._process.poll() is None
        with Directory() as directory:
            records = map(read_record, directory.list(PREFIX))
            here = [one for one in records if one and one.pid == self._process.pid]
        return reception_at(here[0].uri) if here else None

    def attach(self, ticket: str = "") -> Bare:
        found = self._found()
        assert found is not None
        return Bare(found, ticket)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> str:
        self._process.terminate()
        said, _ = self._process.communicate(timeout=20)
        assert self._process.returncode == 0
        return said

    def out(self) -> int:
        with Journal.read_only(self.journal) as reader:
            return len(reader.folded.out)

    @staticmethod
    def say(*command: str) -> Any:
        """Return what a command prints."""
        done = subprocess.run(
            [sys.executable, "-m", "masterslave", *command],
            check=True, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert not done.stderr
        return done.stdout

    def job(self) -> dict[str, Any]:
        (job,) = json.loads(self.say("jobs", "survey", "--json"))
        return dict(job)


@pytest.fixture
def survey(tmp_path: Path, own_machine: Path, start_script: StartScript) -> Survey:
    return Survey(tmp_path, start_script)


def test_all_is_answered_once_and_nothing_runs_twice(
    survey: Survey, start_slave: StartSlave, tmp_path: Path
) -> None:
    folder = str(tmp_path)
    start_slave("survey", "--slots", "2")
    survey.start()
    with survey.attach() as script:
        ticket = script.ticket
        script.calls(work, [(folder, "", number) for number in range(4)])
        script.items(work, [(folder, "", number) for number in range(4, 8)], chunk=2)
        done = script.collect_all()
        script.calls(work, [(folder, "first", 8), (folder, "first", 9)])
        script.calls(work, [(folder, "", 10)], after=(8, 1))
        script.calls(work, [(folder, "", 11)], after=(7 - 4,))
        script.items(work, [(folder, "second", number) for number in range(12, 16)], chunk=1)
        script.calls(work, [(folder, "second", number) for number in range(16, 30)])
        script.calls(work, [(folder, "never", 30)])
        script.cancel((30, 1))
        eventually(lambda: survey.out() >= 2, "some are out, and the journal knows it")
    assert done == {number: number * number for number in range(8) if number != 7}
    for gate in ("first", "second"):
        if gate == "first":
            survey.kill()
        else:
            assert "goes on when it is started again" in survey.end()
        survey.start()
        (tmp_path / gate).touch()  # what was out ends, before or after its slave has come
        if gate == "first":
            eventually(lambda: "9\n" in (tmp_path / "ran").read_text(), "that goes on", 20)
            eventually(lambda: survey.out() >= 2, "others are out, and the journal knows it", 20)
    eventually(lambda: survey.job()["waiting"] == 0, "all is answered, with no script", 30)
    ran = Counter((tmp_path / "ran").read_text().split())
    assert ran == Counter(str(number) for number in range(30))
    job = survey.job()
    assert (job["state"], job["tasks"], job["done"]) == ("detached", 31, 31)
    assert job["failed"] == 4  # 7, 17, 27, and what was cancelled
    with survey.attach(ticket) as again:
        values = again.collect_all()
        assert values == {n: n * n for n in range(30) if n % 10 != 7}
        assert again.answers[30].what == CANCELLED
    with Journal.read_only(survey.journal) as reader:
        assert (reader.folded.counts.again, reader.folded.counts.orphans) == (0, 0)
    lines = survey.say("results", ticket).splitlines()
    assert lines[3] == "3 work(): done 9"
    assert lines[17] == "17 work(): raised ValueError: 17"
    assert lines[30] == "30 work(): cancelled"
    found = json.loads(survey.say("results", ticket, "survey", "--json"))
    assert [one["serial"] for one in found] == list(range(31))
    assert "forgotten" in survey.say("forget", ticket)
    assert "no farm that is seen has a ticket" in survey.say("jobs")
    survey.kill()
    survey.start()
    assert json.loads(survey.say("jobs", "--json")) == []
