"""Asking the scheduler, with a trace of all that it hears and says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from masterslave.scheduler import Event, Order, Scheduler

if TYPE_CHECKING:  # it needs SQLite
    from masterslave.journal.trace import Trace

__all__ = ["asking"]


def asking(scheduler: Scheduler, trace: Trace | None) -> Callable[[Event, float], list[Order]]:
    """Return what asks the scheduler. Threads: one at a time."""
    if trace is None:
        return scheduler.handle

    def ask(event: Event, now: float) -> list[Order]:
        trace.note(now, event)  # before: should the scheduler fail, it is by this event
        orders = scheduler.handle(event, now)
        trace.note_decided(now, orders)
        return orders

    return ask
