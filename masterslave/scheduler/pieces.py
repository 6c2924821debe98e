"""What the scheduler knows of tasks: pieces, each a task or items of a span that share their fate.

A span is never taken apart into items. It begins as one piece that waits; what is handed out is cut
off its front; of what is out, items can end one by one (cancelled, or settled by a late outcome),
which leaves holes. A piece is found by its first task; which one a later item is in, by bisection.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from operator import attrgetter

import msgspec
from msgspec import Struct

from masterslave.scheduler.events import Terms
from masterslave.scheduler.transitions import Phase

__all__ = ["Past", "Piece", "Pieces", "Span"]

_start = attrgetter("start")
_first = attrgetter("first")


class Past(Struct, frozen=True, gc=False):
    """What has gone wrong with a piece; most have none of it.

    Attributes:
        losses: Hand-outs that were lost and are held against it.
        failures: Runs that raised and were retried.
        story: A line for each loss.
        failed_at: Slaves at which it was lost or raised, with what happened there, and whether it
            raised.
        is_suspect: It was lost together with others, and nobody knows which is to blame.
        is_doubled: It has had its second attempt.
    """

    losses: int = 0
    failures: int = 0
    story: tuple[str, ...] = ()
    failed_at: tuple[tuple[str, str, bool], ...] = ()
    is_suspect: bool = False
    is_doubled: bool = False


class Span(Struct, eq=False, gc=False):
    """Items of one ``map``.

    Attributes:
        waiting: Items that wait in the queue.
    """

    first: int
    stop: int
    item_bytes: int
    waiting: int


# gc=False: nothing that a piece holds refers back to it, and there may be a million of them.
class Piece(Struct, eq=False, gc=False):
    """A task, or items of a span in a row.

    Attributes:
        first: Its number; of several, that of the first one.
        stop: The number after the last one.
        attempts: Hand-outs so far; the number of the latest one.
        attempt: The one that is out; 0 if none is.
        holder: The slave that has it.
        second: A second attempt that is out as well: number and slave.
        expected_s: What it was expected to take when it was handed out, in seconds.
        size: Bytes of its arguments; of a span, see there.
        open: What of it has not ended, in order; None stands for all of it.
        former: Attempts that are not out any more: number and slave. A late outcome is taken of who
            was handed the attempt, and of nobody else.
    """

    first: int
    stop: int
    terms: Terms
    size: int = 0
    span: Span | None = None
    phase: Phase = Phase.WAITING
    attempts: int = 0
    attempt: int = 0
    holder: str = ""
    second: tuple[int, str] | None = None
    expected_s: float = 0.0
    open: list[range] | None = None
    past: Past | None = None
    former: tuple[tuple[int, str], ...] = ()

    def count_open(self) -> int:
        """Return how many of its tasks have not ended."""
        return self.stop - self.first if self.open is None else sum(map(len, self.open))

    def is_over(self) -> bool:
        """Tell whether all of its tasks have ended."""
        return self.open is not None and not self.open

    def open_within(self, first: int, stop: int) -> list[range]:
        """Return what is open of it between two numbers."""
        if self.open is None:
            parts = [range(self.first, self.stop)]
        else:
            at = max(0, bisect_right(self.open, first, key=_start) - 1)
            parts = self.open[at : bisect_left(self.open, stop, key=_start)]
        cut = (range(max(part.start, first), min(part.stop, stop)) for part in parts)
        return [part for part in cut if part]

    def end(self, part: range) -> None:
        """Note that tasks of it have ended; *part* is open as a whole."""
        if self.open is None:
            self.open = [range(self.first, self.stop)]
        at = bisect_right(self.open, part.start, key=_start) - 1
        row = self.open[at]
        left = range(row.start, part.start), range(part.stop, row.stop)
        self.open[at : at + 1] = [rest for rest in left if rest]

    def live(self) -> list[tuple[int, str]]:
        """Return its attempts that are out: number and slave."""
        first = [(self.attempt, self.holder)] if self.attempt else []
        return first if self.second is None else [*first, self.second]

    def holder_of(self, attempt: int) -> str:
        """Return the slave that was handed an attempt, out or not; empty if there was none."""
        for number, slave in (*self.live(), *self.former):
            if number == attempt:
                return slave
        return ""

    def change_past(self, **changes: object) -> Past:
        """Write down what has gone wrong."""
        self.past = msgspec.structs.replace(self.past or Past(), **changes)
        return self.past


class Pieces:
    """All pieces that have not ended.

    Attributes:
        by_first: Each by the number of its first task.
    """

    __slots__ = ("_firsts", "by_first")

    def __init__(self) -> None:
        self.by_first: dict[int, Piece] = {}
        self._firsts: list[int] = []
        """The first items of those that are of spans, sorted."""

    def add(self, piece: Piece) -> None:
        """Take in a new piece."""
        self.by_first[piece.first] = piece
        if piece.span is not None:
            insort(self._firsts, piece.first)

    def drop(self, piece: Piece) -> None:
        """Forget a piece: it has ended."""
        del self.by_first[piece.first]
        if piece.span is not None:
            del self._firsts[bisect_left(self._firsts, piece.first)]

    def cut_front(self, piece: Piece, stop: int) -> Piece:
        """Cut off what is before *stop*; returns that, as a piece of the same past and phase."""
        front = Piece(
            piece.first,
            stop,
            piece.terms,
            piece.size,
            piece.span,
            piece.phase,
            attempts=piece.attempts,
            past=piece.past,
            former=piece.former,
        )
        if piece.open is not None:
            front.open = piece.open_within(piece.first, stop)
            piece.open = piece.open_within(stop, piece.stop)
        piece.first = stop
        self.by_first[front.first] = front  # its place among the firsts was the piece's
        self.by_first[stop] = piece
        insort(self._firsts, stop)
        return front

    def split_at_holes(self, piece: Piece) -> list[Piece]:
        """Make a piece of each row that is open; returns all of them, in order."""
        assert piece.open
        rows, piece.open = piece.open, None
        del self.by_first[piece.first]
        at = bisect_left(self._firsts, piece.first)
        self._firsts[at : at + 1] = [row.start for row in rows]
        piece.first, piece.stop = rows[0].start, rows[0].stop
        pieces = [piece] + [
            Piece(
                row.start,
                row.stop,
                piece.terms,
                span=piece.span,
                phase=piece.phase,
                attempts=piece.attempts,
                past=piece.past,
                former=piece.former,
            )
            for row in rows[1:]
        ]
        self.by_first.update((known.first, known) for known in pieces)
        return pieces

    def around(self, task: int) -> Piece | None:
        """Return the piece that a task is in, open or not; None if it has ended, or is unknown."""
        piece = self.by_first.get(task)
        if piece is not None:
            return piece
        at = bisect_right(self._firsts, task) - 1
        if at < 0:
            return None
        piece = self.by_first[self._firsts[at]]
        return piece if task < piece.stop else None

    def of_spans(self, first: int, stop: int) -> list[Piece]:
        """Return the pieces of spans of which something is between two numbers, in their order."""
        at = max(0, bisect_right(self._firsts, first) - 1)
        numbers = self._firsts[at : bisect_left(self._firsts, stop)]
        pieces = [self.by_first[number] for number in numbers]
        return pieces[1:] if pieces and pieces[0].stop <= first else pieces

    def between(self, first: int, stop: int) -> list[Piece]:
        """Return the pieces of which something is between two numbers, in their order.

        Costs what is there at most, however far apart the numbers are.
        """
        pieces = self.of_spans(first, stop)
        by_first = self.by_first
        are_many = stop - first > len(by_first)
        for number in list(by_first) if are_many else range(first, stop):
            piece = by_first.get(number)
            if piece is not None and piece.span is None and first <= number < stop:
                pieces.append(piece)
        return sorted(pieces, key=_first)
