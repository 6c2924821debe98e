"""Between tickets and the master: tasks go in, answers come out, and all of it is in the book.

::

    submit --> book: how they were sent --> master: numbered, recorded --> ``after``: taken
    settled -> book (under the master's lock) --> on the disk --> ``tell`` --> the visit, if any
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby

import msgspec

from masterslave.journal.facts import NO_PLACE
from masterslave.journal.tickets import (
    OPEN,
    Sent,
    Ticket,
    TicketMade,
    note_forgotten,
    note_made,
    note_sent,
)
from masterslave.master.shell import Master
from masterslave.master.submission import Function, Single, Submission
from masterslave.packed import PICKLED
from masterslave.protocol.attaching import Greeting, Request, SentTasks
from masterslave.protocol.hand_outs import CALL, EACH, EACH_STARRED, MAX_PAYLOAD_BYTES
from masterslave.scheduler import Terms
from masterslave.service.admitting import why_another
from masterslave.service.book import TicketBook
from masterslave.service.functions import Functions, NotTaken
from masterslave.service.objects import SharedObjects
from masterslave.service.submissions import HELD_BYTES, Answered, PackedSingle, PackedSpan, Places
from masterslave.service.terms import TermsBook

__all__ = ["Desk", "Rows"]

log = logging.getLogger("masterslave")

Rows = Sequence[tuple[int, int]]
"""Serials: ``(first, count)`` of each row."""

_MOST_TASKS = 2**31


class Desk(Answered):
    """The tickets of a farm, and what is done with them.  Threads: any.

    Args:
        label: Of the farm: tickets are called by it.
        book: What the journal has of them.
        functions: Those that scripts have sent.
        on_told: Hears of tasks that have their answers: the ticket's number, first and count.
        on_part: Hears what tasks yield: the ticket's number, serial, kind, item and payload.

    Attributes:
        master: Who does the tasks; whoever makes this sets it before anything is asked of it.
        objects: What scripts share; set in the same way.
        is_closing: What is answered from now on is told to nobody: the next run will tell it.
    """

    def __init__(
        self,
        label: str,
        book: TicketBook,
        functions: Functions,
        *,
        on_told: Callable[[int, int, int], None],
        on_part: Callable[[int, int, int, int, bytes], None],
    ) -> None:
        self.book = book
        self.functions = functions
        self.master: Master
        self.objects: SharedObjects
        self.is_closing = False
        self._label = label
        self._on_told, self._on_part = on_told, on_part
        self._lock = threading.Lock()
        self.terms = TermsBook()

    # Tickets.

    def make(self, greeting: Greeting) -> Ticket:
        """Give a script a ticket."""
        name = f"{self._label}-{secrets.token_hex(6)}"
        with self._lock:
            index = self.book.tickets.next_index
            made = TicketMade(
                index, name, greeting.script[:200], greeting.host[:200], greeting.pid, time.time()
            )
            self.book.record(note_made(made))
        return self.book.tickets.by_index[index]

    def forget(self, ticket: Ticket) -> None:
        """A ticket is wanted no more: what is open of it is dropped."""
        with self._lock:
            self._cancel(ticket, [(0, ticket.count)])
            self.objects.forget(ticket)
            self.book.record(note_forgotten(ticket.made.index))

    # Tasks.

    def submit(self, ticket: Ticket, request: Request, visitor: str) -> None:
        """Take tasks in; those that were taken before, from the same visitor, are passed over.

        Raises:
            NotTaken: There is something that cannot be taken, so nothing is. The message says why.
        """
        with self._lock:
            self.functions.add(request.functions)
            taken = ticket.count
            rows: list[tuple[SentTasks, Function, Terms]] = []
            for sent in request.tasks:
                if sent.first < 0:
                    raise NotTaken(f"serials are counted from 0, and {sent.first} is none")
                tasks = _without_known(sent, taken)
                if tasks is not sent and self.has_from_another(ticket, sent.first, visitor):
                    raise NotTaken(why_another(ticket.made.name))
                if not tasks.arguments:
                    continue
                if tasks.first != taken:
                    raise NotTaken(
                        f"tasks from serial {tasks.first} on came before those from {taken} on: "
                        "send all tasks in their order"
                    )
                rows.append((tasks, *self._looked_at(ticket, tasks, rows)))
                taken += len(tasks.arguments)
            if taken > _MOST_TASKS:
                raise NotTaken(f"ticket {ticket.made.name} has {ticket.count} tasks: attach anew")
            known: dict[int, Single] = {}
            made = [self._make(ticket, *row, known, visitor) for row in rows]
            self.master.take_in([one for each in made for one in each])

    def has_from_another(self, ticket: Ticket, first: int, visitor: str) -> bool:
        """Tell whether tasks from a serial on are known to be of another visitor."""
        with self.book.lock:
            return ticket.has_from_another(first, visitor)

    def _looked_at(
        self, ticket: Ticket, tasks: SentTasks, before: Sequence[tuple[SentTasks, Function, Terms]]
    ) -> tuple[Function, Terms]:
        function = self.functions.find(tasks.function)
        largest = max(map(len, tasks.arguments))
        if largest > MAX_PAYLOAD_BYTES:
            raise NotTaken(
                f"arguments of {function.name}() take {largest / 2**20:.0f} MiB, at most "
                f"{MAX_PAYLOAD_BYTES // 2**20} travel"
            )
        if not all(tasks.arguments) or tasks.form not in (CALL, EACH, EACH_STARRED):
            raise NotTaken(f"tasks of {function.name}() are in no form that is known here")
        for serial in tasks.after:
            is_item = self._is_item(ticket, serial) or any(
                one.form != CALL and one.first <= serial < one.first + len(one.arguments)
                for one, _, _ in before
            )
            if not 0 <= serial < tasks.first or is_item:
                raise NotTaken(
                    f"tasks of {function.name}() are to follow serial {serial}, which is no single "
                    "task that was sent before"
                )
        if any(serial not in tasks.after for _, serial in tasks.given):
            raise NotTaken(f"tasks of {function.name}() do not follow what they are given")
        is_pickled = function.is_named and any(one[:1] == PICKLED for one in tasks.arguments)
        terms = self.terms.read(ticket.made.name, function, tasks.terms, is_pickled=is_pickled)
        return function, terms

    def _is_item(self, ticket: Ticket, serial: int) -> bool:
        with self.book.lock:
            return 0 <= serial < ticket.count and ticket.row_of(serial).form != CALL

    def _make(
        self,
        ticket: Ticket,
        tasks: SentTasks,
        function: Function,
        terms: Terms,
        known: dict[int, Single],
        visitor: str,
    ) -> list[Submission]:
        book, index = self.book, ticket.made.index
        whose = index, ticket.made.name
        places = list(map(book.keep, tasks.arguments))
        book.record(
            note_sent(
                Sent(
                    index, tasks.first, len(places), tasks.function, tasks.terms, tasks.form,
                    tasks.after, tasks.item_bytes, tasks.given, visitor,
                )
            )
        )  # fmt: skip
        self.objects.promise(ticket, tasks.given)
        after = self.predecessors(ticket, tasks.after, known) if tasks.after else ()
        made: list[Submission] = []
        if tasks.form != CALL:
            made.append(
                PackedSpan(
                    self, whose, tasks.first, function, terms, tasks.form, Places(places),
                    book.read,
                )
            )  # fmt: skip
        else:
            for at, (place, packed) in enumerate(zip(places, tasks.arguments, strict=True)):
                held = packed if len(packed) <= HELD_BYTES else book.read
                serial = tasks.first + at
                single = PackedSingle(self, whose, serial, function, terms, place, held)
                made.append(single)
                known[serial] = single
        for one in made if after else ():
            one.after = after
        return made

    def predecessors(
        self, ticket: Ticket, serials: Iterable[int], known: dict[int, Single]
    ) -> tuple[Single, ...]:
        """Return those of these tasks that have not succeeded; *known*: some that are open."""
        found: list[Single] = []
        for serial in dict.fromkeys(serials):
            one = known.get(serial) or self._open(ticket, serial)
            if one is not None:
                known[serial] = one
                found.append(one)
                continue
            with self.book.lock:
                has_failed = ticket.has_failed(serial)
            if has_failed:
                failed = PackedSingle(
                    self, (ticket.made.index, ticket.made.name), serial, _NO_FUNCTION, _NO_TERMS,
                    NO_PLACE, b"",
                )  # fmt: skip
                failed.has_failed = True
                found.append(failed)
        return tuple(found)

    def _open(self, ticket: Ticket, serial: int) -> Single | None:
        with self.book.lock:
            number = ticket[serial].number if ticket.what(serial) == OPEN else -1
        if number < 0:
            return None
        return self.master.view(lambda decisions: decisions.book.singles.get(number))

    def cancel(self, ticket: Ticket, rows: Rows) -> None:
        """Drop those of these tasks that are open."""
        with self._lock:
            self._cancel(ticket, rows)

    def _cancel(self, ticket: Ticket, rows: Rows) -> None:
        """Drop tasks, the last ones first: what follows others is cancelled, and does not fail."""
        with self.book.lock:
            pieces = [piece for row in rows for piece in _open_numbers(ticket, *row)]
        for numbers in reversed(pieces):
            self.master.drop(numbers)

    # What the master says.

    def tell(self, ticket: int, first: int, count: int, *, is_on_disk: bool) -> None:
        """See Answered."""
        if self.is_closing:
            return
        if is_on_disk:
            self.objects.note_answers(ticket, first, count)
            self._on_told(ticket, first, count)
        else:
            self.book.after(partial(self._on_told, ticket, first, count))

    def tell_part(self, ticket: int, serial: int, kind: int, item: int, payload: bytes) -> None:
        """See Answered."""
        self._on_part(ticket, serial, kind, item, payload)


_NO_FUNCTION = Function(b"", b"", "", "")
_NO_TERMS = Terms(0)


def _without_known(tasks: SentTasks, taken: int) -> SentTasks:
    """Return those of these tasks that were not taken yet."""
    known = min(max(0, taken - tasks.first), len(tasks.arguments))
    if not known:
        return tasks
    first, arguments = tasks.first + known, tasks.arguments[known:]
    return msgspec.structs.replace(tasks, first=first, arguments=arguments)


def _open_numbers(ticket: Ticket, first: int, count: int) -> Iterator[Sequence[int]]:
    """Return the numbers of open tasks: of single ones the last first, of items in a row."""
    for start, many in ticket.runs(first, count, are_open=True):
        numbers = [ticket[serial].number for serial in range(start, start + many)]
        for form, alike in groupby(
            zip(range(start, start + many), numbers, strict=True), _form_in(ticket)
        ):
            found = [number for _, number in alike]
            if form == CALL:
                yield found[::-1]
                continue
            at = 0
            for end in range(1, len(found) + 1):
                if end == len(found) or found[end] != found[end - 1] + 1:
                    yield range(found[at], found[end - 1] + 1)
                    at = end


def _form_in(ticket: Ticket) -> Callable[[tuple[int, int]], int]:
    return lambda one: ticket.row_of(one[0]).form
