"""What is to be done, in the imperative: all that the scheduler ever says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from masterslave.scheduler.events import HandOut

__all__ = [
    "AnswerUnable",
    "DismissSlave",
    "FailFollowers",
    "GiveUpTask",
    "Held",
    "Order",
    "QuarantineSlave",
    "RecallTasks",
    "ReleaseSlave",
    "SendTasks",
    "SettleTasks",
    "StopTasks",
]


class SendTasks(Struct, frozen=True):
    """Hand these out to the slave, in this order."""

    slave: str
    hand_outs: Sequence[HandOut]


class SettleTasks(Struct, frozen=True):
    """The outcomes that have just been delivered are the answers of these tasks.

    Each is a hand-out that was delivered, or a part of one (the same attempt, fewer tasks), where
    some of its tasks have their answer already or are run again.
    """

    hand_outs: Sequence[HandOut]


class GiveUpTask(Struct, frozen=True):
    """The task was lost too often: its answer is an error that tells this story."""

    task: int
    story: tuple[str, ...]


class AnswerUnable(Struct, frozen=True):
    """No slave that is here can run these: what the slave has just said is their answer."""

    slave: str
    tasks: Sequence[range]


class FailFollowers(Struct, frozen=True):
    """These were to run after a task that has ended without success: their answer says so."""

    predecessor: int
    tasks: Sequence[range]


class StopTasks(Struct, frozen=True):
    """Nobody waits for these any more: the slave drops or stops them."""

    slave: str
    hand_outs: Sequence[HandOut]


class RecallTasks(Struct, frozen=True):
    """The slave gives back those of these that it has not started: somebody else is free."""

    slave: str
    hand_outs: Sequence[HandOut]


class Held(NamedTuple):
    """A hand-out that a slave has, and whether it has begun to run it, as far as is known."""

    hand_out: HandOut
    is_started: bool


class DismissSlave(Struct, frozen=True):
    """The slave is given up; if it lives, it has to join anew.

    Attributes:
        held: What it had.
    """

    slave: str
    reason: str
    held: Sequence[Held] = ()


class QuarantineSlave(Struct, frozen=True):
    """The slave fails tasks that succeed elsewhere: it gets no more; the evidence says which."""

    slave: str
    evidence: tuple[str, ...]


class ReleaseSlave(Struct, frozen=True):
    """The slave did the task that it was tried with: its quarantine is over."""

    slave: str


Order = (
    SendTasks
    | SettleTasks
    | GiveUpTask
    | AnswerUnable
    | FailFollowers
    | StopTasks
    | RecallTasks
    | DismissSlave
    | QuarantineSlave
    | ReleaseSlave
)
