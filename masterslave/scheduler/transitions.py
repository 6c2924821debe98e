"""A task's life, as a table.

The rules in words:

* A task waits until a slave has a free slot, or is fed ahead; then it is out, as an attempt with a
  number. Items of a ``map`` go out many at once, as one hand-out, and each has a life of its own.
* One that is to follow others is blocked until all of these have succeeded. When one of them has
  raised, or was given up or cancelled, it is given up, too, and so is what follows it.
* The first outcome of any of its attempts is its answer, also when that attempt had been declared
  lost and the task waits again, or is out elsewhere.
* What raised an exception that is to be retried waits for its delay, and then like any other; when
  its retries are used up, the exception is its answer.
* An attempt that is lost with its slave or child, or given back, sends the task back to the front
  of the queue; one that was lost too often is given up. When a slave is lost, that is held against
  the tasks that it ran; those that only waited there count as given back. Of a hand-out of many,
  only the task that ran is blamed; where that is not known, they are handed out one by one.
* A slave that cannot run a function, because a package is missing there, gives the task back, and
  gets none of that function any more. If nobody who is here is able, the task is given up.
* One that runs three times longer than 95 of the last hundred of its function did gets a second
  attempt, on a slave that has nothing better to do. While one of the two is out, the task is out.
* Cancelled, it is never handed out again, and what comes of it later is dropped. If it waits at a
  slave with others, as one hand-out, that is recalled, and the others go out again without it.
* What is done, given up or cancelled stays so.
"""

from __future__ import annotations

import enum

__all__ = ["TABLE", "IllegalTransition", "Phase", "Trigger", "draw", "next_phase"]


class Phase(enum.Enum):
    """Where a task stands."""

    BLOCKED = "blocked"
    WAITING = "waiting"
    DELAYED = "delayed"
    OUT = "out"
    DONE = "done"
    GIVEN_UP = "given up"
    CANCELLED = "cancelled"


class Trigger(enum.Enum):
    """What moves it."""

    PREDECESSORS_DONE = "predecessors done"
    PREDECESSOR_FAILED = "predecessor failed"
    HANDED_OUT = "handed out"
    HANDED_OUT_TWICE = "handed out twice"
    RETURNED = "returned"
    RAISED = "raised, to be retried"
    DELAY_PASSED = "delay passed"
    LOST = "lost"
    LOST_TOO_OFTEN = "lost too often"
    GIVEN_BACK = "given back"
    ONE_OF_TWO_ENDED = "one of two ended"
    NOBODY_ABLE = "nobody able"
    CANCELLED = "cancelled"


TABLE: dict[tuple[Phase, Trigger], Phase] = {
    (Phase.BLOCKED, Trigger.PREDECESSORS_DONE): Phase.WAITING,
    (Phase.BLOCKED, Trigger.PREDECESSOR_FAILED): Phase.GIVEN_UP,
    (Phase.BLOCKED, Trigger.CANCELLED): Phase.CANCELLED,
    (Phase.WAITING, Trigger.HANDED_OUT): Phase.OUT,
    (Phase.WAITING, Trigger.RETURNED): Phase.DONE,
    (Phase.WAITING, Trigger.NOBODY_ABLE): Phase.GIVEN_UP,
    (Phase.WAITING, Trigger.CANCELLED): Phase.CANCELLED,
    (Phase.OUT, Trigger.HANDED_OUT_TWICE): Phase.OUT,
    (Phase.OUT, Trigger.RETURNED): Phase.DONE,
    (Phase.OUT, Trigger.RAISED): Phase.DELAYED,
    (Phase.OUT, Trigger.LOST): Phase.WAITING,
    (Phase.OUT, Trigger.LOST_TOO_OFTEN): Phase.GIVEN_UP,
    (Phase.OUT, Trigger.GIVEN_BACK): Phase.WAITING,
    (Phase.OUT, Trigger.ONE_OF_TWO_ENDED): Phase.OUT,
    (Phase.OUT, Trigger.CANCELLED): Phase.CANCELLED,
    (Phase.DELAYED, Trigger.DELAY_PASSED): Phase.WAITING,
    (Phase.DELAYED, Trigger.RETURNED): Phase.DONE,
    (Phase.DELAYED, Trigger.CANCELLED): Phase.CANCELLED,
}


class IllegalTransition(Exception):
    """The table has no such row: a fault of the scheduler, which has changed nothing."""


def next_phase(phase: Phase, trigger: Trigger) -> Phase:
    """Return the phase that follows.

    Raises:
        IllegalTransition: The table does not know this step.
    """
    try:
        return TABLE[phase, trigger]
    except KeyError:
        raise IllegalTransition(f"a task that is {phase.value} cannot be {trigger.value}") from None


def draw() -> str:
    """Return the table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> waiting: submitted"]
    lines.append(f"    [*] --> {_id(Phase.BLOCKED)}: submitted, to follow others")
    for (phase, trigger), after in TABLE.items():
        lines.append(f"    {_id(phase)} --> {_id(after)}: {trigger.value}")
    final = [phase for phase in Phase if all(before is not phase for before, _ in TABLE)]
    lines += [f"    {_id(phase)} --> [*]" for phase in final]
    return "\n".join(lines) + "\n"


def _id(phase: Phase) -> str:
    return phase.value.replace(" ", "_")
