"""Looking at a journal before it is used: is it one, whose is it, and is it as it was written?

The raw files are looked at before SQLite opens them: it says nothing of a log that has lost its
end, and would believe a header that is wrong.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

from masterslave.errors import JournalUnusable
from masterslave.journal.database import (
    APPLICATION,
    FORMAT,
    PAGE_BYTES,
    Damaged,
    beside,
    connect,
    make_file,
    read_fact_rows,
    read_last,
    read_meta,
    sync_directory,
)
from masterslave.journal.fold import Folded
from nameserver.storage.wal import has_lost_changes

__all__ = [
    "check_files",
    "check_is_ours",
    "check_meta",
    "close_reading",
    "load",
    "make",
    "open_checked",
    "translated",
]

_MAGIC = b"SQLite format 3\0"
_MARK = b"first page"  # in the table of what says which journal it is: on the second page
_MARKED_BYTES = 4 * PAGE_BYTES
_CHANGING = ((18, 20), (24, 32), (92, 100))  # of the header: mode, counters and size, release
_CHECKED_BYTES = 1024 * 1024 * 1024

_REASONS = {
    sqlite3.SQLITE_BUSY: "another program uses it: close that before",
    sqlite3.SQLITE_LOCKED: "another program uses it: close that before",
    sqlite3.SQLITE_CANTOPEN: "may this user write to it, and to its directory? Else copy it, and "
    "what lies beside it, to one where you may",
    sqlite3.SQLITE_PERM: "may this user write to it, and to its directory?",
    sqlite3.SQLITE_READONLY: "may this user write to it, and to its directory?",
    sqlite3.SQLITE_FULL: "the disk is full: make room on it",
    sqlite3.SQLITE_IOERR: "the disk failed: is there room on it?",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}


@contextlib.contextmanager
def translated(path: Path, *, mends: bool, done: str = "opened") -> Iterator[None]:
    """Say in words what SQLite says; what says that the file is damaged becomes ``Damaged``.

    Args:
        mends: Whether the caller can do something about damage; else ``JournalUnusable`` says who
            does.
        done: What cannot be done with it: "written", say.
    """
    try:
        yield
    except (Damaged, sqlite3.Error, OSError) as error:
        reason: object
        if isinstance(error, OSError):
            reason = error.strerror
        else:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            reason = _REASONS.get(code)
            if code == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK):
                reason = None  # its header says so
        if reason is None and mends:
            raise error if isinstance(error, Damaged) else Damaged(str(error)) from error
        if reason is None:
            reason = (
                f"it is no journal, or damaged ({error}); if it is one, start its farm, which "
                "keeps what can be read"
            )
        raise JournalUnusable(f"{path} cannot be {done}: {reason}") from error


def close_reading(path: Path, database: sqlite3.Connection) -> None:
    """Close a connection that only reads: it cannot take away the log that it has made."""
    database.close()
    log = beside(path, "-wal")
    with contextlib.suppress(sqlite3.Error, OSError):
        if log.exists() and not log.stat().st_size:
            with contextlib.closing(connect(path)) as writing:
                writing.execute("SELECT count(*) FROM meta").fetchone()


def make(path: Path, label: str, **more: bytes) -> None:
    """Make a journal with nothing in it, as a whole: half a one is never there.

    Args:
        more: What else is to be known of it; also its ``farm_id``, where it is to have that of
            another one.
    """
    fresh = beside(path, ".new")
    farm_id = more.pop("farm_id", b"") or secrets.token_hex(8).encode()
    try:
        make_file(fresh, {"farm id": farm_id, "label": label.encode(), **more})
        os.replace(fresh, path)
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            beside(fresh, end).unlink(missing_ok=True)
    sync_directory(path.parent)


def check_meta(path: Path, meta: dict[str, bytes], label: str | None) -> None:
    """Check that a journal is one that this release reads, of this label.

    Raises:
        JournalUnusable: It is not.
        Damaged: It does not say.
    """
    if not {"format", "farm id", "label"} <= meta.keys():
        raise Damaged("what says which journal it is, is missing")
    if meta["format"] != str(FORMAT).encode():
        raise JournalUnusable(
            f"{path} has format {meta['format'].decode()}, and this release of the program reads "
            f"format {FORMAT}: use the release that wrote it, or give a path of its own"
        )
    its = meta["label"].decode()
    if label is not None and its != label:
        raise JournalUnusable(
            f"{path} is the journal of farms with the label {its!r}, not {label!r}: use that "
            "label, or give a path of its own"
        )


def check_is_ours(path: Path) -> None:
    """Look at the beginning of a file.

    Raises:
        JournalUnusable: It is another program's.
    """
    with path.open("rb") as file:
        start = file.read(_MARKED_BYTES)
    is_ours = start[68:72] == APPLICATION.to_bytes(4, "big") or _MARK in start
    if not is_ours and not (len(start) < 512 and _MAGIC.startswith(start[:16])):
        raise JournalUnusable(
            f"{path} is no journal, but another file: give a path of its own (a journal that was "
            "damaged beyond recognition has to be moved away by hand)"
        )


def check_files(path: Path) -> None:
    """Look at the files of a journal that is there, as bytes.

    Raises:
        JournalUnusable: It is another program's.
        Damaged: They are not as they were written.
    """
    check_is_ours(path)
    size = path.stat().st_size
    if size < 2 * PAGE_BYTES or size % PAGE_BYTES:
        raise Damaged(f"its length, {size} bytes, is none that it can have")
    if has_lost_changes(beside(path, "-wal")):
        raise Damaged(f"{path.name}-wal, the log beside it, cannot be read to its end")


def load(path: Path, label: str) -> tuple[sqlite3.Connection, Folded, tuple[int, int]]:
    """Open a journal to read it, check it, and fold what is in it: changes nothing in its file.

    Returns:
        The connection, what is known, and the last rows of facts and of payloads.

    Raises:
        JournalUnusable: It cannot be used, and is not damaged.
        Damaged: It is not as it was written.
    """
    with translated(path, mends=True):
        database, _ = open_checked(path, label)
        try:
            folded = Folded()
            seq = 0
            for row, facts, unknown, _ in read_fact_rows(database):
                folded.take(facts, unknown)
                seq = row
            last = read_last(database)
            if last[0] != seq:
                raise Damaged("its last facts cannot be read")
        except BaseException:
            close_reading(path, database)
            raise
    return database, folded, last


def open_checked(path: Path, label: str) -> tuple[sqlite3.Connection, dict[str, bytes]]:
    """Open a journal to read it, and check it; its rows are not looked at.

    Returns:
        The connection, and what says which journal it is.

    Raises:
        JournalUnusable: It cannot be used, and is not damaged.
        Damaged: It is not as it was written; or ``sqlite3.Error``, ``OSError``: see ``translated``.
    """
    check_files(path)
    with path.open("rb") as file:
        first_page = file.read(PAGE_BYTES)
    _finish_change_of_mode(path)
    database = connect(path, read_only=True)
    try:
        meta = read_meta(database)
        check_meta(path, meta, label)
        _check_database(path, database, first_page, meta)
    except BaseException:
        close_reading(path, database)
        raise
    return database, meta


def _finish_change_of_mode(path: Path) -> None:
    """Undo what who was killed has left that took the log away, before it compacted the file."""
    undo = beside(path, "-journal")
    if not undo.exists():
        return
    with contextlib.closing(connect(path)) as database:
        database.execute("SELECT count(*) FROM meta").fetchone()
    with contextlib.suppress(FileNotFoundError):
        if undo.read_bytes()[:1] in (b"", b"\0"):  # nothing is left to be undone, says SQLite
            undo.unlink()


def _check_database(
    path: Path, database: sqlite3.Connection, first_page: bytes, meta: dict[str, bytes]
) -> None:
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (unused,) = database.execute("PRAGMA freelist_count").fetchone()
    log = beside(path, "-wal")  # where there is one, it says how many pages there are
    has_log = log.exists() and log.stat().st_size > 0
    if unused or not (has_log or pages * PAGE_BYTES == path.stat().st_size):
        raise Damaged(f"it says that it has {pages} pages, of which {unused} are unused")
    try:
        written = zlib.decompress(meta.get("first page", b""))
    except zlib.error as error:
        raise Damaged(f"what is known of its first page cannot be read ({error})") from error
    if _constant(first_page) != _constant(written):
        raise Damaged("its first page is not as it was written")
    tables = ("",) if pages * PAGE_BYTES <= _CHECKED_BYTES else ("('facts')",)
    for table in tables:
        (verdict,) = database.execute(f"PRAGMA quick_check{table}").fetchone()
        if verdict != "ok":
            raise Damaged(str(verdict).splitlines()[-1])


def _constant(page: bytes) -> bytes:
    constant = bytearray(page)
    for start, stop in _CHANGING:
        constant[start:stop] = bytes(stop - start)
    return bytes(constant)
