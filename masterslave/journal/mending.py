"""A damaged journal: it is kept aside, and what can be read of it goes into a new one.

Each row stands for itself, so all that can be read is kept, not only what comes before the damage.
Facts that name a payload that is lost are lost with it: the task has no result then, and is run
again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from masterslave.journal.database import (
    COPY_ID,
    PAGE_BYTES,
    Damaged,
    beside,
    checked_facts,
    checksum,
    connect,
    make_file,
    read_meta,
    sync_directory,
    write_meta,
    write_rows,
)
from masterslave.journal.facts import (
    Ended,
    Fact,
    FunctionKnown,
    Lost,
    Place,
    RunBegan,
    Settled,
    Submitted,
    places_of,
    write_facts,
)
from masterslave.journal.fold import Folded
from masterslave.journal.opening import make

__all__ = ["WHOLE", "mend", "put_in_place"]

WHOLE = ".mended"
"""What a mended journal is called until it is put in place."""

_GIVE_UP_AFTER = 20_000
_COMMIT_ROWS = 200
_SKIPPED_RUNS = 1024  # those that are forgotten have used their numbers: nobody may do so again
_ENDS = ("", "-wal", "-journal")


@dataclass(slots=True)
class _Tally:
    """What was kept, and what was not.

    Attributes:
        kept: Results that their tasks will have.
        lost: Results that were recorded, and are not to be had any more.
        is_all_known: Nothing shows that anything else is lost.
    """

    kept: int = 0
    lost: int = 0
    is_all_known: bool = True

    def __str__(self) -> str:
        kept = _results(self.kept)
        if self.is_all_known:
            if not self.lost:
                return f"{kept} kept, and no loss was found"
            return f"{kept} kept, {self.lost} lost: their tasks are run again"
        known = f", {self.lost} lost" if self.lost else ""
        return (
            f"{kept} kept{known}; how many others were lost is not known: their tasks are run again"
        )


def _results(count: int) -> str:
    return "1 result was" if count == 1 else f"{count} results were"


def mend(path: Path, label: str, why: str, *, known_run: int, known_seq: int) -> str:
    """Make a new journal of what can be read of a damaged one; ``put_in_place`` has to follow.

    Args:
        known_run: The last run that is known of from elsewhere, and *known_seq* the last row.

    Returns:
        What is to be said about it.

    Raises:
        OSError: and ``sqlite3.Error``: the disk is full, say; the old one is where it was.
    """
    copy, fresh = beside(path, ".mending"), beside(path, ".mending-2")
    try:
        _copy(path, copy, label)
        tally = _Tally()
        with contextlib.closing(connect(copy)) as old:
            meta = _meta(old)
            its = meta.get("label", label.encode()).decode()
            more = {COPY_ID: meta[COPY_ID]} if COPY_ID in meta else {}
            make(fresh, its, farm_id=meta.get("farm id", b""), **more)
            with contextlib.closing(connect(fresh)) as new:
                rows = _copy_payloads(old, new)
                run = _copy_facts(old, new, rows, tally, known_seq)
                write_meta(new, "run", str(max(run, known_run) + _SKIPPED_RUNS).encode())
                new.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        os.replace(fresh, beside(path, WHOLE))
        sync_directory(path.parent)
    finally:
        for each, end in itertools.product((copy, fresh), (*_ENDS, "-shm")):
            beside(each, end).unlink(missing_ok=True)
    return f"{path} was damaged ({why}): {tally}"


def put_in_place(path: Path) -> Path | None:
    """Put a damaged journal aside, and the mended one in its place.

    Whoever is killed meanwhile leaves this to the next one.

    Returns:
        Where the damaged one is kept; None where there was none to mend.
    """
    whole = beside(path, WHOLE)
    if not whole.exists():
        return None
    aside = _aside(path)
    for end in _ENDS:
        if beside(path, end).exists():
            os.replace(beside(path, end), beside(aside, end))
    beside(path, "-shm").unlink(missing_ok=True)
    sync_directory(path.parent)
    os.replace(whole, path)
    sync_directory(path.parent)
    return aside


def _copy(path: Path, copy: Path, label: str) -> None:
    """Copy the files to a place where SQLite may change them, with a first page that it takes."""
    for end in _ENDS:
        beside(copy, end).unlink(missing_ok=True)
    make_file(copy, {"label": label.encode()})
    empty = copy.read_bytes()
    first_page = bytearray(empty[:PAGE_BYTES])
    for end in _ENDS:
        if beside(path, end).exists():
            shutil.copyfile(beside(path, end), beside(copy, end))
            beside(copy, end).chmod(0o600)
    has = max(1, copy.stat().st_size // PAGE_BYTES)
    pages = max(has, len(empty) // PAGE_BYTES)  # SQLite wants the first page of each table
    first_page[24:28] = first_page[92:96] = (1).to_bytes(4, "big")
    first_page[28:32] = pages.to_bytes(4, "big")
    with copy.open("r+b") as file:
        file.write(first_page)
        file.truncate(has * PAGE_BYTES)
        file.seek(has * PAGE_BYTES)
        file.write(empty[has * PAGE_BYTES :])


def _meta(old: sqlite3.Connection) -> dict[str, bytes]:
    try:
        return read_meta(old)
    except (Damaged, sqlite3.Error):
        return {}


def _readable(
    database: sqlite3.Connection, query: str, tally: _Tally | None = None
) -> Iterator[tuple[int, object, object]]:
    """Return the rows that SQLite can read, by their numbers; each number once.

    Args:
        tally: Is told whether there may be others.
    """
    after = failures = 0
    while failures < _GIVE_UP_AFTER:
        try:
            for number, crc, body in database.execute(query, (after,)):
                if number > after:
                    after, failures = number, 0
                    yield number, crc, body
            return
        except sqlite3.Error:
            if tally is not None:
                tally.is_all_known = False
            after += 1
            failures += 1


def _copy_payloads(old: sqlite3.Connection, new: sqlite3.Connection) -> dict[int, int]:
    """Copy what can be read, by the same numbers; returns the bytes of each row."""
    sizes: dict[int, int] = {}
    rows = []
    query = "SELECT row, crc, body FROM payloads WHERE row > ? ORDER BY row"
    for row, crc, body in _readable(old, query):
        if isinstance(body, bytes) and crc == checksum(row, body):
            sizes[row] = len(body)
            rows.append((row, body))
        if len(rows) == _COMMIT_ROWS:
            write_rows(new, [], rows)
            rows.clear()
    write_rows(new, [], rows)
    return sizes


def _copy_facts(
    old: sqlite3.Connection,
    new: sqlite3.Connection,
    sizes: dict[int, int],
    tally: _Tally,
    known_seq: int,
) -> int:
    """Copy facts whose payloads are there; returns the number of the last run that is known."""
    rows: list[tuple[int, bytes]] = []
    folded = Folded()
    last = written = run = 0
    query = "SELECT seq, crc, body FROM facts WHERE seq > ? ORDER BY seq"
    for seq, crc, body in _readable(old, query, tally):
        last = seq
        try:
            facts, unknown = checked_facts(seq, crc, body)
        except Damaged:
            continue
        assert isinstance(body, bytes)
        whole = [without_lost(fact, sizes) for fact in facts]
        kept = [fact for fact in whole if fact is not None]
        folded.take(kept, unknown)
        dropped = (fact for fact, left in zip(facts, whole, strict=True) if left is None)
        tally.lost += sum(fact.count for fact in dropped if isinstance(fact, Settled))
        run = max([run, *(fact.run for fact in kept if isinstance(fact, RunBegan))])
        written += 1
        rows.append((written, body if kept == facts else write_facts(kept)))
        if len(rows) == _COMMIT_ROWS:
            write_rows(new, rows, [])
            rows.clear()
    write_rows(new, rows, [])
    tally.kept = len(folded.finished)
    if not last or max(last, known_seq) > written:
        tally.is_all_known = False
    return run


def without_lost(fact: Fact, sizes: dict[int, int]) -> Fact | None:
    """Return a fact without the payloads that are not there, or None if it is nothing then."""
    if all(_is_there(place, sizes) for place in places_of(fact)):
        return fact
    match fact:
        case Submitted():
            return msgspec.structs.replace(fact, arguments=())
        case FunctionKnown():
            return msgspec.structs.replace(fact, packed=None)
        case Ended():
            return msgspec.structs.replace(fact, place=None)
        case Lost():
            return msgspec.structs.replace(fact, post_mortem=None)
    return None


def _is_there(place: Place, sizes: dict[int, int]) -> bool:
    row, missing = place.row, place.offset + place.size
    if not place.size:
        return True
    while missing > 0:
        if row not in sizes:
            return False
        missing -= sizes[row]
        row += 1
    return True


def _aside(path: Path) -> Path:
    for number in itertools.count(1):
        aside = beside(path, f".damaged-{number}")
        if not any(beside(aside, end).exists() for end in _ENDS):
            return aside
    raise AssertionError
