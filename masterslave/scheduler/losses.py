"""What comes back without an outcome: given back, or lost with its slave or child.

Who is to blame: the task that ran. Of a hand-out of many, that is one; where it is not known which,
all of them are suspect, and handed out one by one from then on, where a loss counts.
"""

from __future__ import annotations

from masterslave.scheduler import quarantine
from masterslave.scheduler.events import HandOutsGivenBack, HandOutsLost
from masterslave.scheduler.orders import GiveUpTask
from masterslave.scheduler.pieces import Past, Piece
from masterslave.scheduler.slaves import Slave
from masterslave.scheduler.state import State, Step
from masterslave.scheduler.transitions import Trigger, next_phase

__all__ = ["give_back", "lose", "take_back_all", "wait_again"]


def give_back(state: State, event: HandOutsGivenBack, step: Step) -> None:
    """A slave will not run these after all; they wait at the front, in their order."""
    for hand_out in reversed(event.hand_outs):
        piece = state.end_attempt(hand_out, event.slave)
        if piece is not None:
            wait_again(state, piece, Trigger.GIVEN_BACK)
            # It was recalled, and has come back after the news that nobody is able to run it.
            if piece.terms.function in state.slaves[event.slave].unable and not piece.attempt:
                state.roster.ask_again(state.roster.demand_of(piece.terms))


def lose(state: State, event: HandOutsLost, step: Step) -> None:
    """The process that ran this has died."""
    hand_out = event.hand_out
    piece = state.end_attempt(hand_out, event.slave)
    if piece is None:
        return
    quarantine.fail_trial(state, event.slave, hand_out, step)
    if event.culprit >= 0 and event.culprit not in range(piece.first, piece.stop):
        wait_again(state, piece, Trigger.GIVEN_BACK)
    elif piece.stop - piece.first == 1:
        _blame(state, piece, hand_out.attempt, event.slave, event.reason, step)
    elif event.culprit < 0:
        _suspect(state, piece)
    else:
        _blame_one_of(state, piece, event, step)


def take_back_all(state: State, slave: Slave, reason: str, step: Step, *, in_peace: bool) -> None:
    """A slave is gone: what it ran is lost, the rest, and all if it left in peace, given back."""
    by_first = state.pieces.by_first
    for hand_out in reversed(slave.ahead):
        if slave.is_live(hand_out, by_first):
            piece = by_first[hand_out.task]
            state.release(piece, hand_out.attempt, 0.0)
            wait_again(state, piece, Trigger.GIVEN_BACK)
    for first, since in reversed(list(slave.started.items())):
        piece = by_first[first]
        attempt = next(number for number, holder in piece.live() if holder == slave.name)
        state.release(piece, attempt, step.now - since)
        if in_peace:
            wait_again(state, piece, Trigger.GIVEN_BACK)
        elif piece.stop - piece.first == 1:
            _blame(state, piece, attempt, slave.name, reason, step)
        else:
            _suspect(state, piece)


def wait_again(state: State, piece: Piece, trigger: Trigger) -> None:
    """Have it wait at the front, unless its other attempt is out."""
    if piece.attempt:
        piece.phase = next_phase(piece.phase, Trigger.ONE_OF_TWO_ENDED)
    else:
        state.to_front(piece, trigger)


def _suspect(state: State, piece: Piece) -> None:
    piece.change_past(is_suspect=True)
    wait_again(state, piece, Trigger.LOST)


def _blame(state: State, piece: Piece, attempt: int, slave: str, reason: str, step: Step) -> None:
    """Hold a loss against a single task."""
    past = piece.past or Past()
    line = f"attempt {attempt} on slave {slave}: {reason}"
    past = piece.change_past(
        losses=past.losses + 1,
        story=(*past.story, line),
        failed_at=(*past.failed_at, (slave, f"attempt {attempt} was lost here ({reason})", False)),
    )
    if past.losses < piece.terms.max_attempts:
        wait_again(state, piece, Trigger.LOST)
        return
    state.end_part(piece, range(piece.first, piece.stop))
    state.end(piece, Trigger.LOST_TOO_OFTEN, step)
    state.counts.given_up += 1
    state.changed_at = step.now
    step.orders.append(GiveUpTask(piece.first, past.story))
    step.gone.append(range(piece.first, piece.stop))


def _blame_one_of(state: State, piece: Piece, event: HandOutsLost, step: Step) -> None:
    """Cut the culprit out, and have the others wait."""
    if piece.attempt:  # its other attempt is out, as a whole: it cannot be taken apart
        wait_again(state, piece, Trigger.LOST)
        return
    culprit = event.culprit
    parts = [piece]
    for stop in (culprit, culprit + 1):
        if parts[-1].first < stop < parts[-1].stop:
            parts.insert(-1, state.pieces.cut_front(parts[-1], stop))
    for part in reversed(parts):
        if part.is_over():
            state.pieces.drop(part)
        elif part.first == culprit:
            _blame(state, part, event.hand_out.attempt, event.slave, event.reason, step)
        else:
            wait_again(state, part, Trigger.GIVEN_BACK)
