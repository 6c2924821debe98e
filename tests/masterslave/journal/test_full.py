"""A disk that is full: it is told once, nothing is acknowledged, and later all of it is there."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from masterslave.errors import JournalUnusable
from masterslave.journal import Journal, Noted, writing
from tests.conftest import StartScript, eventually
from tests.small_disk import SMALL_DISK

FULL = (
    SMALL_DISK
    + """
from masterslave.journal import Journal, Noted

def record(text):
    place = journal.keep(text.encode() * 20_000)
    journal.record(Noted(text, bytes([place.row])))
    journal.after(lambda: say("acknowledged " + text))

def say(text):
    os.write(1, text.encode() + b"\\n")

def tell(message):
    say("it works" if message is None else message)

journal = Journal.open(path, "survey", on_trouble=tell)
record("a")
for line in sys.stdin:
    match line.split():
        case ["fill"]:
            fill(9000)
        case ["make", "room"]:
            make_room()
        case ["record", text]:
            record(text)
        case ["open"]:
            try:
                Journal.open(path + "2", "survey")
            except Exception as error:
                say(f"{type(error).__name__}: {error}")
        case ["again"]:
            say(str(journal.close()))
            journal = Journal.open(path, "survey", on_trouble=tell)
            say(" ".join(journal.folded.notes) + str(journal.notices))
"""
)


@pytest.mark.parametrize("kind", ["disk", "limit"])
def test_a_full_disk_is_told_and_nothing_is_acknowledged_or_lost(
    kind: str, tmp_path: Path, start_script: StartScript
) -> None:
    path = tmp_path / "survey.db"
    process = start_script("-c", FULL, str(path), kind)
    assert process.stdin is not None
    assert process.stdout is not None

    def heard() -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def tell(*lines: str) -> None:
        assert process.stdin is not None
        process.stdin.write("".join(f"{line}\n" for line in lines))
        process.stdin.flush()

    first = heard()
    if not first:
        assert process.stderr is not None
        assert process.stderr.read().strip() == "may not"
        pytest.skip("this user may not mount a small disk")
    assert first == "acknowledged a"
    tell("fill", "record b", "record c", "open")
    said = sorted([heard(), heard()])  # by two threads; b and c are not acknowledged
    assert said[0].startswith(f"{path} cannot be written")
    assert "bytes are free there): make room" in said[0]
    assert said[1].startswith(f"JournalUnusable: {path}2 ")
    tell("make room", "record d")
    assert [heard() for _ in range(4)] == ["it works", *(f"acknowledged {x}" for x in "bcd")]
    tell("again")
    assert [heard(), heard()] == ["True", "a b c d()"]


class Disk:
    """Stands in for ``write_rows``: fails until it is told not to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        self.tries = 0
        self._write = writing.write_rows
        monkeypatch.setattr(writing, "write_rows", self._write_or_fail)
        monkeypatch.setattr(writing, "_TRY_AGAIN_S", 0.001)

    def _write_or_fail(self, *arguments: Any) -> None:
        self.tries += 1
        if self.error is not None:
            raise self.error
        self._write(*arguments)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(5, "Input/output error"), "Input/output error"),
        (sqlite3.OperationalError("database or disk is full"), "disk is full"),
        (MemoryError("no memory"), "no memory"),
    ],
)
def test_trouble_is_told_once_and_its_end_once(
    error: Exception, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, said, called = Disk(monkeypatch), [], []
    with Journal.open(tmp_path / "survey.db", "survey", on_trouble=said.append) as journal:
        disk.error = error
        journal.record(Noted("kind", b"one"))
        journal.after(lambda: called.append("one"))
        place = journal.keep(b"payload")
        eventually(lambda: disk.tries > 5, "it is tried again")
        assert (len(said), called) == (1, [])
        assert says in str(said[0])
        assert journal.read(place) == b"payload"
        disk.error = None
        eventually(lambda: called, "it works again")
        assert said[1:] == [None]
    with Journal.open(tmp_path / "survey.db", "survey") as journal:
        assert journal.folded.notes == {"kind": [b"one"]}


def test_a_disk_that_stays_full_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, called = Disk(monkeypatch), []
    journal = Journal.open(tmp_path / "survey.db", "survey", on_trouble=lambda message: None)
    disk.error = OSError(28, "No space left on device")
    journal.record(Noted("kind", b"one"))
    journal.after(lambda: called.append("one"))
    assert not journal.close(timeout_s=0.01)
    assert not called
    disk.error = None
    with Journal.open(tmp_path / "survey.db", "survey") as journal:
        assert (journal.folded.notes, journal.notices) == ({}, ())


def test_trouble_that_nobody_listens_to_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    with Journal.open(tmp_path / "survey.db", "survey") as journal:
        disk.error = OSError(28, "No space left on device")
        journal.record(Noted("kind", b"one"))
        eventually(lambda: "No space left on device" in caplog.text, "a record")
        disk.error = None
    assert "can be written again" in caplog.text


def test_damage_that_shows_when_writing_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, said = Disk(monkeypatch), []
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with Journal.open(tmp_path / "survey.db", "survey", on_trouble=said.append) as journal:
        disk.error = error
        journal.record(Noted("kind", b"one"))
        eventually(lambda: said, "it is told")
        disk.error = None
    assert "is damaged" in str(said[0])
    assert "end the script and start it again" in str(said[0])


def test_a_journal_that_may_not_be_written_is_refused(
    tmp_path: Path, start_script: StartScript
) -> None:
    path = tmp_path / "survey.db"
    Journal.open(path, "survey").close()
    code = (
        "import os, sys; from masterslave.journal import Journal\n"
        "from masterslave.errors import JournalUnusable\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: Journal.open(sys.argv[1], 'survey')\n"
        "except JournalUnusable as error: print(error)"
    )
    import os

    if os.getuid() != 0:
        path.chmod(0o400)
        path.parent.chmod(0o500)
        with pytest.raises(JournalUnusable, match="is yours"):
            Journal.open(path, "survey")
        path.parent.chmod(0o700)
        return
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    said, errors = start_script("-c", code, str(path)).communicate(timeout=60)
    assert "give a path in a directory that is there and is yours" in said, errors


SEALED = (
    SMALL_DISK
    + """
from masterslave.journal import Journal, Noted

journal = Journal.open(path, "survey")
journal.record(Noted("mark", b"here"))
journal.close()
if kind == "disk":
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
else:
    os.chmod(folder, 0o500)
with Journal.read_only(path) as reader:
    print([fact.body for fact in reader.facts() if isinstance(fact, Noted)])
"""
)


def test_a_journal_on_a_disk_that_is_only_read_can_be_looked_at(
    start_script: StartScript, tmp_path: Path
) -> None:
    kind = "limit" if os.geteuid() else "disk"  # no mode keeps root from writing
    script = start_script("-c", SEALED, str(tmp_path / "survey.db"), kind)
    said, complaint = script.communicate(timeout=30)
    tmp_path.chmod(0o700)
    if complaint == "may not\n":  # root in a container that may mount nothing: no disk to try on
        pytest.skip("root may write everywhere, and mount no disk here")
    assert said == "[b'here']\n", complaint
