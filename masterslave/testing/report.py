"""What a simulated farm has done."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SimReport"]


@dataclass(frozen=True, slots=True)
class SimReport:
    """What a simulated farm has done; equal for equal seeds and options.

    Attributes:
        seconds: Until the last task was settled, on the fake clock.
        submitted, done, given_up, cancelled: Tasks, by what became of them.
        handed_out: Attempts at tasks; ``handed_out_again`` those after a task's first.
        retried, speculated, recalled, late: As in the scheduler's counts.
        slaves_joined, slaves_left, slaves_lost: Slaves.
        slaves_quarantined, slaves_released: Slaves, each as often as it was.
        busy_slot_s: How long slots were at work, together.
        idle_slot_s: How long slots were idle while some task had not been started; each as often as
            there were slots that could have started one.
        events: What the scheduler heard.
        checks: Promises that were checked.
        trace: A hash of all events and orders.
        scheduler_s: What the scheduler took, in seconds of processor time; 0 with a ledger.
    """

    seconds: float
    submitted: int
    done: int
    given_up: int
    cancelled: int
    handed_out: int
    handed_out_again: int
    retried: int
    speculated: int
    recalled: int
    late: int
    slaves_joined: int
    slaves_left: int
    slaves_lost: int
    slaves_quarantined: int
    slaves_released: int
    busy_slot_s: float
    idle_slot_s: float
    events: int
    checks: int
    trace: str
    scheduler_s: float = field(compare=False)
