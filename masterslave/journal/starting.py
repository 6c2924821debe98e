"""How a journal is opened by who will write to it: made, mended or compacted, as it needs.

Rows of facts are numbered anew in a file that was mended or compacted; so what the locked file says
of them is taken back before.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from masterslave.errors import JournalInUse, JournalUnusable
from masterslave.journal import opening
from masterslave.journal.compacting import compact, is_worth_it
from masterslave.journal.database import Damaged, beside, connect
from masterslave.journal.fold import Folded
from masterslave.journal.mending import mend, put_in_place
from masterslave.journal.ownership import Ownership

__all__ = ["Loaded", "compact_alone", "connect_to_write", "load", "put_in_place", "remove_fresh"]

_TRIES = 3  # damage may show only when it is compacted
_FRESH = (".new", ".mending", ".mending-2", ".mending-2.new", ".compact")

_log = logging.getLogger("masterslave")

Loaded = tuple[sqlite3.Connection, Folded, tuple[int, int]]
"""A connection that reads, what is known, and the last rows of facts and of payloads."""


def load(
    path: Path, label: str, ownership: Ownership, *, compacts: bool
) -> tuple[Loaded, tuple[str, ...]]:
    """Open a journal, or make it where there is none.

    Args:
        compacts: Whether it may be compacted, which takes a while.

    Returns:
        It, and what the user is to be told.

    Raises:
        JournalUnusable: The message says why, and what to do.
    """
    notices: list[str] = []
    with opening.translated(path, mends=False):
        if (aside := put_in_place(path)) is not None:
            ownership.forget_rows()
            notices.append(
                f"{path} was damaged, and what could be read of it was kept, by a process that has "
                f"ended meanwhile. The damaged file is kept as {aside}"
            )
        _make_where_missing(path, label, ownership)
    for _ in range(_TRIES):
        try:
            loaded = opening.load(path, label)
            missing = ownership.missing_after(loaded[2][0])
            if missing:
                notices.append(
                    f"{path} lacks what was written last: it is an old copy, or the log beside it "
                    f"was removed; it has {len(loaded[1].finished)} results, and how many others "
                    "were lost is not known: their tasks are run again"
                )
                ownership.forget_rows()
            if compacts and is_worth_it(loaded[0], loaded[1]):
                _compact(path, loaded, ownership)
                del loaded  # there may not be room for two
                loaded = opening.load(path, label)
            return loaded, tuple(notices)
        except Damaged as damage:
            known = ownership.before
            with opening.translated(path, mends=False):
                notice = mend(
                    path,
                    label,
                    str(damage),
                    known_run=known.run if known else 0,
                    known_seq=known.seq if known else 0,
                )
                ownership.forget_rows()
                aside = put_in_place(path)
            notices.append(f"{notice}. The damaged file is kept as {aside}")
    raise JournalUnusable(f"{path} is damaged as soon as it is mended: is the disk all right?")


def connect_to_write(path: Path) -> sqlite3.Connection:
    """Open a journal's file once more, to write to it.

    Raises:
        JournalUnusable: It cannot be written.
    """
    with opening.translated(path, mends=False):
        database = connect(path)
        try:
            (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
        except BaseException:
            database.close()
            raise
    if mode != "wal":
        database.close()
        raise JournalUnusable(f"{path} cannot have a log beside it: give a path on a local disk")
    return database


def compact_alone(path: Path, label: str, keep_runs: int | None) -> tuple[int, int]:
    """See ``Journal.compact``."""
    ownership = Ownership.take(path)
    is_compact = False
    try:
        with opening.translated(path, mends=False):
            size = path.stat().st_size
            reading, folded, last = opening.load(path, label)
            why_not = ""
            if folded.counts.unknown:
                why_not = "has facts of a later release, which alone knows what they need"
            elif ownership.missing_after(last[0]):
                why_not = "lacks what was written last: start its farm, which says more"
            if why_not:
                opening.close_reading(path, reading)
                raise JournalUnusable(f"{path} {why_not}")
            is_compact = compact(
                path,
                reading,
                folded,
                keep_runs=keep_runs,
                before_replacing=ownership.forget_rows,
            )
            if not is_compact:
                raise JournalInUse(f"somebody looks at {path}: compact it when that has ended")
            return size, path.stat().st_size
    finally:
        ownership.release(in_peace=is_compact or ownership.before is None)


def _compact(path: Path, loaded: Loaded, ownership: Ownership) -> None:
    """Compact a journal where that can be done; it has to be opened again in any case.

    Raises:
        Damaged: What is needed cannot be read.
    """
    reading, folded, _ = loaded
    try:
        with opening.translated(path, mends=True):
            if compact(path, reading, folded, before_replacing=ownership.forget_rows):
                _log.info("%s was compacted to %d bytes", path, path.stat().st_size)
    except JournalUnusable as error:
        _log.warning("%s could not be compacted, and is used as it is: %s", path, error)


def remove_fresh(path: Path) -> None:
    """Remove what a killed process has left of files that were to take the journal's place."""
    for end in _FRESH:
        for more in ("", "-wal", "-shm", "-journal"):
            beside(path, end + more).unlink(missing_ok=True)


def _make_where_missing(path: Path, label: str, ownership: Ownership) -> None:
    remove_fresh(path)
    log = beside(path, "-wal")
    has_log = log.exists() and log.stat().st_size > 0
    if not path.exists():
        if has_log:
            raise JournalUnusable(
                f"{path} is missing, and {log.name} beside it holds facts of it: bring it back, or "
                "move that away too"
            )
    elif path.stat().st_size or has_log or ownership.missing_after(0):
        return
    opening.make(path, label)
