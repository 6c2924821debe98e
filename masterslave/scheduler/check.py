"""Checks what is promised about the scheduler, against the ledger of what it was told and said.

Promises that can be read from the ledger at once are checked after every event; those that look at
all tasks or slaves as often as whoever checks can afford.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from masterslave.scheduler.ledger import Ledger
from masterslave.scheduler.promises import ahead, demands, slaves, tasks
from masterslave.scheduler.promises.broken import BrokenPromise

__all__ = ["LASTING", "MOMENTARY", "check_all", "check_event"]

Promise = Callable[[Ledger], None]

_ABOUT = (tasks, demands, slaves, ahead)

MOMENTARY: tuple[Promise, ...] = tuple(promise for each in _ABOUT for promise in each.MOMENTARY)
"""Checked after every event; they cost the same however many tasks and slaves there are."""

LASTING: tuple[Promise, ...] = tuple(promise for each in _ABOUT for promise in each.LASTING)
"""Checked now and then: a fault of these is still to be seen later, or they look at everything."""


def check_event(ledger: Ledger) -> None:
    """Check the promises that can only be checked in the moment of an event.

    Raises:
        BrokenPromise: One is broken; the message says which and how.
    """
    _check(ledger, MOMENTARY)


def check_all(ledger: Ledger) -> None:
    """Check every promise.

    Raises:
        BrokenPromise: One is broken; the message says which and how.
    """
    _check(ledger, MOMENTARY)
    _check(ledger, LASTING)


def _check(ledger: Ledger, promises: Iterable[Promise]) -> None:
    for promise in promises:
        try:
            promise(ledger)
        except BrokenPromise as error:
            raise BrokenPromise(f"{promise.__name__.replace('_', ' ')}: {error}") from None
