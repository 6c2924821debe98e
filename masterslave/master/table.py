"""The master's table: the slaves that are here, and those that were.

Pure bookkeeping; who uses it holds the master's lock.
"""

from __future__ import annotations

import secrets
from collections import deque

from masterslave.master.mailbox import Mailbox
from masterslave.master.seats import Seat
from masterslave.protocol.joining import Introduction

__all__ = ["Table"]

_REMEMBER_SLAVES = 1000
_REMEMBER_NAMES = 8


class Table:
    """Gives seats, and takes them away.

    Attributes:
        seats: The slaves at the table, by the name that the scheduler knows.
        by_token: They and the former ones, by the name on the wire.
        former: Those that left or were lost, the latest last.
        joined: How many have joined so far.
        slots: Of all slaves together; whoever submits reads it, without the lock.
    """

    def __init__(self) -> None:
        self.seats: dict[str, Seat] = {}
        self.by_token: dict[str, Seat] = {}
        self.former: deque[Seat] = deque(maxlen=_REMEMBER_SLAVES)
        self.joined = 0
        self.slots = 0

    def add(self, introduction: Introduction, peer: str, *, is_own: bool) -> Seat:
        """Give a slave a seat."""
        self.joined += 1
        name = f"{introduction.name}#{self.joined}"
        before = self.by_token.get(introduction.formerly)
        names = (name, *(before.names if before else ()))[:_REMEMBER_NAMES]
        seat = Seat(name, secrets.token_hex(16), introduction, peer, is_own, names)
        self.seats[name] = self.by_token[seat.token] = seat
        self.slots += introduction.slots
        return seat

    def take_away(self, slave: str, state: str) -> Seat:
        """Take the seat of a slave away, which *state* "left" or was "lost"; returns it."""
        seat = self.seats.pop(slave)
        seat.state = state
        seat.mailbox = Mailbox()  # what was on its way is not kept with the memory of the slave
        self.slots -= seat.introduction.slots
        if len(self.former) == _REMEMBER_SLAVES:
            del self.by_token[self.former[0].token]
        self.former.append(seat)
        return seat

    def seated(self, token: str) -> Seat | None:
        """Return the seat of a slave, by its name on the wire; None if it has none (any more)."""
        seat = self.by_token.get(token)
        return seat if seat is not None and seat.slave in self.seats else None
