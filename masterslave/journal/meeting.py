"""A copy comes: whether it may follow, and what it lacks of the master's file."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from masterslave.journal.database import connect, digest_of_facts, digest_of_payloads, read_rows
from masterslave.journal.steps import Position
from masterslave.protocol.following import FOLLOWING, NUMBERED, Hello

__all__ = ["KeptRows", "why_refused"]


def why_refused(
    hello: Hello, about: tuple[str, str], epoch: int, *, has_lead: bool, is_closed: bool
) -> Iterator[str]:
    """Yield why a copy may not follow, and what to do, in words; nothing: it may.

    Args:
        about: The id of the journal's farm, and its label.
        epoch: Of the master.
        has_lead: Whether there is somebody who says to a name server who may take over.
        is_closed: Whether the master ends.
    """
    farm_id, label = about
    if hello.version != FOLLOWING:
        yield (
            f"it speaks version {hello.version} of following, the master {FOLLOWING}: install "
            "the same release of remoteobj-farm on both"
        )
    if is_closed:
        yield "the master ends: look for the one that comes after it"
    if not has_lead:
        yield (
            "the master has no name server, which has to know who may take over: start one, "
            "and then the master anew"
        )
    if hello.label != label:
        yield f"the journal is of farms with the label {label!r}, not {hello.label!r}"
    if hello.farm_id not in ("", farm_id):
        yield (
            f"it holds the journal of another farm of this label ({hello.farm_id}, not "
            f"{farm_id}): give a path of its own"
        )
    if hello.epoch > epoch:
        yield (
            f"it knows of epoch {hello.epoch}, and this master has {epoch}: the farm was "
            "taken over from it"
        )


class KeptRows:
    """What is in the master's file, for copies that are behind.

    Args:
        path: Of the journal; it is opened when it is first asked.

    Blocks: on the disk; one is served at a time.  Threads: any.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def begin_like(self, hello: Hello) -> bool:
        """Tell whether all that a copy says it has is the beginning of these.

        Raises:
            sqlite3.Error, OSError: They cannot be read.
        """
        with self._connected() as database:
            return (hello.facts, hello.payloads) == (
                digest_of_facts(database, hello.seq),
                digest_of_payloads(database, hello.row),
            )

    def after(self, has: Position, most_bytes: int) -> tuple[list[NUMBERED], list[NUMBERED]]:
        """Return the facts and payloads that come next, about so many bytes of them.

        Raises:
            sqlite3.Error, OSError: They cannot be read.
        """
        with self._connected() as database:
            return read_rows(database, has.seq, has.row, most_bytes)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._database is None:
                self._database = connect(self._path, read_only=True)
            yield self._database
