"""Slaves that fail tasks which succeed elsewhere get no more, visibly, and with the evidence.

After a while such a slave is tried with one task (a *circuit breaker*, half open): if it does that,
its quarantine is over, and what was found against it is forgotten; if not, the next one is twice as
long. It is tried with a task that can afford to fail, so that none is given up, and no exception
is an answer, for the sake of a trial.
"""

from __future__ import annotations

from heapq import heappop, heappush

from masterslave.scheduler.events import HandOut, SlaveReleased, TasksReturned
from masterslave.scheduler.orders import QuarantineSlave, RecallTasks, ReleaseSlave
from masterslave.scheduler.pieces import Piece
from masterslave.scheduler.slaves import Demand, Slave
from masterslave.scheduler.state import State, Step

__all__ = [
    "EVIDENCE",
    "fail_trial",
    "hear_trial",
    "judge",
    "note_against",
    "note_done",
    "release",
    "take_due",
]

EVIDENCE = 3
"""So many tasks speak against a slave before it is quarantined: one or two may be bad luck."""

# "Lately" is about so many hand-outs.
_LATELY = 10.0

_LONGEST = 64
_SHORTEST_S = 0.001


def note_done(slave: Slave, count: int) -> None:
    """A slave has finished hand-outs."""
    slave.done += count
    _forget_old(slave)


def note_against(state: State, name: str, line: str, step: Step, *, has_raised: bool) -> None:
    """A task that failed at this slave has been done elsewhere."""
    slave = state.slaves.get(name)
    if slave is not None and not slave.is_quarantined:
        slave.bad += 1
        slave.raises = slave.raises or has_raised
        slave.evidence = (*slave.evidence, line)[-2 * EVIDENCE :]
        _forget_old(slave)
        step.accused[name] = slave


def judge(state: State, step: Step) -> None:
    """Quarantine those against which enough speaks, unless nobody else would be left."""
    for slave in step.accused.values():
        if len(slave.evidence) >= EVIDENCE and slave.bad > slave.done and _others(state, slave):
            _quarantine(state, slave, step)


def _others(state: State, slave: Slave) -> bool:
    """Tell whether somebody else is left to work, and for all that is open of what it could do."""
    is_able = slave.slots_counted > 0
    return state.roster.able > is_able and all(
        demand.able > is_able for demand in slave.demands if demand.open
    )


def take_due(state: State, now: float) -> tuple[Slave, Demand] | None:
    """Return a slave that is to be tried, and that of which it gets a task, if there is one."""
    trials = state.trials
    while trials and trials[0][0] <= now:
        due, name = heappop(trials)
        slave = state.slaves.get(name)
        if slave is None or not slave.is_quarantined or slave.trial_due != due:
            continue
        _set_due(state, slave, now)  # should nothing be heard of it, or should it not be possible
        if slave.slots > 0 and not slave.held_count:
            waiting = [demand for demand in slave.demands if demand.waiting]
            demand = min(waiting, key=Demand.turn, default=None)
            head = None if demand is None else demand.queue.head()
            if demand is None or head is None:
                continue
            if not demand.able or _can_afford(head, slave):  # if nobody else could, in any case
                return slave, demand
    return None


def _can_afford(piece: Piece, slave: Slave) -> bool:
    """Tell whether a task has an attempt left if it fails at this slave as others did."""
    failures, losses = (piece.past.failures, piece.past.losses) if piece.past else (0, 0)
    may_raise = failures < piece.terms.retries or not slave.raises
    return may_raise and losses + 1 < piece.terms.max_attempts


def hear_trial(state: State, slave: Slave, event: TasksReturned, step: Step) -> None:
    """A slave that was tried has delivered something: if it has done its task, it is free."""
    trial = slave.trial
    if trial is None or trial not in event.hand_outs:
        return
    if not event.to_retry.isdisjoint(range(trial.task, trial.task + trial.count)):
        fail_trial(state, slave.name, trial, step)
        return
    _release(state, slave, step)


def release(state: State, event: SlaveReleased, step: Step) -> None:
    """The script says that a slave is as good as any other, whether it is being tried or not."""
    slave = state.slaves.get(event.slave)
    if slave is not None and slave.is_quarantined:
        slave.quarantined_s = 0.0
        _release(state, slave, step)
        state.roster.touched[slave.name] = slave


def _release(state: State, slave: Slave, step: Step) -> None:
    slave.trial, slave.is_quarantined, slave.raises = None, False, False
    slave.done = slave.bad = 0.0
    slave.evidence = ()
    state.counts.slaves_released += 1
    state.changed_at = step.now
    step.orders.append(ReleaseSlave(slave.name))


def fail_trial(state: State, name: str, hand_out: HandOut, step: Step) -> None:
    """A hand-out was lost at a slave, or raised: if it was tried with this, it stays there."""
    slave = state.slaves.get(name)
    if slave is not None and slave.trial == hand_out:
        slave.trial = None
        _begin(state, slave, step.now)


def _begin(state: State, slave: Slave, now: float) -> None:
    first_s = max(state.feeding.quarantine_s, _SHORTEST_S)
    slave.quarantined_s = min(2 * slave.quarantined_s or first_s, _LONGEST * first_s)
    _set_due(state, slave, now)


def _set_due(state: State, slave: Slave, now: float) -> None:
    slave.trial_due = now + slave.quarantined_s
    heappush(state.trials, (slave.trial_due, slave.name))


def _forget_old(slave: Slave) -> None:
    total = slave.done + slave.bad
    if total > _LATELY:
        slave.done *= _LATELY / total
        slave.bad *= _LATELY / total


def _quarantine(state: State, slave: Slave, step: Step) -> None:
    slave.is_quarantined = True
    _begin(state, slave, step.now)
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
