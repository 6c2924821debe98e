"""What a start takes up again: each task of a ticket that has no answer, with no script present.

Those that slaves may still have of an earlier run wait for them (``master.inherited``).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from masterslave.errors import JournalUnusable
from masterslave.journal.facts import NO_PLACE, Place
from masterslave.journal.tickets import Sent, Ticket, key_of
from masterslave.master.submission import Failed, Function, Single, Submission
from masterslave.packed import PICKLED
from masterslave.protocol.hand_outs import CALL
from masterslave.scheduler import Terms
from masterslave.service.book import TicketBook
from masterslave.service.desk import Desk
from masterslave.service.functions import NotTaken
from masterslave.service.submissions import (
    HELD_BYTES,
    PackedSingle,
    PackedSpan,
    Places,
    raised_in,
)

__all__ = ["take_up"]

log = logging.getLogger("masterslave")

_LOST = "a function that was lost"


def take_up(desk: Desk) -> int:
    """Put in what is open; returns how many tasks that are. Blocks: on the disk."""
    taken = 0
    for ticket in list(desk.book.tickets):
        _count_raised(desk.book, ticket)
        taking_up = _TakingUp(desk, ticket)
        submissions = list(taking_up)
        if taking_up.lost:  # first: what is to follow these fails with them
            log.error("ticket %s: %d tasks are lost", ticket.made.name, len(taking_up.lost))
            _fail(desk, taking_up.lost)
        desk.master.take_in(submissions)
        taken += sum(one.count if one.is_span else 1 for one in submissions)
    return taken


def _fail(desk: Desk, lost: list[PackedSingle]) -> None:
    """Answer tasks of which nothing is known any more; no slave is here yet."""
    desk.master.take_in(lost)
    error = Failed(
        JournalUnusable("what was known of it was in a part of the journal that was lost")
    )
    desk.master.view(lambda decisions: decisions.fail([one.number for one in lost], error))


def _count_raised(book: TicketBook, ticket: Ticket) -> None:
    with contextlib.suppress(JournalUnusable):  # it is only a count
        raised = sum(raised_in(book.read(one.place), one.skip, 1) for one in ticket.mixed())
        book.note_raised(ticket.made.index, raised)


class _TakingUp:
    """Makes submissions of what a ticket has open.

    Attributes:
        lost: What cannot be run, since a file that was damaged does not say how.
    """

    def __init__(self, desk: Desk, ticket: Ticket) -> None:
        self._desk = desk
        self._ticket = ticket
        self._whose = ticket.made.index, ticket.made.name
        self._known: dict[int, Single] = {}
        self.lost: list[PackedSingle] = []

    def __iter__(self) -> Iterator[Submission]:
        for row in self._ticket.rows:
            runs = list(self._open_runs(row))
            if not runs:
                continue
            try:
                function = self._desk.functions.find(row.function)
                terms = self._terms(row, runs, function)
            except (JournalUnusable, NotTaken) as error:
                log.error("ticket %s: %s", self._ticket.made.name, error)
                for first, count in runs:
                    for serial in range(first, first + count):
                        self._lose(row, serial)
                continue
            make = self._singles if row.form == CALL else self._spans
            after = self._desk.predecessors(self._ticket, row.after, self._known)
            for first, count in runs:
                for one in make(row, first, count, function, terms):
                    if after:
                        one.after = after
                    yield one

    def _open_runs(self, row: Sent) -> Iterator[tuple[int, int]]:
        """Return what is open, save what a file that was damaged has lost."""
        ticket, count = self._ticket, 0
        for first, many in ticket.runs(row.first, row.count, are_open=True):
            for serial in range(first, first + many + 1):
                if serial < first + many and ticket[serial].place.size:
                    count += 1
                    continue
                if count:
                    yield serial - count, count
                    count = 0
                if serial < first + many:
                    self._lose(row, serial)

    def _lose(self, row: Sent, serial: int) -> None:
        name, digest = self._desk.functions.name(row.function), row.function
        if not name:  # nor is that known any more
            name, digest = _LOST, b""
        function = Function(digest, b"", name, name)
        single = PackedSingle(self._desk, self._whose, serial, function, Terms(0), NO_PLACE, b"")
        self._known[serial] = single
        self.lost.append(single)

    def _terms(self, row: Sent, runs: list[tuple[int, int]], function: Function) -> Terms:
        read, ticket = self._desk.book.read, self._ticket
        is_pickled = function.is_named and any(
            read(ticket[serial].place)[:1] == PICKLED
            for first, count in runs
            for serial in range(first, first + count)
        )
        return self._desk.terms.read(ticket.made.name, function, row.terms, is_pickled=is_pickled)

    def _singles(
        self, row: Sent, first: int, count: int, function: Function, terms: Terms
    ) -> Iterator[Submission]:
        read = self._desk.book.read
        for serial in range(first, first + count):
            place = self._ticket[serial].place
            try:
                held = read(place) if place.size <= HELD_BYTES else read
            except JournalUnusable:
                self._lose(row, serial)
                continue
            single = PackedSingle(self._desk, self._whose, serial, function, terms, place, held)
            self._known[serial] = single
            yield single

    def _spans(
        self, row: Sent, first: int, count: int, function: Function, terms: Terms
    ) -> Iterator[Submission]:
        """Return items in a row; each that a slave may bring is alone, so that it can wait."""
        start = first
        for serial in range(first, first + count):
            if self._desk.master.may_come(key_of(self._whose[1], serial)):
                yield from self._span(row, start, serial - start, function, terms)
                yield from self._span(row, serial, 1, function, terms)
                start = serial + 1
        yield from self._span(row, start, first + count - start, function, terms)

    def _span(
        self, row: Sent, first: int, count: int, function: Function, terms: Terms
    ) -> Iterator[Submission]:
        if count:
            places: list[Place] = [self._ticket[first + at].place for at in range(count)]
            yield PackedSpan(
                self._desk, self._whose, first, function, terms, row.form, Places(places),
                self._desk.book.read,
            )  # fmt: skip
