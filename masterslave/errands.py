"""What a master asks of a slave beside tasks, and what the slave answers.

A errand travels with the next instructions, and is repeated with them until they are
acknowledged; its answer comes among the outcomes, as one of kind ``REPORT``. So neither is lost
with a connection, and a slave needs no door of its own.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["DRAIN", "STATUS", "STOP", "Errand", "ErrandKind", "Report", "Running"]

ErrandKind = int
STATUS, DRAIN, STOP = range(3)
"""Say how you are; leave this farm when what runs is done; leave it at once."""


class Errand(Struct, frozen=True, array_like=True):
    """One errand, by its number at the master; one to stop is answered by the goodbye."""

    number: int
    kind: ErrandKind


class Running(Struct, frozen=True, array_like=True):
    """A child that works.

    Attributes:
        pid: Of the child.
        label: Of the farm for which it works.
        task: What it runs, as that farm counts tasks; -1: of another farm than the one that asks.
        since_s: For how long; to about 0.1 s if it began when another one had ended.
        ahead: Further calls that it has been given.
        memory_bytes: What it holds in memory; 0: not known.
    """

    pid: int
    label: str
    task: int
    since_s: float
    ahead: int
    memory_bytes: int = 0


class Report(Struct, frozen=True):
    """How a slave is.

    Attributes:
        state: Why it takes nothing now, in words; empty if it does.
        load: What the system counts as waiting for a CPU, over the last minute; -1: not known.
        memory_bytes: Of the agent and its children together; 0: not known.
        farms: The labels of those that it serves.
    """

    state: str
    uptime_s: float
    slots: int
    python: str
    release: str
    load: float
    memory_bytes: int
    farms: tuple[str, ...]
    runs: tuple[Running, ...]
