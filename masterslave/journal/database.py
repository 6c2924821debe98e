"""The SQLite file of a journal: two tables that only grow, and what says which journal it is.

A commit writes one row of facts, and the small payloads that belong to them, side by side, in one
row of payloads: a task costs bytes, and no rows. Both have a checksum for each row, because SQLite
has none. The file is in WAL mode with ``synchronous=FULL``: what was committed is on the disk, also
when the power goes.

Writing and reading use connections of their own, which do not wait for each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from masterslave.journal.facts import Fact, read_facts
from remoteobj.unreadable import UNREADABLE

__all__ = [
    "APPLICATION",
    "COPY_ID",
    "FORMAT",
    "PAGE_BYTES",
    "Damaged",
    "beside",
    "check_payload_rows",
    "checked_facts",
    "checksum",
    "connect",
    "digest_of_facts",
    "digest_of_payloads",
    "make_file",
    "read_fact_rows",
    "read_last",
    "read_meta",
    "read_payload_row",
    "read_rows",
    "sync_directory",
    "write_checked_rows",
    "write_meta",
    "write_rows",
]

APPLICATION = 0x726F6A6C  # "rojl", which marks the file as one of ours
FORMAT = 1
PAGE_BYTES = 4096
COPY_ID = "copy id"
"""What says which copy of a journal it is: 16 hexadecimal digits."""

_SCHEMA = f"""
CREATE TABLE meta (name TEXT NOT NULL, crc INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE facts (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE payloads (row INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL);
PRAGMA user_version = {FORMAT};
PRAGMA application_id = {APPLICATION};
"""
# One statement is one commit, and one handing over of the interpreter's lock, which is what costs
# where the script computes; a view can be written to by a trigger, which writes both rows.
_BOTH = """
CREATE TEMP VIEW both (seq, crc, body, row, row_crc, row_body) AS SELECT 0, 0, x'', 0, 0, x'';
CREATE TEMP TRIGGER write_both INSTEAD OF INSERT ON both BEGIN
    INSERT INTO payloads VALUES (NEW.row, NEW.row_crc, NEW.row_body);
    INSERT INTO facts VALUES (NEW.seq, NEW.crc, NEW.body);
END;
"""
_CHECKPOINT_PAGES = 4096
_LOG_BYTES = 16 * 1024 * 1024  # what is left of the log file, which a start may have to read


class Damaged(Exception):
    """The file is not as it was written; the text says what is wrong with it."""


def beside(path: Path, end: str) -> Path:
    """Return the path of a file that lies beside the journal."""
    return path.with_name(path.name + end)


def checksum(number: int, body: bytes) -> int:
    """Return the checksum of a row, which knows its number."""
    return zlib.crc32(body, number & 0xFFFFFFFF)


def make_file(path: Path, meta: Mapping[str, bytes]) -> None:
    """Make a database with nothing in it, with mode 0600; whatever had this name is replaced.

    Its first page is kept in it, too, so that damage there can be told.

    Raises:
        OSError: and ``sqlite3.Error``: it cannot be made.
    """
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    with path.open("rb") as file:
        first_page = zlib.compress(file.read(PAGE_BYTES))
    with contextlib.closing(connect(path)) as database:
        rows = {**meta, "format": str(FORMAT).encode(), "first page": first_page}
        database.execute("BEGIN IMMEDIATE")
        for name, value in rows.items():
            write_meta(database, name, value)
        database.execute("COMMIT")


def sync_directory(directory: Path) -> None:
    """Have the names in a directory outlive the machine's end, where the system can."""
    if os.name == "nt":  # it opens no directories, and keeps names by itself
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a journal's file, which is there."""
    how = "mode=ro" if read_only else "mode=rw"
    if read_only and _is_sealed(path):
        how = "immutable=1"
    database = sqlite3.connect(
        f"{path.as_uri()}?{how}",
        uri=True,
        timeout=5.0,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if not read_only:
            database.execute("PRAGMA synchronous = FULL")
            database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            database.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
            database.executescript(_BOTH)
    except BaseException:
        database.close()
        raise
    return database


def _is_sealed(path: Path) -> bool:
    """Tell whether nobody can write to a journal here, and it is whole without a log, which SQLite
    could not make beside it: one on a snapshot, or in a backup.
    """
    return not os.access(path.parent, os.W_OK) and not beside(path, "-wal").exists()


def write_meta(database: sqlite3.Connection, name: str, value: bytes) -> None:
    """Write one more thing that is to be known of a journal."""
    row = (name, zlib.crc32(value, zlib.crc32(name.encode())), value)
    database.execute("INSERT INTO meta VALUES (?, ?, ?)", row)


def read_meta(database: sqlite3.Connection) -> dict[str, bytes]:
    """Return what says which journal it is.

    Raises:
        Damaged: It is not as it was written.
    """
    found = {}
    for name, crc, value in database.execute("SELECT name, crc, value FROM meta"):
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise Damaged("what says which journal it is cannot be read")
        if zlib.crc32(value, zlib.crc32(name.encode())) != crc:
            raise Damaged("what says which journal it is, is not as it was written")
        found[name] = value
    return found


def read_fact_rows(
    database: sqlite3.Connection, after: int = 0
) -> Iterator[tuple[int, list[Fact], int, int]]:
    """Return the rows of facts that come after one.

    Yields:
        Number of the row, its facts, how many others are unknown here, and its bytes.

    Raises:
        Damaged: A row is missing, or not as it was written.
    """
    rows = database.execute("SELECT seq, crc, body FROM facts WHERE seq > ? ORDER BY seq", (after,))
    for seq, crc, body in rows:
        if seq != after + 1:
            raise Damaged(f"after row {after} of its facts comes row {seq}")
        yield seq, *checked_facts(seq, crc, body), len(body)
        after = seq


def checked_facts(seq: int, crc: object, body: object) -> tuple[list[Fact], int]:
    """Return the facts of a row, and how many others are unknown here.

    Raises:
        Damaged: They are not as they were written.
    """
    if not isinstance(body, bytes) or crc != checksum(seq, body):
        raise Damaged(f"row {seq} of its facts is not as it was written")
    try:
        return read_facts(body)
    except UNREADABLE as error:
        raise Damaged(f"row {seq} of its facts cannot be read ({error})") from error


def read_payload_row(database: sqlite3.Connection, row: int) -> bytes:
    """Return a row of payloads.

    Raises:
        Damaged: It is missing, or not as it was written.
    """
    found = database.execute("SELECT crc, body FROM payloads WHERE row = ?", (row,)).fetchone()
    if found is None:
        raise Damaged(f"row {row} of its payloads is missing")
    crc, body = found
    if not isinstance(body, bytes) or crc != checksum(row, body):
        raise Damaged(f"row {row} of its payloads is not as it was written")
    return body


def check_payload_rows(database: sqlite3.Connection) -> None:
    """Look at all rows of payloads.

    Raises:
        Damaged: One is not as it was written.
    """
    for row, crc, body in database.execute("SELECT row, crc, body FROM payloads"):
        if not isinstance(body, bytes) or crc != checksum(row, body):
            raise Damaged(f"row {row} of its payloads is not as it was written")


def read_last(database: sqlite3.Connection) -> tuple[int, int]:
    """Return the numbers of the last row of facts and of payloads; 0 where there is none.

    Raises:
        Damaged: They are no numbers.
    """
    ((seq, row),) = database.execute(
        "SELECT coalesce((SELECT max(seq) FROM facts), 0), "
        "coalesce((SELECT max(row) FROM payloads), 0)"
    ).fetchall()
    if not isinstance(seq, int) or not isinstance(row, int):
        raise Damaged("its rows have no numbers")
    return seq, row


def read_rows(
    database: sqlite3.Connection, seq: int, row: int, most_bytes: int
) -> tuple[list[tuple[int, int, bytes]], list[tuple[int, int, bytes]]]:
    """Return rows of facts and of payloads that come after these, with their checksums.

    They are not checked here. Of both together there are about *most_bytes*; facts come only with
    all payloads that are there, so that none is without what it names.
    """
    found: tuple[list[tuple[int, int, bytes]], list[tuple[int, int, bytes]]] = ([], [])
    tables = (
        (1, "SELECT row, crc, body FROM payloads WHERE row > ? ORDER BY row", row),
        (0, "SELECT seq, crc, body FROM facts WHERE seq > ? ORDER BY seq", seq),
    )
    size = 0
    database.execute("BEGIN")  # both tables as they are at one moment
    try:
        for at, query, after in tables:
            for each in database.execute(query, (after,)):
                if size >= most_bytes:
                    return found
                found[at].append(each)
                size += len(each[2])
    finally:
        database.execute("ROLLBACK")
    return found


def digest_of_facts(database: sqlite3.Connection, last: int) -> bytes:
    """Return a digest of the rows of facts up to one, by their numbers and checksums."""
    return _digest(database.execute(
        "SELECT seq, crc FROM facts WHERE seq <= ? ORDER BY seq", (last,)
    ))  # fmt: skip


def digest_of_payloads(database: sqlite3.Connection, last: int) -> bytes:
    """Return a digest of the rows of payloads up to one, by their numbers and checksums."""
    return _digest(database.execute(
        "SELECT row, crc FROM payloads WHERE row <= ? ORDER BY row", (last,)
    ))  # fmt: skip


def _digest(rows: Iterable[tuple[int, int]]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for number, crc in rows:
        digest.update(b"%d:%d," % (number, crc))
    return digest.digest()


def write_rows(
    database: sqlite3.Connection,
    facts: Sequence[tuple[int, bytes]],
    payloads: Sequence[tuple[int, bytes]],
) -> None:
    """Write rows, all or none; when this returns they are on the disk.

    Raises:
        sqlite3.Error: None was written; so it is with ``OSError`` and ``MemoryError``.
    """
    write_checked_rows(database, [*map(_checked, facts)], [*map(_checked, payloads)])


def write_checked_rows(
    database: sqlite3.Connection,
    facts: Sequence[tuple[int, int, bytes]],
    payloads: Sequence[tuple[int, int, bytes]],
) -> None:
    """Write rows that have their checksums, as ``write_rows`` does."""
    if len(facts) == 1 and len(payloads) <= 1:
        (fact_row,) = facts
        try:
            if payloads:
                row = (*fact_row, *payloads[0])
                database.execute("INSERT INTO both VALUES (?, ?, ?, ?, ?, ?)", row)
            else:
                database.execute("INSERT INTO facts VALUES (?, ?, ?)", fact_row)
        except BaseException:
            _roll_back(database)
            raise
        return
    try:
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO payloads VALUES (?, ?, ?)", payloads)
        database.executemany("INSERT INTO facts VALUES (?, ?, ?)", facts)
        database.execute("COMMIT")
    except BaseException:
        _roll_back(database)
        raise


def _checked(row: tuple[int, bytes]) -> tuple[int, int, bytes]:
    number, body = row
    return number, checksum(number, body), body


def _roll_back(database: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):  # SQLite may have done it by itself
        if database.in_transaction:
            database.execute("ROLLBACK")
