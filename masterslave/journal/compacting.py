"""Compacting: a journal is written anew without what nobody can ask for any more.

The new file is whole, checked and on the disk before it takes the place of the old one, in one
step. So whenever it is interrupted, one of them is there. Nobody else may have the old one open
then: the log beside it has to be gone, because SQLite would take it for the log of the new one.
Where somebody looks at it, it is left for the next time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from masterslave.journal.batch import Batch
from masterslave.journal.database import (
    COPY_ID,
    PAGE_BYTES,
    Damaged,
    beside,
    connect,
    make_file,
    read_fact_rows,
    read_meta,
    sync_directory,
    write_meta,
    write_rows,
)
from masterslave.journal.facts import NO_PLACE, Fact, Place, Settled
from masterslave.journal.fold import Folded
from masterslave.journal.needed import Needed, moved
from masterslave.journal.reading import Payloads

__all__ = ["compact", "is_worth_it"]

_LEAST_BYTES = 1024 * 1024
_BATCH_BYTES = 4 * 1024 * 1024
_BATCH_FACTS = 4096
_REMEMBERED_PLACES = 4096
_COMPACTED = "compacted"


def is_worth_it(reading: sqlite3.Connection, folded: Folded) -> bool:
    """Tell whether more than half of a journal is dead, and has become so since the last time."""
    if folded.counts.unknown:  # nobody here knows what they need
        return False
    (pages,) = reading.execute("PRAGMA page_count").fetchone()  # those in its log, too
    size = int(pages) * PAGE_BYTES
    after_last = int(read_meta(reading).get(_COMPACTED, b"0"))
    return size > 2 * folded.live_bytes + _LEAST_BYTES and size > 1.5 * after_last


def compact(
    path: Path,
    reading: sqlite3.Connection,
    folded: Folded,
    *,
    keep_runs: int | None = None,
    before_replacing: Callable[[], None],
) -> bool:
    """Write a journal anew, without what is not needed; *reading* is closed in any case.

    Args:
        before_replacing: Called when the new file is about to take the place of the old one.
        keep_runs: Results of tasks that nobody has submitted in so many of the last runs are not
            needed either; None: all are.

    Returns:
        Whether it was done; not where somebody else looks at it.

    Raises:
        Damaged: What is needed cannot be read. The old file is as it was, and so it is where this
            raises ``sqlite3.Error`` or ``OSError``, because the disk is full, say.
    """
    fresh = beside(path, ".compact")
    try:
        try:
            _write(fresh, path, reading, folded, keep_runs)
        finally:
            reading.close()
        if not _is_left_alone(path):
            return False
        before_replacing()
        os.replace(fresh, path)
        sync_directory(path.parent)
        return True
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            beside(fresh, end).unlink(missing_ok=True)


def _write(
    fresh: Path,
    path: Path,
    reading: sqlite3.Connection,
    folded: Folded,
    keep_runs: int | None,
) -> None:
    """Write the new file, so that it is on the disk."""
    meta = read_meta(reading)
    named = ("farm id", "label", "run", COPY_ID)
    make_file(fresh, {name: meta[name] for name in named if name in meta})
    with contextlib.closing(connect(fresh)) as database:
        database.execute("PRAGMA synchronous = OFF")  # nobody needs half of it
        mover, needed = _Mover(database, Payloads(path, reading)), Needed(folded, keep_runs)
        for _, facts, _, _ in read_fact_rows(reading):
            for fact in facts:
                for part in needed.of(fact):
                    mover.add(part)
        for part in needed.hand_outs():
            mover.add(part)
        mover.flush()
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        write_meta(database, _COMPACTED, str(pages * PAGE_BYTES).encode())
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    with fresh.open("rb+") as file:
        os.fsync(file.fileno())
    if mover.results < needed.results:
        raise Damaged(f"of its {needed.results} results, {mover.results} can be found")


def _is_left_alone(path: Path) -> bool:
    """Take the log of a file away for good; False where somebody else has it open."""
    with contextlib.closing(connect(path)) as database:
        database.execute("PRAGMA busy_timeout = 0")
        try:
            (mode,) = database.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError:
            return False
    return bool(mode == "delete")


class _Mover:
    """Adds facts to the new file, and moves their payloads there.

    Attributes:
        results: How many it has moved.
    """

    def __init__(self, database: sqlite3.Connection, payloads: Payloads) -> None:
        self._database = database
        self._payloads = payloads
        self._batch = Batch()
        self.results = self._seq = self._row = 0
        self._moved: OrderedDict[Place, Place] = OrderedDict()

    def add(self, fact: Fact) -> None:
        batch = self._batch
        if type(fact) is Settled:
            self.results += fact.count
        is_single = type(fact) is Settled and fact.skip < 0
        batch.facts.append(moved(fact, self._move if is_single else self._move_once))
        if len(batch.facts) >= _BATCH_FACTS or batch.bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        facts, payloads = self._batch.rows(self._seq)
        write_rows(self._database, facts, payloads)
        self._seq += len(facts)
        self._batch = Batch()

    def _move(self, place: Place) -> Place:
        if not place.size:
            return NO_PLACE
        payload = self._payloads.read_or_fail(place)
        there, self._row = self._batch.keep(payload, self._row)
        self._batch.bytes += place.size
        return there

    def _move_once(self, place: Place) -> Place:
        """Move what facts that come one after another may share, such as items of a payload."""
        there = self._moved.get(place)
        if there is None:
            there = self._moved[place] = self._move(place)
            if len(self._moved) > _REMEMBERED_PLACES:
                self._moved.popitem(last=False)
        return there
