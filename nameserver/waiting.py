"""Those who wait for a change: a future each, and no thread."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from nameserver.changes import Change
from nameserver.record import Record

__all__ = ["Answer", "Waiting"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a watcher is told."""

    number: int
    """All until this change is known to the watcher now."""

    changes: Sequence[Change] = ()

    records: Sequence[Record] | None = None
    """All that there is, where changes would not say it; None: it was not listed."""


_MANY = 64


class _Waiter:
    __slots__ = ("future", "number", "prefix", "until", "watcher")

    def __init__(self, prefix: str, watcher: str, until: float, number: int) -> None:
        self.number = number
        self.prefix = prefix
        self.watcher = watcher
        self.until = until
        self.future: Future[Answer] = Future()


class Waiting:
    """Watchers by prefix, by name, and by how long they wait. Whoever uses it brings the lock."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, dict[str, _Waiter]] = {}
        self._by_name: dict[str, _Waiter] = {}
        self._untils: list[tuple[float, int, _Waiter]] = []  # a heap; some have ended since
        self._count = itertools.count()

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, prefix: str, watcher: str, until: float, number: int) -> Future[Answer]:
        """Have a watcher wait; one that waits already under its name is told that there is nothing.

        Args:
            prefix: Only changes of names that begin so.
            watcher: Its name, which is its own.
            until: Time at which it is told that there is nothing.
            number: Of the last change; so much it knows, whatever else happens meanwhile.
        """
        self.end(watcher)
        if len(self._untils) > 2 * len(self._by_name) + _MANY:  # most of them have ended
            self._untils = [each for each in self._untils if self._waits(each[2])]
            heapq.heapify(self._untils)
        waiter = _Waiter(prefix, watcher, until, number)
        self._by_name[watcher] = waiter
        self._by_prefix.setdefault(prefix, {})[watcher] = waiter
        heapq.heappush(self._untils, (until, next(self._count), waiter))
        return waiter.future

    def tell(self, changes: Sequence[Change]) -> None:
        """Tell those whom these changes concern, which are the last ones."""
        number = changes[-1].number
        for prefix in list(self._by_prefix):
            its = [change for change in changes if change.record.name.startswith(prefix)]
            if its:
                answer = Answer(number, its)
                for waiter in list(self._by_prefix[prefix].values()):
                    self._settle(waiter, answer)

    def end(self, watcher: str) -> None:
        """Tell one watcher, if it waits, that there is nothing."""
        waiter = self._by_name.get(watcher)
        if waiter is not None:
            self._settle(waiter, Answer(waiter.number))

    def end_all(self) -> None:
        """Tell all that there is nothing."""
        for waiter in list(self._by_name.values()):
            self._settle(waiter, Answer(waiter.number))

    def end_until(self, now: float) -> None:
        """Tell those who have waited long enough that there is nothing."""
        while self._untils and self._untils[0][0] <= now:
            waiter = heapq.heappop(self._untils)[2]
            if self._waits(waiter):
                self._settle(waiter, Answer(waiter.number))

    def _waits(self, waiter: _Waiter) -> bool:
        return self._by_name.get(waiter.watcher) is waiter

    def next_end(self) -> float | None:
        """Return when ``end_until`` may find somebody; None where nobody waits."""
        while self._untils:
            until, _, waiter = self._untils[0]
            if self._waits(waiter):
                return until
            heapq.heappop(self._untils)
        return None

    def _settle(self, waiter: _Waiter, answer: Answer) -> None:
        del self._by_name[waiter.watcher]
        its = self._by_prefix[waiter.prefix]
        del its[waiter.watcher]
        if not its:
            del self._by_prefix[waiter.prefix]
        waiter.future.set_result(answer)
