"""Why nothing runs, or why this task does not: told from the scheduler's state alone."""

from __future__ import annotations

import enum

import msgspec
from msgspec import Struct

from masterslave.scheduler.pieces import Piece
from masterslave.scheduler.slaves import Demand, Slave
from masterslave.scheduler.state import State
from masterslave.scheduler.transitions import Phase

__all__ = ["TaskWait", "Wait", "WaitsFor", "wait_of", "wait_of_task"]


class Wait(enum.Enum):
    """What the waiting tasks wait for."""

    NOTHING = "nothing waits"
    NO_SLAVE = "no slave"
    ALL_BUSY = "all slots are busy"
    NOT_MET = "no slave has what they demand"
    NO_SLOTS = "the slaves offer no slots: they are busy elsewhere, or leaving"
    QUARANTINED = "all slaves are quarantined"


class WaitsFor(enum.Enum):
    """What one task waits for."""

    NOTHING = "it has its answer, or was never submitted"
    ITS_RUN = "it runs"
    ITS_SLAVE = "it is held ahead at a slave that runs others first"
    ITS_DELAY = "it raised, and is run again after a delay"
    A_SLAVE = "no slave is there"
    A_SLOT = "all slots are busy"
    AN_OFFER = "the slaves offer no slots"
    AMOUNTS = "what it needs is used by others"
    SOMEBODY_ELSE = "no slave has what it demands"
    OTHERS = "it follows others, which have not ended"


class TaskWait(Struct, frozen=True):
    """What one task waits for, with what there is to say of it.

    Attributes:
        slave: Where it runs, or is held.
        since: When it was started, as far as is known, on the clock of the events.
        until: When its delay ends, on the same clock.
        behind: Tasks that come before it: at its slave, or in the queue.
        failures: Runs of it that raised and were retried.
        losses: Hand-outs of it that were lost.
        after: Tasks that it follows and that have not ended.
    """

    waits_for: WaitsFor
    slave: str = ""
    since: float | None = None
    until: float | None = None
    behind: int = 0
    failures: int = 0
    losses: int = 0
    after: tuple[int, ...] = ()


def wait_of(state: State) -> Wait:
    """Return which condition holds now for what waits."""
    if not state.waiting:
        return Wait.NOTHING
    if not state.slaves:
        return Wait.NO_SLAVE
    met = [demand for demand in state.roster.demands if demand.waiting and demand.slaves]
    if not met:
        return Wait.NOT_MET
    if any(demand.able for demand in met):
        return Wait.ALL_BUSY
    if all(slave.is_quarantined for slave in state.slaves.values()):
        return Wait.QUARANTINED
    return Wait.NO_SLOTS


def wait_of_task(state: State, task: int) -> TaskWait:
    """Return what a task waits for. Takes longer the more there is before it: it is for people."""
    piece = state.pieces.around(task)
    if piece is None or not piece.open_within(task, task + 1):
        return TaskWait(WaitsFor.NOTHING)
    failures, losses = (piece.past.failures, piece.past.losses) if piece.past else (0, 0)
    if piece.phase is Phase.OUT:
        wait = _wait_at_slave(state, piece)
    elif piece.phase is Phase.DELAYED:
        wait = TaskWait(WaitsFor.ITS_DELAY, until=state.delays.due_of(piece))
    elif piece.phase is Phase.BLOCKED:
        after = (one for one, firsts in state.followers.items() if piece.first in firsts)
        wait = TaskWait(WaitsFor.OTHERS, after=tuple(sorted(after)))
    else:
        reason = _reason(state, state.roster.demand_of(piece.terms))
        wait = TaskWait(reason, behind=_before_in_queue(state, piece, task))
    return msgspec.structs.replace(wait, failures=failures, losses=losses)


def _reason(state: State, demand: Demand) -> WaitsFor:
    if not state.slaves:
        return WaitsFor.A_SLAVE
    if not demand.slaves:
        return WaitsFor.SOMEBODY_ELSE
    if not demand.able:
        return WaitsFor.AN_OFFER
    are_free = any(slave.free_counted for slave in demand.slaves.values())
    return WaitsFor.AMOUNTS if are_free else WaitsFor.A_SLOT


def _wait_at_slave(state: State, piece: Piece) -> TaskWait:
    slave = state.slaves[piece.holder]
    since = slave.started.get(piece.first)
    if since is not None:
        return TaskWait(WaitsFor.ITS_RUN, slave.name, since=since)
    return TaskWait(WaitsFor.ITS_SLAVE, slave.name, behind=_before_at_slave(state, slave, piece))


def _before_at_slave(state: State, slave: Slave, piece: Piece) -> int:
    by_first = state.pieces.by_first
    behind = sum(by_first[first].stop - first for first in slave.started)
    for hand_out in slave.ahead:
        if hand_out.task == piece.first:
            break
        if slave.is_live(hand_out, by_first):
            behind += hand_out.count
    return behind


def _before_in_queue(state: State, piece: Piece, task: int) -> int:
    behind = 0
    for waiting in state.roster.demand_of(piece.terms).queue:
        if waiting is piece:
            break
        behind += waiting.count_open()
    return behind + sum(map(len, piece.open_within(piece.first, task)))
