"""What is to be done, in the imperative: all that the scheduler ever says."""

from __future__ import annotations

from msgspec import Struct

from masterslave.scheduler.events import HandOut

__all__ = ["DismissSlave", "GiveUpTask", "Order", "SendTasks", "SettleTasks", "StopTasks"]


class SendTasks(Struct, frozen=True):
    """Hand these out to the slave."""

    slave: str
    hand_outs: tuple[HandOut, ...]


class SettleTasks(Struct, frozen=True):
    """These hand-outs' outcomes, which have just been delivered, are the tasks' answers."""

    hand_outs: tuple[HandOut, ...]


class GiveUpTask(Struct, frozen=True):
    """The task was lost too often: its answer is an error that tells this story."""

    task: int
    story: tuple[str, ...]


class StopTasks(Struct, frozen=True):
    """Nobody waits for these any more: the slave drops or stops them."""

    slave: str
    hand_outs: tuple[HandOut, ...]


class DismissSlave(Struct, frozen=True):
    """The slave is given up; if it lives, it has to join anew."""

    slave: str
    reason: str


Order = SendTasks | SettleTasks | GiveUpTask | StopTasks | DismissSlave
