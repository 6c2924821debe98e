"""Slaves that fail tasks which succeed elsewhere get no more, visibly, and with the evidence."""

from __future__ import annotations

from masterslave.scheduler.events import HandOut
from masterslave.scheduler.orders import QuarantineSlave, RecallTasks
from masterslave.scheduler.slaves import Slave
from masterslave.scheduler.state import State, Step

__all__ = ["EVIDENCE", "judge", "note_against", "note_done"]

EVIDENCE = 3
"""So many tasks speak against a slave before it is quarantined: one or two may be bad luck."""

# "Lately" is about so many hand-outs.
_LATELY = 10.0


def note_done(slave: Slave, count: int) -> None:
    """A slave has finished hand-outs."""
    slave.done += count
    _forget_old(slave)


def note_against(state: State, name: str, line: str, step: Step) -> None:
    """A task that failed at this slave has been done elsewhere."""
    slave = state.slaves.get(name)
    if slave is not None and not slave.is_quarantined:
        slave.bad += 1
        slave.evidence = (*slave.evidence, line)[-2 * EVIDENCE :]
        _forget_old(slave)
        step.accused[name] = slave


def judge(state: State, step: Step) -> None:
    """Quarantine those against which enough speaks, unless nobody else would be left."""
    for slave in step.accused.values():
        others = state.roster.able - (slave.slots_counted > 0)
        if len(slave.evidence) >= EVIDENCE and slave.bad > slave.done and others > 0:
            _quarantine(state, slave, step)


def _forget_old(slave: Slave) -> None:
    total = slave.done + slave.bad
    if total > _LATELY:
        slave.done *= _LATELY / total
        slave.bad *= _LATELY / total


def _quarantine(state: State, slave: Slave, step: Step) -> None:
    slave.is_quarantined = True
    state.counts.slaves_quarantined += 1
    state.changed_at = step.now
    step.orders.append(QuarantineSlave(slave.name, slave.evidence))
    recalled: list[HandOut] = []
    for hand_out in slave.ahead:
        if hand_out.task not in slave.recalled and slave.is_live(hand_out, state.pieces.by_first):
            slave.recalled.add(hand_out.task)
            recalled.append(hand_out)
            state.counts.recalled += hand_out.count
    state.roster.line_up(slave)
    if recalled:
        step.orders.append(RecallTasks(slave.name, recalled))
