"""The other side: a copy of a journal, which another machine's master writes.

What a copy says that it has is on its disk. It is a journal like any other: who takes the farm over
opens it as its own. A copy that is no beginning of what the master has (it has diverged, was
compacted there meanwhile, is damaged here) is put aside, and made anew under another id: so nobody
takes it for the one that the name server knows.
"""

from __future__ import annotations

import os
import platform
import secrets
import sqlite3
from itertools import pairwise
from pathlib import Path

from masterslave.errors import JournalUnusable
from masterslave.journal import opening, starting
from masterslave.journal.database import (
    COPY_ID,
    Damaged,
    beside,
    check_payload_rows,
    checked_facts,
    checksum,
    digest_of_facts,
    digest_of_payloads,
    read_fact_rows,
    read_last,
    sync_directory,
    write_checked_rows,
    write_meta,
)
from masterslave.journal.facts import ARBITER, EPOCH, Fact, Noted, RunBegan
from masterslave.journal.ownership import Ownership
from masterslave.journal.paths import checked
from masterslave.protocol.following import FOLLOWING, Hello, Met, Poll, Rows

__all__ = ["ASIDE", "Copy"]

ASIDE = ".aside"
"""What a copy is called beside the one that has taken its place; one is kept."""

_ENDS = ("", "-wal", "-journal", "-shm")


class Copy:
    """A copy of a journal that this process writes; ``open`` makes one.

    Attributes:
        path: Of the file.
        copy_id: Of this copy; empty: there is nothing yet.
        farm_id: Of the farm; empty: it is not known yet.
        epoch: The highest that it knows of.
        arbiter: Where the name server is that decides who leads; empty: as the cluster has it.
        notice: What the user is to be told of how it was found; empty: nothing.
        is_in_step: The name server knows it as the one that may take over, says the master.
        why_not: Why it does not, says the master.

    Threads: one at a time.
    """

    def __init__(self, path: Path, label: str, ownership: Ownership) -> None:
        self.path = path
        self.copy_id = self.farm_id = self.arbiter = self.why_not = self.notice = ""
        self.epoch = 0
        self.is_in_step = False
        self._label = label
        self._ownership = ownership
        self._database: sqlite3.Connection | None = None
        self._seq = self._row = self._session = 0

    @classmethod
    def open(cls, path: str | os.PathLike[str], label: str) -> Copy:
        """Open a copy, or a journal that is to be one from now on; there need be no file yet.

        Raises:
            JournalInUse: Another process has it; the message names it.
            JournalUnusable: It is no journal, or one of another label or release, or cannot be
                written. The message says what to do.

        Blocks: on the disk, for as long as it takes to read all of it.
        """
        path = checked(path)
        ownership = Ownership.take(path)
        copy = cls(path, label, ownership)
        try:
            copy._load()
        except BaseException:
            ownership.release(in_peace=ownership.before is None)
            raise
        return copy

    def _load(self) -> None:
        with opening.translated(self.path, mends=False):
            starting.remove_fresh(self.path)
            starting.put_in_place(self.path)
        if not self.path.exists() or not self.path.stat().st_size:
            return
        try:
            with opening.translated(self.path, mends=True):
                self._read()
        except Damaged as damage:
            self._put_aside(f"is damaged ({damage})")
            return
        self._database = starting.connect_to_write(self.path)
        if not self.copy_id:  # it was never followed, nor has it followed
            self._give_id()

    def _read(self) -> None:
        database, meta = opening.open_checked(self.path, self._label)
        try:
            self.farm_id = meta["farm id"].decode()
            self.copy_id = meta.get(COPY_ID, b"").decode()
            self._seq, self._row = read_last(database)
            last = 0
            for seq, facts, _, _ in read_fact_rows(database):
                for fact in facts:
                    self._hear(fact)
                last = seq
            if self._seq != last or self._ownership.missing_after(last):
                raise Damaged("its last facts are missing")
            check_payload_rows(database)
        finally:
            opening.close_reading(self.path, database)

    def _hear(self, fact: Fact) -> None:
        match fact:
            case RunBegan(epoch=epoch):
                self.epoch = max(self.epoch, epoch)
            case Noted(kind=kind, body=body) if kind == EPOCH:
                self.epoch = max(self.epoch, int(body))
            case Noted(kind=kind, body=body) if kind == ARBITER:
                self.arbiter = body.decode()

    def _give_id(self) -> None:
        assert self._database is not None
        self.copy_id = secrets.token_hex(8)
        with opening.translated(self.path, mends=False, done="written"):
            write_meta(self._database, COPY_ID, self.copy_id.encode())

    def hello(self) -> Hello:
        """Return what is to be said to the master first. Blocks: on the disk."""
        facts = payloads = b""
        if self._database is not None:
            with opening.translated(self.path, mends=False, done="read"):
                facts = digest_of_facts(self._database, self._seq)
                payloads = digest_of_payloads(self._database, self._row)
        return Hello(
            FOLLOWING, self._label, self.copy_id, self.farm_id, self._seq, self._row,
            facts, payloads, self.epoch, platform.node(), os.getpid(),
        )  # fmt: skip

    def met(self, met: Met) -> bool:
        """Take in what the master has said to that; tells whether it is to be followed now.

        Else hello is to be said again.

        Raises:
            JournalUnusable: The master has refused it; the message says why, and what to do.
        """
        self.is_in_step = False
        if met.refused:
            raise JournalUnusable(f"{self.path} cannot follow: {met.refused}")
        if met.epoch < self.epoch:
            raise JournalUnusable(self._too_old(met.epoch))
        if self.farm_id not in ("", met.farm_id):
            raise JournalUnusable(
                f"{self.path} is of another farm of this label: give a path of its own"
            )
        if met.is_anew:
            self._make_anew(met.farm_id)
            return False
        self._session, self.arbiter = met.session, met.arbiter or self.arbiter
        return True

    def poll(self, *, is_leaving: bool = False) -> Poll:
        """Return what is to be asked: all before is on the disk."""
        return Poll(self._session, self.copy_id, self._seq, self._row, is_leaving)

    def take(self, rows: Rows) -> bool:
        """Write what the master has answered; tells whether hello is to be said again.

        Raises:
            JournalUnusable: The master is one that was taken over from, or the disk is full, say;
                nothing of the answer was written then.

        Blocks: on the disk.
        """
        if rows.is_unknown:
            self.is_in_step = False
            return True
        if rows.epoch < self.epoch:
            raise JournalUnusable(self._too_old(rows.epoch))
        self._check(rows)
        news = self._read_news(rows)
        if rows.facts or rows.payloads:
            assert self._database is not None
            with opening.translated(self.path, mends=False, done="written"):
                write_checked_rows(self._database, rows.facts, rows.payloads)
            self._seq += len(rows.facts)
            if rows.payloads:
                self._row = rows.payloads[-1][0]
            self._ownership.note(rows.run, self._seq)
        for fact in news:
            self._hear(fact)
        self.epoch = max(self.epoch, rows.epoch)
        self.is_in_step, self.why_not = rows.is_in_step, rows.why_not
        return False

    def _check(self, rows: Rows) -> None:
        """Check that rows go on where the copy ends, and payloads are as they were written."""
        seqs = [seq for seq, _, _ in rows.facts]
        numbers = [self._row, *(row for row, _, _ in rows.payloads)]
        is_next = seqs == list(range(self._seq + 1, self._seq + 1 + len(seqs)))
        if not is_next or any(a >= b for a, b in pairwise(numbers)):
            raise JournalUnusable(f"{self.path}: what came does not go on where it ends")
        for row, crc, body in rows.payloads:
            if crc != checksum(row, body):
                raise self._damaged_there(row)

    def _damaged_there(self, row: int) -> JournalUnusable:
        return JournalUnusable(
            f"{self.path}: row {row} of the master's journal is damaged there: start the master "
            "anew, which keeps what can be read"
        )

    def _read_news(self, rows: Rows) -> list[Fact]:
        """Check the facts that came, and return what is to be heard of them.

        Not the epoch, which each answer says: a row may be here before the master itself knows that
        its epoch is on the disk, and it would be taken for an older one.
        """
        news: list[Fact] = []
        for seq, crc, body in rows.facts:
            try:
                facts, _ = checked_facts(seq, crc, body)
            except Damaged:
                raise self._damaged_there(seq) from None
            news += [one for one in facts if isinstance(one, Noted) and one.kind == ARBITER]
        return news

    def _too_old(self, epoch: int) -> str:
        return (
            f"{self.path} knows of epoch {self.epoch}, and that master has {epoch}: the farm was "
            "taken over from it, and it has to be ended"
        )

    def _make_anew(self, farm_id: str) -> None:
        if self._database is not None:
            self._put_aside("is no beginning of what the master has")
        self.farm_id, self.copy_id = farm_id, secrets.token_hex(8)
        self._seq = self._row = 0
        self.arbiter = ""
        with opening.translated(self.path, mends=False, done="made"):
            for end in _ENDS[1:]:
                beside(self.path, end).unlink(missing_ok=True)
            opening.make(
                self.path,
                self._label,
                farm_id=farm_id.encode(),
                **{COPY_ID: self.copy_id.encode()},
            )
        self._database = starting.connect_to_write(self.path)

    def _put_aside(self, why: str) -> None:
        self._disconnect()
        aside = beside(self.path, ASIDE)
        self.notice = f"{self.path} {why}: it is kept as {aside}, and made anew"
        self.farm_id = self.copy_id = ""
        self._seq = self._row = 0
        self._ownership.forget_rows()
        with opening.translated(self.path, mends=False, done="put aside"):
            for end in _ENDS:
                beside(aside, end).unlink(missing_ok=True)
            for end in _ENDS:  # the file first: it is never there without the log of its end
                if beside(self.path, end).exists():
                    os.replace(beside(self.path, end), beside(aside, end))
            sync_directory(self.path.parent)

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def close(self) -> None:
        """Let go of the file. Calling it again does nothing."""
        self._disconnect()
        log = beside(self.path, "-wal")
        self._ownership.release(in_peace=not log.exists())

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "in step" if self.is_in_step else "behind"
        return f"<Copy {self.path}: {self._seq} rows, {state}>"
