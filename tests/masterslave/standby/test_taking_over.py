"""A standby on machines that were not paired: whom it asks, and what its commands do."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from masterslave import Farm
from masterslave.journal import Journal
from masterslave.journal.copying import Copy
from masterslave.protocol.following import Met
from masterslave.service.service import Service
from masterslave.standby import Standby
from nameserver import NameServer
from tests.conftest import StartScript, eventually

PATIENCE_S = 40.0  # a name server gives no lead in its first five seconds

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer("127.0.0.1", insecure=True, announce=False) as names:
        yield names


def test_the_name_server_of_the_master_is_asked_and_no_other_one(
    names: NameServer, tmp_path: Path
) -> None:
    paths = (tmp_path / "lab.db", tmp_path / "copy.db")
    with Journal.open(paths[0], "lab") as journal, Copy.open(paths[1], "lab") as copy:
        copy.met(Met(is_anew=True, farm_id=journal.farm_id))
    said = [""]
    stop = threading.Event()
    with NameServer("127.0.0.1", insecure=True, announce=False) as other:
        standby = Standby(
            "lab", paths[1], nameserver=other.address, insecure=True, report=said.append
        )
        thread = threading.Thread(target=standby.run_until, args=[stop])
        thread.start()
        try:
            eventually(lambda: "not given the lead" in said[-1], "it has asked one", PATIENCE_S)
            with_names = Service("lab", paths[0], nameserver=names.address, insecure=True)
            try:
                with_names.open()
                eventually(lambda: said[-1].startswith("in step"), "it follows", PATIENCE_S)
            finally:
                with_names.close()
            eventually(lambda: said[-1].startswith("took farm"), "it takes over", PATIENCE_S)
        finally:
            stop.set()
            thread.join()


def test_what_tasks_print_is_shown_by_who_took_over(
    names: NameServer, tmp_path: Path, start_script: StartScript
) -> None:
    def start(what: str) -> subprocess.Popen[str]:
        return start_script(
            "-m", "masterslave", what, "lab", "--journal", str(tmp_path / f"{what}.db"),
            "--nameserver", names.address, "--insecure", "--output", "show",
            "--local-slaves", "1",
        )  # fmt: skip

    master = start("master")
    standby = Lines(start("standby"))
    standby.wait_for("in step")
    with Farm.attach("lab") as farm:
        master.kill()
        standby.wait_for("took farm 'lab' over")
        farm.submit(print, "what was printed").result(PATIENCE_S)
        standby.wait_for("what was printed")
    standby.end()


class Lines:
    """What a process says, on both of its streams."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=[each])
            for each in (process.stdout, process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.append(line)

    def wait_for(self, words: str) -> None:
        """Wait until some line has these."""

        def is_said() -> bool:
            return any(words in line for line in self._lines)

        eventually(
            lambda: is_said() or self._process.poll() is not None, f"{words!r} is said", PATIENCE_S
        )
        assert is_said(), self._lines

    def end(self) -> None:
        """End the process, and hear it out."""
        self._process.terminate()
        for thread in self._threads:
            thread.join()
