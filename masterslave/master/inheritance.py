"""What a master takes over from those before it, as the rest of the master sees it."""

from __future__ import annotations

from collections.abc import Sequence

from masterslave.master.seats import Seat
from masterslave.master.submission import Submission
from masterslave.protocol.joining import Hold
from masterslave.protocol.outcomes import Outcome

__all__ = ["Inheritance"]


class Inheritance:
    """Knows the hand-outs of earlier runs; this one knows of none.

    Each method is called under the master's lock. A slave may say anything: what there was, and who
    was handed it, is for these to know.

    Attributes:
        due: When ``tick`` has to be called; None: never.
        released: Submissions that wait for nothing here any more, and are to be handed out.
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self.released: list[Submission] = []

    def joined(self, seat: Seat, holds: Sequence[Hold]) -> None:
        """A slave has joined, maybe again, and holds these of earlier runs.

        It is called before the scheduler hears of the slave, so before anything is handed to it.
        """

    def take(self, seat: Seat, outcome: Outcome) -> bool:
        """A slave tells something of a task of an earlier run, of whatever kind.

        Returns:
            Whether it is of use; what is not is counted as late, and changes nothing.
        """
        return False

    def left(self, seat: Seat) -> None:
        """A slave is gone, and with it what it held, unless it joins again."""

    def tick(self, now: float) -> None:
        """Give up what nobody has come with in time."""

    def may_have(self, key: bytes) -> bool:
        """Tell whether a task with this key has come, or may come."""
        return False

    def has(self, submission: Submission) -> bool:
        """Have a submission of one task wait for what may come; False: nothing may.

        If it has come already, that is the answer.
        """
        return False

    @property
    def waiting(self) -> int:
        """How many tasks wait for what slaves may bring."""
        return 0

    def where(self, submission: Submission, now: float) -> str:
        """Return in words where a task is that waits so; empty: it does not."""
        return ""

    def holds(self, follower: Submission) -> bool:
        """Have a submission wait for one that it is to follow and that is here; False: none is."""
        return False

    def let_go(self, task: int) -> None:
        """A task is here no more: it has its answer, or the scheduler has it. What is to follow it
        is released.
        """

    def cancelled(self, tasks: Sequence[int]) -> None:
        """These tasks have an answer: what is to follow them has not to wait here."""
