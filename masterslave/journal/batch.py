"""What gathers for one commit of a journal (no locks, no I/O)."""

from __future__ import annotations

from collections.abc import Callable

from masterslave.journal.facts import Fact, Place, write_facts

__all__ = ["LARGE_BYTES", "ROW_BYTES", "Batch"]

LARGE_BYTES = 64 * 1024
"""Larger payloads have rows of their own."""

ROW_BYTES = 256 * 1024
"""Small payloads share a row up to so many bytes: whoever wants one reads and checks the row."""

_PIECE_BYTES = 16 * 1024 * 1024  # of a large payload in one row: SQLite takes no rows of any size
_ROW_FACTS = 4096


class Batch:
    """Facts, payloads in rows that are numbered already, and who waits for them.

    Attributes:
        large: Rows that hold a large payload, or a piece of one.
        bytes: What all of it takes in memory, about.
    """

    __slots__ = ("_chunks", "_offset", "_small", "bytes", "callbacks", "facts", "large")

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.callbacks: list[Callable[[], None]] = []
        self.large: list[tuple[int, bytes]] = []
        self.bytes = 0
        self._small: list[tuple[int, list[bytes]]] = []
        self._chunks: list[bytes] = []
        self._offset = ROW_BYTES

    @property
    def has_work(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.facts or self.callbacks or self._small or self.large)

    def keep(self, payload: bytes, row: int) -> tuple[Place, int]:
        """Add a payload that is not empty.

        Args:
            row: Number of the last row that there is.

        Returns:
            Where it will be, and the last row that there is now.
        """
        size = len(payload)
        if size > LARGE_BYTES:
            place = Place(row + 1, 0, size)
            for piece in _pieces_of(payload):
                row += 1
                self.large.append((row, piece))
            return place, row
        offset = self._offset
        if offset + size > ROW_BYTES:
            row += 1
            offset = 0
            self._chunks = []
            self._small.append((row, self._chunks))
        self._chunks.append(payload)
        self._offset = offset + size
        return Place(self._small[-1][0], offset, size), row

    def find_row(self, row: int) -> bytes | None:
        """Return what a row of payloads holds so far, or None if it is not here."""
        for number, chunks in self._small:
            if number == row:
                return b"".join(chunks)
        for number, piece in self.large:
            if number == row:
                return bytes(piece)
        return None

    def rows(self, seq: int) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """Return the rows of facts, numbered after *seq*, and those of payloads."""
        facts = [
            (seq + 1 + at // _ROW_FACTS, write_facts(self.facts[at : at + _ROW_FACTS]))
            for at in range(0, len(self.facts), _ROW_FACTS)
        ]
        small = [(row, b"".join(chunks)) for row, chunks in self._small]
        return facts, sorted(small + self.large)


def _pieces_of(payload: bytes) -> list[bytes]:
    """Return a large payload in pieces, one a row."""
    if len(payload) <= _PIECE_BYTES:
        return [payload]
    return [payload[at : at + _PIECE_BYTES] for at in range(0, len(payload), _PIECE_BYTES)]
