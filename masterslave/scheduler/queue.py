"""What waits of one demand: lines for each priority, the highest first; one line for each owner."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator

from masterslave.scheduler.events import Terms
from masterslave.scheduler.pieces import Piece
from masterslave.scheduler.shares import Shares
from masterslave.scheduler.transitions import Phase

__all__ = ["Queue"]

_SWEEP_AT = 64

Line = deque[Piece]


class Queue:
    """Pieces that wait; those that have ended meanwhile stay in their line, and are passed over.

    Attributes:
        top: The line whose turn it is, of the highest priority in which something stands. Where
            owners share that, ``head`` says anew whose turn it is.
        is_shared: They do: several have a line of the highest priority.
    """

    __slots__ = (
        "_ended",
        "_lines",
        "_order",
        "_owner",
        "_shares",
        "_sweep_at",
        "_until_s",
        "is_shared",
        "top",
    )

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._lines: dict[int, dict[str, Line]] = {}
        """By priority and owner."""
        self._order: list[int] = []
        """Priorities that have a line, lowest first."""
        self.top: Line = deque()
        self._owner = ""
        """Whose line ``top`` is; it goes on until its owner has used so much."""
        self._until_s = 0.0
        self.is_shared = False
        self._ended = 0
        self._sweep_at = _SWEEP_AT

    def append(self, terms: Terms, pieces: Iterable[Piece]) -> None:
        """Put new pieces at the end of the line that is theirs, by their terms."""
        self._line(terms).extend(pieces)

    def put_back(self, piece: Piece) -> None:
        """Put a piece that was out at the front of its line."""
        self._line(piece.terms).appendleft(piece)

    def head(self) -> Piece | None:
        """Return the piece whose turn it is; None when nothing waits."""
        while True:
            if self.is_shared and self._shares.used_s(self._owner) >= self._until_s:
                self._choose_owner()
            top = self.top
            while top:
                if top[0].phase is Phase.WAITING:
                    return top[0]
                top.popleft()
                self._ended -= 1
            if not self._order:
                return None
            self._drop_empty_top()

    def used_s(self, piece: Piece) -> float:
        """Return what the owner of a piece has used, as far as that matters."""
        return self._shares.used_s(piece.terms.owner) if self._shares.is_shared else 0.0

    def owners(self) -> set[str]:
        """Return those that have a line, in which nothing may stand any more."""
        return {owner for lines in self._lines.values() for owner in lines}

    def take_out(self, function: int) -> list[Piece]:
        """Take out the pieces of a function, in the order in which they would be handed out."""
        taken = [piece for piece in self if piece.terms.function == function]
        for line in self._all():
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
        """Go through what waits, in the order in which it is handed out; of one priority, owner by
        owner.
        """
        for priority in reversed(self._order):
            for line in self._lines[priority].values():
                for piece in line:
                    if piece.phase is Phase.WAITING:
                        yield piece

    def _all(self) -> Iterator[Line]:
        for lines in self._lines.values():
            yield from lines.values()

    def _line(self, terms: Terms) -> Line:
        lines = self._lines.get(terms.priority)
        if lines is None:
            lines = self._lines[terms.priority] = {}
            insort(self._order, terms.priority)
        line = lines.get(terms.owner)
        if line is None:
            line = lines[terms.owner] = deque()
            self._shares.enter(terms.owner)
            self._find_top()
        return line

    def _find_top(self) -> None:
        """The lines are others: find the one whose turn it is, if there is no choice."""
        lines = self._lines[self._order[-1]] if self._order else {}
        self.is_shared = len(lines) > 1
        if self._owner not in lines or lines[self._owner] is not self.top:
            self._owner, self.top = next(iter(lines.items()), ("", deque()))
        self._until_s = float("-inf")

    def _choose_owner(self) -> None:
        """Have the owner go on whose turn it was, or the one that has used the least."""
        lines, shares = self._lines[self._order[-1]], self._shares
        for owner, line in list(lines.items()):
            while line and line[0].phase is not Phase.WAITING:
                line.popleft()
                self._ended -= 1
            if not line and len(lines) > 1:
                del lines[owner]
        self._find_top()
        if not self.is_shared:
            return
        least = min(lines, key=shares.used_s)
        self._until_s = shares.used_s(least) + shares.ahead_s
        if shares.used_s(self._owner) >= self._until_s:
            self._owner, self.top = least, lines[least]

    def _sweep(self) -> None:
        """Drop those that have ended, if they are the half of all."""
        standing = sum(map(len, self._all()))
        if 2 * self._ended >= standing:
            for line in self._all():
                waiting = [piece for piece in line if piece.phase is Phase.WAITING]
                line.clear()
                line.extend(waiting)
            self._ended = 0
        self._sweep_at = max(_SWEEP_AT, standing // 2)

    def _drop_empty_top(self) -> None:
        lines = self._lines[self._order[-1]]
        del lines[self._owner]
        if not lines:
            del self._lines[self._order.pop()]
        self._find_top()
