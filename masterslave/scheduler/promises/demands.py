"""What is promised about what tasks demand: their turn, what they follow, and what they need."""

from __future__ import annotations

from collections.abc import Iterable

from masterslave.scheduler.entries import Ask
from masterslave.scheduler.ledger import Ledger
from masterslave.scheduler.promises.broken import BrokenPromise, none

__all__ = ["LASTING", "MOMENTARY"]


def nothing_runs_before_what_it_follows(ledger: Ledger) -> None:
    """A task is handed out when all that it is to follow has succeeded, and no sooner."""
    none(ledger.faults["sent before its predecessors"])


def what_follows_a_failure_fails(ledger: Ledger) -> None:
    """When a task has raised, or was given up or cancelled, what follows it is given up in that
    moment, in whatever chain; and nothing else is.
    """
    none(ledger.moment.follow)
    none(ledger.faults["failed though none failed before"])


def chunks_never_mix_spans(ledger: Ledger) -> None:
    """What goes out as one is of one span; not more than its terms allow, than takes ``chunk_s``,
    or than leaves the span's end balanced.
    """
    none(ledger.faults["chunk"])


def priorities_are_kept(ledger: Ledger) -> None:
    """While a task of a higher priority waits that a slave could take, it is handed none of a lower
    one; and tasks of one priority and owner that ask for the same go out in their order.
    """
    all_sent = ledger.moment.sent
    waiting = [line for line, count in ledger.waiting.items() if count] if all_sent else ()
    for name, sent in all_sent.items() if waiting else ():
        seat, lowest = ledger.seats[name], min(priority for priority, _ in sent)
        for ask, priority in waiting:
            if priority <= lowest or not seat.meets(ask):
                continue
            if seat.has_left(ask, _needed_below(priority, sent)):
                raise BrokenPromise(f"{name} was sent {sent}, and {ask, priority} waits")
    none(ledger.faults["out of order"])


def _needed_below(priority: int, sent: Iterable[tuple[int, Ask]]) -> dict[str, float]:
    """Return the amounts that tasks of lower priorities need, of those that were sent."""
    found: dict[str, float] = {}
    for other, (needs, _, _) in sent:
        for name, amount in needs if other < priority else ():
            found[name] = found.get(name, 0.0) + amount
    return found


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


def needs_are_never_exceeded(ledger: Ledger) -> None:
    """What a slave runs at once needs no more than it offers."""
    none(ledger.faults["needs exceeded"])


def tasks_run_where_their_tags_are(ledger: Ledger) -> None:
    """A slave is sent only tasks of which it has all tags."""
    none(ledger.faults["tags"])


def who_is_unable_is_spared(ledger: Ledger) -> None:
    """A slave is sent no task of a function that it has said it cannot run, while others may be
    able; when nobody is, what waits is answered in that moment, and nothing else is.
    """
    none(ledger.moment.unable)
    none(ledger.faults["sent to who is unable"])
    none(ledger.faults["answered though somebody is able"])


def owners_take_turns(ledger: Ledger) -> None:
    """Of those whose tasks of one priority wait for the same, the one goes next that has used less
    of the slots; and who comes late is not owed the past.
    """
    none(ledger.faults["served out of turn"])


MOMENTARY = (
    what_follows_a_failure_fails,
    priorities_are_kept,
    no_slot_idles_while_a_task_waits,
    who_is_unable_is_spared,
)

LASTING = (
    nothing_runs_before_what_it_follows,
    chunks_never_mix_spans,
    needs_are_never_exceeded,
    tasks_run_where_their_tags_are,
    owners_take_turns,
)
