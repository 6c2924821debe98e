"""What a master takes over from those before it, as the conversation with slaves sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from masterslave.master.seats import Seat
from masterslave.protocol.joining import Hold
from masterslave.protocol.outcomes import Outcome

__all__ = ["Inheritance"]


class Inheritance(Protocol):
    """Knows the hand-outs of earlier runs.  Each method is called under the master's lock.

    A slave may say anything: what there was, and who was handed it, is for these to know.
    """

    def joined(self, seat: Seat, holds: Sequence[Hold]) -> None:
        """A slave has joined, maybe again, and holds these of earlier runs.

        It is called before the scheduler hears of the slave, so before anything is handed to it.
        """

    def take(self, seat: Seat, outcome: Outcome) -> bool:
        """A slave tells something of a task of an earlier run, of whatever kind.

        Returns:
            Whether it is of use; what is not is counted as late, and changes nothing.
        """

    def left(self, seat: Seat) -> None:
        """A slave is gone, and with it what it held, unless it joins again."""
