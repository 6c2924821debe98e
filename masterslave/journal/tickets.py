"""Tickets: tasks that scripts have left with a farm, and what became of each (pure).

The tasks of a ticket have serials: 0, 1, 2 ... in the order in which they were submitted. Whenever
a master takes them in, they get numbers, as all tasks do; a serial has one number for each run in
which it was taken in. Tickets have numbers of their own, by which notes name them.

What is known of a serial takes 34 bytes: its latest number, and where its arguments are, or its
answer.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from hashlib import blake2b
from operator import attrgetter

import msgspec
from msgspec import Struct

from masterslave.journal.facts import KEY_BYTES, NO_PLACE, Ended, Noted, Place, Settled, Submitted

__all__ = [
    "ANSWERS",
    "MADE",
    "NOTES",
    "OPEN",
    "Answer",
    "Sent",
    "Ticket",
    "TicketMade",
    "Tickets",
    "key_of",
    "note_forgotten",
    "note_made",
    "note_numbered",
    "note_sent",
]

MADE, SENT, NUMBERED, FORGOTTEN = "ticket", "submission", "numbered", "ticket forgotten"
NOTES = (MADE, SENT, NUMBERED, FORGOTTEN)
"""Kinds of notes that are about tickets."""

OPEN = 0
ANSWERS = ("", "outcome", "given up", "cancelled", "failed", "unable", "predecessor failed")
"""What is known of a serial, in the words of ``facts.Ended``; its number is its place here."""

_OUTCOME = 1
_VALUE, _RAISED, _MIXED = range(3)  # as in protocol.outcomes
_first = attrgetter("first")
_alike = attrgetter("function", "terms", "form", "visitor")


class TicketMade(Struct, frozen=True, array_like=True):
    """A script was given a ticket.

    Attributes:
        index: By which other notes name it.
        at: When, in seconds since 1970.
    """

    index: int
    name: str
    script: str
    host: str
    pid: int
    at: float


class Sent(Struct, array_like=True):
    """A ticket's tasks were submitted: see ``protocol.attaching.SentTasks``.

    Attributes:
        index: Of the ticket.
        first: Serial of the first.
        function: Digest.
        visitor: Who submitted them, as ``protocol.attaching.Greeting`` has it; empty where that
            was not written down.
    """

    index: int
    first: int
    count: int
    function: bytes
    terms: bytes
    form: int
    after: tuple[int, ...] = ()
    item_bytes: int = 0
    given: tuple[tuple[bytes, int], ...] = ()
    visitor: str = ""


class _Numbered(Struct, frozen=True, array_like=True):
    """Tasks of a ticket have got numbers, in a row."""

    index: int
    first: int
    number: int
    count: int


class _Forgotten(Struct, frozen=True, array_like=True):
    index: int


class Answer(Struct, frozen=True):
    """What is known of a serial.

    Attributes:
        what: OPEN, or which of ``ANSWERS``.
        kind: Of an outcome: ``protocol.outcomes``.
        number: Of the task; the latest.
        place: Of an open one, its arguments; else the payload.
        skip: Which of the payload's items it is; below 0: the payload is its alone, and -1 - skip
            parts came before it.
        slave: Its number in the journal; -1: none.
    """

    what: int
    kind: int
    number: int
    place: Place
    skip: int
    slave: int


_encode = msgspec.msgpack.encode
_FORM = struct.Struct("<QQIIiiBB")
_SIZE = _FORM.size


def key_of(ticket: str, serial: int) -> bytes:
    """Return the key of a ticket's task, by which every run knows it."""
    return blake2b(b"%s\0%d" % (ticket.encode(), serial), digest_size=KEY_BYTES).digest()


def note_made(made: TicketMade) -> Noted:
    """Return the fact that a ticket was given."""
    return Noted(MADE, _encode(made))


def note_sent(sent: Sent) -> Noted:
    """Return the fact that tasks were submitted; their arguments come with their numbers."""
    return Noted(SENT, _encode(sent))


def note_numbered(index: int, first: int, number: int, count: int) -> Noted:
    """Return the fact that tasks have got numbers."""
    return Noted(NUMBERED, _encode(_Numbered(index, first, number, count)))


def note_forgotten(index: int) -> Noted:
    """Return the fact that a ticket is wanted no more."""
    return Noted(FORGOTTEN, _encode(_Forgotten(index)))


class Ticket:
    """The tasks of one script.

    Attributes:
        rows: How they were submitted, in order of their serials.
        done: How many have an answer.
        failed: How many of these have none that is a value. Of hand-outs in which some items
            raised, who can read their payloads adds that.
    """

    def __init__(self, made: TicketMade) -> None:
        self.made = made
        self.rows: list[Sent] = []
        self.done = self.failed = 0
        self._known = bytearray()

    @property
    def count(self) -> int:
        """How many tasks it has: those whose arguments are known."""
        return len(self._known) // _SIZE

    def __getitem__(self, serial: int) -> Answer:
        number, row, offset, size, skip, slave, what, kind = _FORM.unpack_from(
            self._known, serial * _SIZE
        )
        return Answer(what, kind, number, Place(row, offset, size), skip, slave)

    def what(self, serial: int) -> int:
        """Return OPEN, or which of ``ANSWERS`` a task has."""
        return self._known[serial * _SIZE + _SIZE - 2]

    def has_failed(self, serial: int) -> bool:
        """Tell whether a single task has an answer that is no value."""
        what, kind = self._known[(end := (serial + 1) * _SIZE) - 2 : end]
        return what != OPEN and (what != _OUTCOME or kind != _VALUE)

    def row_of(self, serial: int) -> Sent:
        """Return how a task was submitted."""
        return self.rows[bisect_right(self.rows, serial, key=_first) - 1]

    def has_from_another(self, first: int, visitor: str) -> bool:
        """Tell whether tasks from a serial on are known to be of another visitor."""
        at = max(0, bisect_right(self.rows, first, key=_first) - 1)
        return any(
            max(first, row.first) < min(row.first + row.count, self.count)
            and row.visitor not in ("", visitor)
            for row in self.rows[at:]
        )

    def mixed(self) -> Iterator[Answer]:
        """Return answers of items of which some have raised."""
        for serial in range(self.count):
            what, kind = self._known[(end := (serial + 1) * _SIZE) - 2 : end]
            if what == _OUTCOME and kind == _MIXED:
                yield self[serial]

    def runs(self, first: int, count: int, *, are_open: bool) -> Iterator[tuple[int, int]]:
        """Return those of these tasks that are open, or those that are not, row by row."""
        start = -1
        end = min(first + count, self.count)
        for serial in range(max(0, first), end):
            if (self.what(serial) == OPEN) == are_open:
                start = serial if start < 0 else start
            elif start >= 0:
                yield start, serial - start
                start = -1
        if start >= 0:
            yield start, end - start

    def send(self, sent: Sent) -> None:
        """Take in how tasks were submitted: again, if they are not known yet."""
        rows = self.rows
        while rows and rows[-1].first >= sent.first:
            rows.pop()
        last = rows[-1] if rows else None
        if last is not None:
            last.count = min(last.count, sent.first - last.first)
            is_alike = last.first + last.count == sent.first and (_alike(last) == _alike(sent))
            if is_alike and not last.after and not sent.after:
                last.count += sent.count
                last.item_bytes = max(last.item_bytes, sent.item_bytes)
                return
        rows.append(sent)

    def number(self, serial: int, number: int, place: Place) -> None:
        """A task has got a number; *place* is where its arguments are.

        In a file that was compacted, tasks that were taken up later come after others.
        """
        if serial >= self.count:
            self._known += bytes(_SIZE) * (serial - self.count + 1)
        if self.what(serial) == OPEN:
            self._put(serial, number, place, -1, -1, OPEN, 0)

    def answer(
        self, serial: int, what: int, kind: int, place: Place, skip: int, slave: int
    ) -> bool:
        """A task has its answer; returns whether it is the first."""
        if serial >= self.count or self.what(serial) != OPEN:
            return False
        (number,) = struct.unpack_from("<Q", self._known, serial * _SIZE)
        self._put(serial, number, place, skip, slave, what, kind)
        self.done += 1
        self.failed += what != _OUTCOME or kind == _RAISED
        return True

    def _put(
        self, serial: int, number: int, place: Place, skip: int, slave: int, what: int, kind: int
    ) -> None:
        _FORM.pack_into(
            self._known, serial * _SIZE,
            number, place.row, place.offset, place.size, skip, slave, what, kind,
        )  # fmt: skip


class Tickets:
    """All tickets, by their numbers, and which task is whose.

    Attributes:
        by_index: Those that are not forgotten.
        next_index: Number of the next ticket.
    """

    def __init__(self) -> None:
        self.by_index: dict[int, Ticket] = {}
        self.next_index = 0
        self._numbers = array("Q")
        self._rows: list[_Numbered] = []

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self.by_index.values())

    def find(self, number: int) -> tuple[int, int] | None:
        """Return the ticket's number and the serial of a task; None: it is of no ticket."""
        at = bisect_right(self._numbers, number) - 1
        if at < 0:
            return None
        row = self._rows[at]
        return (
            (row.index, row.first + number - row.number)
            if number < row.number + row.count
            else None
        )

    def note(self, fact: Noted) -> int | None:
        """Take in a note; returns the number of the ticket that it forgets, if it does."""
        body = fact.body
        if fact.kind == MADE:
            made = msgspec.msgpack.decode(body, type=TicketMade)
            self.by_index[made.index] = Ticket(made)
            self.next_index = max(self.next_index, made.index + 1)
        elif fact.kind == SENT:
            sent = msgspec.msgpack.decode(body, type=Sent)
            if sent.index in self.by_index:
                self.by_index[sent.index].send(sent)
        elif fact.kind == NUMBERED:
            self._number(msgspec.msgpack.decode(body, type=_Numbered))
        elif fact.kind == FORGOTTEN:
            return msgspec.msgpack.decode(body, type=_Forgotten).index
        return None

    def notes(self) -> Iterator[Noted]:
        """Return all that is known of those that are not forgotten, save arguments and answers."""
        for ticket in self:
            yield note_made(ticket.made)
            yield from map(note_sent, ticket.rows)
        for row in self._rows:
            if row.index in self.by_index:
                yield note_numbered(row.index, row.first, row.number, row.count)

    def numbers_of(self, index: int) -> Iterator[int]:
        """Return all numbers that tasks of a ticket have had."""
        for row in self._rows:
            if row.index == index:
                yield from range(row.number, row.number + row.count)

    def is_latest(self, number: int) -> bool:
        """Tell whether a task is a ticket's, by its latest number."""
        found = self.find(number)
        ticket = self.by_index.get(found[0]) if found else None
        if ticket is None or found is None or found[1] >= ticket.count:
            return False
        return ticket[found[1]].number == number

    def forget(self, index: int) -> Ticket | None:
        """A ticket is wanted no more; returns it."""
        return self.by_index.pop(index, None)

    def _number(self, row: _Numbered) -> None:
        last = self._rows[-1] if self._rows else None
        if (
            last is not None
            and last.index == row.index
            and last.number + last.count == row.number
            and last.first + last.count == row.first
        ):
            count = last.count + row.count
            self._rows[-1] = _Numbered(last.index, last.first, last.number, count)
        elif last is None or last.number + last.count <= row.number:
            self._rows.append(row)
            self._numbers.append(row.number)

    def submit(self, fact: Submitted) -> None:
        """Tasks were submitted, or are so again."""
        arguments = fact.arguments
        for at in range(len(fact.keys) // KEY_BYTES):
            found = self.find(fact.first + at)
            ticket = self.by_index.get(found[0]) if found else None
            if ticket is not None and found is not None:
                place = arguments[at] if at < len(arguments) else NO_PLACE  # nobody runs it again
                ticket.number(found[1], fact.first + at, place)

    def settle(self, fact: Settled) -> None:
        """Tasks were answered by an outcome."""
        for at in range(fact.count):
            skip = fact.skip + at if fact.skip >= 0 else fact.skip
            self._answer(fact.task + at, _OUTCOME, fact.kind, fact.place, skip, fact.slave)

    def end(self, fact: Ended) -> None:
        """Tasks were answered without an outcome."""
        place = fact.place or NO_PLACE
        what = ANSWERS.index(fact.why) if fact.why in ANSWERS else ANSWERS.index("failed")
        for at in range(fact.count):
            self._answer(fact.first + at, what, 0, place, -1, -1)

    def _answer(
        self, number: int, what: int, kind: int, place: Place, skip: int, slave: int
    ) -> None:
        found = self.find(number)
        ticket = self.by_index.get(found[0]) if found else None
        if ticket is not None and found is not None:
            ticket.answer(found[1], what, kind, place, skip, slave)
