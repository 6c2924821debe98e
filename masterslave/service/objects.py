"""Objects that scripts share with their tasks: in the journal, and where slaves fetch them.

A script sends one in pieces, under the name that handles have for it; what is in it is not looked
at. It is kept for as long as the ticket.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from masterslave.blobs.segments import Place as Memory
from masterslave.errors import JournalUnusable
from masterslave.journal.facts import Noted, Place
from masterslave.journal.left_code import SHARED, KnownObject, note_object, read_object
from masterslave.journal.tickets import OPEN, Ticket
from masterslave.master.sharing import Blob, Blobs, Promised
from masterslave.protocol.attaching import Offer
from masterslave.protocol.fetching import Piece, pieces_of
from masterslave.service.book import TicketBook
from masterslave.service.functions import NotTaken

__all__ = ["SharedObjects"]

log = logging.getLogger("masterslave")

_DIGEST_BYTES = 16
_MOST_PARTS = 64


class SharedObjects:
    """What scripts have shared.  Threads: any.

    Args:
        blobs: Where slaves fetch it.
        notes: What the journal knows.
    """

    def __init__(self, book: TicketBook, blobs: Blobs, notes: Iterable[Noted]) -> None:
        self._book = book
        self._blobs = blobs
        self._notes = [note for note in notes if note.kind == SHARED]
        self._lock = threading.Lock()
        self._held: dict[int, dict[bytes, Blob]] = {}
        self._coming: dict[tuple[int, bytes], _Coming] = {}
        self._wanted: dict[int, dict[int, list[Promised]]] = {}
        """Results that are given to tasks, by ticket and serial."""

    def restore(self) -> None:
        """Have again what the journal has, of tickets that there are. Blocks: on the disk."""
        notes, self._notes = self._notes, []
        for note in notes:
            known = read_object(note.body)
            if known.ticket not in self._book.tickets.by_index:
                continue
            try:
                places = self._places(known.sizes)
                pieces = pieces_of(known.sizes)
                for piece, place in zip(pieces, note.places, strict=True):
                    places[piece.part].write(self._book.read(place), piece.offset)
            except (JournalUnusable, OSError, ValueError) as error:  # its tasks say so
                log.error("an object that a script has shared cannot be had again: %s", error)
                continue
            self._hold(known, places)
        for ticket in list(self._book.tickets):
            for row in ticket.rows:
                if row.given and any(ticket.runs(row.first, row.count, are_open=True)):
                    self.promise(ticket, row.given)

    def promise(self, ticket: Ticket, given: Iterable[tuple[bytes, int]]) -> None:
        """Results of these tasks are given to others: keep each, now or when it is there.

        Args:
            given: What handles name each by, and the serial of its task.
        """
        index = ticket.made.index
        for digest, serial in given:
            with self._lock:
                held = self._held.setdefault(index, {})
                if digest in held:
                    continue
                promised = held[digest] = self._blobs.promise(digest)
                wanted = self._wanted.setdefault(index, {})
                wanted.setdefault(serial, []).append(promised)
            with self._book.lock:
                is_answered = serial < ticket.count and ticket.what(serial) != OPEN
            if is_answered:
                self.note_answers(index, serial, 1)

    def note_answers(self, index: int, first: int, count: int) -> None:
        """Tasks of a ticket have their answers. Blocks: on the disk, if one is given to others."""
        wanted = self._wanted.get(index)
        ticket = self._book.tickets.by_index.get(index)
        if not wanted or ticket is None:
            return
        with self._lock:
            come = [serial for serial in wanted if first <= serial < first + count]
            promised = [(serial, wanted.pop(serial)) for serial in come]
        for serial, blobs in promised:
            with self._book.lock:
                has_failed, place = ticket.has_failed(serial), ticket[serial].place
            for blob in () if has_failed else blobs:
                try:
                    self._blobs.keep(blob, self._book.read(place))
                except JournalUnusable as error:
                    self._blobs.refuse(blob, str(error))

    def take(self, ticket: Ticket, offer: Offer) -> bool:
        """Take some of an object; tells whether all of it is here.

        Raises:
            NotTaken: It cannot be; the message says why.
        """
        index = ticket.made.index
        with self._lock:
            if offer.digest in self._held.get(index, ()):
                return True
            coming = self._coming.get((index, offer.digest))
            if coming is None or coming.sizes != offer.sizes:
                coming = self._begin(offer)
                self._coming[index, offer.digest] = coming
            piece = Piece(offer.part, offer.offset, len(offer.data))
            if piece not in coming.missing:
                if piece in coming.places:
                    return False
                raise NotTaken("an object that is shared came in pieces that are not its own")
            coming.memory[piece.part].write(offer.data, piece.offset)
            coming.missing.discard(piece)
            coming.places[piece] = self._book.keep(offer.data)
            if coming.missing:
                return False
            del self._coming[index, offer.digest]
            known = KnownObject(index, offer.digest, offer.sizes)
            places = tuple(coming.places[each] for each in pieces_of(offer.sizes))
            self._book.record(note_object(known, places))
        self._hold(known, coming.memory)
        return True

    def forget(self, ticket: Ticket) -> None:
        """The ticket is wanted no more."""
        index = ticket.made.index
        with self._lock:
            self._held.pop(index, None)
            self._wanted.pop(index, None)
            for key in [key for key in self._coming if key[0] == index]:
                del self._coming[key]

    def _begin(self, offer: Offer) -> _Coming:
        is_sound = len(offer.digest) == _DIGEST_BYTES and 0 < len(offer.sizes) <= _MOST_PARTS
        if not is_sound or min(offer.sizes) <= 0:
            raise NotTaken("what is shared is no object: share it by the same release as this farm")
        try:
            return _Coming(offer.sizes, self._places(offer.sizes))
        except OSError as error:
            size = sum(offer.sizes)
            raise NotTaken(f"there is no memory for an object of {size} bytes: {error}") from error

    def _places(self, sizes: tuple[int, ...]) -> list[Memory]:
        return [self._blobs.place(size) for size in sizes]

    def _hold(self, known: KnownObject, places: list[Memory]) -> None:
        blob = self._blobs.adopt(known.digest, places)
        with self._lock:
            self._held.setdefault(known.ticket, {})[known.digest] = blob


class _Coming:
    """An object of which some has come.

    Attributes:
        memory: Where its parts are put.
        missing: Pieces that have not come.
        places: Where those are in the journal that have.
    """

    def __init__(self, sizes: tuple[int, ...], memory: list[Memory]) -> None:
        self.sizes = sizes
        self.memory = memory
        self.missing = set(pieces_of(sizes))
        self.places: dict[Piece, Place] = {}
