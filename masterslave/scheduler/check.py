"""What is promised about the scheduler: one function a promise, each raising ``BrokenPromise``.

Those that can be read from the ledger at once are checked after every event; those that look at all
tasks or slaves as often as whoever checks can afford.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain

from masterslave.scheduler.entries import OPEN, Ask
from masterslave.scheduler.events import TimePassed
from masterslave.scheduler.ledger import Ledger
from masterslave.scheduler.slaves import RECALL_WORTH_S
from masterslave.scheduler.transitions import Phase

__all__ = ["LASTING", "MOMENTARY", "BrokenPromise", "Ledger", "check_all", "check_event"]


class BrokenPromise(AssertionError):
    """The scheduler did what it must not."""


def every_task_is_settled_at_most_once(ledger: Ledger) -> None:
    """A task gets one answer, however many attempts of it are delivered, and however often."""
    _none(ledger.faults["settled twice"])


def an_answer_is_an_outcome_that_was_delivered(ledger: Ledger) -> None:
    """A task is settled by the outcome of one of its own attempts, in the moment it comes."""
    _none(ledger.faults["settled without outcome"])


def the_first_outcome_is_the_answer(ledger: Ledger) -> None:
    """Whatever attempt it is of, and whatever became of the rest of its span, from the slave that
    was handed the attempt; except for an exception that is to be retried.
    """
    _none(ledger.moment.answers)


def attempts_have_numbers_of_their_own(ledger: Ledger) -> None:
    """A task's hand-outs have growing numbers, so that an outcome says which one it is of."""
    _none(ledger.faults["number used before"])


def nothing_runs_before_what_it_follows(ledger: Ledger) -> None:
    """A task is handed out when all that it is to follow has succeeded, and no sooner."""
    _none(ledger.faults["sent before its predecessors"])


def what_follows_a_failure_fails(ledger: Ledger) -> None:
    """When a task has raised, or was given up or cancelled, what follows it is given up in that
    moment, in whatever chain; and nothing else is.
    """
    _none(ledger.moment.follow)
    _none(ledger.faults["failed though none failed before"])


def what_has_ended_is_not_handed_out(ledger: Ledger) -> None:
    """A cancelled, settled or given-up task does not start any more."""
    _none(ledger.faults["sent after its end"])


def what_is_cancelled_does_not_start_with_others(ledger: Ledger) -> None:
    """A hand-out of which some tasks were cancelled is recalled; the others go out again."""
    _none(
        key
        for key in ledger.moment.thinned
        if key in ledger.out and key not in ledger.seats[ledger.out[key].slave].recalled
    )


def pointless_attempts_are_stopped(ledger: Ledger) -> None:
    """When the last task of a hand-out has ended, who works on it is told to stop; no sooner."""
    _none(ledger.moment.stops)
    _none(ledger.faults["stopped though wanted"])


def losses_are_bounded(ledger: Ledger) -> None:
    """A task that ran when it was lost is given up after ``max_attempts`` of that, no sooner and no
    later, and its story has a line for each.
    """
    _none(ledger.moment.give_ups)
    _none(ledger.faults["given up wrongly"])


def suspects_go_one_by_one(ledger: Ledger) -> None:
    """Items that were lost together are handed out alone, so that none is blamed for another."""
    _none(ledger.faults["suspects together"])


def retries_wait_for_their_delay(ledger: Ledger) -> None:
    """What raised is not handed out before its delay has passed."""
    _none(ledger.faults["sent before its delay"])


def chunks_never_mix_spans(ledger: Ledger) -> None:
    """What goes out as one is of one span; not more than its terms allow, than takes ``chunk_s``,
    or than leaves the span's end balanced.
    """
    _none(ledger.faults["chunk"])


def second_attempts_are_bounded(ledger: Ledger) -> None:
    """At most one extra attempt a task, of a repeatable function, of what runs long, on another
    slave, when nothing waits: never are more than two out.
    """
    _none(ledger.faults["second attempt"])


def priorities_are_kept(ledger: Ledger) -> None:
    """While a task of a higher priority waits that a slave could take, it is handed none of a lower
    one; and tasks of one priority that ask for the same go out in their order.
    """
    waiting = (
        [line for line, count in ledger.waiting.items() if count] if ledger.moment.sent else ()
    )
    for name, sent in ledger.moment.sent.items() if waiting else ():
        seat, lowest = ledger.seats[name], min(priority for priority, _ in sent)
        for ask, priority in waiting:
            if priority > lowest and seat.meets(ask):
                back: Counter[str] = Counter()
                for other, (needs, _, _) in sent:
                    for what, amount in needs if other < priority else ():
                        back[what] += amount  # type: ignore[assignment]
                if seat.has_left(ask, back):
                    raise BrokenPromise(f"{name} was sent {sent}, and {ask, priority} waits")
    _none(ledger.faults["out of order"])


def no_slot_idles_while_a_task_waits(ledger: Ledger) -> None:
    """While a slave that takes tasks has a free slot, no task waits that it could run; what nobody
    can run holds up nothing.
    """
    if not ledger.free_slots or not ledger.waiting_count:
        return
    free, moment = ledger.free_seats, ledger.moment
    pairs = [(ask, list(free.values())) for ask in moment.stirred if ledger.waiting_of[ask]]
    touched = [free[name] for name in moment.touched if name in free]
    pairs += [(ask, touched) for ask, count in ledger.waiting_of.items() if count and touched]
    for ask, seats in pairs:
        for seat in seats:
            if seat.can_take(ask):
                count = ledger.waiting_of[ask]
                raise BrokenPromise(f"{count} wait of {ask}, and {seat.name} is free")


def free_slots_come_first(ledger: Ledger) -> None:
    """Nobody is fed ahead while somebody has a free slot for it."""
    if ledger.free_slots:
        asked = ledger.moment.asked_ahead
        _none([ask for ask in asked if any(s.can_take(ask) for s in ledger.free_seats.values())])


def needs_are_never_exceeded(ledger: Ledger) -> None:
    """What a slave runs at once needs no more than it offers."""
    _none(ledger.faults["needs exceeded"])


def tasks_run_where_their_tags_are(ledger: Ledger) -> None:
    """A slave is sent only tasks of which it has all tags."""
    _none(ledger.faults["tags"])


def who_is_unable_is_spared(ledger: Ledger) -> None:
    """A slave is sent no task of a function that it has said it cannot run, while others may be
    able; when nobody is, what waits is answered in that moment, and nothing else is.
    """
    _none(ledger.moment.unable)
    _none(ledger.faults["sent to who is unable"])
    _none(ledger.faults["answered though somebody is able"])


def nobody_is_overfed(ledger: Ledger) -> None:
    """What is given ahead is of a known function, and bounded in time and number."""
    _none(ledger.faults["overfed"])


def who_is_gone_gets_nothing(ledger: Ledger) -> None:
    """Only slaves that are here and take tasks get any; in quarantine one, after a while."""
    _none(ledger.faults["sent to who takes nothing"])


def quarantine_has_evidence(ledger: Ledger) -> None:
    """It takes three tasks that failed there and were done elsewhere; what such a slave holds ahead
    is recalled; and somebody is left to work.
    """
    _none(ledger.faults["quarantined without evidence"])
    _none(ledger.faults["the last one quarantined"])
    _none(
        key
        for key in ledger.moment.recalls
        if key in ledger.out and key in ledger.seats[ledger.out[key].slave].ahead
    )


def quarantine_ends_with_a_task_that_is_done(ledger: Ledger) -> None:
    """A slave in quarantine is tried with one task at a time; if it does that, it is free.

    So it is when the script says so.
    """
    _none(ledger.moment.releases)
    _none(ledger.faults["released for nothing"])


def recalls_have_a_reason(ledger: Ledger) -> None:
    """What is recalled was not started, for a slot that is free, when nothing else is there for it,
    and a slave has answered one such recall before it gets the next; or was cancelled in part.
    """
    _none(ledger.faults["recalled for nothing"])


def silence_is_noticed(ledger: Ledger) -> None:
    """Who is silent is dismissed, nobody else; and the next deadline is named."""
    _none(ledger.moment.silent)
    _none(ledger.faults["dismissed though heard"])
    named = ledger.scheduler.next_deadline()
    oldest = next(iter(ledger.heard.values()), None)
    for due in (None if oldest is None else oldest + ledger.silence_s, ledger.next_due()):
        if due is not None and (named is None or named > due):
            raise BrokenPromise(f"the next deadline is {named}, but {due} is due")
    if isinstance(ledger.event, TimePassed) and named is not None and named <= ledger.now:
        raise BrokenPromise(f"the next deadline is {named}, at {ledger.now}")


def the_counts_are_right(ledger: Ledger) -> None:
    """What is shown to people is what happened."""
    counts, expected, state = ledger.scheduler.state.counts, ledger.counts, ledger.scheduler.state
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
            is_out = task in ledger.cover[0] or task in ledger.cover[1]
            phase = Phase.DELAYED if task in ledger.delayed else Phase.WAITING
            if is_out or ledger.submission_of(task).blocked_by:
                phase = Phase.OUT if is_out else Phase.BLOCKED
            if not ledger.is_open(task) or piece.phase is not phase:
                raise BrokenPromise(f"task {task} is {piece.phase}, should be {phase}")
        if piece.phase is Phase.WAITING and id(piece) not in queued:
            raise BrokenPromise(f"task {piece.first} waits, but not in the queue")
        for attempt, slave in piece.live():
            if ledger.out[piece.first, attempt].slave != slave or slave not in ledger.seats:
                raise BrokenPromise(f"task {piece.first} is not with {slave}")
    if found != ledger.status.count(OPEN):
        raise BrokenPromise(f"{ledger.status.count(OPEN)} tasks are open, {found} are known")


def slaves_are_known_as_they_are(ledger: Ledger) -> None:
    """What a slave is believed to run and to hold is what it was sent and has not answered."""
    slaves = ledger.scheduler.state.slaves
    if list(slaves) != list(ledger.heard):
        raise BrokenPromise("the slaves are not those that are here, in the order of their words")
    for name, seat in ledger.seats.items():
        slave = slaves[name]
        held = sum(len(ledger.out[key].tasks) for key in chain(seat.started, seat.ahead))
        if (
            set(slave.started) != {task for task, _ in seat.started}
            or slave.ahead_count != len(seat.ahead)
            or slave.held_count != held
            or abs(slave.ahead_s - seat.ahead_s) > 1e-9
            or slave.recalled != {task for task, _ in seat.recalled}
        ):
            raise BrokenPromise(f"{slave} is not {seat}")


def no_slot_idles_while_another_hoards(ledger: Ledger) -> None:
    """For more than one exchange: while slots are free and nothing waits, so many hand-outs are
    recalled, or nobody holds so much ahead that it is worth it.
    """
    if ledger.free_slots <= ledger.recalls:
        return
    for seat in ledger.seats.values():
        if not seat.able or seat.recalled or seat.ahead_s / seat.slots <= RECALL_WORTH_S + 1e-9:
            continue
        held_s: dict[Ask, float] = {}
        for out in (ledger.out[key] for key in seat.ahead):
            ask = ledger.ask_of(out.terms)
            held_s[ask] = held_s.get(ask, 0.0) + out.expected_s
        for ask, ahead_s in held_s.items():
            is_much = ahead_s / seat.slots > RECALL_WORTH_S + 1e-9 and not ledger.waiting_of[ask]
            if is_much and seat.meets(ask) and ledger.free_slots_for(ask) > ledger.recalls:
                raise BrokenPromise(f"{seat.name} holds {ahead_s} s of {ask} ahead")


def stragglers_are_tried_twice(ledger: Ledger) -> None:
    """What runs much longer than others of its function gets a second attempt, when a slot on
    another slave is free for it.
    """
    if not ledger.free_slots:
        return
    late_s = ledger.feeding.straggler_min_s
    for key, out in ledger.out.items():
        if (
            out.since is None
            or not out.terms.repeatable
            or out.open < len(out.tasks)
            or not ledger.doubled.isdisjoint(out.tasks)
            or out.terms.function not in ledger.known_since
            or out.terms.needs  # since when the amounts are there is not known
        ):
            continue
        ask = ledger.ask_of(out.terms)
        if ledger.waiting_of[ask]:
            continue
        since = max(
            out.since + ledger.patience_s(out),
            ledger.known_since[out.terms.function],
            ledger.last_waited.get(ask, 0.0),
        )
        for seat in ledger.free_seats.values():
            if (
                seat.can_take(ask)
                and seat.name != out.slave
                and (max(seat.free_since, since) + late_s < ledger.now)
            ):
                raise BrokenPromise(f"{key} runs on {out.slave} since {out.since}")


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


def retries_are_bounded(ledger: Ledger) -> None:
    """What raised is run again as often as its terms say, and then the exception is its answer."""
    _none(
        task
        for task, count in ledger.retried.items()
        if count > ledger.submission_of(task).terms.retries
    )


def shares_are_even(ledger: Ledger) -> None:
    """Who is fed ahead gets no more than an even share beyond the one that holds the least."""
    feed, fed = ledger.feeding, ledger.moment.fed_ahead
    if len(ledger.slots_of) > 1:
        return  # who gets of which is for the other promises
    takers = [
        seat
        for seat in ledger.seats.values()
        if seat.able and seat.has_room(feed) and all(map(seat.meets, ledger.slots_of))
    ]
    if not fed or not takers:
        return
    least_s = min(seat.ahead_s / seat.slots for seat in takers)
    slots = sum(seat.slots for seat in takers if seat.name not in fed)
    slots += sum(ledger.seats[name].slots for name in fed)
    tasks = sum(fed.values()) + ledger.waiting_count
    longest_s = max(ledger.out[key].expected_s for name in fed for key in ledger.seats[name].ahead)
    each_s = max(
        ledger.out[key].expected_s / len(ledger.out[key].tasks)
        for name in fed
        for key in ledger.seats[name].ahead
    )
    bin_s = max(RECALL_WORTH_S, 2 * feed.feed_ahead_s / 60)
    share_s = -(-tasks // slots) * each_s + longest_s + bin_s
    for name in fed:
        seat = ledger.seats[name]
        if seat.ahead_s / seat.slots > least_s + share_s + 1e-9:
            raise BrokenPromise(f"{name} holds {seat.ahead_s} s ahead, another only {least_s}")


def _none(found: Iterable[object]) -> None:
    if found:
        culprits = list(found)
        if not culprits:
            return
        raise BrokenPromise(f"not kept for {culprits[:5]}")


MOMENTARY = (
    the_first_outcome_is_the_answer,
    what_is_cancelled_does_not_start_with_others,
    pointless_attempts_are_stopped,
    losses_are_bounded,
    what_follows_a_failure_fails,
    priorities_are_kept,
    no_slot_idles_while_a_task_waits,
    free_slots_come_first,
    who_is_unable_is_spared,
    quarantine_has_evidence,
    quarantine_ends_with_a_task_that_is_done,
    silence_is_noticed,
)
"""Checked after every event; they cost the same however many tasks and slaves there are."""

LASTING = (
    every_task_is_settled_at_most_once,
    an_answer_is_an_outcome_that_was_delivered,
    attempts_have_numbers_of_their_own,
    nothing_runs_before_what_it_follows,
    what_has_ended_is_not_handed_out,
    suspects_go_one_by_one,
    retries_wait_for_their_delay,
    chunks_never_mix_spans,
    second_attempts_are_bounded,
    nobody_is_overfed,
    needs_are_never_exceeded,
    tasks_run_where_their_tags_are,
    who_is_gone_gets_nothing,
    recalls_have_a_reason,
    the_counts_are_right,
    nothing_is_lost,
    slaves_are_known_as_they_are,
    no_slot_idles_while_another_hoards,
    stragglers_are_tried_twice,
    retries_are_bounded,
    limits_are_kept,
    shares_are_even,
)
"""Checked now and then: a fault of these is still to be seen later, or they look at everything."""


def check_event(ledger: Ledger) -> None:
    """Check the promises that can only be checked in the moment of an event.

    Raises:
        BrokenPromise: One is broken; the message says which and how.
    """
    _check(ledger, MOMENTARY)


def check_all(ledger: Ledger) -> None:
    """Check every promise.

    Raises:
        BrokenPromise: One is broken; the message says which and how.
    """
    _check(ledger, MOMENTARY)
    _check(ledger, LASTING)


def _check(ledger: Ledger, promises: Iterable[Callable[[Ledger], None]]) -> None:
    for promise in promises:
        try:
            promise(ledger)
        except BrokenPromise as error:
            raise BrokenPromise(f"{promise.__name__.replace('_', ' ')}: {error}") from None
