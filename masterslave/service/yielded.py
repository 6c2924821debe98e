"""What tasks of a ticket have yielded, until its script has it: in memory, not in the journal.

::

    master -add-> waiting -take-> on its way -got-> nothing more is known of it
                     ^---- begin: of a new visit ----'

What finds no room is dropped, and its script is told from which number on there are parts again.
"""

from __future__ import annotations

import threading
from collections import deque

from masterslave.protocol.attaching import PARTLY, PARTS_LOST, SentAnswer
from masterslave.protocol.outcomes import PART

__all__ = ["Room", "Yielded"]

_ENTRY_BYTES = 256
"""What each takes beside its payload, about."""
_MOST_PARTS = 2**31


class Room:
    """So many bytes are kept at most.  Threads: any."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take so many; False: there are not."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """Give so many back."""
        with self._lock:
            self._left += size


class Yielded:
    """Parts, and how far tasks are, of one ticket.  Threads: any.

    Args:
        rooms: Of this ticket, and of all.
    """

    def __init__(self, *rooms: Room) -> None:
        self._rooms = rooms
        self._lock = threading.Lock()
        self._waiting: deque[SentAnswer] = deque()
        self._on_its_way: deque[SentAnswer] = deque()
        self._lost: dict[int, int] = {}  # by serial: the parts below this number
        self._next: dict[int, int] = {}  # by serial of an open task: the number of its next part
        self._told: dict[int, SentAnswer] = {}  # by serial: how far it is
        self._visit: object = None
        self._visitor: str | None = None

    def __bool__(self) -> bool:
        return bool(self._waiting or self._lost or self._told)

    def begin(self, visit: object, visitor: str) -> None:
        """A script has come: it has got nothing of what it has not said to have.

        Args:
            visitor: Another one than before has not got what was given to that either.
        """
        with self._lock:
            while self._on_its_way:
                self._wait_again(self._on_its_way.pop())
            if visitor != self._visitor and self._visitor is not None:
                first: dict[int, int] = {}
                for one in self._waiting:
                    if one.kind == PART:
                        first.setdefault(one.first, one.skip)
                for serial, number in self._next.items():
                    self._lose(serial, first.get(serial, number))
            self._visit, self._visitor = visit, visitor

    def add(self, serial: int, kind: int, item: int, payload: bytes) -> None:
        """A task has yielded something, or told how far it is, of which the latest is kept."""
        sent = SentAnswer(serial, 1, PARTLY, kind, item, payload)
        with self._lock:
            if kind != PART:
                self._keep_progress(sent)
                return
            if not 0 <= item < _MOST_PARTS:  # a slave may say anything
                return
            if item > self._next.get(serial, 0):
                self._lose(serial, item)
            self._next[serial] = max(item + 1, self._next.get(serial, 0))
            if self._take_room(_size(sent)):
                self._waiting.append(sent)
            else:
                self._lose(serial, item + 1)

    def settled(self, first: int, count: int) -> None:
        """Tasks have their answers, and yield nothing any more."""
        with self._lock:
            if count == 1:
                self._next.pop(first, None)
                return
            for serial in [one for one in self._next if first <= one < first + count]:
                del self._next[serial]

    def take(self, visit: object) -> SentAnswer | None:
        """Return what this visit is to be told next; None: nothing."""
        with self._lock:
            if visit is not self._visit:
                return None
            if self._told:
                sent = self._told.pop(next(iter(self._told)))
            elif self._waiting:
                sent = self._waiting.popleft()
            elif self._lost:
                serial = next(iter(self._lost))
                sent = SentAnswer(serial, 1, PARTLY, PARTS_LOST, self._lost.pop(serial))
            else:
                return None
            self._on_its_way.append(sent)
            return sent

    def got(self, visit: object, count: int) -> None:
        """This visit has got so many of those that were taken."""
        with self._lock:
            if visit is self._visit:
                for _ in range(count):
                    self._give_room(self._on_its_way.popleft())

    def forget(self) -> None:
        """Nobody wants any of it."""
        with self._lock:
            for sent in (*self._on_its_way, *self._waiting, *self._told.values()):
                self._give_room(sent)
            for each in (self._on_its_way, self._waiting, self._lost, self._next, self._told):
                each.clear()

    # Under the lock.

    def _keep_progress(self, sent: SentAnswer) -> None:
        before = self._told.pop(sent.first, None)
        if before is not None:
            self._give_room(before)
        if self._take_room(_size(sent)):
            self._told[sent.first] = sent

    def _wait_again(self, sent: SentAnswer) -> None:
        if sent.kind == PARTS_LOST:
            self._lose(sent.first, sent.skip)
        elif sent.kind == PART:
            self._waiting.appendleft(sent)
        elif sent.first in self._told:
            self._give_room(sent)
        else:
            self._told[sent.first] = sent

    def _lose(self, serial: int, below: int) -> None:
        if below > 0:
            self._lost[serial] = max(below, self._lost.get(serial, 0))

    def _take_room(self, size: int) -> bool:
        taken: list[Room] = []
        for room in self._rooms:
            if not room.take(size):
                for one in taken:
                    one.give(size)
                return False
            taken.append(room)
        return True

    def _give_room(self, sent: SentAnswer) -> None:
        if sent.kind != PARTS_LOST:
            for room in self._rooms:
                room.give(_size(sent))


def _size(sent: SentAnswer) -> int:
    return len(sent.payload) + _ENTRY_BYTES
