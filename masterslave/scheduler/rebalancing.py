"""When slots are free and nothing waits for them: work is recalled, or tried twice.

What was cancelled in part is recalled, too.
"""

from __future__ import annotations

from collections import deque

from masterslave.scheduler.events import HandOut
from masterslave.scheduler.orders import RecallTasks, SendTasks
from masterslave.scheduler.pieces import Piece
from masterslave.scheduler.slaves import RECALL_WORTH_S, Demand, Slave
from masterslave.scheduler.state import State, Step
from masterslave.scheduler.transitions import Trigger, next_phase

__all__ = ["recall", "recall_thinned", "try_stragglers_twice"]

_KNOWN_FROM = 3
"""Outcomes of a function that have to be known before one of its tasks is called slow."""

# A look at what runs goes through all slaves, so there are at most so many of them in a
# ``straggler_min_s``.
_LOOKS = 8


def recall(state: State, step: Step) -> None:
    """Recall hand-outs for the free slots, from the slaves that hold the most ahead."""
    roster = state.roster
    for demand in list(roster.demands.uneven):
        while not demand.waiting and demand.rich and demand.free_slots > roster.recalls:
            slave = demand.rich.take_highest()
            hand_outs = _second_half(state, slave, demand)
            if not hand_outs:  # most of what it holds is of another demand
                continue
            slave.recalled.update(hand_out.task for hand_out in hand_outs)
            roster.line_up(slave)
            state.counts.recalled += sum(hand_out.count for hand_out in hand_outs)
            step.orders.append(RecallTasks(slave.name, hand_outs))


def recall_thinned(state: State, step: Step) -> None:
    """Recall hand-outs of which tasks were cancelled: these must not start with the others, which
    are handed out again without them. The slave keeps what it has started.
    """
    for piece in step.thinned.values():
        if piece.is_over():
            continue
        for attempt, name in piece.live():
            slave = state.slaves[name]
            if piece.first in slave.recalled:
                continue
            count = piece.stop - piece.first
            if piece.first not in slave.started:
                slave.recalled.add(piece.first)
                state.roster.touched[name] = slave
                state.counts.recalled += count
            step.orders.append(RecallTasks(name, (HandOut(piece.first, attempt, count),)))


def _second_half(state: State, slave: Slave, demand: Demand) -> list[HandOut]:
    """Return the last of what a slave holds ahead of a demand: half of it, by time."""
    by_first = state.pieces.by_first
    held = slave.ahead
    wanted_s = slave.ahead_s / 2
    if slave.is_mixed:
        held = deque(
            one
            for one in slave.ahead
            if slave.is_live(one, by_first)
            and state.roster.demand_of(by_first[one.task].terms) is demand
        )
        held_s = sum(by_first[one.task].expected_s for one in held)
        if held_s <= RECALL_WORTH_S * slave.slots:
            return []
        wanted_s = held_s / 2
    chosen: list[HandOut] = []
    for hand_out in reversed(held):
        if slave.is_live(hand_out, by_first):
            chosen.append(hand_out)
            wanted_s -= by_first[hand_out.task].expected_s
            if wanted_s <= 0.0:
                break
    return chosen


def try_stragglers_twice(state: State, step: Step) -> None:
    """Give free slots a second attempt at what runs much longer than others of its function."""
    feed, roster, now = state.feeding, state.roster, step.now
    next_look = now + feed.straggler_min_s
    for slave in list(roster.by_name.values()):
        for first, since in list(slave.started.items()):
            piece = state.pieces.by_first[first]
            if not _may_be_doubled(piece):
                continue
            due = since + _patience_s(state, piece)
            if due > now:
                next_look = min(next_look, due)
            elif not _double(state, piece, slave, step):
                next_look = now  # as soon as somebody is free for it
    state.look_at = max(next_look, now + feed.straggler_min_s / _LOOKS)


def _may_be_doubled(piece: Piece) -> bool:
    return (
        piece.terms.repeatable
        and piece.second is None
        and piece.open is None
        and not (piece.past is not None and piece.past.is_doubled)
    )


def _patience_s(state: State, piece: Piece) -> float:
    """Return how long a piece may run before it is called a straggler, in seconds."""
    feed = state.feeding
    known = state.estimates.by_function.get(piece.terms.function)
    if known is None or known.outcomes < _KNOWN_FROM:
        return float("inf")
    bar_s = known.bar_s() * (piece.stop - piece.first)
    return max(feed.straggler_factor * bar_s, feed.straggler_min_s)


def _double(state: State, piece: Piece, holder: Slave, step: Step) -> bool:
    """Hand a piece out a second time; tells whether somebody else was free."""
    roster, needs = state.roster, piece.terms.needs
    free = roster.demand_of(piece.terms).free
    slave = next((s for s in free.values() if s is not holder), None)
    if slave is None:
        return False
    count = piece.stop - piece.first
    piece.phase = next_phase(piece.phase, Trigger.HANDED_OUT_TWICE)
    piece.attempts += 1
    piece.second = (piece.attempts, slave.name)
    piece.change_past(is_doubled=True)
    slave.start(piece.first, needs, step.now)
    slave.held_count += count
    if state.shares.is_shared:
        state.charge(piece, piece.attempts)
    roster.line_up(slave)
    state.counts.handed_out += count
    state.counts.handed_out_again += count
    state.counts.speculated += count
    state.changed_at = step.now
    hand_out = HandOut(piece.first, piece.attempts, count)
    step.orders.append(SendTasks(slave.name, (hand_out,)))
    return True
