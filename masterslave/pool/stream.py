"""What ``imap`` and ``imap_unordered`` return: an iterator that a thread feeds with tasks.

::

    items --feed--> tasks under way --farm--> outcomes not taken yet --next()--> results

While the pool is open, the number of items between the ends is bounded, so that endless items do
not fill the memory. Once it is closed, only the tasks under way are: ``close(); join()`` has to
come to an end, though nobody may take results meanwhile.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Self, TypeVar

__all__ = ["ResultIterator"]

Result = TypeVar("Result")

Settle = Callable[[Any, BaseException | None], None]
"""Takes the outcome of a chunk: the values, or the error."""


class ResultIterator(Generic[Result], Iterator[Result]):
    """Results of a pool, in the order of the items or as they come.

    A call that raised makes ``next()`` raise its exception; the next ``next()`` goes on with the
    next chunk.

    Threads: any.
    """

    def __init__(self, *, ordered: bool, limit: int) -> None:
        self._ordered = ordered
        self._limit = limit
        self._changed = threading.Condition()
        self._early: dict[int, tuple[Sequence[Result], BaseException | None]] = {}
        self._arrived: deque[tuple[Sequence[Result], BaseException | None]] = deque()
        self._values: deque[Result] = deque()
        self._sent = self._answered = self._taken = 0  # chunks
        self._total: int | None = None
        self._closing = self._stopped = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Result:
        return self.next()

    def next(self, timeout: float | None = None) -> Result:
        """Return the next result, or raise what its call raised.

        Args:
            timeout: Longest time to wait, in seconds; by default there is no end to it.

        Raises:
            multiprocessing.TimeoutError: It was not there in time. Ask again.
            StopIteration: There are no more.

        Blocks: until a result is there, at most *timeout*.
        """
        with self._changed:
            while not self._values:
                if not self._changed.wait_for(self._is_worth_looking, timeout):
                    raise multiprocessing.TimeoutError
                if not self._arrived:
                    raise StopIteration
                values, error = self._arrived.popleft()
                self._taken += 1
                self._changed.notify_all()  # there is room for one more
                if error is not None:
                    raise error
                self._values.extend(values)
            return self._values.popleft()

    def _is_worth_looking(self) -> bool:
        return bool(self._arrived) or self._taken == self._total

    def _feed(
        self, chunks: Iterator[tuple[Any, ...]], send: Callable[[tuple[Any, ...], Settle], None]
    ) -> None:
        """Send chunks as there is room, until there are no more or the pool is terminated."""
        try:
            while self._has_room():
                chunk = next(chunks, None)
                if chunk is None:
                    break
                send(chunk, self._next_settle())
        except BaseException as error:  # of the items, or the farm was shut down: it takes its turn
            self._next_settle()((), error)
        finally:
            with self._changed:
                self._total = self._sent
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait until one more chunk may be sent; false when no more are."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._pending() < self._limit)
            return not self._stopped

    def _pending(self) -> int:
        return self._sent - (self._answered if self._closing else self._taken)

    def _next_settle(self) -> Settle:
        with self._changed:
            number = self._sent
            self._sent += 1

        def settle(values: Any, error: BaseException | None) -> None:
            with self._changed:
                self._answered += 1
                if self._ordered:
                    self._early[number] = (values, error)
                    while (first := len(self._arrived) + self._taken) in self._early:
                        self._arrived.append(self._early.pop(first))
                else:
                    self._arrived.append((values, error))
                self._changed.notify_all()

        return settle

    def _close(self) -> None:
        """Send all that is left, whether results are taken or not."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _stop(self) -> None:
        """Send no more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
