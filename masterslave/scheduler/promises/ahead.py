"""What is promised about tasks that slaves hold ahead: how many, whose turn, and when back."""

from __future__ import annotations

from masterslave.scheduler.entries import Ask
from masterslave.scheduler.ledger import Ledger
from masterslave.scheduler.promises.broken import BrokenPromise, none
from masterslave.scheduler.slaves import RECALL_WORTH_S

__all__ = ["LASTING", "MOMENTARY"]


def nobody_is_overfed(ledger: Ledger) -> None:
    """What is given ahead is of a known function, and bounded in time and number."""
    none(ledger.faults["overfed"])


def free_slots_come_first(ledger: Ledger) -> None:
    """Nobody is fed ahead while somebody has a free slot for it."""
    if ledger.free_slots:
        asked = ledger.moment.asked_ahead
        none([ask for ask in asked if any(s.can_take(ask) for s in ledger.free_seats.values())])


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
    ahead = [ledger.out[key] for name in fed for key in ledger.seats[name].ahead]
    longest_s = max(out.expected_s for out in ahead)
    each_s = max(out.expected_s / len(out.tasks) for out in ahead)
    bin_s = max(RECALL_WORTH_S, 2 * feed.feed_ahead_s / 60)
    share_s = -(-tasks // slots) * each_s + longest_s + bin_s
    for name in fed:
        seat = ledger.seats[name]
        if seat.ahead_s / seat.slots > least_s + share_s + 1e-9:
            raise BrokenPromise(f"{name} holds {seat.ahead_s} s ahead, another only {least_s}")


def recalls_have_a_reason(ledger: Ledger) -> None:
    """What is recalled was not started, for a slot that is free, when nothing else is there for it,
    and a slave has answered one such recall before it gets the next; or was cancelled in part.
    """
    none(ledger.faults["recalled for nothing"])


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


MOMENTARY = (free_slots_come_first,)

LASTING = (
    nobody_is_overfed,
    shares_are_even,
    recalls_have_a_reason,
    no_slot_idles_while_another_hoards,
)
