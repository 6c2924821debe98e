"""What the scheduler knows: tasks that are not settled yet, and slaves that are here."""

from __future__ import annotations

from collections import OrderedDict, deque

from msgspec import Struct, field

from masterslave.scheduler.transitions import Phase

__all__ = ["Counts", "Slave", "State", "Task"]


class Task(Struct):
    """A task that has no answer yet."""

    id: int
    phase: Phase = Phase.WAITING
    attempts: int = 0
    """Hand-outs so far; the number of the latest one."""
    losses: int = 0
    live: dict[int, str] = field(default_factory=dict)
    """Attempts that are out: number to slave."""
    story: tuple[str, ...] = ()


class Slave(Struct):
    """A slave that is here."""

    name: str
    slots: int
    heard_at: float
    credit: int = 0
    held: dict[tuple[int, int], None] = field(default_factory=dict)
    """Hand-outs (task, attempt) that it has not answered, in the order in which they were sent: it
    starts them in that order, so the first ones are those that run."""


class Counts(Struct):
    """What has happened so far."""

    submitted: int = 0
    done: int = 0
    given_up: int = 0
    cancelled: int = 0
    handed_out: int = 0
    handed_out_again: int = 0
    late: int = 0
    """Outcomes that came when the task had its answer already; dropped."""
    slaves_joined: int = 0
    slaves_left: int = 0
    slaves_lost: int = 0


class State:
    """All of it; only the machine changes it.

    Attributes:
        tasks: Unsettled tasks by number.
        queue: Numbers of waiting tasks, next one first; may hold settled ones, which are skipped.
        slaves: Slaves by name, the one that was heard of longest ago first.
        idle: Slaves that have credit and a free slot, in the order in which they are served.
        ahead: Slaves that have credit though their slots are taken: they are fed ahead.
        changed_at: When a task was last handed out or settled, or a slave came or went.
    """

    __slots__ = ("ahead", "changed_at", "counts", "idle", "queue", "slaves", "tasks", "waiting")

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}
        self.queue: deque[int] = deque()
        self.waiting = 0
        self.slaves: OrderedDict[str, Slave] = OrderedDict()
        self.idle: OrderedDict[str, None] = OrderedDict()
        self.ahead: OrderedDict[str, None] = OrderedDict()
        self.counts = Counts()
        self.changed_at = 0.0
