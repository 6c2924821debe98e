"""What is promised about each task: its answer, its attempts, and its end."""

from __future__ import annotations

from itertools import chain

from masterslave.scheduler.entries import OPEN, Out
from masterslave.scheduler.ledger import Ledger
from masterslave.scheduler.promises.broken import BrokenPromise, none
from masterslave.scheduler.transitions import Phase

__all__ = ["LASTING", "MOMENTARY"]


def every_task_is_settled_at_most_once(ledger: Ledger) -> None:
    """A task gets one answer, however many attempts of it are delivered, and however often."""
    none(ledger.faults["settled twice"])


def an_answer_is_an_outcome_that_was_delivered(ledger: Ledger) -> None:
    """A task is settled by the outcome of one of its own attempts, in the moment it comes."""
    none(ledger.faults["settled without outcome"])


def the_first_outcome_is_the_answer(ledger: Ledger) -> None:
    """Whatever attempt it is of, and whatever became of the rest of its span, from the slave that
    was handed the attempt; except for an exception that is to be retried.
    """
    none(ledger.moment.answers)


def attempts_have_numbers_of_their_own(ledger: Ledger) -> None:
    """A task's hand-outs have growing numbers, so that an outcome says which one it is of."""
    none(ledger.faults["number used before"])


def what_has_ended_is_not_handed_out(ledger: Ledger) -> None:
    """A cancelled, settled or given-up task does not start any more."""
    none(ledger.faults["sent after its end"])


def what_is_cancelled_does_not_start_with_others(ledger: Ledger) -> None:
    """A hand-out of which some tasks were cancelled is recalled; the others go out again."""
    none(
        key
        for key in ledger.moment.thinned
        if key in ledger.out and key not in ledger.seats[ledger.out[key].slave].recalled
    )


def pointless_attempts_are_stopped(ledger: Ledger) -> None:
    """When the last task of a hand-out has ended, who works on it is told to stop; no sooner."""
    none(ledger.moment.stops)
    none(ledger.faults["stopped though wanted"])


def losses_are_bounded(ledger: Ledger) -> None:
    """A task that ran when it was lost is given up after ``max_attempts`` of that, no sooner and no
    later, and its story has a line for each.
    """
    none(ledger.moment.give_ups)
    none(ledger.faults["given up wrongly"])


def suspects_go_one_by_one(ledger: Ledger) -> None:
    """Items that were lost together are handed out alone, so that none is blamed for another."""
    none(ledger.faults["suspects together"])


def retries_wait_for_their_delay(ledger: Ledger) -> None:
    """What raised is not handed out before its delay has passed."""
    none(ledger.faults["sent before its delay"])


def retries_are_bounded(ledger: Ledger) -> None:
    """What raised is run again as often as its terms say, and then the exception is its answer."""
    none(
        task
        for task, count in ledger.retried.items()
        if count > ledger.submission_of(task).terms.retries
    )


def second_attempts_are_bounded(ledger: Ledger) -> None:
    """At most one extra attempt a task, of a repeatable function, of what runs long, on another
    slave, when nothing waits: never are more than two out.
    """
    none(ledger.faults["second attempt"])


def stragglers_are_tried_twice(ledger: Ledger) -> None:
    """What runs much longer than others of its function gets a second attempt, when a slot on
    another slave is free for it.
    """
    if not ledger.free_slots:
        return
    late_s = ledger.feeding.straggler_min_s
    for key, out in ledger.out.items():
        if out.since is None or not _may_be_doubled(out, ledger):
            continue
        ask = ledger.ask_of(out.terms)
        if ledger.waiting_of[ask]:
            continue
        since = max(
            out.since + ledger.patience_s(out),
            ledger.known_since[out.terms.function],
            ledger.last_waited.get(ask, 0.0),
        )
        if any(
            seat.can_take(ask)
            and seat.name != out.slave
            and max(seat.free_since, since) + late_s < ledger.now
            for seat in ledger.free_seats.values()
        ):
            raise BrokenPromise(f"{key} runs on {out.slave} since {out.since}")


def _may_be_doubled(out: Out, ledger: Ledger) -> bool:
    """Tell whether a hand-out may get a second attempt when it runs long."""
    return (
        out.terms.repeatable
        and out.open == len(out.tasks)
        and ledger.doubled.isdisjoint(out.tasks)
        and out.terms.function in ledger.known_since
        and not out.terms.needs  # since when the amounts are there is not known
    )


def limits_are_kept(ledger: Ledger) -> None:
    """What may run for a time only is answered then, or its slave is given up: that ends it, and
    one that says nothing is not waited for.
    """
    grace_s = 2 * ledger.silence_s + 1.0
    for key, out in ledger.out.items():
        if out.since is not None and out.terms.timeout_s:
            due = out.since + out.terms.timeout_s * len(out.tasks) + grace_s
            if ledger.now > due:
                raise BrokenPromise(f"{key} runs on {out.slave} since {out.since}")


def the_counts_are_right(ledger: Ledger) -> None:
    """What is shown to people is what happened."""
    state, expected = ledger.scheduler.state, ledger.counts
    counts = state.counts
    for name in counts.__struct_fields__:
        if getattr(counts, name) != expected[name]:
            raise BrokenPromise(f"{name} is {getattr(counts, name)}, should be {expected[name]}")
    if state.waiting != ledger.waiting_count:
        raise BrokenPromise(f"{state.waiting} wait, should be {ledger.waiting_count}")


def nothing_is_lost(ledger: Ledger) -> None:
    """A task without an end waits in the queue, or for its delay, or is out with a slave that is
    here; and what has an end does not.
    """
    state = ledger.scheduler.state
    queued = {id(piece) for demand in state.roster.demands for piece in demand.queue}
    found = 0
    for piece in state.tasks.values():
        rows = piece.open_within(piece.first, piece.stop)
        found += sum(map(len, rows))
        for task in chain.from_iterable(rows):
            phase = _phase_of(task, ledger)
            if not ledger.is_open(task) or piece.phase is not phase:
                raise BrokenPromise(f"task {task} is {piece.phase}, should be {phase}")
        if piece.phase is Phase.WAITING and id(piece) not in queued:
            raise BrokenPromise(f"task {piece.first} waits, but not in the queue")
        for attempt, slave in piece.live():
            if ledger.out[piece.first, attempt].slave != slave or slave not in ledger.seats:
                raise BrokenPromise(f"task {piece.first} is not with {slave}")
    if found != ledger.status.count(OPEN):
        raise BrokenPromise(f"{ledger.status.count(OPEN)} tasks are open, {found} are known")


def _phase_of(task: int, ledger: Ledger) -> Phase:
    """Return in which phase an open task is."""
    if ledger.is_covered(task):
        return Phase.OUT
    if ledger.submission_of(task).blocked_by:
        return Phase.BLOCKED
    return Phase.DELAYED if task in ledger.delayed else Phase.WAITING


MOMENTARY = (
    the_first_outcome_is_the_answer,
    what_is_cancelled_does_not_start_with_others,
    pointless_attempts_are_stopped,
    losses_are_bounded,
)

LASTING = (
    every_task_is_settled_at_most_once,
    an_answer_is_an_outcome_that_was_delivered,
    attempts_have_numbers_of_their_own,
    what_has_ended_is_not_handed_out,
    suspects_go_one_by_one,
    retries_wait_for_their_delay,
    retries_are_bounded,
    second_attempts_are_bounded,
    stragglers_are_tried_twice,
    limits_are_kept,
    the_counts_are_right,
    nothing_is_lost,
)
