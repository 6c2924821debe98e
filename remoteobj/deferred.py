"""Answers that come later, from whoever has them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import InvalidStateError
from typing import Any

__all__ = ["DeferredReply"]


class DeferredReply:
    """What an exposed method may return in the place of a value that comes later; no thread waits.

    A plain ``concurrent.futures.Future`` does as well. Its answer is written by a worker of the
    daemon, because whoever sets its result may hold a lock, or have no time. Who sets the value of
    this writes the answer itself, which spares a change of threads: the value is packed, and sent
    as far as the peer takes it at once; the rest is the daemon's matter, and nobody waits for it.

    Attributes:
        afterwards: Called by the thread that runs the method, once the daemon is ready for the
            value: the last thing that it does before it waits for the next call. Whom this wakes
            does not have to wait for that thread to be done.

    Threads: any. Set the value without a lock that packing it, or a destructor, might take.
    """

    __slots__ = (
        "_answer",
        "_claims",
        "_method",
        "_sets",
        "_turns",
        "_value",
        "afterwards",
        "is_set",
    )

    def __init__(self) -> None:
        self.is_set = False
        self.afterwards: Callable[[], None] | None = None
        self._value: Any = None
        self._answer: Callable[[Any], None] | None = None
        self._method = ""
        # Whoever takes out of these sets, belongs, answers: pop() is one step.
        self._sets, self._claims, self._turns = [None], [None], [None]

    def set(self, value: Any) -> None:
        """Answer with this value, now or as soon as the daemon is ready for it.

        Raises:
            InvalidStateError: It has a value already, which stays: a caller gets one answer. Make a
                new ``DeferredReply`` for each call.
        """
        try:
            self._sets.pop()
        except IndexError:
            raise InvalidStateError(
                f"{self!r} was set before, and answers one call once: make a new DeferredReply for "
                "each call, and set it once"
            ) from None
        self._value = value
        self.is_set = True
        self._answer_once()

    def belong_to(self, method: str) -> None:
        """Have it answer a call of this method: one call, the first.

        Raises:
            InvalidStateError: It answers another one. Make a new ``DeferredReply`` for each call.
        """
        try:
            self._claims.pop()
        except IndexError:
            raise InvalidStateError(
                f"{method} has returned {self!r}, which answers another call: make a new "
                "DeferredReply for each call"
            ) from None
        self._method = method

    def __repr__(self) -> str:
        of = f" of {self._method}" if self._method else ""
        return f"<{type(self).__name__}{of}: {'set' if self.is_set else 'pending'}>"

    def when_set(self, answer: Callable[[Any], None]) -> None:
        """Have *answer* called with the value, by this thread or the one that sets it."""
        self._answer = answer
        self._answer_once()
        if self.afterwards is not None:
            self.afterwards()

    def _answer_once(self) -> None:
        # Each of the two that meet here has written what the other one looks for.
        answer = self._answer
        if answer is not None and self.is_set:
            try:
                self._turns.pop()
            except IndexError:
                return
            answer(self._value)
