"""Which slave fetches a shared object from which: so the master sends it once, or a few times.

A slave that was started to give (``--serve``) is named to others as soon as it has begun to fetch a
blob: they follow it piece by piece. Each is named to two before any is named to a third: a tree,
whose root fetches from the master. Who has not given, or has given something else, is told by who
was sent there, and is named no more: for this blob, or for any.
"""

from __future__ import annotations

import logging
import threading

from masterslave.master.seats import Seat
from masterslave.master.table import Table
from masterslave.protocol.fetching import FINE, MAX_PIECE_BYTES, WRONG, BlobAsk
from remoteobj import THIS_MACHINE

__all__ = ["Spreading"]

log = logging.getLogger("masterslave")

_ABREAST = 2
_MAY_LOSE = 3
"""So often a slave may fail to give, beside each time that it gives: its port may be closed."""


class Spreading:
    """Sends slaves to other slaves, and counts.  Threads: any.

    Args:
        lock: Held where seats are looked at.

    Attributes:
        sent_bytes: Of shared objects, by the master.
        given_bytes: Of shared objects, by slaves to slaves, as these say.
    """

    def __init__(self, lock: threading.Lock, table: Table) -> None:
        self.sent_bytes = self.given_bytes = 0
        self._lock, self._table = lock, table

    def find_giver(self, ask: BlobAsk) -> str:
        """Return the address of a slave that the one who asks is to fetch from; empty: none."""
        with self._lock:
            seat = self._table.seated(ask.slave)
            if seat is None:
                return ""
            digest, former = ask.digest, seat.takes.pop(ask.digest, None)
            if former is not None and ask.giver != former.gives_at:
                former = None
            if former is not None and ask.how == FINE and not former.is_gone:
                giver: Seat | None = former
            else:
                if former is not None:
                    _blame(former, ask)
                giver = self._choose(seat, digest)
                if giver is not None:
                    giver.gives[digest] += 1
            if giver is not None:
                seat.takes[digest] = giver
            if seat.gives_at:  # to others, from now on
                seat.gives = {each: to for each, to in seat.gives.items() if each in seat.blobs}
                seat.gives.setdefault(digest, 0)
        if former is not None and ask.how == WRONG:
            log.warning(
                "slave %s gave %s something else than a piece of a shared object, which was "
                "noticed: it is asked for none any more",
                former.introduction.name,
                seat.introduction.name,
            )
        return "" if giver is None else giver.gives_at

    def note_sent(self, token: str, size: int) -> None:
        """The master has sent a slave some of a blob."""
        with self._lock:
            self.sent_bytes += size
            seat = self._table.by_token.get(token)
            if seat is not None:
                seat.sent_bytes += size

    def note_given(self, ask: BlobAsk) -> None:
        """A slave has a blob, and says what of it others gave."""
        with self._lock:
            receiver = self._table.by_token.get(ask.slave)
            if receiver is None:
                return
            receiver.takes.pop(ask.digest, None)
            for seat in self._table.seats.values():
                size = ask.given.get(seat.gives_at, 0) if seat.gives_at else 0
                seat.given_bytes += max(0, size)
                self.given_bytes += max(0, size)

    def _choose(self, seat: Seat, digest: bytes) -> Seat | None:
        able = [
            other
            for other in self._table.seats.values()
            if digest in other.gives
            and digest in other.blobs
            and not other.says
            and _is_worth_it(other)
            and (other.peer == THIS_MACHINE) == (seat.peer == THIS_MACHINE)
            and not _leads_to(other, seat, digest)
        ]
        if not able:
            return None
        return min(able, key=lambda one: (one.gives[digest] // _ABREAST, one.given_bytes))


def _blame(giver: Seat, ask: BlobAsk) -> None:
    giver.gives.pop(ask.digest, None)
    if ask.how == WRONG:
        giver.wrong_pieces += 1
    elif ask.how != FINE:
        giver.lost_pieces += 1


def _is_worth_it(giver: Seat) -> bool:
    if giver.wrong_pieces:
        return False
    return giver.lost_pieces <= _MAY_LOSE + giver.given_bytes // MAX_PIECE_BYTES


def _leads_to(giver: Seat, seat: Seat, digest: bytes) -> bool:
    """Tell whether what one is to give is on its way from the other: they would wait for ever."""
    source: Seat | None = giver
    while source is not None and source is not seat:
        source = source.takes.get(digest)
    return source is seat
