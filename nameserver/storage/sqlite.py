"""Names in a SQLite file: what was acknowledged is there after a crash of the process.

The file is in WAL mode, with ``synchronous=NORMAL``: a change is in the system's hands when
``save`` returns, so that a killed process loses nothing. A machine that loses its power may lose
the last changes, but never the file. Waiting for the disk at each change would save those too; it
would cost milliseconds for each, and whoever registers with a lease comes back by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from nameserver.changes import Change, Lease
from nameserver.errors import NamingError, StorageFailed
from nameserver.record import make_record
from nameserver.storage.contract import Entry, Kept
from remoteobj import RemoteObjError

__all__ = ["SqliteStorage"]

_APPLICATION = 0x726F6E73  # "rons", which marks the file as one of ours
_VERSION = 1
_SCHEMA = """
CREATE TABLE state (number INTEGER NOT NULL);
INSERT INTO state VALUES (0);
CREATE TABLE names (
    name TEXT PRIMARY KEY,
    uri TEXT NOT NULL,
    metadata TEXT NOT NULL,
    hosts TEXT NOT NULL,
    since REAL,
    lease TEXT,
    lease_s REAL
) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?, ?, ?)"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteStorage:
    """See ``Storage``.

    Args:
        path: The file; it is made where there is none.

    Raises:
        StorageFailed: It cannot be opened, another process uses it, it is no file of a name server,
            or a later release has written it. A damaged one is kept aside, and the message says
            where.

    Threads: one at a time, whichever.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        with self._translated("opened"):
            self._database = sqlite3.connect(
                self._path, timeout=1.0, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def load(self) -> Kept:
        """See ``Storage``."""
        with self._translated("read"):
            (number,) = self._database.execute("SELECT number FROM state").fetchone()
            rows = self._database.execute("SELECT * FROM names").fetchall()
        try:
            return Kept(number, [_entry(row) for row in rows])
        except (ValueError, TypeError, NamingError, RemoteObjError) as error:
            raise StorageFailed(
                f"{self._path} holds what no name server has written ({error}): mend it with "
                "sqlite3, or move it away and start with an empty one"
            ) from error

    def save(self, changes: Sequence[Change]) -> None:
        """See ``Storage``."""
        if not changes:
            return
        with self._translated("written"):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for change in changes:
                    self._save(change)
                self._database.execute("UPDATE state SET number = ?", (changes[-1].number,))
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """See ``Storage``."""
        self._database.close()

    def __repr__(self) -> str:
        return f"<SqliteStorage {self._path}>"

    def _save(self, change: Change) -> None:
        record, lease = change.record, change.lease
        if change.kind in ("removed", "expired"):
            self._database.execute("DELETE FROM names WHERE name = ?", (record.name,))
            return
        row = (
            record.name,
            str(record.uri),
            json.dumps(sorted(record.metadata)),
            json.dumps(record.hosts),
            record.since,
            lease and lease.id,
            lease and lease.lease_s,
        )
        self._database.execute(_PUT, row)

    def _prepare(self) -> None:
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        (application,) = run("PRAGMA application_id").fetchone()
        (version,) = run("PRAGMA user_version").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and (application or version or tables):
            raise StorageFailed(
                f"{self._path} is a database of another program: give a path of its own"
            )
        if version > _VERSION:
            raise StorageFailed(
                f"{self._path} was written by a later release of this program: update it here"
            )
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run("BEGIN EXCLUSIVE")  # fails where another process has it
        if not tables:
            for statement in _SCHEMA.split(";"):
                run(statement)
            run(f"PRAGMA application_id = {_APPLICATION}")
            run(f"PRAGMA user_version = {_VERSION}")
        run("COMMIT")
        (verdict,) = run("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)

    @contextlib.contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        """Say in words what SQLite says; keep a damaged file aside."""
        try:
            yield
        except sqlite3.OperationalError as error:
            reason = str(error)
            if "locked" in reason:
                reason = "another process uses it: one name server, one file"
            elif "unable to open" in reason:
                reason = "is its directory there, and may this user write in it?"
            raise StorageFailed(f"{self._path} could not be {done}: {reason}") from error
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", _DAMAGED[0]) & 0xFF not in _DAMAGED:
                raise StorageFailed(f"{self._path} could not be {done}: {error}") from error
            self._database.close()
            raise StorageFailed(
                f"{self._path} is damaged ({error}). It was kept as {self._keep_aside()}: bring "
                "back a copy from before, or start again with no names"
            ) from error

    def _keep_aside(self) -> Path:
        """Rename the file, with what SQLite has beside it; return what it is called now."""
        moment = time.strftime("%Y%m%d-%H%M%S")
        aside = self._path.with_name(f"{self._path.name}.damaged-{moment}")
        for end in ("", "-wal", "-shm"):
            source = self._path.with_name(self._path.name + end)
            if source.exists():
                source.rename(aside.with_name(aside.name + end))
        return aside


def _entry(row: tuple[str, str, str, str, float | None, str | None, float | None]) -> Entry:
    name, uri, metadata, hosts, since, lease, lease_s = row
    record = make_record(
        name, uri, json.loads(metadata), lease_s=lease_s, since=since, hosts=json.loads(hosts)
    )
    return record, Lease(lease, lease_s) if lease and lease_s else None
