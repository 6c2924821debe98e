"""Names in a SQLite file: what was acknowledged is there after a crash of the process.

The file is in WAL mode, with ``synchronous=NORMAL``: a change is in the system's hands when
``save`` returns, so that a killed process loses nothing. A machine that loses its power may lose
the last changes, but never the file. Waiting for the disk at each change would save those too; it
would cost milliseconds for each, and whoever registers with a lease comes back by itself. Who leads
a name is rarely another one, and is waited for: two masters could lead where that is forgotten.

A damaged file is never used, since what it lacks nobody would notice. SQLite finds out most; each
row has a checksum for what it does not, and :mod:`nameserver.storage.wal` looks at the log.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import msgspec

from nameserver.changes import Change, Lease
from nameserver.errors import StorageFailed
from nameserver.leadership import Leadership
from nameserver.record import make_record
from nameserver.storage.contract import Entry, Kept
from nameserver.storage.wal import has_lost_changes
from remoteobj import RemoteObjError
from remoteobj.unreadable import UNREADABLE

__all__ = ["SqliteStorage"]

_APPLICATION = 0x726F6E73  # "rons", which marks the file as one of ours
_VERSION = 3
_OWNER = "ALTER TABLE names ADD COLUMN owner TEXT NOT NULL DEFAULT ''"
_LEADERSHIPS = """
CREATE TABLE leaderships (
    name TEXT PRIMARY KEY,
    told TEXT NOT NULL,
    crc INTEGER NOT NULL
) WITHOUT ROWID
"""
_SCHEMA = f"""
CREATE TABLE state (number INTEGER NOT NULL);
INSERT INTO state VALUES (0);
CREATE TABLE names (
    name TEXT PRIMARY KEY,
    uri TEXT NOT NULL,
    metadata TEXT NOT NULL,
    hosts TEXT NOT NULL,
    since REAL,
    lease TEXT,
    lease_s REAL,
    crc INTEGER NOT NULL,
    owner TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
{_LEADERSHIPS};
PRAGMA user_version = {_VERSION};
PRAGMA application_id = {_APPLICATION};
"""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode

_read_owner = msgspec.json.Decoder(tuple[str, str, bool]).decode

_read_leadership = msgspec.json.Decoder(Leadership).decode

_PUT = "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REASONS = {
    sqlite3.SQLITE_BUSY: "another process uses it: one name server, one file",
    sqlite3.SQLITE_LOCKED: "another process uses it: one name server, one file",
    sqlite3.SQLITE_CANTOPEN: "is its directory there, and may this user write in it?",
    sqlite3.SQLITE_READONLY: "may this user write to it, and to its directory?",
    sqlite3.SQLITE_FULL: "the disk is full: make room on it",
    sqlite3.SQLITE_IOERR: "the disk failed: is there room, and may this user write to it?",
}


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
        self._path = Path(path).absolute()
        with self._translated("opened"):
            if not self._path.exists():
                self._make()
            self._database = sqlite3.connect(
                self._path, timeout=1.0, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated("opened"):
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def load(self) -> Kept:
        """See ``Storage``."""
        with self._translated("read"):
            (number,) = self._database.execute("SELECT number FROM state").fetchone()
            rows = self._database.execute("SELECT * FROM names")
            told = self._database.execute("SELECT name, told, crc FROM leaderships")
            try:
                return Kept(
                    number,
                    [self._entry(*row) for row in rows],
                    [self._leadership(*row) for row in told],
                )
            except sqlite3.OperationalError as error:
                if hasattr(error, "sqlite_errorcode"):
                    raise
                raise _Damaged(str(error)) from error  # what was a text is none

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
                with contextlib.suppress(sqlite3.Error):  # SQLite may have done it by itself
                    self._database.execute("ROLLBACK")
                raise

    def save_leadership(self, leadership: Leadership) -> None:
        """See ``Storage``.  Blocks: on the disk, some milliseconds."""
        told = _encode(replaced(leadership, left_s=0.0)).decode()
        row = (leadership.name, told, _sum(leadership.name, told))
        with self._translated("written"):
            self._database.execute("PRAGMA synchronous = FULL")
            try:
                self._database.execute("INSERT OR REPLACE INTO leaderships VALUES (?, ?, ?)", row)
            finally:
                self._database.execute("PRAGMA synchronous = NORMAL")

    def close(self) -> None:
        """See ``Storage``."""
        self._database.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_path"):
            return "<SqliteStorage: could not be made>"
        return f"<SqliteStorage {self._path}>"

    def _save(self, change: Change) -> None:
        record, lease = change.record, change.lease
        if change.kind in ("removed", "expired"):
            self._database.execute("DELETE FROM names WHERE name = ?", (record.name,))
            return
        row = (
            record.name,
            str(record.uri),
            _encode(sorted(record.metadata)).decode(),
            _encode(record.hosts).decode(),
            None if record.since is None else float(record.since),
            None if lease is None else lease.id,
            None if lease is None else float(lease.lease_s),
        )
        owner = ""
        if record.node:
            owner = _encode((record.node, record.role, record.is_elsewhere)).decode()
        self._database.execute(_PUT, (*row, _crc(*row, owner=owner), owner))

    def _entry(self, *stored: Any) -> Entry:
        """Make what a row says.

        Raises:
            _Damaged: It does not say what was written.
        """
        *row, crc, owner = stored
        if crc != _crc(*row, owner=owner):
            raise _Damaged(f"the row of {row[0]!r} is not as it was written")
        name, uri, metadata, hosts, since, lease, lease_s = row
        try:
            record = make_record(
                name,
                uri,
                _decode(metadata),
                lease_s=lease_s,
                since=since,
                hosts=_decode(hosts),
            )
            if owner:
                node, role, is_elsewhere = _read_owner(owner)
                record = replaced(record, node=node, role=role, is_elsewhere=is_elsewhere)
        except (RemoteObjError, *UNREADABLE) as error:
            raise StorageFailed(
                f"{self._path} holds what this release does not take ({error}): use the one that "
                "wrote it"
            ) from error
        return record, None if lease is None else Lease(lease, lease_s)

    def _leadership(self, name: str, told: str, crc: int) -> Leadership:
        """Make what a row says; raises as ``_entry``."""
        if crc != _sum(name, told):
            raise _Damaged(f"the row of the leadership of {name!r} is not as it was written")
        try:
            return _read_leadership(told)
        except UNREADABLE as error:
            raise StorageFailed(
                f"{self._path} holds what this release does not take ({error}): use the one that "
                "wrote it"
            ) from error

    def _make(self) -> None:
        """Make the file as a whole, so that an empty one, or half a one, is never a new one."""
        log = self._beside("-wal")
        if log.exists() and log.stat().st_size:
            raise StorageFailed(
                f"{self._path} is missing, and {log.name} beside it holds changes of it: bring it "
                "back, or move that away too"
            )
        fresh = self._beside(f".new-{os.getpid()}")
        fresh.unlink(missing_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(_SCHEMA)
            fresh.chmod(0o600)  # who can read a lease's id can end it
            try:
                os.link(fresh, self._path)
            except FileExistsError:  # another process was quicker
                pass
            except OSError:  # a file system without links
                fresh.rename(self._path)
        finally:
            fresh.unlink(missing_ok=True)

    def _prepare(self) -> None:
        if self._path.stat().st_size == 0:
            raise _Damaged("there is nothing in it")  # and SQLite would remove its log
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA cache_spill = OFF")  # else the log may be as no process leaves it
        (application,) = run("PRAGMA application_id").fetchone()  # nobody else has it now
        (version,) = run("PRAGMA user_version").fetchone()
        run("SELECT count(*) FROM sqlite_master")  # a part of a header alone would pass till here
        if application != _APPLICATION:
            raise StorageFailed(
                f"{self._path} is a database of another program: give a path of its own"
            )
        if version > _VERSION:
            raise StorageFailed(
                f"{self._path} was written by a later release of this program: update it here"
            )
        if has_lost_changes(self._beside("-wal")):
            raise _Damaged(f"changes in {self._beside('-wal').name} cannot be read")
        if version < _VERSION:
            run("BEGIN EXCLUSIVE")
            if version < 2:  # who had registered a name was not known
                run(_OWNER)
            run(_LEADERSHIPS)
            run(f"PRAGMA user_version = {_VERSION}")
            run("COMMIT")
        run("PRAGMA synchronous = NORMAL")
        run("BEGIN EXCLUSIVE")  # fails where it may not be written
        run("COMMIT")
        (verdict,) = run("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _Damaged(verdict.splitlines()[-1])

    @contextlib.contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        """Say in words what SQLite says; keep a damaged file aside."""
        try:
            yield
        except _Damaged as error:
            raise self._keep_aside(error) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED:
                raise self._keep_aside(error) from error
            raise self._failed(done, _REASONS.get(code, error)) from error
        except StorageFailed:
            raise
        except OSError as error:
            raise self._failed(done, error.strerror) from error
        except UnicodeError as error:
            raise self._failed(done, error) from error

    def _failed(self, done: str, reason: object) -> StorageFailed:
        return StorageFailed(f"{self._path} could not be {done}: {reason}")

    def _keep_aside(self, why: Exception) -> StorageFailed:
        """Move the file away with what SQLite has beside it; return what is to be said."""
        aside = name = f".damaged-{time.strftime('%Y%m%d-%H%M%S')}"
        for number in itertools.count(2):
            if not self._beside(aside).exists():
                break
            aside = f"{name}-{number}"
        try:
            try:
                self._move(aside)  # SQLite changes nothing in a file that was moved
            except OSError:  # some systems move none that is open
                self._database.close()
                self._move(aside)
            where = f"It was kept as {self._beside(aside)}"
        except OSError as error:
            where = f"It is still there, because it cannot be moved ({error.strerror})"
        self._database.close()
        return StorageFailed(
            f"{self._path} is damaged ({why}). {where}: bring back a copy from before, or start "
            "again with no names"
        )

    def _move(self, aside: str) -> None:
        for end in ("", "-wal", "-journal"):
            source = self._beside(end)
            if source.exists():
                source.rename(self._beside(aside + end))

    def _beside(self, end: str) -> Path:
        return self._path.with_name(self._path.name + end)


class _Damaged(Exception):
    """The file is not as it was written."""


def _sum(name: str, told: str) -> int:
    return zlib.crc32(f"{name}\0{told}".encode())


def _crc(
    name: str,
    uri: str,
    metadata: str,
    hosts: str,
    since: float | None,
    lease: str | None,
    lease_s: float | None,
    *,
    owner: str,
) -> int:
    text = f"{name}\0{uri}\0{metadata}\0{hosts}\0{since!r}\0{lease}\0{lease_s!r}"
    if owner:  # of whom the first version did not know
        text += f"\0{owner}"
    return zlib.crc32(text.encode())
