"""``farm.each_slave``: once on every slave, also on those that join later."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

import msgspec

from masterslave.errors import TaskLost
from masterslave.farm.futures import FarmFuture
from masterslave.farm.options import TaskTerms
from masterslave.farm.submitting import Submitter
from masterslave.master.duties import Duty
from masterslave.master.seats import Seat
from masterslave.master.submission import Function, Single
from masterslave.protocol.joining import on_tag

__all__ = ["EachSlave"]

Result = TypeVar("Result")

_FIRST = 2**31


class EachSlave(Mapping[str, FarmFuture[Result]]):
    """Futures of one call on every slave, by the slave's name; made by ``farm.each_slave``.

    A slave that joins later is given the call as its first task, and its future is added. One that
    leaves before it has answered is taken out; its future raises ``TaskLost``. Of slaves of the
    same name, the first has it as its key here, and the others with a number: ``box``, ``box#3``.

    Threads: any.
    """

    def __init__(
        self, submitter: Submitter, function: Function, terms: TaskTerms, arguments: bytes
    ) -> None:
        self._submitter, self._function = submitter, function
        self._terms, self._arguments = terms, arguments
        self._changed = threading.Condition()
        self._futures: dict[str, FarmFuture[Result]] = {}
        self._keys: dict[str, str] = {}
        self._duty = _DutyOf(self)
        submitter.add_duty(self._duty)

    def close(self) -> None:
        """Give it to no slave that joins from now on; those that have it go on."""
        self._submitter.drop_duty(self._duty)

    def results(self, timeout_s: float | None = None, *, at_least: int = 1) -> dict[str, Result]:
        """Return what the call has returned, by the slave's name, when each that is here has done.

        Args:
            timeout_s: How long to wait, in seconds; None: for ever.
            at_least: Wait for so many slaves, if there are fewer.
        Raises:
            TimeoutError: Not all have answered in time.
            ExceptionGroup: It has raised on some of them: their exceptions, each with a note of
                its slave. ``errors()`` has them by name.
        """
        self._wait(timeout_s, at_least)
        with self._changed:
            done = dict(self._futures)
        errors = _errors_of(done)
        if errors:
            raise ExceptionGroup(
                f"{self._function.name}() failed on {len(errors)} of {len(done)} slaves",
                list(errors.values()),
            )
        return {name: future.result() for name, future in done.items()}

    def errors(self) -> dict[str, Exception]:
        """Return what the call has raised so far, by the slave's name; does not wait."""
        with self._changed:
            return _errors_of(self._futures)

    def __getitem__(self, slave: str) -> FarmFuture[Result]:
        with self._changed:
            return self._futures[slave]

    def __iter__(self) -> Iterator[str]:
        with self._changed:
            return iter(list(self._futures))

    def __len__(self) -> int:
        return len(self._futures)

    def __enter__(self) -> EachSlave[Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        with self._changed:
            done = sum(future.done() for future in self._futures.values())
            return f"<{self._function.name}() on each slave: {done} of {len(self._futures)} done>"

    def _wait(self, timeout_s: float | None, at_least: int) -> None:
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while True:
                open_ = [name for name, future in self._futures.items() if not future.done()]
                missing = at_least - len(self._futures)
                if not open_ and missing <= 0:
                    return
                left_s = None if end_s is None else end_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    who = (
                        f"slaves {', '.join(open_)}" if open_ else f"{missing} more slaves to join"
                    )
                    raise TimeoutError(
                        f"{self._function.name}() on each slave: after {timeout_s:g} s it waits "
                        f"for {who}"
                    )
                self._changed.wait(left_s)

    def _notify(self, _: Future[Any]) -> None:
        with self._changed:
            self._changed.notify_all()


class _DutyOf(Duty):
    """Makes the tasks of slaves."""

    def __init__(self, each: EachSlave[Any]) -> None:
        self._each = each

    def task_for(self, seat: Seat) -> Single | None:
        """Return the slave's task, unless it cannot run it, or has done so by another name."""
        each = self._each
        done = [each._futures.get(each._keys.get(name, "")) for name in seat.names]
        if not each._terms.tags <= seat.tags or any(one is not None for one in done):
            return None
        tags = each._terms.tags | {on_tag(seat.slave)}
        terms = msgspec.structs.replace(each._terms, tags=tags, priority=_FIRST)
        future = each._submitter.make_future(each._function, terms, each._arguments)
        if future is None:
            return None
        future.add_done_callback(each._notify)
        name = seat.introduction.name
        with each._changed:
            key = each._keys[seat.slave] = seat.slave if name in each._futures else name
            each._futures[key] = future
            each._changed.notify_all()
        return future

    def forget(self, seat: Seat) -> Exception:
        """Take out a slave that is gone and has not answered."""
        each = self._each
        with each._changed:
            each._futures.pop(each._keys.pop(seat.slave, ""), None)
            each._changed.notify_all()
        return TaskLost(
            f"slave {seat.introduction.name} was gone before it had answered "
            f"{each._function.name}(), which each slave was given"
        )


def _errors_of(futures: Mapping[str, Future[Any]]) -> dict[str, Exception]:
    errors: dict[str, Exception] = {}
    for name, future in futures.items():
        if not future.done():
            continue
        try:
            error = future.exception()
        except CancelledError as cancelled:
            error = cancelled
        if isinstance(error, Exception):
            note = f"This was raised on slave {name}."
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            errors[name] = error
    return errors
