"""Scripts that are here: what each has still to be told of its ticket's tasks.

What is told is read from the journal when it goes out; so a script that takes its time costs no
memory, but for what tasks yield (``yielded``). What it has not acknowledged is sent again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from masterslave.errors import JournalUnusable
from masterslave.journal.tickets import ANSWERS, OPEN, Answer, Ticket
from masterslave.protocol.attaching import (
    CANCELLED,
    FAILED,
    GIVEN_UP,
    OUTCOME,
    PARTLY,
    PREDECESSOR_FAILED,
    Answers,
    SentAnswer,
)
from masterslave.protocol.outcomes import RAISED
from masterslave.service.book import TicketBook
from masterslave.service.yielded import Yielded

__all__ = ["Visit", "answers_of"]

_MOST_ANSWERS = 4096
_MOST_BYTES = 4 * 1024 * 1024

_WHAT = {
    "outcome": OUTCOME,
    "unable": OUTCOME,
    "given up": GIVEN_UP,
    "cancelled": CANCELLED,
    "failed": FAILED,
    "predecessor failed": PREDECESSOR_FAILED,
}


def answers_of(book: TicketBook, ticket: Ticket, first: int, count: int) -> Iterator[SentAnswer]:
    """Return what became of tasks that have an answer; those whose payload is one, together.

    Blocks: on the disk.
    """
    serial, end = first, first + count
    while serial < end:
        with book.lock:
            answer = ticket[serial]
            many = _alike(ticket, serial, end, answer)
            predecessor = _predecessor(ticket, serial, answer)
        yield _sent(book, serial, many, answer, predecessor)
        serial += many


def _alike(ticket: Ticket, serial: int, end: int, answer: Answer) -> int:
    """Return how many tasks in a row have their answers in one payload."""
    if answer.what == OPEN or (answer.skip < 0 and ANSWERS[answer.what] == "outcome"):
        return 1
    if ANSWERS[answer.what] == "predecessor failed":
        return 1
    many = 1
    while serial + many < end:
        next_one = ticket[serial + many]
        skip = answer.skip + many if answer.skip >= 0 else -1
        theirs = (next_one.what, next_one.kind, next_one.place, next_one.skip, next_one.slave)
        if theirs != (answer.what, answer.kind, answer.place, skip, answer.slave):
            break
        many += 1
    return many


def _predecessor(ticket: Ticket, serial: int, answer: Answer) -> int:
    if ANSWERS[answer.what] != "predecessor failed":
        return -1
    after = ticket.row_of(serial).after
    return next((one for one in after if one < ticket.count and ticket.has_failed(one)), -1)


def _sent(
    book: TicketBook, serial: int, count: int, answer: Answer, predecessor: int
) -> SentAnswer:
    why = ANSWERS[answer.what]
    kind, skip = answer.kind, answer.skip
    if why == "unable":
        kind = RAISED
    try:
        payload = book.read(answer.place)
    except JournalUnusable as error:
        return SentAnswer(serial, count, FAILED, payload=str(error).encode())
    slave = book.slave(answer.slave)
    return SentAnswer(serial, count, _WHAT[why], kind, skip, payload, slave, predecessor)


class Visit:
    """One script, for as long as it is connected.

    Args:
        whose: What its calls have in common.
        visitor: What it calls itself.
        wake: Called when it may be answered; must not wait.

    Attributes:
        poll: Answers its question, if it waits for one; and
        until: when at the latest.
        yielded: What its tasks have yielded, and it has not got; whoever lets it in sets this.
    """

    def __init__(
        self,
        book: TicketBook,
        ticket: Ticket,
        whose: object,
        visitor: str,
        wake: Callable[[Visit], None],
    ) -> None:
        self.ticket = ticket
        self.whose = whose
        self.visitor = visitor
        self.poll: Callable[[bytes], None] | None = None
        self.until = 0.0
        self.yielded = Yielded()
        self._book = book
        self._wake = wake
        self._gathering = threading.Lock()
        self._lock = threading.Lock()
        self._ready: deque[tuple[int, int]] = deque()
        self._told = bytearray()
        self._since = 0
        self._sent: list[SentAnswer | tuple[int, int]] = []

    def tell(self, first: int, count: int) -> None:
        """Tasks have their answers; of those that were told before nothing is said."""
        with self._lock:
            told, end = self._told, first + count
            if len(told) < end:
                told += bytes(end - len(told))
            while (start := told.find(0, first, end)) >= 0:
                stop = told.find(1, start, end)
                first = end if stop < 0 else stop
                told[start:first] = b"\1" * (first - start)
                self._add(start, first - start)
        if self.poll is not None:
            self._wake(self)

    def _add(self, first: int, count: int) -> None:
        ready = self._ready
        if ready and sum(ready[-1]) == first:
            ready[-1] = (ready[-1][0], ready[-1][1] + count)
        else:
            ready.append((first, count))

    def acknowledge(self, count: int) -> bool:
        """The script has got so many answers; False: it cannot have."""
        with self._lock:
            got = count - self._since
            if not 0 <= got <= len(self._sent):
                return False
            parts = sum(isinstance(one, SentAnswer) for one in self._sent[:got])
            self.yielded.got(self, parts)
            del self._sent[:got]
            self._since = count
            return True

    @property
    def has_news(self) -> bool:
        """Whether there is something to be told."""
        return bool(self._sent or self.yielded or self._ready)

    def gather(self, waits: str = "") -> Answers:
        """Return what there is to be told, or some of it. Blocks: on the disk."""
        with self._gathering:
            return self._gather(waits)

    def _gather(self, waits: str) -> Answers:
        with self._lock:
            since, again = self._since, list(self._sent)
        if again:
            return Answers(since, tuple(self._again(again)), waits=waits)
        found: list[SentAnswer] = []
        size = 0
        while size < _MOST_BYTES and len(found) < _MOST_ANSWERS:
            one = self._take_next()
            if one is None:
                break
            if isinstance(one, SentAnswer):
                found.append(one)
                size += len(one.payload)
                continue
            first, count = one
            for answer in answers_of(self._book, self.ticket, first, count):
                found.append(answer)
                size += len(answer.payload)
                if size >= _MOST_BYTES or len(found) >= _MOST_ANSWERS:
                    self._put_back(answer.first + answer.count, first + count)
                    break
        with self._lock:
            self._sent = [
                answer if answer.what == PARTLY else (answer.first, answer.count)
                for answer in found
            ]
        return Answers(since, tuple(found), waits=waits)

    def _again(self, sent: list[SentAnswer | tuple[int, int]]) -> Iterator[SentAnswer]:
        for one in sent:
            if isinstance(one, SentAnswer):
                yield one
            else:
                yield from answers_of(self._book, self.ticket, *one)

    def _take_next(self) -> SentAnswer | tuple[int, int] | None:
        """Take out what is to be told next: what was yielded comes before the answers."""
        part = self.yielded.take(self)
        if part is not None:
            return part
        with self._lock:
            return self._ready.popleft() if self._ready else None

    def _put_back(self, first: int, end: int) -> None:
        if first < end:
            with self._lock:
                self._ready.appendleft((first, end - first))
