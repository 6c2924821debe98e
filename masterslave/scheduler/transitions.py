"""A task's life, as a table.

The rules in words:

* A task waits until a slave has credit for it; then it is out, as an attempt with a number.
* The first outcome of any of its attempts is its answer, also when that attempt had been declared
  lost and the task waits again, or is out elsewhere.
* An attempt that is lost with its slave or child, or given back, sends the task back to the front
  of the queue; one that was lost too often is given up. When a slave is lost, that is held against
  the tasks that it ran; those that only waited there count as given back.
* Cancelled, it is never handed out again, and what comes of it later is dropped.
* What is done, given up or cancelled stays so.
"""

from __future__ import annotations

import enum

__all__ = ["TABLE", "IllegalTransition", "Phase", "Trigger", "draw", "next_phase"]


class Phase(enum.Enum):
    """Where a task stands."""

    WAITING = "waiting"
    OUT = "out"
    DONE = "done"
    GIVEN_UP = "given up"
    CANCELLED = "cancelled"


class Trigger(enum.Enum):
    """What moves it."""

    HANDED_OUT = "handed out"
    RETURNED = "returned"
    LOST = "lost"
    LOST_TOO_OFTEN = "lost too often"
    GIVEN_BACK = "given back"
    CANCELLED = "cancelled"


TABLE: dict[tuple[Phase, Trigger], Phase] = {
    (Phase.WAITING, Trigger.HANDED_OUT): Phase.OUT,
    (Phase.WAITING, Trigger.RETURNED): Phase.DONE,
    (Phase.WAITING, Trigger.CANCELLED): Phase.CANCELLED,
    (Phase.OUT, Trigger.RETURNED): Phase.DONE,
    (Phase.OUT, Trigger.LOST): Phase.WAITING,
    (Phase.OUT, Trigger.LOST_TOO_OFTEN): Phase.GIVEN_UP,
    (Phase.OUT, Trigger.GIVEN_BACK): Phase.WAITING,
    (Phase.OUT, Trigger.CANCELLED): Phase.CANCELLED,
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
    for (phase, trigger), after in TABLE.items():
        lines.append(f"    {_id(phase)} --> {_id(after)}: {trigger.value}")
    final = [phase for phase in Phase if all(before is not phase for before, _ in TABLE)]
    lines += [f"    {_id(phase)} --> [*]" for phase in final]
    return "\n".join(lines) + "\n"


def _id(phase: Phase) -> str:
    return phase.value.replace(" ", "_")
