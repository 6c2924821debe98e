"""What the farm has sent of a task, as the answer that its future takes."""

from __future__ import annotations

from collections.abc import Callable

from masterslave.errors import FarmError
from masterslave.farm.recorded import Bundle
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    GivenUp,
    PredecessorFailed,
    Recorded,
    Single,
)
from masterslave.protocol.attaching import (
    CANCELLED,
    FAILED,
    GIVEN_UP,
    OUTCOME,
    PREDECESSOR_FAILED,
    SentAnswer,
)
from masterslave.protocol.outcomes import VALUE, Outcome

__all__ = ["Reader", "is_value"]

Find = Callable[[int], Single | None]
"""Finds a task that others follow, or followed, by its serial."""


class Reader:
    """Reads one answer, of one task or of several in a row.

    Args:
        find: Finds the task that has failed before this one.
    """

    def __init__(self, sent: SentAnswer, find: Find) -> None:
        self._sent = sent
        self._find = find
        self._bundle = Bundle(sent.payload) if sent.skip >= 0 else None

    def answer(self) -> Answer:
        """Return the answer, for who has submitted the tasks in this process."""
        sent = self._sent
        if sent.what == OUTCOME:
            count = 1 if sent.skip < 0 else 0  # of how many items it is a list, it says itself
            return Outcome(sent.first, 0, count, sent.kind, sent.payload)
        return self._without_outcome()

    def recorded(self, serial: int) -> Answer:
        """Return the answer, for a task that was submitted in another process."""
        sent = self._sent
        if sent.what != OUTCOME:
            return self._without_outcome()
        if self._bundle is None:
            return Recorded(sent.kind, -1, Outcome(serial, 0, 1, sent.kind, sent.payload))
        return Recorded(sent.kind, sent.skip + serial - sent.first, self._bundle)

    def _without_outcome(self) -> Answer:
        sent = self._sent
        words = sent.payload.decode(errors="replace")
        match sent.what:
            case what if what == GIVEN_UP:
                return GivenUp(tuple(words.splitlines()))
            case what if what == CANCELLED:
                return Cancelled()
            case what if what == PREDECESSOR_FAILED:
                predecessor = self._find(sent.predecessor)
                if predecessor is not None:
                    return PredecessorFailed(predecessor)
                return Failed(FarmError(words or "a task that it was to run after has failed"))
            case what if what == FAILED:
                return Failed(FarmError(words or "the farm could not run it, and does not say why"))
        return Failed(FarmError(f"the farm has sent an answer of kind {sent.what}, which is none"))


def is_value(answer: Answer) -> bool:
    """Tell whether a task has succeeded."""
    return isinstance(answer, Outcome | Recorded) and answer.kind == VALUE
