"""Functions that some slave cannot run, because a package is missing there: others may be able to.

Tasks of such a function are of demands of their own, which slaves that are unable do not meet. If
nobody who is here is able, what the last of them said is the answer of all that waits. Should such
a function be submitted again, it is tried again: something may have been installed meanwhile.
"""

from __future__ import annotations

from masterslave.scheduler import losses
from masterslave.scheduler.events import SlaveUnable
from masterslave.scheduler.orders import AnswerUnable
from masterslave.scheduler.slaves import Demand
from masterslave.scheduler.state import State, Step
from masterslave.scheduler.transitions import Trigger

__all__ = ["take_in"]


def take_in(state: State, event: SlaveUnable, step: Step) -> None:
    """A slave says that it cannot run the function of a hand-out."""
    piece = state.end_attempt(event.hand_out, event.slave)
    if piece is None:
        return
    function, slave = piece.terms.function, state.slaves[event.slave]
    demands = state.roster.demands
    if function not in demands.partial:
        _separate(state, function)
    slave.unable[function] = event.reason
    of_function = demands.of_function(function)
    for demand in of_function:
        if slave.name in demand.slaves:
            demands.unlink(demand, slave)
    losses.wait_again(state, piece, Trigger.GIVEN_BACK)
    rows: list[range] = []
    for demand in of_function:
        if demand.waiting and not demand.slaves and demand.could_be_met_by(slave):
            rows += _end_all(state, demand, step)
    if rows:
        state.counts.given_up += sum(map(len, rows))
        state.changed_at = step.now
        step.orders.append(AnswerUnable(event.slave, rows))
        step.gone += rows


def _separate(state: State, function: int) -> None:
    """Give the tasks of a function demands of their own."""
    roster = state.roster
    demands = roster.demands
    before = {one.terms: roster.demand_of(one.terms) for one in state.tasks.values()}
    before = {terms: one for terms, one in before.items() if terms.function == function}
    for demand in before.values():  # first: when its last task has moved, it may be forgotten
        for slave in demand.slaves.values():
            if slave.ahead_of is demand:
                slave.is_mixed = True
                roster.touched[slave.name] = slave
    demands.partial.add(function)
    demands.forget_known()
    for piece in state.tasks.values():
        if piece.terms.function == function:
            count = piece.count_open()
            roster.demand_of(piece.terms).open += count
            before[piece.terms].open -= count
    for demand in dict.fromkeys(before.values()):
        for piece in demand.queue.take_out(function):
            new, count = roster.demand_of(piece.terms), piece.count_open()
            new.queue.append(piece.terms, (piece,))
            new.waiting += count
            demand.waiting -= count
            demands.stirred[new] = None


def _end_all(state: State, demand: Demand, step: Step) -> list[range]:
    """End what waits of a demand; returns the tasks."""
    rows = []
    for piece in list(demand.queue):
        for row in piece.open_within(piece.first, piece.stop):
            state.end_part(piece, row)
            rows.append(row)
        state.end(piece, Trigger.NOBODY_ABLE, step)
    return rows
