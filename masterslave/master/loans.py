"""Memory that hand-outs are lent, by hand-out and slave.

Who uses it holds the master's lock.
"""

from __future__ import annotations

from collections.abc import Sequence

from masterslave.lent import Lender
from masterslave.scheduler import HandOut

__all__ = ["Loans"]


class Loans:
    """What slaves were lent and may have to read yet.

    Args:
        lender: Takes back what was lent.
    """

    def __init__(self, lender: Lender) -> None:
        self._lender = lender
        self._lent: dict[tuple[int, int], tuple[bytes, str]] = {}

    def find(self, hand_out: HandOut) -> bytes | None:
        """Return the reference to what was lent for this; None: nothing was."""
        loan = self._lent.get((hand_out.task, hand_out.attempt))
        return None if loan is None else loan[0]

    def add(self, hand_out: HandOut, reference: bytes, slave: str) -> None:
        """Note that a slave was lent what this refers to."""
        self._lent[hand_out.task, hand_out.attempt] = reference, slave

    def end(self, hand_outs: Sequence[HandOut], slave: str) -> None:
        """Take back what this slave was lent for these: it does not have to read it any more."""
        if self._lent:
            for hand_out in hand_outs:
                self._end((hand_out.task, hand_out.attempt), slave)

    def end_all(self, slave: str) -> None:
        """Take back all that this slave was lent."""
        for key in list(self._lent):
            self._end(key, slave)

    def _end(self, key: tuple[int, int], slave: str) -> None:
        loan = self._lent.get(key)
        if loan is not None and loan[1] == slave:
            del self._lent[key]
            self._lender.take_back(loan[0])
