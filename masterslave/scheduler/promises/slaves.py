"""What is promised about slaves: who is here, who is silent, and who is in quarantine."""

from __future__ import annotations

from itertools import chain

from masterslave.scheduler.events import TimePassed
from masterslave.scheduler.ledger import Ledger
from masterslave.scheduler.promises.broken import BrokenPromise, none

__all__ = ["LASTING", "MOMENTARY"]


def who_is_gone_gets_nothing(ledger: Ledger) -> None:
    """Only slaves that are here and take tasks get any; in quarantine one, after a while."""
    none(ledger.faults["sent to who takes nothing"])


def quarantine_has_evidence(ledger: Ledger) -> None:
    """It takes three tasks that failed there and were done elsewhere; what such a slave holds ahead
    is recalled; and somebody is left to work.
    """
    none(ledger.faults["quarantined without evidence"])
    none(ledger.faults["the last one quarantined"])
    none(
        key
        for key in ledger.moment.recalls
        if key in ledger.out and key in ledger.seats[ledger.out[key].slave].ahead
    )


def quarantine_ends_with_a_task_that_is_done(ledger: Ledger) -> None:
    """A slave in quarantine is tried with one task at a time; if it does that, it is free.

    So it is when the script says so.
    """
    none(ledger.moment.releases)
    none(ledger.faults["released for nothing"])


def silence_is_noticed(ledger: Ledger) -> None:
    """Who is silent is dismissed, nobody else; and the next deadline is named."""
    none(ledger.moment.silent)
    none(ledger.faults["dismissed though heard"])
    named = ledger.scheduler.next_deadline()
    oldest = next(iter(ledger.heard.values()), None)
    for due in (None if oldest is None else oldest + ledger.silence_s, ledger.next_due()):
        if due is not None and (named is None or named > due):
            raise BrokenPromise(f"the next deadline is {named}, but {due} is due")
    if isinstance(ledger.event, TimePassed) and named is not None and named <= ledger.now:
        raise BrokenPromise(f"the next deadline is {named}, at {ledger.now}")


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


MOMENTARY = (
    quarantine_has_evidence,
    quarantine_ends_with_a_task_that_is_done,
    silence_is_noticed,
)

LASTING = (
    who_is_gone_gets_nothing,
    slaves_are_known_as_they_are,
)
