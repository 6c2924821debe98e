"""Duties: what each slave is given once, as its first task, also if it joins later.

Pure bookkeeping; who uses it holds the master's lock.
"""

from __future__ import annotations

import abc

from masterslave.master.seats import Seat
from masterslave.master.submission import Single

__all__ = ["Duties", "Duty"]


class Duty(abc.ABC):
    """What each slave is to do once. Its methods are called with the lock: they must not wait."""

    @abc.abstractmethod
    def task_for(self, seat: Seat) -> Single | None:
        """Return the task of this slave, on terms that only it can meet; None: it is left out."""

    @abc.abstractmethod
    def forget(self, seat: Seat) -> Exception:
        """The slave is gone, and has not answered; returns the error that its task gets."""


class Duties:
    """The duties of a farm, and whom they were given to."""

    def __init__(self) -> None:
        self._duties: list[Duty] = []
        self._given: dict[str, list[tuple[Duty, Single]]] = {}

    def add(self, duty: Duty, seats: list[Seat]) -> list[Single]:
        """Take in a duty; returns the tasks of the slaves that are here."""
        self._duties.append(duty)
        return [task for seat in seats for task in self._give(duty, seat)]

    def drop(self, duty: Duty) -> None:
        """Slaves that join from now on are not given it."""
        if duty in self._duties:
            self._duties.remove(duty)

    def welcome(self, seat: Seat) -> list[Single]:
        """Return the tasks of a slave that joins."""
        return [task for duty in self._duties for task in self._give(duty, seat)]

    def part_from(self, seat: Seat) -> list[tuple[Duty, Single]]:
        """A slave is gone; returns what it was given, answered or not."""
        return self._given.pop(seat.slave, [])

    def _give(self, duty: Duty, seat: Seat) -> list[Single]:
        task = duty.task_for(seat)
        if task is None:
            return []
        self._given.setdefault(seat.slave, []).append((duty, task))
        return [task]
