"""Why nothing runs: the condition that holds, told from the scheduler's state alone."""

from __future__ import annotations

import enum

from masterslave.scheduler.state import State

__all__ = ["Wait", "wait_of"]


class Wait(enum.Enum):
    """What the waiting tasks wait for."""

    NOTHING = "nothing waits"
    NO_SLAVE = "no slave"
    ALL_BUSY = "all slots are busy"
    NO_CREDIT = "the slaves take nothing: they are busy elsewhere"


def wait_of(state: State) -> Wait:
    """Return which condition holds now."""
    if not state.waiting:
        return Wait.NOTHING
    if not state.slaves:
        return Wait.NO_SLAVE
    if any(len(slave.held) < slave.slots for slave in state.slaves.values()):
        return Wait.NO_CREDIT
    return Wait.ALL_BUSY
