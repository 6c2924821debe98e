"""What a task was given beside its arguments: shared objects, and results of other tasks.

A service keeps both in its journal; a script's own farm keeps neither.
"""

from __future__ import annotations

from typing import Any

from masterslave.blobs.reading import open_parts
from masterslave.errors import NotShared
from masterslave.journal.left_code import SHARED, read_object
from masterslave.journal.reading import JournalReader
from masterslave.packed import unpack_value
from masterslave.protocol.fetching import pieces_of

__all__ = ["KeptObjects"]


class KeptObjects:
    """Finds them for one task.

    Args:
        number: Of the task.
    """

    def __init__(self, reader: JournalReader, number: int) -> None:
        self._reader = reader
        tickets = reader.folded.tickets
        index, self._serial = tickets.find(number) or (-1, -1)
        self._ticket = tickets.by_index.get(index)

    def take(self, digest: bytes, origin: str) -> Any:
        """Return what a handle stands for; called where it is unpickled.

        Args:
            origin: Whose it is, in words.

        Raises:
            NotShared: The journal does not have it.
            JournalUnusable: It cannot be read.
        """
        if self._ticket is None:
            raise NotShared(
                "this task was given an object of farm.share, or the result of another task, of "
                f"{origin}: the journal of a script does not keep those, so it cannot be run again"
            )
        parts = self._parts_of(self._ticket.made.index, digest)
        if parts is not None:
            return open_parts(parts)[1]()
        for name, serial in self._ticket.row_of(self._serial).given:
            if name == digest and not self._ticket.has_failed(serial):
                return unpack_value(self._reader.read(self._ticket[serial].place))
        raise NotShared(
            f"this task was given an object of farm.share, or the result of another task, of "
            f"{origin}, which the journal does not have, so it cannot be run again"
        )

    def _parts_of(self, ticket: int, digest: bytes) -> list[memoryview] | None:
        for note in self._reader.folded.left:
            if note.kind != SHARED:
                continue
            known = read_object(note.body)
            if (known.ticket, known.digest) != (ticket, digest):
                continue
            parts = [bytearray(size) for size in known.sizes]
            for piece, place in zip(pieces_of(known.sizes), note.places, strict=True):
                end = piece.offset + piece.size
                parts[piece.part][piece.offset : end] = self._reader.read(place)
            return [memoryview(part).toreadonly() for part in parts]
        return None
