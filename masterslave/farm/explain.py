"""Why nothing runs, in words: for the log, ``repr(farm)`` and ``masterslave show``."""

from __future__ import annotations

import getpass
from dataclasses import dataclass

from masterslave.scheduler import Wait

__all__ = ["Refused", "explain"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A slave that came and was not let in."""

    who: str
    reason: str


def explain(
    wait: Wait, *, label: str, waiting: int, slots: int, refused: tuple[Refused, ...]
) -> str:
    """Return what the waiting tasks wait for, and what to do; empty when nothing waits."""
    tasks = f"{waiting} task{'s' * (waiting != 1)} wait{'s' * (waiting == 1)}"
    match wait:
        case Wait.NOTHING:
            return ""
        case Wait.NO_SLAVE if refused:
            seen = "; ".join(f"{one.who}: {one.reason}" for one in refused[-3:])
            return f"{tasks}: slaves were seen, but refused: {seen}"
        case Wait.NO_SLAVE:
            return (
                f"{tasks}: no slave seen; start one with 'masterslave slave {label}' as user "
                f"{getpass.getuser()}, or give Farm(local_slaves=2)"
            )
        case Wait.ALL_BUSY:
            return f"{tasks}: all {slots} slots are busy"
        case Wait.NO_CREDIT:
            return (
                f"{tasks}: the slaves take nothing now: they are busy with other farms, or leaving"
            )
