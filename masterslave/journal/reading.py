"""Reading a journal's payloads and facts, beside whoever writes it."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

from masterslave.errors import JournalUnusable
from masterslave.journal.database import (
    Damaged,
    connect,
    read_fact_rows,
    read_meta,
    read_payload_row,
)
from masterslave.journal.facts import (
    KEY_BYTES,
    ArgumentsKnown,
    Ended,
    Fact,
    HandedOut,
    Lost,
    Place,
    Retried,
    Settled,
    Submitted,
)
from masterslave.journal.fold import Folded
from masterslave.journal.opening import check_is_ours, check_meta, close_reading, translated
from masterslave.journal.ownership import Ownership

__all__ = ["JournalReader", "Payloads"]

_KEPT_BYTES = 4 * 1024 * 1024


class Payloads:
    """Reads payloads; rows that hold many are kept for a while.

    Args:
        pending: Looks for a row that is not on the disk yet.

    Threads: any.
    """

    def __init__(
        self,
        path: Path,
        database: sqlite3.Connection,
        pending: Callable[[int], bytes | None] = lambda row: None,
    ) -> None:
        self._path = path
        self._database = database
        self._pending = pending
        self._lock = threading.Lock()
        self._is_closed = False
        self._file = _file_at(path)
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = 0

    def close(self) -> None:
        """The connection is about to be closed: who reads later opens the file anew, each time."""
        with self._lock:
            self._is_closed = True

    def read(self, place: Place) -> bytes:
        """Return what lies at a place.

        Raises:
            JournalUnusable: It is damaged, or not there (any more).

        Blocks: on the disk.
        """
        try:
            return self.read_or_fail(place)
        except (Damaged, sqlite3.Error) as error:
            raise JournalUnusable(
                f"what {self._path} is to hold there cannot be read ({error}): it is damaged, and "
                "the task has to be run again"
            ) from error

    def read_or_fail(self, place: Place) -> bytes:
        """Return what lies at a place.

        Raises:
            Damaged: and ``sqlite3.Error``: it cannot be read.
        """
        if not place.size:
            return b""
        data = self._row(place.row)[place.offset : place.offset + place.size]
        if len(data) == place.size:
            return data
        pieces, missing, row = [data], place.size - len(data), place.row
        while missing > 0:
            row += 1
            piece = self._row(row)[:missing]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _row(self, row: int) -> bytes:
        pending = self._pending(row)
        if pending is not None:
            return pending
        with self._lock:
            kept = self._kept.get(row)
            if kept is not None:
                self._kept.move_to_end(row)
                return kept
            read = self._read_again if self._is_closed else self._read_now
            body = read(row)
            if not body:
                raise Damaged(f"row {row} of its payloads is empty")
            if len(body) <= _KEPT_BYTES // 4:
                self._keep(row, body)
            return body

    def _read_now(self, row: int) -> bytes:
        return read_payload_row(self._database, row)

    def _read_again(self, row: int) -> bytes:
        """Read a row though the connection is closed: a future is asked after its farm's end."""
        if _file_at(self._path) != self._file:  # another one, whose rows have other numbers
            raise Damaged("it was written anew, or removed, since its farm has ended")
        database = connect(self._path, read_only=True)
        try:
            return read_payload_row(database, row)
        finally:
            close_reading(self._path, database)

    def _keep(self, row: int, body: bytes) -> None:
        self._kept[row] = body
        self._kept_bytes += len(body)
        while self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])


def _file_at(path: Path) -> tuple[int, int] | None:
    """Return which file this is; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class JournalReader:
    """A journal that is only looked at, while another process may be writing to it.

    Attributes:
        folded: What is known so far; see ``catch_up``.

    Threads: one at a time, except ``read``: any.
    """

    def __init__(self, path: Path) -> None:
        """Open a journal.

        Raises:
            JournalUnusable: There is none, or it cannot be read; the message says what to do.
        """
        self.path = path
        self.folded = Folded()
        self._seq = 0
        self._is_closed = False
        if not path.exists():
            raise JournalUnusable(f"there is no journal {path}: is it the path of the farm's?")
        with translated(path, mends=False):
            check_is_ours(path)
            self._database = connect(path, read_only=True)
        try:
            with translated(path, mends=False):
                meta = read_meta(self._database)
                check_meta(path, meta, None)
            self.farm_id = meta["farm id"].decode()
            self.label = meta["label"].decode()
            self._payloads = Payloads(path, self._database)
            self.catch_up()
        except BaseException:
            close_reading(path, self._database)
            raise

    def catch_up(self) -> list[Fact]:
        """Take in what was written since the last time, and return it.

        Raises:
            JournalUnusable: It cannot be read.
        """
        fresh: list[Fact] = []
        with translated(self.path, mends=False):
            for seq, facts, unknown, _ in read_fact_rows(self._database, self._seq):
                self.folded.take(facts, unknown)
                fresh += facts
                self._seq = seq
        return fresh

    def is_in_use(self) -> bool:
        """Tell whether a process has the journal now: a farm's master, as a rule."""
        return Ownership.is_taken(self.path)

    def facts(self) -> Iterator[Fact]:
        """Return all facts from the beginning, in their order.

        Raises:
            JournalUnusable: It cannot be read.
        """
        with translated(self.path, mends=False):
            for _, facts, _, _ in read_fact_rows(self._database):
                yield from facts

    def story(self, number: int) -> list[Fact]:
        """Return what was recorded about one task, in its order: looks through all facts."""
        return [fact for fact in self.facts() if is_about(fact, number)]

    def read(self, place: Place) -> bytes:
        """See ``Payloads.read``."""
        return self._payloads.read(place)

    def close(self) -> None:
        """Let go of it. Calling it again does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._payloads.close()
            close_reading(self.path, self._database)

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JournalReader {self.path}: {len(self.folded.finished)} finished>"


def is_about(fact: Fact, number: int) -> bool:
    """Tell whether a fact is about a task."""
    match fact:
        case Submitted(first=first, keys=keys):
            return first <= number < first + len(keys) // KEY_BYTES
        case HandedOut(hand_outs=hand_outs):
            return any(task <= number < task + count for task, _, count in hand_outs)
        case Settled(task=task, count=count) | Lost(task=task, count=count):
            return task <= number < task + count
        case Ended(first=first, count=count):
            return first <= number < first + count
        case ArgumentsKnown(task=task) | Retried(task=task):
            return task == number
    return False
