"""The lobby: scripts that are here, and wait to be told something. One thread answers them.

Who hears that tasks have their answers (the journal's thread) only notes whom that concerns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from masterslave.protocol.attaching import Answers
from masterslave.protocol.encoding import encode
from masterslave.service.visits import Visit
from masterslave.service.yielded import Room, Yielded

__all__ = ["Lobby"]

log = logging.getLogger("masterslave")

_MOST_BYTES = 64 * 1024 * 1024
_MOST_BYTES_OF_ALL = 256 * 1024 * 1024
"""What is kept of what tasks yield, of one ticket and of all, until their scripts have it."""


class Lobby:
    """Visits, one for each ticket whose script is here.  Threads: any.

    Args:
        heartbeat_s: How long a question waits at most, in seconds.
        why_waiting: Says in words what tasks wait for.
    """

    def __init__(self, heartbeat_s: float, why_waiting: Callable[[], str]) -> None:
        self._heartbeat_s = heartbeat_s
        self._why_waiting = why_waiting
        self._lock = threading.Lock()
        self._visits: dict[int, Visit] = {}
        self._yielded: dict[int, Yielded] = {}
        self._room = Room(_MOST_BYTES_OF_ALL)
        self._due: dict[Visit, None] = {}
        self._has_due = threading.Condition(self._lock)
        self._is_closed = False
        self._thread = threading.Thread(target=self._keep_answering, name="reception", daemon=True)

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

    # Who is here.

    def enter(self, visit: Visit) -> None:
        """A script has come; who was here with its ticket is told so."""
        with self._lock:
            index = visit.ticket.made.index
            before = self._visits.get(index)
            poll = None if before is None else _take_poll(before)
            visit.yielded = self._yielded_by(index)
            visit.yielded.begin(visit, visit.visitor)
            self._visits[index] = visit
        if poll is not None:
            poll(encode(Answers(0, refused="it was attached anew, from elsewhere", is_out=True)))

    def gone(self, visit: Visit) -> None:
        """A script's connection is lost."""
        with self._lock:
            index = visit.ticket.made.index
            if self._visits.get(index) is visit:
                del self._visits[index]
            visit.poll = None

    def dismiss(self, ticket: int, why: str, *, is_out: bool) -> None:
        """Let the script of a ticket go, if it is here; what it has asked is answered so."""
        with self._lock:
            visit = self._visits.pop(ticket, None)
            poll = None if visit is None else _take_poll(visit)
        if poll is not None:
            poll(encode(Answers(0, refused=why, is_out=is_out)))

    def forget(self, ticket: int) -> None:
        """Nobody comes with this ticket any more."""
        with self._lock:
            yielded = self._yielded.pop(ticket, None)
        if yielded is not None:
            yielded.forget()

    def at(self, ticket: int) -> Visit | None:
        """Return who is here with this ticket; None: nobody."""
        return self._visits.get(ticket)

    def find(self, ticket: str, whose: object) -> Visit | None:
        """Return the visit of who calls, if this is its ticket."""
        with self._lock:
            for visit in self._visits.values():
                if visit.ticket.made.name == ticket:
                    return visit if visit.whose is whose else None
        return None

    # Who waits.

    def wait(self, visit: Visit, answer: Callable[[bytes], None]) -> None:
        """Have a question answered when there is something to be told, or after a heartbeat."""
        with self._lock:
            visit.until = time.monotonic() + self._heartbeat_s
            old, visit.poll = visit.poll, answer
            if visit.has_news:  # come meanwhile
                self._due[visit] = None
            self._has_due.notify()
        if old is not None:
            old(encode(Answers(0, refused="it asks twice at a time", is_out=True)))

    def wake(self, visit: Visit) -> None:
        """There is something to be told."""
        with self._lock:
            self._due[visit] = None
            self._has_due.notify()

    def tell(self, ticket: int, first: int, count: int) -> None:
        """Tasks have their answers."""
        yielded = self._yielded.get(ticket)
        if yielded is not None:
            yielded.settled(first, count)
        visit = self._visits.get(ticket)
        if visit is not None:
            visit.tell(first, count)

    def tell_part(self, ticket: int, serial: int, kind: int, item: int, payload: bytes) -> None:
        """A task has yielded something, which waits for its script, if that is away."""
        with self._lock:
            yielded, visit = self._yielded_by(ticket), self._visits.get(ticket)
        yielded.add(serial, kind, item, payload)
        if visit is not None and visit.poll is not None:
            self.wake(visit)

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
                    if (poll := _take_poll(visit)) is not None
                ]
            for visit, poll in polls:
                try:
                    waits = "" if visit.has_news else self._waits(visit)
                    poll(encode(visit.gather(waits)))
                except Exception:  # the others are answered all the same
                    log.exception("a script could not be answered")

    def _yielded_by(self, ticket: int) -> Yielded:
        """Return what tasks of a ticket have yielded; the lock is held."""
        yielded = self._yielded.get(ticket)
        if yielded is None:
            yielded = self._yielded[ticket] = Yielded(Room(_MOST_BYTES), self._room)
        return yielded

    def _seconds(self) -> float | None:
        """Return until when somebody has to be answered; the lock is held."""
        untils = [visit.until for visit in self._visits.values() if visit.poll is not None]
        return max(0.001, min(untils) - time.monotonic()) if untils else None

    def _waits(self, visit: Visit) -> str:
        return self._why_waiting() if visit.ticket.done < visit.ticket.count else ""


def _take_poll(visit: Visit) -> Callable[[bytes], None] | None:
    poll, visit.poll = visit.poll, None
    return poll
