"""A blob on its way to this slave: piece after piece comes, and other slaves wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from masterslave.blobs.segments import Arena, Place
from masterslave.protocol.fetching import Piece, PieceAsk, pieces_of

__all__ = ["Coming"]


class Coming:
    """Is filled by one thread, and read by any.

    Attributes:
        pieces: What is to come, in order.
        places: The parts, as far as they have begun to come.
    """

    def __init__(self, arena: Arena, sizes: Sequence[int]) -> None:
        self.pieces = pieces_of(sizes)
        self.places: list[Place] = []
        self._arena, self._sizes = arena, sizes
        self._changed = threading.Condition()
        self._come: Piece | None = None
        self._has_ended = False

    def add(self, piece: Piece, data: bytes) -> None:
        """The next piece has come.

        Raises:
            OSError: There is no memory for it.
        """
        size = self._sizes[piece.part]
        if piece.part == len(self.places):
            self.places.append(self._arena.place(size))
        place = self.places[piece.part]
        place.write(data, piece.offset)
        if piece.offset + piece.size == size:
            place.finish()
        with self._changed:
            self._come = piece
            self._changed.notify_all()

    def end(self) -> None:
        """No more comes."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def read(self, ask: PieceAsk, wait_s: float) -> bytes | None:
        """Return some of it, once it has come; empty: it will not. None: not within *wait_s*."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            while not self._has(ask):
                left_s = deadline - time.monotonic()
                if self._has_ended:
                    return b""
                if left_s <= 0:
                    return None
                self._changed.wait(left_s)
        return self.places[ask.part].read(ask.offset, ask.size)

    def _has(self, ask: PieceAsk) -> bool:
        come = self._come
        if come is None or ask.part > come.part:
            return False
        return ask.part < come.part or ask.offset + ask.size <= come.offset + come.size
