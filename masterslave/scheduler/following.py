"""Tasks that follow others: they wait until all of these have succeeded, or fail with one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain

from masterslave.scheduler.events import HandOut
from masterslave.scheduler.orders import FailFollowers
from masterslave.scheduler.pieces import Piece
from masterslave.scheduler.state import State, Step
from masterslave.scheduler.transitions import Phase, Trigger, next_phase

__all__ = ["hold", "let_go", "note_failed"]


def hold(state: State, pieces: Sequence[Piece], count: int, after: Iterable[int]) -> bool:
    """Have new pieces, of so many tasks, wait for those of these that are open; tells whether any
    is.
    """
    predecessors = {task for task in after if state.phase_of(task) is not None}
    if not predecessors:
        return False
    for piece in pieces:
        piece.phase = Phase.BLOCKED
        state.blocked[piece.first] = len(predecessors)
        for task in predecessors:
            state.followers.setdefault(task, []).append(piece.first)
    state.roster.demand_of(pieces[0].terms).open += count
    state.counts.submitted += count
    return True


def let_go(state: State, settled: Sequence[HandOut], failed: frozenset[int], step: Step) -> None:
    """These have their answers, exceptions where they are among *failed*."""
    followers = state.followers
    for hand_out in settled:
        for task in range(hand_out.task, hand_out.task + hand_out.count):
            if task not in followers:
                continue
            if task in failed:
                step.gone.append(range(task, task + 1))
                continue
            for first in followers.pop(task):
                _count_down(state, first)


def note_failed(state: State, step: Step) -> None:
    """What has ended without success takes with it all that follows, in whatever chain."""
    followers = state.followers
    ended = deque(task for task in chain.from_iterable(step.gone) if task in followers)
    step.gone.clear()
    while ended:
        task = ended.popleft()
        rows: list[range] = []
        for first in followers.pop(task, ()):
            piece = state.pieces.by_first.get(first)
            if piece is None or piece.phase is not Phase.BLOCKED:
                continue  # cancelled, or failed with another one
            for row in piece.open_within(piece.first, piece.stop):
                state.end_part(piece, row)
                rows.append(row)
            state.end(piece, Trigger.PREDECESSOR_FAILED, step)
        if rows:
            state.counts.given_up += sum(map(len, rows))
            state.changed_at = step.now
            step.orders.append(FailFollowers(task, rows))
            ended.extend(one for one in chain.from_iterable(rows) if one in followers)


def _count_down(state: State, first: int) -> None:
    """One of its predecessors has succeeded; after the last one, it waits in the queue."""
    piece = state.pieces.by_first.get(first)
    if piece is None or piece.phase is not Phase.BLOCKED:
        return
    state.blocked[first] -= 1
    if not state.blocked[first]:
        del state.blocked[first]
        piece.phase = next_phase(piece.phase, Trigger.PREDECESSORS_DONE)
        demand = state.note_waiting(piece, piece.count_open())
        state.roster.ask_again(demand)
        demand.queue.append(piece.terms, (piece,))
