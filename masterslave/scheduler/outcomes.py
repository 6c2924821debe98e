"""What comes back: outcomes settle tasks, whichever attempt they are of, or have them run again.

They count from the slave that was handed the attempt, also when it was given up meanwhile.

Most are of a task that is out once and has no past: those take the short way, which is why it
is written out.
"""

from __future__ import annotations

from collections.abc import Sequence

from masterslave.scheduler import following, quarantine
from masterslave.scheduler.events import HandOut, TasksReturned
from masterslave.scheduler.orders import SettleTasks
from masterslave.scheduler.pieces import Past, Piece
from masterslave.scheduler.state import State, Step
from masterslave.scheduler.transitions import Phase, Trigger, next_phase

__all__ = ["take_in"]

Measured = dict[int, list[float]]
"""What hand-outs took, per item, by function."""

_AFTER_RETURN = next_phase(Phase.OUT, Trigger.RETURNED)


def take_in(state: State, event: TasksReturned, step: Step) -> None:
    """Take in outcomes that a slave has delivered.

    Raises:
        ValueError: There is not one time for each hand-out; nothing has changed then.
    """
    name, to_retry, all_seconds = event.slave, event.to_retry, event.seconds
    _check_times(event)
    by_first, drop, is_shared = state.pieces.by_first, state.pieces.drop, state.shares.is_shared
    slave = state.roster.hear(name, step.now)
    settled: list[HandOut] = []
    settle = settled.append
    done = briefly = 0
    terms = demand = None
    measured: Measured = {}
    for at, hand_out in enumerate(event.hand_outs):
        number, count = hand_out.task, hand_out.count
        seconds = all_seconds[at]
        piece = by_first.get(number)
        if (
            slave is None
            or piece is None
            or piece.attempt != hand_out.attempt
            or piece.stop - number != count
            or piece.past is not None
            or piece.open is not None
            or piece.second is not None
            or piece.holder != name
            or (to_retry and (count > 1 or number in to_retry))
        ):
            done += _take_in_one(state, hand_out, seconds, event, settled, measured, step)
            continue
        if piece.terms is not terms:
            if demand is not None:
                demand.open -= briefly
            done += briefly
            terms, briefly = piece.terms, 0
            demand = state.roster.demand_of(terms)
            measure = measured.setdefault(terms.function, []).append
        measure(seconds if count == 1 else seconds / count)
        piece.phase = _AFTER_RETURN
        if piece.span is None:
            del by_first[number]
        else:
            drop(piece)
        slave.held_count -= count
        if slave.started.pop(number, None) is None:
            slave.leave_ahead(piece)
        elif slave.needs_of:
            slave.end_use(number)
        if is_shared:
            state.shares.settle((number, hand_out.attempt), seconds)
        settle(hand_out)
        briefly += count
    if demand is not None:
        demand.open -= briefly
        done += briefly
    for function, times in measured.items():
        state.estimates.note(function, times)
    if slave is not None:
        state.roster.touched[name] = slave
        quarantine.note_done(slave, len(settled))
        if slave.trial is not None:
            quarantine.hear_trial(state, slave, event, step)
    if settled:
        state.counts.done += done
        _settle(state, settled, event.failed, step)


def _check_times(event: TasksReturned) -> None:
    if len(event.seconds) != len(event.hand_outs):
        raise ValueError(f"{len(event.seconds)} times for {len(event.hand_outs)} hand-outs")


def _settle(state: State, settled: list[HandOut], failed: frozenset[int], step: Step) -> None:
    state.changed_at = step.now
    step.orders.append(SettleTasks(settled))
    if state.followers:
        following.let_go(state, settled, failed, step)


def _take_in_one(
    state: State,
    hand_out: HandOut,
    seconds: float,
    event: TasksReturned,
    settled: list[HandOut],
    measured: Measured,
    step: Step,
) -> int:
    """Take in one outcome, of whatever; returns how many tasks it has settled."""
    if hand_out.count < 1:
        return 0
    first, stop = hand_out.task, hand_out.task + hand_out.count
    out = state.end_attempt(hand_out, event.slave, seconds)
    if out is not None:
        measured.setdefault(out.terms.function, []).append(seconds / hand_out.count)
    done = 0
    for piece in _pieces_of(state, hand_out):
        if piece.holder_of(hand_out.attempt) != event.slave:
            continue
        kept = event.to_retry if piece is not out or _has_retries(piece) else frozenset()
        for part in piece.open_within(first, stop):
            for answered in _without(part, kept) if kept else (part,):
                state.end_part(piece, answered)
                whole = answered.start == first and answered.stop == stop
                settled.append(
                    hand_out if whole else HandOut(answered.start, hand_out.attempt, len(answered))
                )
                done += len(answered)
                _note_success(state, piece, answered, event, step)
        if piece.is_over():
            state.end(piece, Trigger.RETURNED, step)
        elif piece is out:
            _retry(state, piece, hand_out, event.slave, step)
    state.counts.late += hand_out.count - done - (0 if out is None else out.count_open())
    return done


def _pieces_of(state: State, hand_out: HandOut) -> Sequence[Piece]:
    """Return the pieces in which its tasks are: only items of a span go out together."""
    if hand_out.count > 1:
        return state.pieces.of_spans(hand_out.task, hand_out.task + hand_out.count)
    piece = state.pieces.around(hand_out.task)
    return () if piece is None else (piece,)


def _has_retries(piece: Piece) -> bool:
    return (piece.past.failures if piece.past else 0) < piece.terms.retries


def _without(part: range, kept: frozenset[int]) -> list[range]:
    """Return what of a row of tasks is not among *kept*."""
    parts: list[range] = []
    start = part.start
    for task in sorted(kept.intersection(part)) if len(kept) > len(part) else sorted(kept):
        if start <= task < part.stop:
            if start < task:
                parts.append(range(start, task))
            start = task + 1
    if start < part.stop:
        parts.append(range(start, part.stop))
    return parts


def _retry(state: State, piece: Piece, hand_out: HandOut, slave: str, step: Step) -> None:
    """What is left of the piece raised, and has retries."""
    past = piece.past or Past()
    state.counts.retried += piece.count_open()
    due = step.now + piece.terms.pause_s(past.failures)
    what = f"attempt {hand_out.attempt} raised here"
    piece.change_past(failures=past.failures + 1, failed_at=(*past.failed_at, (slave, what, True)))
    if piece.attempt:  # its other attempt is the retry
        piece.phase = next_phase(piece.phase, Trigger.ONE_OF_TWO_ENDED)
    else:
        piece.phase = next_phase(piece.phase, Trigger.RAISED)
        state.delays.add(piece, due)


def _note_success(
    state: State, piece: Piece, part: range, event: TasksReturned, step: Step
) -> None:
    """Hold it against the slaves at which tasks have failed that this one has done."""
    if piece.past is not None and piece.past.failed_at and part.start not in event.to_retry:
        for slave, what, has_raised in piece.past.failed_at:
            if slave != event.slave:
                line = f"task {part.start}: {what}, and was done by {event.slave}"
                quarantine.note_against(state, slave, line, step, has_raised=has_raised)
