"""Which tasks this run has handed out again, of those that an earlier one had out, and why (pure).

Who uses it holds the master's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from masterslave.scheduler import HandOut

__all__ = ["DID_NOT_COME", "ENDED_WITH_IT", "Again"]

ENDED_WITH_IT = "had ended with that run"
DID_NOT_COME = "did not come back"
"""What became of the slaves that had a task, in words."""


class Again:
    """Counts each task once: when it is handed out, which a run with other tasks never does.

    Attributes:
        counts: How many, by why.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._why: dict[bytes, str] = {}  # by the key of what was not submitted yet
        self._numbers: dict[int, str] = {}  # of what was, and is to be handed out

    def expect(self, keys: Iterable[bytes], why: str) -> None:
        """Tasks with these keys will not come, for that reason: who submits one has it run."""
        self._why.update(dict.fromkeys(keys, why))

    def note_released(self, number: int, why: str) -> None:
        """A task has waited in vain for what an earlier run had out."""
        self._numbers[number] = why

    def note_submitted(self, first: int, keys: Iterable[bytes]) -> None:
        """Tasks have got numbers, in a row."""
        if not self._why:
            return
        for number, key in enumerate(keys, first):
            why = self._why.pop(key, None)
            if why is not None:
                self._numbers[number] = why

    def note_sent(self, hand_outs: Sequence[HandOut]) -> None:
        """These were handed out."""
        if not self._numbers:
            return
        for one in hand_outs:
            for number in range(one.task, one.task + one.count):
                why = self._numbers.pop(number, None)
                if why is not None:
                    self.counts[why] += 1
