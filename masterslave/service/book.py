"""What the service knows of its tickets, always as its journal has it: each fact goes to both.

What is told to a script, or a slave, waits until it is on the disk as well: ``after``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from masterslave.journal.facts import Ended, Fact, Noted, Place, Settled, SlaveKnown, Submitted
from masterslave.journal.journal import Journal
from masterslave.journal.tickets import NOTES, Ticket

__all__ = ["TicketBook"]


class TicketBook:
    """Tickets, as the journal has them.

    Attributes:
        lock: Held by who looks at tickets; nothing else is taken while it is.
        tickets: Not to be changed but by ``record``.

    Threads: any.
    """

    def __init__(self, journal: Journal) -> None:
        self.lock = threading.Lock()
        self.tickets = journal.folded.tickets
        self.keep: Callable[[bytes], Place] = journal.keep
        self.read: Callable[[Place], bytes] = journal.read
        self.after: Callable[[Callable[[], None]], None] = journal.after
        self._slaves = {index: known.name for index, known in journal.folded.slaves.items()}
        self._record = journal.record

    def record(self, fact: Fact) -> None:
        """Have a fact written, and know it from now on; does not block."""
        with self.lock:
            self._take(fact)
            self._record(fact)

    def find(self, name: str) -> Ticket | None:
        """Return the ticket that is called so; None: there is none."""
        with self.lock:
            return next((each for each in self.tickets if each.made.name == name), None)

    def slave(self, index: int) -> str:
        """Return the name of a slave by its number in the journal; empty: it has none."""
        return self._slaves.get(index, "")

    def note_raised(self, ticket: int, items: int) -> None:
        """So many items have raised, of a hand-out in which others have not."""
        with self.lock:
            if ticket in self.tickets.by_index:
                self.tickets.by_index[ticket].failed += items

    def _take(self, fact: Fact) -> None:
        tickets = self.tickets
        match fact:
            case Submitted():
                tickets.submit(fact)
            case Settled():
                tickets.settle(fact)
            case Ended():
                tickets.end(fact)
            case SlaveKnown():
                self._slaves[fact.index] = fact.name
            case Noted(kind=kind) if kind in NOTES:
                forgotten = tickets.note(fact)
                if forgotten is not None:
                    tickets.forget(forgotten)
