"""What waits of one demand: a line for each priority, the highest first."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator

from masterslave.scheduler.pieces import Piece
from masterslave.scheduler.transitions import Phase

__all__ = ["Queue"]

_SWEEP_AT = 64


class Queue:
    """Pieces that wait; those that have ended meanwhile stay in their line, and are passed over.

    Attributes:
        top: The line of the highest priority in which something stands.
    """

    __slots__ = ("_ended", "_lines", "_order", "_sweep_at", "top")

    def __init__(self) -> None:
        self._lines: dict[int, deque[Piece]] = {}
        self._order: list[int] = []
        """Priorities that have a line, lowest first."""
        self.top: deque[Piece] = deque()
        self._ended = 0
        self._sweep_at = _SWEEP_AT

    def append(self, priority: int, pieces: Iterable[Piece]) -> None:
        """Put new pieces at the end of their priority's line."""
        self._line(priority).extend(pieces)

    def put_back(self, piece: Piece) -> None:
        """Put a piece that was out at the front of its priority's line."""
        self._line(piece.terms.priority).appendleft(piece)

    def head(self) -> Piece | None:
        """Return the piece whose turn it is; None when nothing waits."""
        while True:
            top = self.top
            while top:
                if top[0].phase is Phase.WAITING:
                    return top[0]
                top.popleft()
                self._ended -= 1
            if not self._order:
                return None
            self._drop_empty_top()

    def take_out(self, function: int) -> list[Piece]:
        """Take out the pieces of a function, in the order in which they would be handed out."""
        taken = [piece for piece in self if piece.terms.function == function]
        for line in self._lines.values():
            others = [
                piece
                for piece in line
                if piece.phase is Phase.WAITING and piece.terms.function != function
            ]
            line.clear()
            line.extend(others)
        self._ended = 0
        return taken

    def note_ended(self) -> None:
        """A piece has ended where it stood."""
        self._ended += 1
        if self._ended >= self._sweep_at:
            self._sweep()

    def __iter__(self) -> Iterator[Piece]:
        """Go through what waits, in the order in which it is handed out."""
        for priority in reversed(self._order):
            for piece in self._lines[priority]:
                if piece.phase is Phase.WAITING:
                    yield piece

    def _line(self, priority: int) -> deque[Piece]:
        line = self._lines.get(priority)
        if line is None:
            line = self._lines[priority] = deque()
            insort(self._order, priority)
            self.top = self._lines[self._order[-1]]
        return line

    def _sweep(self) -> None:
        """Drop those that have ended, if they are the half of all."""
        standing = sum(map(len, self._lines.values()))
        if 2 * self._ended >= standing:
            for line in self._lines.values():
                waiting = [piece for piece in line if piece.phase is Phase.WAITING]
                line.clear()
                line.extend(waiting)
            self._ended = 0
        self._sweep_at = max(_SWEEP_AT, standing // 2)

    def _drop_empty_top(self) -> None:
        del self._lines[self._order.pop()]
        self.top = self._lines[self._order[-1]] if self._order else deque()
