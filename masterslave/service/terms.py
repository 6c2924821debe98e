"""Terms as scripts send them: checked, since a bad one would harm the other scripts."""

from __future__ import annotations

import math

import msgspec

from masterslave.master.submission import Function
from masterslave.scheduler import Terms
from masterslave.service.functions import NotTaken
from remoteobj.unreadable import UNREADABLE

__all__ = ["TermsBook"]

_MOST = 10_000
_LARGEST = 2**31

_read = msgspec.msgpack.Decoder(Terms).decode


class TermsBook:
    """Gives each function kind a number, and each ticket's terms one value.

    Threads: one at a time.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, bool], int] = {}
        self._known: dict[tuple[str, bytes, bytes, bool], Terms] = {}
        self._next = 0

    def read(
        self, ticket: str, function: Function, packed: bytes, *, is_pickled: bool = False
    ) -> Terms:
        """Return terms of a ticket's tasks, the same object for the same ones.

        Args:
            is_pickled: They are named tasks whose arguments are no data: slaves that take data
                only are unable to run these, and not the others.

        Raises:
            NotTaken: These are no terms that a farm could keep.
        """
        key = ticket, function.digest, packed, is_pickled
        terms = self._known.get(key)
        if terms is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            terms = self._known[key] = self._checked(ticket, function, packed, is_pickled)
        return terms

    def _checked(self, ticket: str, function: Function, packed: bytes, is_pickled: bool) -> Terms:
        try:
            terms = _read(packed)
        except UNREADABLE as error:
            raise NotTaken(
                f"the terms of tasks of {function.name}() cannot be read: {error}"
            ) from None
        times = (terms.delay_s, terms.timeout_s)
        amounts = [amount for _, amount in terms.needs]
        is_sound = (
            all(math.isfinite(each) and each >= 0 for each in (*times, *amounts))
            and math.isfinite(terms.factor)
            and terms.factor >= 1
            and terms.max_attempts >= 1
            and terms.retries >= 0
            and terms.chunk >= 0
            and all(
                abs(each) < _LARGEST
                for each in (terms.priority, terms.max_attempts, terms.retries, terms.chunk)
            )
        )
        if not is_sound:
            raise NotTaken(
                f"tasks of {function.name}() are on terms that no farm can keep: {terms}"
            )
        key = function.kind, is_pickled
        if len(self._numbers) >= _MOST:
            self._numbers.clear()
        if key not in self._numbers:
            self._next += 1
            self._numbers[key] = self._next
        return msgspec.structs.replace(terms, function=self._numbers[key], owner=ticket)
