"""The reception: what scripts that attach call, and the command line.

Each verb takes and gives one packed message (``masterslave.protocol.attaching``). What is asked for
and cannot be done is said in the answer, in words.
"""

from __future__ import annotations

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
from masterslave.service.admitting import admission_of, why_another, why_not, why_other
from masterslave.service.desk import Desk
from masterslave.service.functions import NotTaken
from masterslave.service.lobby import Lobby
from masterslave.service.visits import Visit, answers_of
from remoteobj import BadInput, DeferredReply, expose, on_disconnect
from remoteobj.callers import current_context

__all__ = ["Reception"]

_MOST_BYTES = 4 * 1024 * 1024
_VISITOR_CHARS = 64

_Verb = TypeVar("_Verb", Request, Cancel, Leave)


class Reception:
    """Exposed beside the farm's door; for this user, and members of the cluster, not for slaves.

    Args:
        admission: What each script is told that is let in, beside what is its own.
        why_waiting: Says in words what tasks wait for.

    Attributes:
        lobby: Where scripts wait for answers.
    """

    def __init__(
        self,
        admission: Admission,
        make_desk: Callable[[Lobby], Desk],
        why_waiting: Callable[[], str],
    ) -> None:
        self._admission = admission
        self.lobby = Lobby(admission.heartbeat_s, why_waiting)
        self._desk = make_desk(self.lobby)

    # What scripts call.

    @expose
    def attach(self, message: bytes) -> bytes | DeferredReply:
        """Let a script in (``Greeting -> Admission``); its ticket stays when it is gone."""
        greeting = decode(message, Greeting)
        reason = why_other(greeting, self._admission)
        if reason:
            return encode(Admission(refused=reason, is_other=True))
        reason, visitor = why_not(greeting), greeting.visitor[:_VISITOR_CHARS]
        ticket: Ticket | None = None
        rows: list[tuple[int, int, str]] = []
        if not reason and greeting.ticket:
            ticket = self._desk.book.find(greeting.ticket)
            if ticket is None:
                reason = f"there is no ticket {greeting.ticket[:100]!r} here (any more): "
                reason += "'masterslave jobs' lists those that there are"
            else:  # it is told of these; should more come from somebody else, ``submit`` sees that
                rows = self._rows(ticket)
                if not greeting.is_whole:
                    reason = self._why_not_again(ticket, visitor, greeting.taken)
        if reason:
            return encode(Admission(refused=reason))
        if ticket is None:
            ticket = self._desk.make(greeting)
        visit = Visit(self._desk.book, ticket, _caller(), visitor, self.lobby.wake)
        self._welcome(visit, greeting)
        on_disconnect(partial(self.lobby.gone, visit))
        admission = encode(admission_of(self._admission, ticket.made.name, rows))
        return self._when_on_disk(lambda: admission)

    @expose
    def submit(self, message: bytes) -> bytes | DeferredReply:
        """Take tasks in (``Request -> Taken``), and say so when they are on the disk."""
        return self._do(
            Request, message, lambda visit, one: self._desk.submit(visit.ticket, one, visit.visitor)
        )

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
        return self._do(
            Cancel, message, lambda visit, one: self._desk.cancel(visit.ticket, one.serials)
        )

    @expose
    def leave(self, message: bytes) -> bytes | DeferredReply:
        """Let a script go (``Leave -> Taken``)."""

        def go(visit: Visit, leave: Leave) -> None:
            self.lobby.dismiss(visit.ticket.made.index, "it has left", is_out=True)
            if leave.forget:
                self._desk.forget(visit.ticket)
                self.lobby.forget(visit.ticket.made.index)

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
        self.lobby.wait(visit, reply.set)
        return reply

    # What people call.

    @expose
    def jobs(self) -> list[dict[str, Any]]:
        """Return each ticket as plain data."""
        with self._desk.book.lock:
            tickets = list(self._desk.book.tickets)
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
        book, size = self._desk.book, 0
        with book.lock:
            rows = list(ticket.runs(first, count, are_open=False))
        for row in rows:
            for answer in answers_of(book, ticket, *row):
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
        why = f"ticket {ticket} was forgotten: attach anew"
        self.lobby.dismiss(found.made.index, why, is_out=False)
        self._desk.forget(found)
        self.lobby.forget(found.made.index)
        return self._when_on_disk(lambda: True)

    # Inside.

    def _rows(self, ticket: Ticket) -> list[tuple[int, int, str]]:
        name = self._desk.functions.name
        with self._desk.book.lock:
            count = ticket.count
            return [
                (row.first, min(row.count, count - row.first), name(row.function))
                for row in ticket.rows
                if row.first < count
            ]

    def _welcome(self, visit: Visit, greeting: Greeting) -> None:
        """Have a script told of its ticket, from what is answered already on."""
        ticket = visit.ticket
        self.lobby.enter(visit)
        # What is told from here on is; what was recorded before may not be on the disk yet.
        rows = ((0, ticket.count),) if greeting.is_whole else greeting.open
        with self._desk.book.lock:
            done = [run for row in rows for run in ticket.runs(*row, are_open=False)]

        def tell() -> None:
            for run in done:
                visit.tell(*run)

        self._desk.book.after(tell)

    def _why_not_again(self, ticket: Ticket, visitor: str, taken: int) -> str:
        """Return why somebody is not let in who comes again; empty: it is.

        Args:
            taken: What it knows to be taken: all from there on has to be its own, or it would take
                the tasks of somebody else for those that it has sent.
        """
        visit = self.lobby.at(ticket.made.index)
        if visit is not None and visit.visitor != visitor:
            return f"somebody else has come with ticket {ticket.made.name} since"
        if taken >= 0 and self._desk.has_from_another(ticket, taken, visitor):
            return why_another(ticket.made.name)
        return ""

    def _visit(self, ticket: str) -> Visit | None:
        """Return the visit of who calls, if this is its ticket."""
        return self.lobby.find(ticket, _caller())

    def _found(self, name: str) -> Ticket:
        ticket = self._desk.book.find(name)
        if ticket is None:
            raise BadInput(f"there is no ticket {name[:100]!r} here: 'masterslave jobs' lists them")
        return ticket

    def _do(
        self, kind: type[_Verb], message: bytes, act: Callable[[Visit, _Verb], None]
    ) -> bytes | DeferredReply:
        """Do what a script that is here asks for, and say so when it is on the disk."""
        asked = decode(message, kind)
        visit = self._visit(asked.ticket)
        if visit is None:
            return encode(Taken(refused=_NOT_HERE, is_out=True))
        ticket = visit.ticket
        refused = ""
        try:
            act(visit, asked)
        except NotTaken as error:
            refused = str(error)
        taken = encode(Taken(ticket.count, refused))
        return self._when_on_disk(lambda: taken)

    def _when_on_disk(self, value: Callable[[], object]) -> DeferredReply:
        reply = DeferredReply()
        self._desk.book.after(lambda: reply.set(value()))
        return reply

    def _job(self, ticket: Ticket) -> dict[str, Any]:
        made = ticket.made
        with self._desk.book.lock:
            count, done, failed = ticket.count, ticket.done, ticket.failed
        return {
            "ticket": made.name,
            "script": made.script,
            "host": made.host,
            "pid": made.pid,
            "since": made.at,
            "state": "attached" if self.lobby.at(made.index) else "detached",
            "tasks": count,
            "done": done,
            "failed": failed,
            "waiting": count - done,
        }


_NOT_HERE = "this script is not attached with that ticket (any more): attach again"


def _caller() -> object:
    """Return what all calls of one process have in common."""
    context = current_context()
    return None if context is None else context.caller
