"""Names on this machine, without a server: one file per name, locked by the process that owns it.

The kernel's lock is the sign of life. It ends with its process however that ends, so there is no
lease to renew and nothing to take over; listing is a directory read that sweeps as it goes.

Two locks, always in this order. The folder's own, held for milliseconds, lets one process at a time
write, read or sweep: no reader sees half a record, and no sweeper's probe of a lock makes an owner
believe that its name is taken. Then the record's, held for as long as the name lives.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from nameserver.errors import NameTaken, NameUnknown, NamingError
from nameserver.record import Record, check_name, make_record
from remoteobj.runtime import LockedFile, runtime_dir
from remoteobj.uri import URI

__all__ = ["Directory"]

log = logging.getLogger("nameserver.directory")

LOCK_TIMEOUT_S = 5.0
"""Longest wait for the folder's lock, in seconds: thousands of times what a holder needs it for."""

_SUFFIX = ".json"


class Directory:
    """The names of this user on this machine.

    A name lives as long as the process that registered it, at most until ``close()``. A forked
    child owns none of its parent's names. Several of these in one process are
    like several processes.

    Args:
        lock_timeout_s: Longest wait for other processes' use of the directory, in seconds.

    Raises:
        RuntimeDirUnsafe: This user's private directory is not private; set ``XDG_RUNTIME_DIR``.

    Blocks: each method on other processes, at most *lock_timeout_s*.  Threads: any.
    """

    def __init__(self, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._lock_timeout_s = lock_timeout_s
        self._folder = runtime_dir() / "names"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._own: dict[str, LockedFile] = {}
        self._pid = os.getpid()

    def register(
        self, name: str, uri: URI | str, *, metadata: Iterable[str] = (), replace: bool = False
    ) -> None:
        """Give an object of this process a name.

        Args:
            name: The rules are in :mod:`nameserver.record`.
            uri: Where the object is.
            metadata: Short texts by which records are told apart.
            replace: Let the name stand for something else now, where it is this directory's own.
        Raises:
            NameTaken: A live process owns it; it cannot be replaced from outside.
            BadName: It breaks the rules.
        """
        record = make_record(name, uri, metadata, pid=os.getpid())
        with self._sole_use():
            locked = self._own.get(name)
            if locked is not None and not replace:
                raise NameTaken(f"the name {name!r} is taken, by this process: remove it first")
            self._own[name] = locked = locked or self._acquire(name)
            try:
                locked.write(_pack(record))
            except OSError:  # a full disk
                self._own.pop(name).remove()
                raise

    def lookup(self, name: str) -> Record:
        """Return what a name stands for.

        Raises:
            NameUnknown: No live process of this user owns it.
        """
        path = self._path(check_name(name))
        with self._sole_use():
            record = self._read_or_sweep(path) if path.exists() else None
        # The names are compared because a file system may not tell upper from lower case.
        if record is None or record.name != name:
            raise NameUnknown(
                f"nothing on this machine is registered as {name!r}: "
                "'nameserver list' shows the names"
            )
        return record

    def remove(self, name: str) -> bool:
        """Take back a name of this directory; False where nobody has it.

        Raises:
            NamingError: It belongs to another process, which lives.
        """
        path = self._path(check_name(name))
        with self._sole_use():
            locked = self._own.pop(name, None)
            if locked is not None:
                locked.remove()
                return True
            record = self._read_or_sweep(path) if path.exists() else None
        if record is not None:
            raise NamingError(
                f"the name {name!r} belongs to process {record.pid}, which is running: "
                "it goes when that process ends"
            )
        return False

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the live records whose names begin with *prefix*; sweep those of the dead."""
        with self._sole_use():
            records = [self._read_or_sweep(path) for path in self._folder.glob(f"*{_SUFFIX}")]
        live = [record for record in records if record is not None]
        live.sort(key=lambda record: record.name)
        return tuple(record for record in live if record.name.startswith(prefix))

    def close(self) -> None:
        """Take back every name of this directory. Closing again does nothing."""
        with contextlib.ExitStack() as stack:
            # A name must go even if somebody holds the folder for ever.
            with contextlib.suppress(NamingError):
                stack.enter_context(self._sole_use())
            own, self._own = self._own, {}
            for locked in own.values():
                locked.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_folder"):
            return "<Directory: could not be made>"
        return f"<Directory {self._folder}: {len(self._own)} own names>"

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    @contextlib.contextmanager
    def _sole_use(self) -> Iterator[None]:
        """Hold the folder's lock. flock knows no deadline, so it is asked for again and again."""
        if self._pid != os.getpid():  # forked: the locks stayed with the parent
            self._own, self._pid = {}, os.getpid()
        try:
            lock = self._wait_for_lock()
            try:
                yield
            finally:
                lock.remove()
        except OSError as error:
            raise NamingError(
                f"cannot use {self._folder} for the names of this machine: {error.strerror}"
            ) from error

    def _wait_for_lock(self) -> LockedFile:
        deadline = time.monotonic() + self._lock_timeout_s
        pause_s = 0.001
        while (lock := LockedFile.acquire(self._folder / ".lock")) is None:
            if time.monotonic() > deadline:
                raise NamingError(
                    f"{self._folder} was locked by another process for {self._lock_timeout_s:g} s: "
                    "end the process that hangs, and try again"
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.02)
        return lock

    def _acquire(self, name: str) -> LockedFile:
        locked = LockedFile.acquire(self._path(name))
        if locked is None:
            owner = _read(self._path(name))
            raise NameTaken(
                f"the name {name!r} is taken on this machine, by process "
                f"{owner.pid if owner else 'unknown'}: choose another, or end that process"
            )
        return locked

    def _read_or_sweep(self, path: Path) -> Record | None:
        """Return a live owner's record; remove a dead one's file."""
        dead = LockedFile.acquire(path)
        if dead is not None:
            dead.remove()
            return None
        return _read(path)


def _pack(record: Record) -> bytes:
    fields = {
        "name": record.name,
        "uri": str(record.uri),
        "metadata": sorted(record.metadata),
        "pid": record.pid,
    }
    return json.dumps(fields).encode()


def _read(path: Path) -> Record | None:
    try:
        match json.loads(path.read_bytes()):
            case {"name": str(name), "uri": str(uri), "metadata": [*tags], "pid": int(pid)}:
                return make_record(name, uri, tags, pid=pid)
        raise ValueError("a field is missing")
    except (OSError, ValueError, NamingError) as error:
        log.warning("the record %s is damaged and was skipped: %s", path, error)
        return None
