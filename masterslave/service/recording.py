"""What a service's master writes into its journal: all that is needed to go on without any script.

Who uses it holds the master's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from masterslave.journal.facts import Place
from masterslave.journal.journal import Journal
from masterslave.journal.tickets import note_numbered
from masterslave.master.recording import Recording
from masterslave.master.submission import Function, Single, Span
from masterslave.protocol.outcomes import MIXED, Outcome
from masterslave.scheduler import HandOut
from masterslave.service.book import TicketBook
from masterslave.service.submissions import PackedSingle, PackedSpan, raised_in

__all__ = ["TicketRecording"]

_what = attrgetter("function", "ticket")


class TicketRecording(Recording):
    """Writes down whose each task is, and its arguments.

    Args:
        place_of: Says where a function is.
    """

    def __init__(
        self, journal: Journal, book: TicketBook, place_of: Callable[[Function], Place]
    ) -> None:
        super().__init__(journal)
        self._record = book.record
        self._functions = {one.digest: index for index, one in journal.folded.functions.items()}
        self._place = place_of
        self._tickets, self._note_raised = book.tickets, book.note_raised

    def note_singles(self, tasks: Sequence[Single]) -> None:
        """Tasks were numbered, in a row."""
        for row in _rows_of(tasks):
            first = row[0]
            self._record(note_numbered(first.ticket, first.serial, first.number, len(row)))
            keys = b"".join([task.keys for task in row])
            places = tuple([task.place for task in row])
            self._note_submitted(first.function, first.number, keys, places, are_items=False)

    def note_span(self, span: Span) -> None:
        """A span was numbered."""
        assert isinstance(span, PackedSpan)
        self._record(note_numbered(span.ticket, span.serial, span.number, span.count))
        self._note_submitted(
            span.function, span.number, span.keys, tuple(span.places), are_items=True
        )

    def note_settled(
        self, hand_out: HandOut, slave: str, outcome: Outcome, *, is_item: bool
    ) -> None:
        """Tasks have their answer: an outcome, or a part of one."""
        super().note_settled(hand_out, slave, outcome, is_item=is_item)
        found = self._tickets.find(hand_out.task) if outcome.kind == MIXED else None
        if found is not None:
            skip = hand_out.task - outcome.task
            self._note_raised(found[0], raised_in(outcome.payload, skip, hand_out.count))

    def _place_of(self, function: Function) -> Place:
        return self._place(function)


def _rows_of(tasks: Sequence[Single]) -> Iterator[list[PackedSingle]]:
    """Return tasks of one function and ticket whose serials are in a row, too."""
    ours = [task for task in tasks if isinstance(task, PackedSingle)]
    for _, alike in groupby(ours, _what):
        row: list[PackedSingle] = []
        for task in alike:
            if row and task.serial != row[-1].serial + 1:
                yield row
                row = []
            row.append(task)
        yield row
