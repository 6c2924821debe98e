"""What a master may acknowledge while a copy of its journal follows (pure).

::

              near the end           has what was         the name server
    (nobody) ------------> JOINING -----------> NAMING ------------> IN_STEP
       ^                      |  written then      |    has said yes     |
       |                      | silent             | silent              | silent, or it leaves
       |                      v                    v                     v
       +------------------ dropped              LEAVING <----------------+
       |                                           |
       +-------------------------------------------+  the name server has said yes to: nobody

From JOINING on, what is acknowledged (*waiting*) is on the copy's disk before. A copy that the name
server may know can take over at any moment: so the master goes on without it only when the name
server has said that it knows it no more. One copy at a time is waited for; others only follow.

Silent is a copy that was answered and has not asked again for so long, or lets something wait for
so long. Times are seconds of one clock, whatever it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

__all__ = ["Phase", "Position", "Steps"]

Callback = Callable[[], None]


class Position(NamedTuple):
    """How far a journal goes: its last row of facts, and of payloads."""

    seq: int
    row: int

    def has(self, other: Position) -> bool:
        """Tell whether everything up to another position is there."""
        return self.seq >= other.seq and self.row >= other.row


class Phase(Enum):
    """How far a copy is that is waited for."""

    JOINING = "joining"
    NAMING = "naming"
    IN_STEP = "in step"
    LEAVING = "leaving"


@dataclass(slots=True)
class _Awaited:
    """The copy that is waited for.

    Attributes:
        has: What is on its disk.
        until: Where it has to be before it can be named.
        owes_since: When it was answered and had something to say again; None while it has asked.
    """

    copy_id: str
    has: Position
    until: Position
    phase: Phase = Phase.JOINING
    owes_since: float | None = None


class Steps:
    """Who follows, and what waits for it.

    Attributes:
        written: What is on the disk of the master.
        may_name: Whether copies are waited for at all: the master has the lead, and the journal
            says so.
        follow_s: So long a copy may be silent.
    """

    def __init__(self, written: Position, *, follow_s: float) -> None:
        self.written = written
        self.may_name = False
        self.follow_s = follow_s
        self._awaited: _Awaited | None = None
        self._waiting: deque[tuple[Position, float, Sequence[Callback]]] = deque()
        self._is_shut = False

    @property
    def awaited(self) -> tuple[str, Phase] | None:
        """The copy that is waited for, and how far it is."""
        awaited = self._awaited
        return None if awaited is None else (awaited.copy_id, awaited.phase)

    @property
    def order(self) -> str | None:
        """Who the name server should know as the successor now, "" for nobody; None: as it is."""
        awaited = self._awaited
        if awaited is None or self._is_shut:
            return None
        return {Phase.NAMING: awaited.copy_id, Phase.LEAVING: ""}.get(awaited.phase)

    def is_in_step(self, copy_id: str) -> bool:
        """Tell whether this copy may take over, as far as the master knows."""
        return self.awaited == (copy_id, Phase.IN_STEP)

    def shut(self) -> None:
        """Acknowledge nothing any more, whatever comes."""
        self._is_shut = True
        self._waiting.clear()

    def wrote(self, written: Position, callbacks: Sequence[Callback], now: float) -> list[Callback]:
        """More is on the disk of the master; returns what may be called now."""
        self.written = written
        if self._is_shut:
            return []
        if self._awaited is None:
            return list(callbacks)
        if callbacks:
            self._waiting.append((written, now, callbacks))
        return self._release()

    def heard(self, copy_id: str, has: Position, *, is_near: bool) -> list[Callback]:
        """A copy says what is on its disk, and asks for more; returns what may be called now.

        Args:
            is_near: What it lacks is little: it may be waited for.
        """
        if self._awaited is None and is_near and self.may_name and not self._is_shut:
            self._awaited = _Awaited(copy_id, has, self.written)
        awaited = self._awaited
        if awaited is None or awaited.copy_id != copy_id:
            return []
        awaited.has, awaited.owes_since = has, None
        if awaited.phase is Phase.JOINING and has.has(awaited.until):
            awaited.phase = Phase.NAMING
        return self._release()

    def answered(self, copy_id: str, now: float) -> None:
        """A copy was answered: it owes the next question."""
        awaited = self._awaited
        if awaited is not None and awaited.copy_id == copy_id:
            awaited.owes_since = now

    def left(self, copy_id: str) -> list[Callback]:
        """A copy follows no more; returns what may be called now."""
        awaited = self._awaited
        if awaited is None or awaited.copy_id != copy_id:
            return []
        if awaited.phase is not Phase.JOINING:
            awaited.phase = Phase.LEAVING
            return []
        self._awaited = None
        return self._release()

    def look(self, now: float) -> list[Callback]:
        """Time has gone on; returns what may be called now."""
        due = self._due()
        if self._awaited is None or due is None or now < due:
            return []
        return self.left(self._awaited.copy_id)

    def said(self, order: str) -> list[Callback]:
        """The name server has said yes to an order; returns what may be called now."""
        awaited = self._awaited
        if awaited is None:
            return []
        if awaited.phase is Phase.NAMING and order == awaited.copy_id:
            awaited.phase = Phase.IN_STEP
        elif awaited.phase is Phase.LEAVING and not order:
            self._awaited = None
        return self._release()

    def _due(self) -> float | None:
        awaited = self._awaited
        if awaited is None or awaited.phase is Phase.LEAVING or self._is_shut:
            return None
        since = [awaited.owes_since] if awaited.owes_since is not None else []
        since += [at for _, at, _ in list(self._waiting)[:1]]
        return min(since) + self.follow_s if since else None

    def _release(self) -> list[Callback]:
        awaited, waiting = self._awaited, self._waiting
        due: list[Callback] = []
        while waiting and (awaited is None or awaited.has.has(waiting[0][0])):
            due += waiting.popleft()[2]
        return due
