"""What a slave may speak of: hand-outs that there were, and that it was handed itself.

A slave may say anything. What it says of others' hand-outs changes nothing, and what was never
handed out is not looked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from masterslave.master.book import TaskBook
from masterslave.master.seats import Seat
from masterslave.protocol.hand_outs import run_of
from masterslave.protocol.joining import Hold
from masterslave.protocol.outcomes import Outcome
from masterslave.scheduler import State

__all__ = ["Claims"]

_MOST_LATE = 100_000


class Claims:
    """Judges what slaves say. Who uses it holds the master's lock."""

    def __init__(self, book: TaskBook, state: State) -> None:
        self._book = book
        self._state = state

    def is_possible(self, outcome: Outcome) -> bool:
        """Tell whether there may have been such a hand-out."""
        first, stop = outcome.task, outcome.task + outcome.count
        if not 0 <= first < stop <= self._book.next:
            return False
        submission = self._book.find(first)
        if submission is None:  # it is late
            return outcome.count <= _MOST_LATE
        count = submission.count if submission.is_span else 1
        return stop <= submission.number + count

    def is_of_earlier_run(self, task: int) -> bool:
        """Tell whether a task is of an earlier run of the farm, by its number."""
        return 0 <= run_of(task) < run_of(self._book.next)

    def of_earlier_runs(self, holds: Sequence[Hold]) -> list[Hold]:
        """Return those of these that may be of earlier runs."""
        return [each for each in holds if self.is_of_earlier_run(each.task) and each.count > 0]

    def was_handed(self, seat: Seat, outcome: Outcome) -> bool:
        """Tell whether a slave was handed this attempt, by whatever name; the task is open."""
        piece = self._state.pieces.around(outcome.task)
        return piece is not None and piece.holder_of(outcome.attempt) in seat.names

    def name_of(self, seat: Seat, outcome: Outcome) -> str:
        """Return by which of its names a slave was handed this; its present one where by none."""
        if len(seat.names) == 1:
            return seat.slave
        # Of items that were out together, the first may have its answer already.
        for piece in self._state.pieces.between(outcome.task, outcome.task + outcome.count):
            holder = piece.holder_of(outcome.attempt)
            if holder in seat.names:
                return holder
        return seat.slave
