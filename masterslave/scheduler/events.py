"""What happened, in the past tense: all that the scheduler ever hears of."""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "Event",
    "HandOut",
    "HandOutsGivenBack",
    "HandOutsLost",
    "SlaveAsked",
    "SlaveHeard",
    "SlaveJoined",
    "SlaveLeft",
    "TasksCancelled",
    "TasksReturned",
    "TasksSubmitted",
    "TimePassed",
]


class HandOut(Struct, frozen=True, array_like=True):
    """One attempt at one task; attempts of a task are numbered from 1."""

    task: int
    attempt: int


class TasksSubmitted(Struct, frozen=True):
    """The script wants these done; their numbers are new."""

    tasks: tuple[int, ...]


class TasksCancelled(Struct, frozen=True):
    """The script wants no answer any more."""

    tasks: tuple[int, ...]


class SlaveJoined(Struct, frozen=True):
    """A slave was let in; its name has not been used before."""

    slave: str
    slots: int


class SlaveAsked(Struct, frozen=True):
    """A slave would take *credit* more hand-outs now; this replaces what it said before."""

    slave: str
    credit: int


class SlaveHeard(Struct, frozen=True):
    """A slave gave a sign of life."""

    slave: str


class SlaveLeft(Struct, frozen=True):
    """A slave is gone: in peace, or with what it held."""

    slave: str
    reason: str
    in_peace: bool = False


class TasksReturned(Struct, frozen=True):
    """A slave delivered outcomes; it may be one that was given up long ago."""

    slave: str
    hand_outs: tuple[HandOut, ...]


class HandOutsGivenBack(Struct, frozen=True):
    """A slave will not run these after all: it is leaving."""

    slave: str
    hand_outs: tuple[HandOut, ...]


class HandOutsLost(Struct, frozen=True):
    """The process that ran this died, while its slave lives on."""

    slave: str
    hand_outs: tuple[HandOut, ...]
    reason: str


class TimePassed(Struct, frozen=True):
    """The deadline that the scheduler had named has come, or any other moment."""


Event = (
    TasksSubmitted
    | TasksCancelled
    | SlaveJoined
    | SlaveAsked
    | SlaveHeard
    | SlaveLeft
    | TasksReturned
    | HandOutsGivenBack
    | HandOutsLost
    | TimePassed
)
