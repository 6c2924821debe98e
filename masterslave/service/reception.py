"""The reception: what scripts that attach call, and the command line.

Each verb takes and gives one packed message (``masterslave.protocol.attaching``). What is asked for
and cannot be done is said in the answer, in words.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from masterslave.journal.tickets import Ticket
from masterslave.protocol.attaching import (
    Admission,
    Answers,
    Cancel,
    Collect,
    Greeting,
    Leave,
    Offer,
    Request,
    SentAnswer,
    Taken,
)
from masterslave.protocol.encoding import decode, encode
from masterslave.service.admitting import admission_of, why_not, why_other
from masterslave.service.desk import Desk
from masterslave.service.functions import NotTaken
from masterslave.service.visits import Visit, answers_of
from remoteobj import BadInput, DeferredReply, expose, on_disconnect
from remoteobj.callers import current_context

__all__ = ["Reception"]

log = logging.getLogger("masterslave")

_MOST_BYTES = 4 * 1024 * 1024

_Verb = TypeVar("_Verb", Request, Cancel, Leave)


class Reception:
    """Exposed beside the farm's door; for this user, and members of the cluster, not for slaves.

    Args:
        admission: What each script is told that is let in, beside what is its own.
        why_waiting: Says in words what tasks wait for.
    """

    def __init__(
        self,
        admission: Admission,
        make_desk: Callable[[Reception], Desk],
        why_waiting: Callable[[], str],
    ) -> None:
        self._admission = admission
        self._why_waiting = why_waiting
        self._lock = threading.Lock()
        self._visits: dict[int, Visit] = {}
        self._due: dict[Visit, None] = {}
        self._has_due = threading.Condition(self._lock)
        self._is_closed = False
        self._thread = threading.Thread(target=self._keep_answering, name="reception", daemon=True)
        self._desk = make_desk(self)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more. Blocks until its thread has ended."""
        with self._lock:
            self._is_closed = True
            self._has_due.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    # What scripts call.

    @expose
    def attach(self, message: bytes) -> bytes | DeferredReply:
        """Let a script in (``Greeting -> Admission``); its ticket stays when it is gone."""
        greeting = decode(message, Greeting)
        reason = why_other(greeting, self._admission)
        if reason:
            return encode(Admission(refused=reason, is_other=True))
        reason = why_not(greeting)
        ticket = None
        if not reason and greeting.ticket:
            ticket = self._desk.ledger.find(greeting.ticket)
            if ticket is None:
                reason = f"there is no ticket {greeting.ticket[:100]!r} here (any more): "
                reason += "'masterslave jobs' lists those that there are"
            elif not greeting.is_whole and self._has_another(ticket, greeting):
                reason = f"somebody else has come with ticket {ticket.made.name} since"
        if reason:
            return encode(Admission(refused=reason))
        if ticket is None:
            ticket = self._desk.make(greeting)
        visit = Visit(self._desk.ledger, ticket, _caller(), greeting.visitor, self._wake)
        self._welcome(visit, greeting)
        on_disconnect(partial(self._gone, visit))
        name = ticket.made.name
        return self._when_on_disk(
            lambda: encode(admission_of(self._admission, name, self._rows(ticket)))
        )

    @expose
    def submit(self, message: bytes) -> bytes | DeferredReply:
        """Take tasks in (``Request -> Taken``), and say so when they are on the disk."""
        return self._do(Request, message, self._desk.submit)

    @expose
    def offer(self, message: bytes) -> bytes | DeferredReply:
        """Take some of a shared object (``Offer -> Taken``): 1 when all of it is on the disk."""
        offer = decode(message, Offer)
        visit = self._visit(offer.ticket)
        if visit is None:
            return encode(Taken(refused=_NOT_HERE, is_out=True))
        try:
            is_whole = self._desk.objects.take(visit.ticket, offer)
        except NotTaken as error:
            return encode(Taken(refused=str(error)))
        taken = encode(Taken(int(is_whole)))
        return self._when_on_disk(lambda: taken) if is_whole else taken

    @expose
    def cancel(self, message: bytes) -> bytes | DeferredReply:
        """Drop tasks (``Cancel -> Taken``)."""
        return self._do(Cancel, message, lambda ticket, one: self._desk.cancel(ticket, one.serials))

    @expose
    def leave(self, message: bytes) -> bytes | DeferredReply:
        """Let a script go (``Leave -> Taken``)."""

        def go(ticket: Ticket, leave: Leave) -> None:
            with self._lock:
                visit = self._visits.pop(ticket.made.index, None)
                poll = self._take_poll(visit) if visit is not None else None
            if poll is not None:
                poll(encode(Answers(0, refused="it has left", is_out=True)))
            if leave.forget:
                self._desk.forget(ticket)

        return self._do(Leave, message, go)

    @expose
    def collect(self, message: bytes) -> bytes | DeferredReply:
        """Return answers (``Collect -> Answers``), a heartbeat later at the latest."""
        asked = decode(message, Collect)
        visit = self._visit(asked.ticket)
        if visit is None:
            return encode(Answers(0, refused=_NOT_HERE, is_out=True))
        if not visit.acknowledge(asked.acknowledged):
            why = f"{asked.acknowledged} answers cannot have come: attach anew"
            return encode(Answers(0, refused=why, is_out=True))
        if visit.has_news:
            return encode(visit.gather())
        reply = DeferredReply()
        with self._lock:
            visit.until = time.monotonic() + self._admission.heartbeat_s
            old, visit.poll = visit.poll, reply.set
            if visit.has_news:  # come meanwhile
                self._due[visit] = None
            self._has_due.notify()
        if old is not None:
            old(encode(Answers(0, refused="it asks twice at a time", is_out=True)))
        return reply

    # What people call.

    @expose
    def jobs(self) -> list[dict[str, Any]]:
        """Return each ticket as plain data."""
        with self._desk.ledger.lock:
            tickets = list(self._desk.ledger.tickets)
        return [self._job(ticket) for ticket in tickets]

    @expose
    def functions(self, ticket: str) -> list[tuple[int, int, str]]:
        """Return the functions of a ticket's tasks: ``(first, count, name)`` of each row.

        Raises:
            BadInput: There is no such ticket.
        """
        return self._rows(self._found(ticket))

    @expose
    def results(self, ticket: str, first: int, most: int) -> DeferredReply:
        """Return answers of a ticket (``Answers``), those of *most* tasks from serial *first* on.

        Raises:
            BadInput: There is no such ticket.
        """
        found = self._found(ticket)
        told = encode(Answers(first, tuple(self._answers(found, first, min(most, found.count)))))
        return self._when_on_disk(lambda: told)

    def _answers(self, ticket: Ticket, first: int, count: int) -> Iterator[SentAnswer]:
        ledger, size = self._desk.ledger, 0
        with ledger.lock:
            rows = list(ticket.runs(first, count, are_open=False))
        for row in rows:
            for answer in answers_of(ledger, ticket, *row):
                yield answer
                size += len(answer.payload)
                if size > _MOST_BYTES:
                    return

    @expose
    def forget(self, ticket: str) -> DeferredReply:
        """Drop a ticket's tasks and answers; returns when that is on the disk.

        Raises:
            BadInput: There is no such ticket.
        """
        found = self._found(ticket)
        with self._lock:
            visit = self._visits.pop(found.made.index, None)
            poll = self._take_poll(visit) if visit is not None else None
        self._desk.forget(found)
        if poll is not None:
            poll(encode(Answers(0, refused=f"ticket {ticket} was forgotten: attach anew")))
        return self._when_on_disk(lambda: True)

    # What the desk says; see there. None of it waits.

    def tell(self, ticket: int, first: int, count: int) -> None:
        """Tasks have their answers."""
        visit = self._visits.get(ticket)
        if visit is not None:
            visit.tell(first, count)

    def tell_part(self, ticket: int, serial: int, kind: int, item: int, payload: bytes) -> None:
        """A task has yielded something."""
        visit = self._visits.get(ticket)
        if visit is not None:
            visit.tell_part(serial, kind, item, payload)

    # Inside.

    def _rows(self, ticket: Ticket) -> list[tuple[int, int, str]]:
        name = self._desk.functions.name
        with self._desk.ledger.lock:
            count = ticket.count
            return [
                (row.first, min(row.count, count - row.first), name(row.function))
                for row in ticket.rows
                if row.first < count
            ]

    def _welcome(self, visit: Visit, greeting: Greeting) -> None:
        """Have a script told of its ticket, from what is answered already on."""
        ticket = visit.ticket
        with self._lock:
            before = self._visits.get(ticket.made.index)
            poll = self._take_poll(before) if before is not None else None
            self._visits[ticket.made.index] = visit
        if poll is not None:
            poll(encode(Answers(0, refused="it was attached anew, from elsewhere", is_out=True)))
        # What is told from here on is; what was recorded before may not be on the disk yet.
        rows = ((0, ticket.count),) if greeting.is_whole else greeting.open
        with self._desk.ledger.lock:
            done = [run for row in rows for run in ticket.runs(*row, are_open=False)]

        def tell() -> None:
            for run in done:
                visit.tell(*run)

        self._desk.ledger.after(tell)

    def _has_another(self, ticket: Ticket, greeting: Greeting) -> bool:
        """Tell whether somebody else is here with the ticket of who comes again."""
        with self._lock:
            visit = self._visits.get(ticket.made.index)
        return visit is not None and visit.visitor != greeting.visitor

    def _gone(self, visit: Visit) -> None:
        with self._lock:
            index = visit.ticket.made.index
            if self._visits.get(index) is visit:
                del self._visits[index]
            visit.poll = None

    def _visit(self, ticket: str) -> Visit | None:
        """Return the visit of who calls, if this is its ticket."""
        whose = _caller()
        with self._lock:
            for visit in self._visits.values():
                if visit.ticket.made.name == ticket:
                    return visit if visit.whose is whose else None
        return None

    def _found(self, name: str) -> Ticket:
        ticket = self._desk.ledger.find(name)
        if ticket is None:
            raise BadInput(f"there is no ticket {name[:100]!r} here: 'masterslave jobs' lists them")
        return ticket

    def _do(
        self, kind: type[_Verb], message: bytes, act: Callable[[Ticket, _Verb], None]
    ) -> bytes | DeferredReply:
        """Do what a script that is here asks for, and say so when it is on the disk."""
        asked = decode(message, kind)
        visit = self._visit(asked.ticket)
        if visit is None:
            return encode(Taken(refused=_NOT_HERE, is_out=True))
        ticket = visit.ticket
        try:
            act(ticket, asked)
        except NotTaken as error:
            return encode(Taken(ticket.count, refused=str(error)))
        taken = Taken(ticket.count)
        return self._when_on_disk(lambda: encode(taken))

    def _when_on_disk(self, value: Callable[[], object]) -> DeferredReply:
        reply = DeferredReply()
        self._desk.ledger.after(lambda: reply.set(value()))
        return reply

    def _job(self, ticket: Ticket) -> dict[str, Any]:
        made = ticket.made
        with self._desk.ledger.lock:
            count, done, failed = ticket.count, ticket.done, ticket.failed
        return {
            "ticket": made.name,
            "script": made.script,
            "host": made.host,
            "pid": made.pid,
            "since": made.at,
            "state": "attached" if made.index in self._visits else "detached",
            "tasks": count,
            "done": done,
            "failed": failed,
            "waiting": count - done,
        }

    # Its thread: answers those who wait.

    def _wake(self, visit: Visit) -> None:
        with self._lock:
            self._due[visit] = None
            self._has_due.notify()

    @staticmethod
    def _take_poll(visit: Visit) -> Callable[[bytes], None] | None:
        poll, visit.poll = visit.poll, None
        return poll

    def _keep_answering(self) -> None:
        while True:
            with self._lock:
                if not (self._due or self._is_closed):
                    self._has_due.wait(self._seconds())
                if self._is_closed:
                    return
                now = time.monotonic()
                due = [*self._due, *(one for one in self._visits.values() if one.until <= now)]
                self._due.clear()
                polls = [
                    (visit, poll)
                    for visit in dict.fromkeys(due)
                    if (poll := self._take_poll(visit)) is not None
                ]
            for visit, poll in polls:
                try:
                    waits = "" if visit.has_news else self._waits(visit)
                    poll(encode(visit.gather(waits)))
                except Exception:  # the others are answered all the same
                    log.exception("a script could not be answered")

    def _seconds(self) -> float | None:
        """Return until when somebody has to be answered; the lock is held."""
        untils = [visit.until for visit in self._visits.values() if visit.poll is not None]
        return max(0.001, min(untils) - time.monotonic()) if untils else None

    def _waits(self, visit: Visit) -> str:
        return self._why_waiting() if visit.ticket.done < visit.ticket.count else ""


_NOT_HERE = "this script is not attached with that ticket (any more): attach again"


def _caller() -> object:
    """Return what all calls of one process have in common."""
    context = current_context()
    return None if context is None else context.caller
