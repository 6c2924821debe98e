"""Writing a journal: one thread that commits what has gathered meanwhile, all at once.

::

    record, keep, after         a batch          the thread: rows -> commit -> callbacks
    (any thread, no disk)  ->   gathers    ->    meanwhile the next batch gathers

What somebody waits for (``after``) goes to the disk at once, or, while something is being written,
when that is done: so the disk's own time makes the batches. What nobody waits for goes along, after
0.05 s at the latest.

When writing fails, the batch is kept as it is and tried again each second; the numbers that were
given to its rows stay. Nothing after it is written before it, so nothing is acknowledged that is
not on the disk.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from masterslave.journal.batch import Batch
from masterslave.journal.database import write_rows
from masterslave.journal.facts import KEY_BYTES, NO_PLACE, Fact, Place, Submitted

__all__ = ["MAX_WAITING_BYTES", "Calls", "OnTrouble", "Rows", "Writer"]

OnTrouble = Callable[[str | None], None]
"""Told once that writing fails, in words, and with None that it works again."""

MAX_WAITING_BYTES = 64 * 1024 * 1024

_FACT_BYTES = 100  # what a fact takes in memory, about
_TRY_AGAIN_S = 1.0
_UNHURRIED_S = 0.05  # what nobody waits for may wait so long
_UNHURRIED_BYTES = 1024 * 1024

_log = logging.getLogger("masterslave")

Rows = list[tuple[int, bytes]]
"""Rows with their numbers."""

Calls = list[Callable[[], None]]
OnWritten = Callable[[tuple[int, int], tuple[Rows, Rows], Calls], None]


class Writer:
    """Writes facts and payloads.

    Args:
        path: The journal's file, to be named in messages.
        database: A connection of its own.
        last: Numbers of the last row of facts and of payloads.
        on_trouble: Called by the writer's thread.
        on_written: Called by the writer's thread with the numbers of the last rows that are on the
            disk, the rows of facts and of payloads that have just been written, and what waits for
            them: it has to call that.

    Threads: any, unless it is said otherwise.
    """

    def __init__(
        self,
        path: Path,
        database: sqlite3.Connection,
        last: tuple[int, int],
        *,
        on_trouble: OnTrouble,
        on_written: OnWritten,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._path = path
        self._database = database
        self._seq, self._row = last
        self._written_row = self._row
        self._on_trouble = on_trouble
        self._on_written = on_written
        self._max_waiting_bytes = max_waiting_bytes
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._batch = Batch()
        self._writing: Batch | None = None
        self._waiting_bytes = 0
        self._is_idle = False  # nothing has come: whatever comes wakes it
        self._is_unhurried = False  # nobody waits for what has come: who does wakes it
        self._is_closing = False
        self._is_frozen = False
        self._give_up_at = float("inf")
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait to be written, about."""
        return self._waiting_bytes

    def record(self, fact: Fact) -> None:
        """Have a fact written, after those before; does not block."""
        size = _FACT_BYTES
        if type(fact) is Submitted:
            size += len(fact.keys) * (1 + len(fact.arguments) // KEY_BYTES)
        with self._lock:
            self._batch.facts.append(fact)
            self._waiting_bytes += size
            self._batch.bytes += size
            if self._is_idle or (self._is_unhurried and self._batch.bytes > _UNHURRIED_BYTES):
                self._wake()

    def keep(self, payload: bytes) -> Place:
        """Have a payload written, before whatever is recorded from now on; does not block.

        Returns:
            Where it will be; it can be read at once.
        """
        size = len(payload)
        if not size:
            return NO_PLACE
        with self._lock:
            batch = self._batch
            place, self._row = batch.keep(payload, self._row)
            self._waiting_bytes += size
            batch.bytes += size
            return place

    def after(self, callback: Callable[[], None]) -> None:
        """Have something called when all that was recorded before is on the disk.

        The writer's thread calls it, so it must not wait for anything. It is not called where the
        journal is closed before that could be written.
        """
        with self._lock:
            self._batch.callbacks.append(callback)
            if self._is_idle or self._is_unhurried:
                self._wake()

    def wait_for_room(self, timeout_s: float | None = None) -> bool:
        """Wait until less waits to be written than may wait; returns whether it is so.

        Blocks: on the disk, at most *timeout_s*; without one for as long as it takes.
        """
        if self._waiting_bytes <= self._max_waiting_bytes:  # asked at each task: without the lock
            return True
        with self._lock:
            return self._room.wait_for(
                lambda: self._waiting_bytes <= self._max_waiting_bytes, timeout_s
            )

    def pending_row(self, row: int) -> bytes | None:
        """Return a row of payloads that is not on the disk yet; None if it is there."""
        with self._lock:
            for batch in (self._batch, self._writing):
                found = batch.find_row(row) if batch is not None else None
                if found is not None:
                    return found
        return None

    def freeze(self) -> None:
        """Write nothing any more, and call nothing that waits: what comes is dropped."""
        with self._lock:
            self._is_frozen = True

    def close(self, timeout_s: float) -> bool:
        """Write what waits, and end; returns whether all of it could be written.

        Blocks: on the disk; where writing fails, for *timeout_s* at most.
        """
        with self._lock:
            self._is_closing = True
            self._give_up_at = time.monotonic() + timeout_s
            self._hurry.set()
            self._wake()
        self._thread.join()
        return not self._batch.has_work

    def _wake(self) -> None:
        self._is_idle = self._is_unhurried = False
        self._work.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._wait_for_work()
                batch = self._batch
                if not batch.has_work:
                    return
                self._batch = Batch()
                if self._is_frozen:
                    self._waiting_bytes -= batch.bytes
                    self._room.notify_all()
                    continue
                self._writing = batch
            rows = batch.rows(self._seq)
            if not self._write(*rows):
                with self._lock:
                    self._batch = batch  # so that it is known that something was not written
                return
            with self._lock:
                self._writing = None
                self._waiting_bytes -= batch.bytes
                self._room.notify_all()
            self._on_written((self._seq, self._written_row), rows, batch.callbacks)

    def _wait_for_work(self) -> None:
        while not self._batch.has_work and not self._is_closing:
            self._is_idle = True
            self._work.wait()
        self._is_idle = False
        batch = self._batch
        if not (batch.callbacks or self._is_closing or batch.bytes > _UNHURRIED_BYTES):
            self._is_unhurried = True
            self._work.wait(_UNHURRIED_S)
            self._is_unhurried = False

    def _write(self, facts: Rows, payloads: Rows) -> bool:
        """Write rows, however long it takes; False if it was given up because of closing."""
        if not facts and not payloads:
            return True
        is_in_trouble = False
        while True:
            try:
                write_rows(self._database, facts, payloads)
            except (sqlite3.Error, OSError, MemoryError) as error:
                if not is_in_trouble:
                    is_in_trouble = True
                    self._tell(self._words(error))
                if time.monotonic() >= self._give_up_at:
                    return False
                if self._hurry.wait(_TRY_AGAIN_S):
                    self._hurry.clear()
            else:
                break
        self._seq += len(facts)
        if payloads:
            self._written_row = payloads[-1][0]
        if is_in_trouble:
            self._tell(None)
        return True

    def _tell(self, message: str | None) -> None:
        try:
            self._on_trouble(message)
        except Exception:
            _log.exception("telling about the journal failed")

    def _words(self, error: Exception) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return (
                f"{self._path} is damaged ({error}): end the script and start it again, which "
                "keeps what can be read; until then nothing is acknowledged"
            )
        try:
            free = f"{shutil.disk_usage(self._path.parent).free:,} bytes are free there"
        except OSError as gone:
            free = f"its directory cannot be asked for room: {gone.strerror}"
        return (
            f"{self._path} cannot be written ({error}; {free}): make room, or mend what is wrong; "
            "until then nothing is acknowledged, and it is tried again each second"
        )
