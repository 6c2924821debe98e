"""Damage anywhere: what can be read is kept, the damaged file too, and nothing false is read."""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from masterslave.errors import JournalUnusable
from masterslave.journal import Journal, Noted
from masterslave.journal.database import PAGE_BYTES
from tests.masterslave.journal.facts import Work, files_of, results_of

SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
TURNS = int(os.environ.get("DAMAGES", "3"))

WRITE = """
import sys, threading
from masterslave.journal import Journal
from tests.masterslave.journal.facts import Work
work = Work(int(sys.argv[2]))
for run in range(3):
    journal = Journal.open(sys.argv[1], "survey")
    for turn in range(30):
        work.do(journal, 20)
        done = threading.Event()
        journal.after(done.set)
        done.wait()
    if run < 2:
        journal.close()
print(*(key.hex() + " " + value.hex() for key, value in work.results.items()), sep="\\n")
print("end", flush=True)
input()
"""


@dataclass(frozen=True)
class Original:
    """A journal whose process was killed, and the results that were acknowledged."""

    path: Path
    results: dict[bytes, bytes]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    import subprocess
    import sys

    path = tmp_path_factory.mktemp("original") / "survey.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "end\n"))
        process.kill()
    pairs = (line.split() for line in lines)
    results = {bytes.fromhex(key): bytes.fromhex(value) for key, value in pairs}
    assert files_of(path) == {"-wal", "-shm", ".lock"}
    return Original(path, results)


def copy(original: Original, to: Path) -> Path:
    for each in original.path.parent.iterdir():
        shutil.copyfile(each, to / each.name)
    return to / original.path.name


def flip(file: Path, chance: random.Random, start: int = 0, stop: int | None = None) -> None:
    data = bytearray(file.read_bytes())
    at = chance.randrange(start, len(data) if stop is None else stop)
    data[at] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def flip_header(path: Path, chance: random.Random) -> None:
    flip(path, chance, 0, 100)


def flip_first_page(path: Path, chance: random.Random) -> None:
    flip(path, chance, PAGE_BYTES - 600, PAGE_BYTES)


def flip_meta(path: Path, chance: random.Random) -> None:
    flip(path, chance, PAGE_BYTES, 2 * PAGE_BYTES)


def flip_page_head(path: Path, chance: random.Random) -> None:
    page = chance.randrange(2, path.stat().st_size // PAGE_BYTES) * PAGE_BYTES
    flip(path, chance, page, page + 16)


def flip_anywhere(path: Path, chance: random.Random) -> None:
    flip(path, chance)


def flip_log_header(path: Path, chance: random.Random) -> None:
    flip(log_of(path), chance, 0, 32)


def flip_log(path: Path, chance: random.Random) -> None:
    """Where whole commits come after it."""
    flip(log_of(path), chance, 0, log_of(path).stat().st_size // 2)


def flip_last_of_log(path: Path, chance: random.Random) -> None:
    """Where SQLite cannot tell it from what a process leaves that is killed."""
    flip(log_of(path), chance, log_of(path).stat().st_size - PAGE_BYTES)


def spoil_tree(path: Path, chance: random.Random) -> None:
    """Damage where SQLite would put the next row."""
    data = bytearray(path.read_bytes())
    leaves = [at for at in range(2 * PAGE_BYTES, len(data), PAGE_BYTES) if data[at] == 13]
    for leaf in leaves if chance.random() < 0.5 else [chance.choice(leaves)]:
        data[leaf + 5 : leaf + 7] = chance.randrange(3000, 4000).to_bytes(2, "big")
    path.write_bytes(data)


def cut(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def cut_short(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(3 * PAGE_BYTES))


def cut_to_pages(path: Path, chance: random.Random) -> None:
    os.truncate(path, PAGE_BYTES * chance.randrange(path.stat().st_size // PAGE_BYTES))


def cut_log(path: Path, chance: random.Random) -> None:
    os.truncate(log_of(path), chance.randrange(log_of(path).stat().st_size))


def remove_log(path: Path, chance: random.Random) -> None:
    log_of(path).unlink()
    if chance.random() < 0.5:
        Path(f"{path}-shm").unlink()


def scribble(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    page = chance.randrange(1, len(data) // PAGE_BYTES) * PAGE_BYTES
    junk = bytes(PAGE_BYTES) if chance.random() < 0.5 else chance.randbytes(PAGE_BYTES)
    data[page : page + PAGE_BYTES] = junk
    path.write_bytes(data)


def scribble_over_first_page(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(chance.randbytes(PAGE_BYTES) + data[PAGE_BYTES:])


def log_of(path: Path) -> Path:
    return Path(f"{path}-wal")


Damage = Callable[[Path, random.Random], None]
SLIGHT: list[Damage] = [
    flip_header,
    flip_first_page,
    flip_meta,
    flip_page_head,
    flip_anywhere,
    spoil_tree,
    scribble,
    scribble_over_first_page,
]
GRAVE: list[Damage] = [
    flip_log_header,
    flip_log,
    flip_last_of_log,
    cut,
    cut_short,
    cut_to_pages,
    cut_log,
    remove_log,
]


@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.parametrize("damage", SLIGHT + GRAVE)
def test_what_can_be_read_is_kept_and_nothing_false_is_read(
    damage: Damage, turn: int, original: Original, tmp_path: Path
) -> None:
    path = copy(original, tmp_path)
    damage(path, random.Random(f"{SEED} {damage.__name__} {turn}"))
    damaged = path.read_bytes()
    log = log_of(path).read_bytes() if log_of(path).exists() else None
    found = check(path, original, f"SEED={SEED} {damage.__name__} {turn}")
    assert (path.read_bytes() == damaged) <= (found == original.results)
    if (aside := Path(f"{path}.damaged-1")).exists():
        assert aside.read_bytes() == damaged
        assert log is None or Path(f"{aside}-wal").read_bytes() == log
        assert is_far(path)
    if damage in (flip_log, flip_log_header) and found != original.results:
        assert aside.exists()
    if damage in SLIGHT:
        assert len(found) >= 0.5 * len(original.results), f"SEED={SEED}"


def is_far(path: Path) -> bool:
    """Tell whether later runs use no numbers that a run may have used that is forgotten."""
    with Journal.read_only(path) as reader:
        return reader.folded.run > 1000


def check(path: Path, original: Original, seed: str) -> dict[bytes, bytes]:
    """Open a damaged journal, and return its results; it works from then on."""
    said = []
    with Journal.open(path, "survey", on_trouble=said.append) as journal:
        found, is_lost = {}, False
        for key, finish in journal.folded.finished.items():
            try:
                found[key] = journal.read(finish.place)
            except JournalUnusable:
                is_lost = True
        assert found.items() <= original.results.items(), seed
        assert found == original.results or is_lost or journal.notices, f"{seed}: not a word"
        assert journal.run > 3, seed
        assert (journal.run > 4) <= bool(journal.notices)
        for notice in journal.notices:
            assert str(path) in notice
        more = Work(2)
        more.do(journal, 500)
        journal.record(Noted("after", b"it"))
    assert said == [], seed
    with Journal.open(path, "survey") as journal:
        assert journal.notices == (), seed
        assert journal.folded.notes == {"after": [b"it"]}
        results = {}
        for key, finish in journal.folded.finished.items():
            with suppress(JournalUnusable):
                results[key] = journal.read(finish.place)
        assert results == found | more.results, seed
    return found


def test_what_is_not_damaged_is_opened_without_a_word(original: Original, tmp_path: Path) -> None:
    path = copy(original, tmp_path)
    with Journal.open(path, "survey") as journal:
        assert (journal.run, journal.notices) == (4, ())
        assert {key: journal.read(finish.place) for key, finish in journal.folded.finished.items()}
    assert not list(tmp_path.glob("*.damaged*"))


def test_damage_where_the_next_row_would_be_is_found_before_it_is_written(tmp_path: Path) -> None:
    path, work = tmp_path / "survey.db", Work(3)
    with Journal.open(path, "survey") as journal:
        work.do(journal, 100)
    data = bytearray(path.read_bytes())
    for leaf in [at for at in range(2 * PAGE_BYTES, len(data), PAGE_BYTES) if data[at] == 13]:
        data[leaf + 5 : leaf + 7] = (4000).to_bytes(2, "big")
    path.write_bytes(data)
    with Journal.open(path, "survey") as journal:
        assert "was damaged" in journal.notices[0]
        assert results_of(journal) == work.results


def spoil_first_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[21] ^= 1
    path.write_bytes(data)


def test_it_is_said_how_many_results_were_lost(tmp_path: Path) -> None:
    path, work = tmp_path / "survey.db", Work(3)
    for _ in range(4):
        with Journal.open(path, "survey") as journal:
            work.do(journal, 200)
    spoil_first_page(path)
    with Journal.open(path, "survey") as journal:
        count = len(journal.folded.finished)
        assert f": {count} results were kept, and no loss was found. The dam" in journal.notices[0]
        places = [finish.place for finish in journal.folded.finished.values()]
        number = next(place.row for place in places if place.size)

    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM payloads WHERE row = ?", (number,))
    spoil_first_page(path)
    with Journal.open(path, "survey") as journal:
        kept = len(journal.folded.finished)
        assert 0 < kept < count
        said = re.search(r"(\d+) results were kept, (\d+) lost: their tasks", journal.notices[0])
        assert said is not None, journal.notices
        assert int(said[1]) == kept
        assert int(said[2]) >= count - kept  # some had a result twice

    for size in (path.stat().st_size // 2, PAGE_BYTES):
        os.truncate(path, size)
        with Journal.open(path, "survey") as journal:
            kept = len(journal.folded.finished)
            assert re.search(
                rf": {kept} (results were|result was) kept(, \d+ lost)?; how many others were lost "
                "is not known: their tasks are run again",
                journal.notices[0],
            ), journal.notices


def test_damaged_files_do_not_replace_each_other(original: Original, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        path = copy(original, tmp_path)
        os.truncate(path, 5 * PAGE_BYTES)
        with Journal.open(path, "survey") as journal:
            assert f"The damaged file is kept as {path}.damaged-{number}" in journal.notices[0]


def test_a_closed_journal_that_is_cut_is_mended(tmp_path: Path) -> None:
    whole, work = tmp_path / "whole.db", Work(3)
    with Journal.open(whole, "survey") as journal:
        work.do(journal, 5)
    data = whole.read_bytes()  # a few pages: of some tables not even the first one is left
    for size in range(1, len(data), PAGE_BYTES // 2):
        path = tmp_path / f"{size}.db"
        path.write_bytes(data[:size])
        with Journal.open(path, "survey") as journal:
            assert "was damaged" in journal.notices[0]
            assert results_of(journal).items() <= work.results.items()
            journal.record(Noted("after", b"it"))
        with Journal.open(path, "survey") as journal:
            assert journal.folded.notes == {"after": [b"it"]}


def test_who_only_looks_is_told_who_mends(original: Original, tmp_path: Path) -> None:
    path = copy(original, tmp_path)
    os.truncate(path, 5 * PAGE_BYTES)
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match=r"or damaged .*; if it is one, start its farm"):
        Journal.read_only(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("is_known", [True, False])
def test_an_old_copy_is_told_and_no_run_begins_twice(
    is_known: bool, original: Original, tmp_path: Path
) -> None:
    path = copy(original, tmp_path)
    for end in ("-wal", "-shm", *(() if is_known else (".lock",))):
        Path(f"{path}{end}").unlink()
    with Journal.open(path, "survey") as journal:
        assert any("lacks what was written last" in each for each in journal.notices) == is_known
        assert journal.run == 4  # its beginning is never in the log alone


@pytest.mark.parametrize("at", [16, 20, 21, 33, 40, 44, 52, 56, 60, 64, 68, 72, 100, 103, 105])
def test_a_first_page_that_is_wrong_is_not_believed(
    at: int, original: Original, tmp_path: Path
) -> None:
    path = copy(original, tmp_path)
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(1)[0]
        file.seek(at)
        file.write(bytes([before ^ 1]))
    with Journal.open(path, "survey") as journal:
        assert f"{path} was damaged" in journal.notices[0]
        assert len(journal.folded.finished) == len(original.results)
