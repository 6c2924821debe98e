"""The writer's side of a journal that is copied while it is written.

::

    writer: commit --> wrote --+--> nobody is waited for: callbacks
                               +--> parked polls get the rows; callbacks wait for the copy
    daemon: follow(poll) ------+--> what the copy has written lets callbacks go (``steps``)
    a thread for time ---------+--> polls are answered, silence is noticed
    a thread for the lead -----+--> says to the name server who may take over, and who may not

A copy that is behind is served from the file, so a slow one costs no memory here.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from masterslave.journal.database import checksum
from masterslave.journal.lead import Lead
from masterslave.journal.meeting import KeptRows, why_refused
from masterslave.journal.steps import Position, Steps
from masterslave.protocol.encoding import encode
from masterslave.protocol.following import NUMBERED, Hello, Met, Poll, Rows
from remoteobj import DeferredReply, RemoteObjError

__all__ = ["FOLLOW_S", "Following"]

FOLLOW_S = 2.0
"""So long a copy that is in step may be silent before the master goes on without it."""

_POLL_S = 0.5
_TRY_AGAIN_S = 0.25
_TICK_S = 0.1  # silence is looked for so often: nothing is woken for it with each commit
_PIECE_BYTES = 4 * 1024 * 1024
_NEAR_ROWS = 64

_log = logging.getLogger("masterslave")

NoteEpoch = Callable[[int, str, Callable[[], None]], None]
Written = Sequence[tuple[int, bytes]]


class _Parked:
    """A poll that waits for rows."""

    __slots__ = ("at", "has", "reply")

    def __init__(self, reply: DeferredReply, has: Position, at: float) -> None:
        self.reply = reply
        self.has = has
        self.at = at


class Following:
    """Lets copies follow, and holds back what may not be acknowledged yet.

    Args:
        path: Of the journal.
        about: Its farm's id, and label.
        written: What is on the disk.
        run: Of the master.
        epoch: Of the master; 0: it has no lead, and takes it before a copy is waited for.

    Threads: any.
    """

    def __init__(
        self,
        path: Path,
        about: tuple[str, str],
        written: Position,
        *,
        run: int,
        epoch: int,
    ) -> None:
        self.epoch = epoch
        self.why_not = ""
        self._kept = KeptRows(path)
        self._farm_id, self._label = about
        self._run = run
        self._lead: Lead | None = None
        self._note_epoch: NoteEpoch = _note_nothing
        self._session = secrets.randbits(62) + 1
        self._met: dict[str, str] = {}  # the machine of each
        self._hosts: dict[str, str] = {}  # what each calls it
        self._steps = Steps(written, follow_s=FOLLOW_S)
        self._steps.may_name = epoch > 0
        self._has_lead = epoch > 0
        self._parked: dict[str, _Parked] = {}
        self._last: tuple[Position, Rows] | None = None
        self._due: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._calling = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    @property
    def written(self) -> Position:
        """What is on the disk of the master."""
        return self._steps.written

    @property
    def standby(self) -> dict[str, str] | None:
        """The host of the copy that is waited for, and its state in a word or two."""
        with self._lock:
            if self._steps.awaited is None:
                return None
            copy_id, phase = self._steps.awaited
            return {"host": self._hosts.get(copy_id, ""), "state": phase.value}

    def allow(self, lead: Lead, note_epoch: NoteEpoch, *, follow_s: float = FOLLOW_S) -> None:
        """Let copies follow from now on; without it each is refused.

        Args:
            note_epoch: Has an epoch written, and calls back when it is on the disk.
            follow_s: So long a copy that is in step may be silent.
        """
        with self._lock:
            self._lead, self._note_epoch = lead, note_epoch
            self._steps.follow_s = follow_s

    # The writer's.

    def wrote(
        self,
        position: tuple[int, int],
        rows: tuple[Written, Written],
        callbacks: Sequence[Callable[[], None]],
    ) -> None:
        """Rows are on the disk of the master: tell copies, and call what may be called."""
        now, polls = time.monotonic(), []
        with self._lock:
            before, written = self._steps.written, Position(*position)
            self._due += self._steps.wrote(written, callbacks, now)
            if self._met:
                fresh = self._rows(_numbered(rows[0]), _numbered(rows[1]))
                self._last = (before, fresh) if _bytes_of(fresh) < _PIECE_BYTES else None
                if written != before:
                    polls = self._take_parked(now)
        for copy_id, parked in polls:
            self._answer(copy_id, parked)
        self._call()

    def close(self) -> None:
        """Let nobody follow any more; what waits for a copy is never called.

        Blocks: for what is being said to the name server.
        """
        self.shut()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._kept.close()

    def shut(self) -> None:
        """Acknowledge nothing any more; does not block."""
        with self._lock:
            self._is_closed = True
            self._steps.shut()
            self._due.clear()
            parked, self._parked = list(self._parked.values()), {}
            self._changed.notify_all()
        for each in parked:
            each.reply.set(encode(Rows(self.epoch, self._run, is_unknown=True)))

    # The copies'.

    def meet(self, hello: Hello, node: str = "") -> Met:
        """A copy says what it has; tells whether it may follow.

        Args:
            node: Its machine, by its certificate.

        Blocks: on the disk, for seconds where there are very many rows.
        """
        reasons = why_refused(
            hello,
            (self._farm_id, self._label),
            self.epoch,
            has_lead=self._lead is not None,
            is_closed=self._is_closed,
        )
        for refused in reasons:
            return Met(refused)
        is_ours = hello.farm_id == self._farm_id and bool(hello.copy_id)
        is_ours = is_ours and self._kept.begin_like(hello)
        with self._lock:
            if is_ours:
                self._met[hello.copy_id], self._hosts[hello.copy_id] = node, hello.host
            if not self._threads and not self._is_closed:
                self._start_threads()
        address = self._lead.address if self._lead is not None else ""
        return Met("", not is_ours, self._farm_id, self.epoch, self._session, _POLL_S, address)

    def follow(self, poll: Poll, node: str = "") -> DeferredReply:
        """All up to here is on a copy's disk; the answer has what comes next."""
        reply, has, now = DeferredReply(), Position(poll.seq, poll.row), time.monotonic()
        parked, old = _Parked(reply, has, now), None
        with self._lock:
            is_known = poll.session == self._session and self._met.get(poll.copy_id) == node
            if not is_known or self._is_closed:
                reply.set(encode(Rows(self.epoch, self._run, is_unknown=True)))
                return reply
            order = self._steps.order
            if poll.is_leaving:
                self._due += self._steps.left(poll.copy_id)
                reply.set(encode(self._rows((), ())))
            else:
                lacks = self._steps.written.row - has.row + self._steps.written.seq - has.seq
                self._due += self._steps.heard(poll.copy_id, has, is_near=lacks <= _NEAR_ROWS)
                old = self._parked.pop(poll.copy_id, None)
                if has.has(self._steps.written):
                    self._parked[poll.copy_id] = parked
            is_parked = poll.copy_id in self._parked
            if self._steps.order != order:
                self._changed.notify_all()
        if old is not None:
            old.reply.set(encode(self._rows((), ())))
        if not poll.is_leaving and not is_parked:
            self._answer(poll.copy_id, parked)
        self._call()
        return reply

    def _answer(self, copy_id: str, parked: _Parked) -> None:
        """Answer a poll, which nobody else will, with what comes next."""
        with self._lock:
            last = self._last
            found = last[1] if last is not None and last[0] == parked.has else None
        if found is None:
            try:
                found = self._rows(*self._kept.after(parked.has, _PIECE_BYTES))
            except (sqlite3.Error, OSError) as error:
                found = self._rows((), (), f"the master cannot read its journal: {error}")
        with self._lock:
            found = Rows(
                self.epoch,
                self._run,
                found.facts,
                found.payloads,
                self._steps.is_in_step(copy_id),
                found.why_not or self.why_not or (self._lead.trouble if self._lead else ""),
            )
            self._steps.answered(copy_id, time.monotonic())
        parked.reply.set(encode(found))

    def _rows(
        self, facts: Sequence[NUMBERED], payloads: Sequence[NUMBERED], why_not: str = ""
    ) -> Rows:
        return Rows(self.epoch, self._run, tuple(facts), tuple(payloads), False, why_not)

    def _take_parked(self, now: float, *, older_than: float = 0.0) -> list[tuple[str, _Parked]]:
        taken = [
            (copy_id, each) for copy_id, each in self._parked.items() if now - each.at >= older_than
        ]
        for copy_id, _ in taken:
            del self._parked[copy_id]
        return taken

    # What time brings.

    def _start_threads(self) -> None:
        for run in (self._keep_time, self._keep_lead):
            thread = threading.Thread(target=run, name="journal-copies", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _keep_time(self) -> None:
        while True:
            with self._lock:
                if self._is_closed:
                    return
                now, order = time.monotonic(), self._steps.order
                self._due += self._steps.look(now)
                if self._steps.order != order:
                    self._changed.notify_all()
                polls = self._take_parked(now, older_than=_POLL_S)
                if not self._due and not polls:
                    self._changed.wait(_TICK_S)
                    continue
            for copy_id, parked in polls:
                self._answer(copy_id, parked)
            self._call()

    def _call(self) -> None:
        """Call what is due, in its order: one thread at a time."""
        while self._due:
            with self._calling:
                try:
                    callback = self._due.popleft()
                except IndexError:
                    return
                try:
                    callback()
                except Exception:
                    _log.exception("what waited for the journal failed")

    # What the name server is told.

    def _keep_lead(self) -> None:
        while True:
            with self._lock:
                if self._is_closed:
                    return
                order = self._steps.order
                if self._has_lead and order is None:
                    self._changed.wait()
                    continue
                lead = self._lead
            assert lead is not None
            trouble = self._say(lead, order or "") if self._has_lead else self._take(lead)
            if trouble:
                if trouble != self.why_not:
                    _log.warning("farm %r: %s", self._label, trouble)
                again_at = time.monotonic() + _TRY_AGAIN_S
                with self._lock:
                    self.why_not = trouble
                    while not self._is_closed and (left_s := again_at - time.monotonic()) > 0:
                        self._changed.wait(left_s)

    def _take(self, lead: Lead) -> str:
        """Take the lead; returns why it could not be had."""
        try:
            epoch = lead.take()
        except (RemoteObjError, OSError) as error:
            return f"the master has not got the lead, so nobody may take over: {error}"
        self._note_epoch(epoch, lead.address, lambda: self.lead_is(epoch))
        with self._lock:
            self.why_not = ""
            self._has_lead = True
            self.epoch = epoch
        return ""

    def lead_is(self, epoch: int) -> None:
        """The master has the lead, and the journal says so: from now on copies come into step."""
        with self._lock:
            self.epoch = epoch
            self._has_lead = self._steps.may_name = True

    def _say(self, lead: Lead, order: str) -> str:
        """Have the name server know who may take over; returns why it does not."""
        try:
            lead.name(order, self._met.get(order, ""))
        except RemoteObjError as error:
            what = "the standby is in step" if order else "the standby is gone"
            return f"the name server does not know yet that {what}: {error}"
        with self._lock:
            self.why_not = ""
            self._due += self._steps.said(order)
            polls = self._take_parked(time.monotonic())
        for copy_id, parked in polls:  # so that it knows it at once
            self._answer(copy_id, parked)
        if order:
            _log.info("farm %r: a standby is in step", self._label)
        else:
            _log.warning("farm %r: the standby is gone, and the master goes on alone", self._label)
        self._call()
        return ""


def _note_nothing(epoch: int, address: str, callback: Callable[[], None]) -> None:
    callback()


def _numbered(rows: Written) -> list[NUMBERED]:
    return [(number, checksum(number, body), body) for number, body in rows]


def _bytes_of(rows: Rows) -> int:
    return sum(len(body) for _, _, body in (*rows.facts, *rows.payloads))
