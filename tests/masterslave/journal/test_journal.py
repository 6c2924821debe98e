"""A journal as its master sees it: what is recorded is there for the next one."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from masterslave.errors import JournalInUse, JournalUnusable
from masterslave.journal import (
    NO_PLACE,
    RUN_BITS,
    HandedOut,
    Journal,
    Noted,
    Settled,
    Submitted,
)
from masterslave.journal.batch import LARGE_BYTES, ROW_BYTES
from tests.conftest import StartScript
from tests.masterslave.journal.facts import Work, files_of, key, results_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "survey.db"


def on_disk(journal: Journal) -> None:
    """Wait until all that was recorded is on the disk."""
    done = threading.Event()
    journal.after(done.set)
    assert done.wait(60)


def test_what_was_recorded_is_there_for_the_next_run(path: Path) -> None:
    with Journal.open(path, "survey") as journal:
        first = journal.first_number
        assert (journal.run, first) == (1, 1 << RUN_BITS)
        journal.record(Submitted(first, 0, key(1) + key(2)))
        journal.record(HandedOut(3, ((first, 1, 2),)))
        journal.record(Settled(first, 1, 1, -1, 0, journal.keep(b"value"), 3, 0.5))
        farm_id = journal.farm_id
    assert len(farm_id) == 16
    with Journal.open(path, "survey") as journal:
        assert (journal.run, journal.first_number, journal.farm_id) == (2, 2 << RUN_BITS, farm_id)
        assert results_of(journal) == {key(1): b"value"}
        assert [(out.key, out.slave) for out in journal.folded.out.values()] == [(key(2), 3)]
        assert (journal.notices, journal.folded.runs[0].pid) == ((), os.getpid())


def test_one_file_is_left_and_it_is_the_users_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal.open(path, "survey") as journal:
            journal.record(Noted("kind", b"body"))
            on_disk(journal)
            for each in path.parent.iterdir():
                assert stat.S_IMODE(each.stat().st_mode) == 0o600, each
    finally:
        os.umask(before)
    assert files_of(path) == set()


@pytest.mark.parametrize(
    "size", [0, 1, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, ROW_BYTES + 1, 40_000_000]
)
def test_payloads_of_any_size_can_be_read_at_once_and_later(path: Path, size: int) -> None:
    payloads = [os.urandom(size) for _ in range(3)]
    with Journal.open(path, "survey") as journal:
        places = [journal.keep(payload) for payload in payloads]
        journal.record(Submitted(journal.first_number, 0, key(1) * 3, tuple(places)))
        assert [journal.read(place) for place in places] == payloads
        on_disk(journal)
        assert [journal.read(place) for place in places] == payloads
    assert (NO_PLACE in places) == (size == 0)
    with Journal.open(path, "survey") as journal:
        assert [journal.read(place) for place in places] == payloads


def test_small_payloads_share_rows_and_keep_apart(path: Path) -> None:
    payloads = [os.urandom(1 + number % 5000) for number in range(1000)]
    with Journal.open(path, "survey") as journal:
        places = [journal.keep(payload) for payload in payloads]
        journal.record(Submitted(journal.first_number, 0, key(1) * 1000, tuple(places)))
    assert len({place.row for place in places}) < 20
    with Journal.open(path, "survey") as journal:
        assert [journal.read(place) for place in places] == payloads


def test_facts_of_many_threads_keep_the_order_of_each(path: Path) -> None:
    def record(thread: int) -> None:
        for number in range(500):
            place = journal.keep(f"{thread} {number}".encode())
            journal.record(Noted(str(thread), place.row.to_bytes(8, "big")))
            journal.after(partial(called.append, (thread, number)))

    called: list[tuple[int, int]] = []
    with Journal.open(path, "survey") as journal:
        threads = [threading.Thread(target=record, args=(each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(called) == [(thread, number) for thread in range(4) for number in range(500)]
    with Journal.read_only(path) as reader:
        for thread in range(4):
            notes = reader.folded.notes[str(thread)]
            assert len(notes) == 500
            assert notes == sorted(notes)


def test_after_is_called_when_it_is_on_the_disk(path: Path) -> None:
    seen = []

    def look() -> None:
        with Journal.read_only(path) as reader:
            seen.append((threading.current_thread().name, reader.folded.notes))

    with Journal.open(path, "survey") as journal:
        journal.record(Noted("kind", b"one"))
        journal.after(look)
        on_disk(journal)
        journal.after(look)  # there is nothing to write before it
        on_disk(journal)
    assert seen == [("journal", {"kind": [b"one"]})] * 2


def test_a_callback_that_fails_stops_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Journal.open(path, "survey") as journal:
        journal.after(lambda: 1 // 0)
        on_disk(journal)
        journal.record(Noted("kind", b""))
        on_disk(journal)
    assert "ZeroDivisionError" in caplog.text


def test_a_journal_is_used_by_one_process_at_a_time(path: Path, start_script: StartScript) -> None:
    code = (
        "import sys; from masterslave.journal import Journal\n"
        "journal = Journal.open(sys.argv[1], 'survey'); print('open', flush=True); input()"
    )
    process = start_script("-c", code, str(path))
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    with pytest.raises(JournalInUse, match=f"{path} is in use by process {process.pid} on "):
        Journal.open(path, "survey")
    with Journal.read_only(path) as reader:
        assert reader.folded.run == 1
    process.kill()
    process.wait()
    with Journal.open(path, "survey") as journal:
        assert (journal.run, journal.notices) == (2, ())
        with pytest.raises(JournalInUse, match="by this process, already"):
            Journal.open(path, "survey")


def test_another_name_of_the_file_is_the_same_journal(path: Path) -> None:
    (path.parent / "link").symlink_to(path.name)
    with (
        Journal.open(path.parent / "link", "survey") as journal,
        pytest.raises(JournalInUse),
    ):
        assert journal.path == path
        Journal.open(path, "survey")


def make(path: Path) -> None:
    Journal.open(path, "survey").close()


def make_text(path: Path) -> None:
    path.write_text("a,b\n1,2\n" * 1000)


def make_short_text(path: Path) -> None:
    path.write_text("a,b\n")


def make_other_database(path: Path) -> None:
    import sqlite3

    database = sqlite3.connect(path)
    database.execute("CREATE TABLE facts (seq, crc, body)")
    database.commit()
    database.close()


def make_later_format(path: Path) -> None:
    import sqlite3

    from masterslave.journal.database import write_meta

    make(path)
    database = sqlite3.connect(path)
    database.execute("DELETE FROM meta WHERE name = 'format'")
    write_meta(database, "format", b"2")
    database.commit()
    database.close()


def make_circle(path: Path) -> None:
    path.symlink_to(path)


def make_log_alone(path: Path) -> None:
    make(path)
    path.rename(f"{path}-wal")


@pytest.mark.parametrize(
    ("what", "label", "says"),
    [
        (make, "other", "is the journal of farms with the label 'survey', not 'other': use that"),
        (make_text, "survey", "is no journal, but another file: give a path of its own"),
        (make_short_text, "survey", "is no journal, but another file: give a path of its own"),
        (make_other_database, "survey", "is no journal, but another file: give a path of its own"),
        (
            make_later_format,
            "survey",
            "has format 2, .* reads format 1: use the release that wrote",
        ),
        (make_log_alone, "survey", "is missing, and survey.db-wal beside it holds facts"),
        (Path.mkdir, "survey", "is a folder: name a file in it"),
        (os.mkfifo, "survey", "is a FIFO: give a path of its own"),
        (make_circle, "survey", "is a link that leads nowhere: give a path of its own"),
    ],
)
def test_what_is_no_journal_is_refused_in_words_and_left_alone(
    what: Callable[[Path], None], label: str, says: str, path: Path
) -> None:
    what(path)
    before = what_is_in(path.parent)
    with pytest.raises(JournalUnusable, match=f"^{path}.* {says}"):
        Journal.open(path, label)
    assert what_is_in(path.parent) == before


def what_is_in(folder: Path) -> dict[str, bytes | int]:
    """Return what each file has in it; of what is none, its kind."""
    return {
        each.name: each.read_bytes() if each.is_file() else each.lstat().st_mode
        for each in folder.iterdir()
    }


@pytest.mark.parametrize("named", ["", "a\0b", b"survey.db", 5, None])
def test_what_names_no_file_is_refused_in_words(named: Any) -> None:
    with pytest.raises(JournalUnusable, match=r"is no path of a journal: name a file, as in 'surv"):
        Journal.open(named, "survey")


def test_a_place_where_nothing_can_be_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(JournalUnusable, match="give a path in a directory that is there"):
        Journal.open(tmp_path / "not there" / "survey.db", "survey")
    with pytest.raises(JournalUnusable, match=r"there is no journal .*: is it the path"):
        Journal.read_only(tmp_path / "survey.db")


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    with Journal.open(path, "survey") as journal:
        assert (journal.run, journal.notices) == (1, ())


def test_a_master_of_an_earlier_epoch_does_not_go_on(path: Path) -> None:
    Journal.open(path, "survey", epoch=7).close()
    with pytest.raises(JournalUnusable, match=r"taken over by a master with epoch 7, .* has 6"):
        Journal.open(path, "survey", epoch=6)
    with Journal.open(path, "survey", epoch=7) as journal:
        assert (journal.run, journal.folded.epoch) == (2, 7)


def test_who_only_looks_follows_what_is_written(path: Path) -> None:
    with Journal.open(path, "survey") as journal, Journal.read_only(path) as reader:
        assert (reader.label, reader.farm_id) == ("survey", journal.farm_id)
        first, work = journal.first_number, Work(1)
        work.do(journal, 100)
        on_disk(journal)
        fresh = reader.catch_up()
        assert len(fresh) == 3 + len(work.results)
        assert (reader.catch_up(), list(reader.facts())[1:]) == ([], fresh)
        assert results_of(reader) == work.results
        story = reader.story(next(iter(work.open)))
        assert [type(fact) for fact in story] == [Submitted, HandedOut]
        assert not reader.story(first - 1)


def test_who_only_looks_leaves_nothing(path: Path) -> None:
    make(path)
    before = path.read_bytes()
    with Journal.read_only(path) as reader:
        assert reader.folded.run == 1
    assert (files_of(path), path.read_bytes() == before) == (set(), True)


def test_much_that_waits_is_waited_for(path: Path) -> None:
    with Journal.open(path, "survey", max_waiting_bytes=1000) as journal:
        assert journal.wait_for_room(0)
        for _ in range(100):
            journal.keep(bytes(1000))
        is_over = journal.waiting_bytes > 1000
        journal.record(Noted("kind", b""))
        assert is_over
        assert journal.wait_for_room(60)
        assert journal.waiting_bytes <= 1000
