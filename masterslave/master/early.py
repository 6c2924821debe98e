"""What slaves of earlier runs tell of tasks before the script has submitted them: what they yield,
and how far they are.

Who uses it holds the master's lock.
"""

from __future__ import annotations

from masterslave.master.submission import Submission
from masterslave.protocol.outcomes import PART, Outcome

__all__ = ["Early"]

_MOST_BYTES = 64 * 1024 * 1024
_PROGRESS = -1


class Early:
    """Keeps that by the task's key until the task is submitted: of progress the latest, and of
    parts those that came last, if they are too many.

    Args:
        most_bytes: Of all tasks together.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._by_key: dict[bytes, dict[int, Outcome]] = {}  # and by item

    def note(self, key: bytes, outcome: Outcome) -> None:
        """A task has told this; a part that has come before changes nothing."""
        known = self._by_key.setdefault(key, {})
        item = _PROGRESS
        if outcome.kind == PART:
            item = outcome.item
            if item < 0 or item in known:
                return
        else:
            self._drop(known, item)
        known[item] = outcome
        self._bytes += len(outcome.payload)
        while self._bytes > self._most_bytes and known:
            self._drop(known, next(iter(known)))

    def tell(self, key: bytes, submission: Submission) -> None:
        """The task is submitted: this is what it has told."""
        for outcome in self.forget(key):
            submission.note_told(outcome)

    def forget(self, key: bytes) -> list[Outcome]:
        """What a task has told is of no use here any more; returns it."""
        known = self._by_key.pop(key, {})
        self._bytes -= sum(len(one.payload) for one in known.values())
        return list(known.values())

    def _drop(self, known: dict[int, Outcome], item: int) -> None:
        dropped = known.pop(item, None)
        if dropped is not None:
            self._bytes -= len(dropped.payload)
