"""What the script's side of a farm asks of a master: the one in its process, or one far away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from masterslave.master.duties import Duty
from masterslave.master.sharing import Blobs
from masterslave.master.submission import Single, Span, Submission

__all__ = ["AnyMaster"]


class AnyMaster(Protocol):
    """Takes tasks, and gives them their answers: ``master.shell.Master``, and ``RemoteMaster``."""

    origin: str
    blobs: Blobs

    def put(self, submission: Submission) -> None:
        """Take in a task, or a span; ``look`` has to follow."""

    def look(self, submission: Submission) -> None:
        """Have what was put in done."""

    def has_taken(self, submissions: Sequence[Submission]) -> bool:
        """Tell whether these were taken in: who was interrupted cannot know."""

    def is_out(self, single: Single) -> bool:
        """Tell whether a task is with a slave."""

    def cancel(self, singles: Sequence[Single]) -> None:
        """Drop single tasks that have no answer yet, all in one step."""

    def cancel_spans(self, spans: Sequence[Span]) -> None:
        """Drop the items of spans that have no answer yet."""

    def add_duty(self, duty: Duty) -> None:
        """Give each slave a task, and each that joins."""

    def drop_duty(self, duty: Duty) -> None:
        """Give it to nobody who joins from now on."""

    def is_handing_over(self) -> bool:
        """Tell whether the caller is called with an answer."""

    def wait_until_answered(self) -> None:
        """Wait until no task is without its answer."""
