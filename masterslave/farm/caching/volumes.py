"""Volumes: the files of a script's results. Each is a journal, written by one process at a time.

A process writes to the newest volume that nobody else writes to and that has room, or to a new one,
and only reads the others. So scripts that run at once do not wait for each other, and each finds
what was there when it began. All volumes of this user together have a limit: those that were not of
use for longest are removed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

from masterslave.errors import JournalInUse, JournalUnusable
from masterslave.farm.caching.places import results_dir, volumes_in
from masterslave.journal.database import beside
from masterslave.journal.journal import Journal
from masterslave.journal.ownership import Ownership
from masterslave.journal.reading import JournalReader
from masterslave.journal.writing import OnTrouble

__all__ = ["forget_oldest", "note_use", "open_to_read", "open_to_write", "size_of"]

_TRIES = 100  # others make volumes, too

log = logging.getLogger("masterslave")


def open_to_write(
    folder: Path, script: Path, volume_bytes: int, on_trouble: OnTrouble, *, afresh: bool = False
) -> Journal:
    """Open a volume that this process will write to; make it where there is none.

    Args:
        volume_bytes: One that has more has no room.
        afresh: Make a new one.

    Raises:
        JournalUnusable: and ``OSError``: none can be had.

    Blocks: on the disk.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = volumes_in(folder)
    for path in () if afresh else known:
        if size_of(path) < volume_bytes:
            try:
                return Journal.open(path, str(script), on_trouble=on_trouble)
            except JournalInUse:
                pass
            except JournalUnusable as error:  # of another release, say
                log.info("results of earlier runs are passed over: %s", error)
    number = int(known[0].stem) if known else 0
    for _ in range(_TRIES):
        number += 1
        with contextlib.suppress(JournalInUse):
            return Journal.open(folder / f"{number}.db", str(script), on_trouble=on_trouble)
    raise JournalUnusable(f"{folder} cannot have another volume: too many processes make some")


def open_to_read(folder: Path, own: Path) -> list[JournalReader]:
    """Open all volumes but this process's *own*, the newest first.

    One that cannot be read is passed over: its results are had again.

    Blocks: on the disk.
    """
    readers = []
    for path in volumes_in(folder):
        if path != own:
            try:
                readers.append(Journal.read_only(path))
            except JournalUnusable as error:  # somebody may just have removed it
                log.info("results of earlier runs are passed over: %s", error)
    return readers


def size_of(path: Path) -> int:
    """Return how many bytes a volume takes."""
    size = 0
    for part in _parts_of(path):
        with contextlib.suppress(OSError):
            size += part.stat().st_size
    return size


def _parts_of(path: Path) -> list[Path]:
    """Return a volume's file and what lies beside it, but for the lock."""
    lock = beside(path, ".lock").name
    return [part for part in path.parent.glob(f"{path.name}*") if part.name != lock]


def note_use(path: Path) -> None:
    """A volume was of use: it is not the oldest any more."""
    with contextlib.suppress(OSError):
        os.utime(path, (time.time(), time.time()))


def forget_oldest(limit: int) -> int:
    """Remove volumes that were not of use for longest, of whatever script, while all of them take
    more than so many bytes; not those that somebody writes to. Returns how many were removed.

    Blocks: on the disk.
    """
    root = results_dir()
    volumes = []
    for folder in root.iterdir() if root.exists() else ():
        for path in volumes_in(folder):
            with contextlib.suppress(OSError):
                volumes.append((path.stat().st_mtime, path, size_of(path)))
    total, removed = sum(size for _, _, size in volumes), 0
    for _, path, size in sorted(volumes):
        if total <= limit:
            break
        if _remove(path):
            total -= size
            removed += 1
    return removed


def _remove(path: Path) -> bool:
    """Remove a volume; False where somebody writes to it, or has just removed it."""
    try:
        ownership = Ownership.take(path)
    except (JournalInUse, JournalUnusable):
        return False
    try:
        for part in _parts_of(path):
            part.unlink(missing_ok=True)
    except OSError:  # where open files cannot be removed, somebody reads it
        ownership.release(in_peace=False)
        return False
    ownership.release(in_peace=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
    return True
