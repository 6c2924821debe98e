"""A farm's journal: what it has to remember when its master is gone, in a file."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from masterslave.errors import JournalUnusable
from masterslave.journal import opening, starting
from masterslave.journal.database import COPY_ID, beside, read_meta, write_meta, write_rows
from masterslave.journal.facts import (
    ARBITER,
    EPOCH,
    RUN_BITS,
    Fact,
    Noted,
    Place,
    RunBegan,
    write_facts,
)
from masterslave.journal.fold import Folded
from masterslave.journal.following import FOLLOW_S, Following
from masterslave.journal.lead import Lead
from masterslave.journal.ownership import Ownership
from masterslave.journal.paths import checked
from masterslave.journal.reading import JournalReader, Payloads
from masterslave.journal.steps import Position
from masterslave.journal.writing import MAX_WAITING_BYTES, Calls, OnTrouble, Rows, Writer

__all__ = ["Journal"]

_CLOSE_S = 10.0

_log = logging.getLogger("masterslave")


class Journal:
    """A journal that this process writes to; ``open`` makes one.

    Attributes:
        path: Of the file.
        farm_id: Random, made with the file: 16 hexadecimal digits.
        copy_id: Of this file among the copies of the journal: 16 hexadecimal digits.
        run: Number of this run, from 1 on. Its tasks are numbered from ``first_number`` on.
        folded: What was known when it was opened; what is recorded later is not in it.
        notices: What the user is to be told: what was damaged, or is missing.
        following: Lets copies follow on other machines; see ``let_follow``.

    Threads: any.
    """

    def __init__(
        self,
        path: Path,
        ownership: Ownership,
        connections: tuple[sqlite3.Connection, sqlite3.Connection],
        folded: Folded,
        writer: Writer,
        notices: tuple[str, ...],
        meta: Mapping[str, bytes],
        following: Following,
    ) -> None:
        self.path = path
        self.farm_id = meta["farm id"].decode()
        self.copy_id = meta[COPY_ID].decode()
        self.following = following
        self.folded = folded
        self.run = folded.run
        self.first_number = self.run << RUN_BITS
        self.notices = notices
        self._ownership = ownership
        self._connections = connections
        self._writer = writer
        self._payloads = Payloads(path, connections[1], writer.pending_row)
        self._is_closed = False
        self.record = writer.record
        self.keep = writer.keep
        self.after = writer.after
        self.wait_for_room = writer.wait_for_room

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        label: str,
        *,
        epoch: int = 0,
        on_trouble: OnTrouble | None = None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        compacts: bool = True,
    ) -> Journal:
        """Open a journal, or make it where there is none, and begin a run.

        Args:
            label: Of the farm; one journal has one label.
            epoch: Of the farm, where masters take it over from each other; else 0.
            on_trouble: Called by the writer's thread with what is wrong when writing fails, and
                with None when it works again; it must not wait for the journal. The log is told
                where there is none.
            max_waiting_bytes: More than that should not wait to be written: ``wait_for_room``.
            compacts: Whether it is written anew where it has become much larger than it need be;
                not where nobody can wait for that.

        Raises:
            JournalInUse: Another process has it; the message names it.
            JournalUnusable: It is no journal, or one of another label or release, or cannot be
                written, or a later epoch has it. The message says what to do.

        Blocks: on the disk, for seconds where it holds millions of tasks.
        """
        path = checked(path)
        ownership = Ownership.take(path)
        try:
            return cls._open(
                path,
                label,
                epoch,
                on_trouble or _tell_log,
                max_waiting_bytes,
                ownership,
                compacts=compacts,
            )
        except BaseException:
            ownership.release(in_peace=ownership.before is None)
            raise

    @classmethod
    def _open(
        cls,
        path: Path,
        label: str,
        epoch: int,
        on_trouble: OnTrouble,
        max_waiting_bytes: int,
        ownership: Ownership,
        *,
        compacts: bool,
    ) -> Journal:
        (reading, folded, last), notices = starting.load(path, label, ownership, compacts=compacts)
        try:
            database = starting.connect_to_write(path)
        except BaseException:
            reading.close()
            raise
        try:
            if 0 < epoch < folded.epoch:
                raise JournalUnusable(
                    f"{path} has been taken over by a master with epoch {folded.epoch}, and this "
                    f"one has {epoch}: it must not go on; start it anew"
                )
            with opening.translated(path, mends=False):
                meta = _with_copy_id(database)
                before = ownership.before
                run = max(folded.run, before.run if before else 0, int(meta.get("run", b"0"))) + 1
                began = _began(run, epoch)
                last = (last[0] + 1, last[1])
                write_rows(database, [(last[0], write_facts([began]))], [])
                # In the file itself: whoever loses the log must not use the numbers again.
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except BaseException:
            reading.close()
            database.close()
            raise
        folded.take([began])
        ownership.note(run, last[0])
        about = (meta["farm id"].decode(), label)
        following = Following(path, about, Position(*last), run=run, epoch=epoch)

        def on_written(position: tuple[int, int], rows: tuple[Rows, Rows], calls: Calls) -> None:
            ownership.note(run, position[0])
            following.wrote(position, rows, calls)

        writer = Writer(
            path,
            database,
            last,
            on_trouble=on_trouble,
            on_written=on_written,
            max_waiting_bytes=max_waiting_bytes,
        )
        return cls(path, ownership, (database, reading), folded, writer, notices, meta, following)

    @staticmethod
    def compact(
        path: str | os.PathLike[str], label: str, *, keep_runs: int | None = None
    ) -> tuple[int, int]:
        """Write a journal anew without what nobody can ask for any more.

        Opening one does so by itself when more than half of it is dead.

        Args:
            keep_runs: Forget also the results of tasks that were not submitted in so many of the
                last runs; None: keep them.

        Returns:
            How many bytes it had, and has.

        Raises:
            JournalInUse: A farm has it, or somebody looks at it; the message says who.
            JournalUnusable: It is damaged, say; the message says what to do. It is as it was.

        Blocks: on the disk.
        """
        return starting.compact_alone(checked(path), label, keep_runs)

    @staticmethod
    def read_only(path: str | os.PathLike[str]) -> JournalReader:
        """Open a journal to look at it, also while another process writes to it.

        Raises:
            JournalUnusable: There is none, or it cannot be read; the message says what to do.
        """
        return JournalReader(checked(path))

    record: Callable[[Fact], None]
    """Have a fact written, after those before; does not block."""

    keep: Callable[[bytes], Place]
    """Have a payload written, before what is recorded from now on, and return where it will be;
    does not block. It must not change any more. Payloads that no fact names are forgotten when the
    journal is compacted."""

    after: Callable[[Callable[[], None]], None]
    """Have something called when all that was recorded before is on the disk: by the writer's
    thread, so it must not wait for anything."""

    wait_for_room: Callable[[float | None], bool]
    """Wait until less waits to be written than may wait, at most so many seconds (None: for as long
    as it takes); returns whether it is so."""

    def let_follow(self, lead: Lead, *, follow_s: float = FOLLOW_S) -> None:
        """Let copies on other machines follow, through ``following``.

        As long as one is in step, ``after`` waits for its disk as well.

        Args:
            lead: Tells the name server who may take over.
            follow_s: A copy that is silent for so long is gone.
        """
        self.following.allow(lead, self._note_epoch, follow_s=follow_s)

    def lead_with(self, epoch: int, arbiter: str) -> None:
        """Note that this run has this epoch, and which name server has given it.

        Blocks: until it is on the disk.
        """
        is_noted = threading.Event()
        self._note_epoch(epoch, arbiter, is_noted.set)
        is_noted.wait()
        self.following.lead_is(epoch)

    def freeze(self) -> None:
        """Write and acknowledge nothing any more: another master may act for the farm."""
        self.following.shut()
        self._writer.freeze()

    def _note_epoch(self, epoch: int, arbiter: str, callback: Callable[[], None]) -> None:
        if arbiter and arbiter != self.folded.arbiter:
            self.record(Noted(ARBITER, arbiter.encode()))
        self.record(Noted(EPOCH, str(epoch).encode()))
        self.after(callback)

    def forget_folded(self) -> None:
        """Let go of what was known when it was opened: who needs some of it has it."""
        self.folded = Folded()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait to be written, about."""
        return self._writer.waiting_bytes

    def read(self, place: Place) -> bytes:
        """Return a payload, also one that is not on the disk yet.

        Raises:
            JournalUnusable: It is damaged, or not there (any more): run the task again.

        Blocks: on the disk.
        """
        return self._payloads.read(place)

    def close(self, timeout_s: float = _CLOSE_S) -> bool:
        """Write what waits, and let go of the file; returns whether all could be written.

        Calling it again does nothing.

        Blocks: on the disk; where writing fails, for *timeout_s* at most.
        """
        if self._is_closed:
            return True
        self._is_closed = True
        is_written = self._writer.close(timeout_s)
        self.following.close()
        self._payloads.close()
        for connection in reversed(self._connections):
            connection.close()
        log = beside(self.path, "-wal")  # which another process may still be reading
        self._ownership.release(in_peace=is_written and not log.exists())
        return is_written

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{self.waiting_bytes} bytes wait"
        return f"<Journal {self.path}: run {self.run}, {state}>"


def _with_copy_id(database: sqlite3.Connection) -> dict[str, bytes]:
    meta = read_meta(database)
    if COPY_ID not in meta:
        meta[COPY_ID] = secrets.token_hex(8).encode()
        write_meta(database, COPY_ID, meta[COPY_ID])
    return meta


def _began(run: int, epoch: int) -> RunBegan:
    return RunBegan(
        run,
        epoch,
        time.time(),
        platform.node(),
        os.getpid(),
        version("remoteobj-farm"),
        platform.python_version(),
    )


def _tell_log(message: str | None) -> None:
    if message is None:
        _log.warning("the journal can be written again")
    else:
        _log.error("%s", message)
