"""The futures of a farm that have no answer yet: made here, settled here, cancelled here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from masterslave.errors import FarmClosed, NotPicklable
from masterslave.farm.packing import name_of_function, pack_arguments, unpack
from masterslave.master.shell import Answer, Cancelled, Master, Submission
from masterslave.protocol import hash_of

__all__ = ["OpenFutures"]

Call = tuple[tuple[Any, ...], dict[str, Any]]


class OpenFutures:
    """Submits calls to the master, and gives their answers to futures.

    Threads: any. Futures are settled, and their callbacks run, by the master's carrier.
    """

    def __init__(self, master: Master, label: str) -> None:
        self.failed = 0
        """Futures that were settled with an exception."""
        self._master = master
        self._label = label
        self._changed = threading.Condition()
        self._numbers: dict[Future[Any], int] = {}
        self._closing = False

    def submit(
        self, fn: Callable[..., Any], packed: bytes, calls: Sequence[Call]
    ) -> list[Future[Any]]:
        """Submit calls of one function; arguments that cannot be sent fail their future only.

        Raises:
            FarmClosed: The farm was shut down.
        """
        digest, name = hash_of(packed), name_of_function(fn)
        futures: list[Future[Any]] = [_FarmFuture(self) for _ in calls]
        submissions: dict[Future[Any], Submission] = {}
        for future, (args, kwargs) in zip(futures, calls, strict=True):
            try:
                arguments = pack_arguments(fn, args, kwargs)
            except NotPicklable as error:
                future.set_exception(error)
                continue
            submissions[future] = Submission(digest, arguments, self._settler(future, name))
        with self._changed:
            self.check_open()
            numbers = self._master.submit({digest: packed}, tuple(submissions.values()))
            self._numbers.update(zip(submissions, numbers, strict=True))
        return futures

    def check_open(self) -> None:
        """Check that tasks are still taken.

        Raises:
            FarmClosed: They are not.
        """
        if self._closing:
            raise FarmClosed(f"farm {self._label!r} was shut down: make a new one")

    def take_no_more(self) -> list[Future[Any]]:
        """Refuse new tasks from now on; returns the futures that are open."""
        with self._changed:
            self._closing = True
            return list(self._numbers)

    def wait_until_answered(self) -> None:
        """Wait until no future is open."""
        with self._changed:
            self._changed.wait_for(lambda: not self._numbers)

    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Cancel futures, in one step, so that no slave is handed a task that is dropped next.

        Returns at once; the carrier tells who waits for them.
        """
        with self._changed:
            numbers = [self._numbers[future] for future in futures if future in self._numbers]
        self._master.cancel(numbers)

    def cancel_soon(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel futures from a destructor, which must not take a lock: the carrier does it."""
        self._master.carry(partial(self.cancel, futures))

    def _settler(self, future: Future[Any], name: str) -> Callable[[Answer, str], None]:
        def settle(answer: Answer, slave: str) -> None:
            if isinstance(answer, Cancelled):
                self._close(future)
                try:
                    Future.cancel(future)
                finally:
                    future.set_running_or_notify_cancel()  # tells wait() and as_completed()
                return
            value, error = unpack(answer, slave, name)
            self._close(future, failed=error is not None)
            if future.set_running_or_notify_cancel():
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(value)

        return settle

    def _close(self, future: Future[Any], *, failed: bool = False) -> None:
        with self._changed:
            self.failed += failed
            del self._numbers[future]
            if not self._numbers:
                self._changed.notify_all()


class _FarmFuture(Future[Any]):
    """A stdlib future whose ``cancel()`` also takes the task back from the farm."""

    def __init__(self, owner: OpenFutures) -> None:
        super().__init__()
        self._owner = owner

    def cancel(self) -> bool:
        """Drop the task; a slave that runs it already stops it."""
        try:
            return super().cancel()
        finally:  # a callback of the user's may have raised what callbacks should not
            if self.cancelled():
                self._owner.cancel([self])
