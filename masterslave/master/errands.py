"""Errands to slaves that wait for their answer: bookkeeping, under the master's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from masterslave.errands import STATUS, Errand, ErrandKind, Report
from masterslave.errors import SlaveGone
from masterslave.master.seats import Seat
from masterslave.protocol.encoding import decode
from masterslave.protocol.outcomes import Outcome
from remoteobj import WireError

__all__ = ["Answered", "Errands", "gone", "missing"]

Answered = Future[Report | None]
"""What a slave has answered; None: it has done what it was asked, and left."""

_Append = Callable[[tuple[Callable[..., None], tuple[Any, ...]]], None]


class Errands:
    """Those that were made and are not answered."""

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[int, tuple[Seat, ErrandKind, Answered]] = {}

    def make(self, seat: Seat, kind: ErrandKind) -> Answered:
        """Put a errand into a slave's mailbox."""
        self._last += 1
        future: Answered = Future()
        future.set_running_or_notify_cancel()
        self._open[self._last] = (seat, kind, future)
        seat.mailbox.errand(Errand(self._last, kind))
        return future

    def take(self, seat: Seat, outcome: Outcome, append: _Append) -> None:
        """A slave reports, asked or not; what answers a errand is appended, to be handed over."""
        try:
            report = decode(outcome.payload, Report)
        except WireError:  # slaves may say anything
            return
        seat.says = report.state
        asked = self._open.get(outcome.attempt)
        if asked is not None and asked[0] is seat:
            del self._open[outcome.attempt]
            append((asked[2].set_result, (report,)))

    def end(self, seat: Seat, append: _Append) -> None:
        """A slave is gone: whoever asked it to leave has what they want, the others do not."""
        mine = [(number, each) for number, each in self._open.items() if each[0] is seat]
        for number, (_, kind, future) in mine:
            del self._open[number]
            if seat.state == "left" and kind != STATUS:
                append((future.set_result, (None,)))
            else:
                append((future.set_exception, (gone(seat),)))


def missing(slave: str, former: Iterable[Seat]) -> SlaveGone:
    """Return the error for a slave that is not here, by its name at the scheduler."""
    for seat in former:
        if seat.slave == slave:
            return gone(seat)
    return SlaveGone(
        f"no slave {slave!r} has joined this farm; farm.slaves has those that are here"
    )


def gone(seat: Seat) -> SlaveGone:
    """Return the error that says that a slave is here no more."""
    how = {"left": "has left the farm", "lost": "was lost"}.get(seat.state, "goes: the farm ends")
    return SlaveGone(f"slave {seat.introduction.name} {how}; farm.slaves has those that are here")
