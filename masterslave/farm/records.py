"""Frozen records of a farm's state, for scripts, ``masterslave show`` and ``--json``."""

from __future__ import annotations

from dataclasses import dataclass, field

from masterslave.master.seats import Seat
from masterslave.scheduler.state import State

__all__ = ["FarmStatistics", "SlaveRecord", "record_of", "statistics_of"]


@dataclass(frozen=True, slots=True)
class SlaveRecord:
    """A slave, as it was when it was asked for.

    Attributes:
        pid: Process id of its agent.
        slots: Tasks that it runs at once.
        state: "idle", "busy", "quarantined", "left" or "lost".
        held: Tasks that it has and has not answered.
        done: Tasks that it has answered.
        evidence: Why it is quarantined: tasks that it failed, and that succeeded elsewhere.
        offers: Amounts of what tasks may need, by name.
    """

    name: str
    host: str
    pid: int
    slots: int
    state: str
    held: int
    done: int
    address: str
    evidence: tuple[str, ...] = ()
    offers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FarmStatistics:
    """What a farm has done so far.

    Attributes:
        done: Tasks that were answered, by a value or by an exception of theirs.
        failed: Of the answered and given-up ones, those that raise.
        handed_out_again: Hand-outs after a task's first: its slave or child was lost, or left.
        retried: Runs that raised what their options would have run again, and were.
        speculated: Second attempts of tasks that took long, made while slots were free.
        recalled: Tasks that were held ahead, and taken back for a slot that had become free.
        late: Answers that came when the task had one already; dropped.
    """

    submitted: int
    done: int
    failed: int
    given_up: int
    cancelled: int
    waiting: int
    handed_out: int
    handed_out_again: int
    late: int
    slaves_joined: int
    slaves_left: int
    slaves_lost: int
    retried: int
    speculated: int
    recalled: int
    slaves_quarantined: int


def record_of(seat: Seat, state: State) -> SlaveRecord:
    """Return the record of a slave that is, or was, at the table."""
    slave = state.slaves.get(seat.slave)
    held = slave.held_count if slave else 0
    here = "busy" if held else "idle"
    if seat.state == "quarantined":
        here = seat.state
    who = seat.introduction
    return SlaveRecord(
        name=who.name,
        host=who.host,
        pid=who.pid,
        slots=who.slots,
        state=here if slave else seat.state,
        held=held,
        done=seat.done,
        address=seat.peer,
        evidence=seat.evidence,
        offers=dict(who.offers),
    )


def statistics_of(state: State, failed: int) -> FarmStatistics:
    """Return the farm's counts."""
    counts = state.counts
    return FarmStatistics(
        submitted=counts.submitted,
        done=counts.done,
        failed=failed,
        given_up=counts.given_up,
        cancelled=counts.cancelled,
        waiting=state.waiting,
        handed_out=counts.handed_out,
        handed_out_again=counts.handed_out_again,
        late=counts.late,
        slaves_joined=counts.slaves_joined,
        slaves_left=counts.slaves_left,
        slaves_lost=counts.slaves_lost,
        retried=counts.retried,
        speculated=counts.speculated,
        recalled=counts.recalled,
        slaves_quarantined=counts.slaves_quarantined,
    )
