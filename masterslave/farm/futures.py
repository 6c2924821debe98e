"""The future of a task: the standard library's, in a fifth of its memory, and the task itself.

A ``concurrent.futures.Future`` makes a condition for whoever may wait for it, 1.4 KB each. This one
makes it when somebody does. Who settles it looks for the condition after the state is set; who
waits makes the condition before it looks at the state: so one of them sees the other.

The master settles each task once, and cancels it under its own lock, so no two threads set the
state of one future.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, cast

import msgspec

from masterslave.errors import NotPicklable
from masterslave.farm.followers import dependency_failed
from masterslave.farm.options import TaskTerms
from masterslave.farm.packing import unpack
from masterslave.farm.parts import Parts
from masterslave.farm.recorded import recorded_results
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    Function,
    PredecessorFailed,
    Recorded,
    Single,
)
from masterslave.protocol.outcomes import Outcome
from remoteobj.unreadable import UNREADABLE

if TYPE_CHECKING:
    from masterslave.farm.submitting import Submitter

__all__ = ["FarmFuture"]

log = logging.getLogger("masterslave")

Result = TypeVar("Result")

_making = threading.Lock()


class FarmFuture(Future[Result], Single):
    """A stdlib future, which may also be awaited; ``cancel()`` stops a task that runs.

    Attributes:
        number: Of the task in its farm; -1 while that has not taken it in.
        keep: Called with the future and its answer, to keep that for later runs.
    """

    keep: Callable[[FarmFuture[Any], Answer], None] | None = None

    __slots__ = (
        "_callbacks",
        "_lazy_condition",
        "_lazy_waiters",
        "_owner",
        "_parts",
        "_result_or_error",
        "_state",
        "arguments",
        "function",
        "number",
        "terms",
    )

    def __init__(
        self, owner: Submitter, function: Function, terms: TaskTerms, arguments: bytes
    ) -> None:
        self._owner = owner
        self.function = function
        self.terms = terms
        self.arguments = arguments
        self.number = -1
        self._state = PENDING
        self._result_or_error: Any = None
        self._lazy_condition: threading.Condition | None = None
        self._lazy_waiters: list[Any] | None = None
        self._callbacks: list[Any] | None = None
        self._parts: Parts | None = None

    # What the standard library's Future, wait() and as_completed() look at.

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        condition = self._lazy_condition
        if condition is None:
            with _making:
                if self._lazy_condition is None:
                    self._lazy_condition = threading.Condition()
                condition = self._lazy_condition
        return condition

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        # Its condition is held.
        if self._lazy_waiters is None:
            self._lazy_waiters = []
        return self._lazy_waiters

    @property
    def _done_callbacks(self) -> list[Any]:
        # Its condition is held.
        if self._callbacks is None:
            self._callbacks = []
        return self._callbacks

    @property
    def _result(self) -> Any:  # type: ignore[override]
        held = self._held()
        return None if isinstance(held, _Error) else held

    @property
    def _exception(self) -> BaseException | None:
        held = self._held()
        return held.error if isinstance(held, _Error) else None

    @_exception.setter
    def _exception(self, error: BaseException | None) -> None:
        if error is not None:
            self._result_or_error = _Error(error)

    def _held(self) -> Any:
        """Return the value, or an ``_Error``; read from the journal the first time."""
        held = self._result_or_error
        if type(held) is _InJournal:
            name, data_only = self.function.name, self._owner.data_only
            ((value, error),) = recorded_results(
                held.answer, 1, held.slave, name, data_only=data_only
            )
            held = self._result_or_error = value if error is None else _Error(error)
        return held

    # What users call.

    def cancel(self) -> bool:
        """Drop the task; a slave that runs it stops it. False if it has its answer already.

        Blocks: no longer than a moment; the slave is told meanwhile.
        """
        if self._state == PENDING:
            self._owner.cancel([self])
        return self._state == CANCELLED_AND_NOTIFIED

    # The standard library takes the condition in each of these, also when all is over.

    def done(self) -> bool:
        """Tell whether it has its answer, or was cancelled."""
        return self._state != PENDING

    def cancelled(self) -> bool:
        """Tell whether it was cancelled."""
        return self._state == CANCELLED_AND_NOTIFIED

    def result(self, timeout: float | None = None) -> Result:
        """Return the task's value, or raise what it raised.

        Raises:
            TimeoutError: It has no answer within *timeout* seconds; None waits for ever.
            CancelledError: It was cancelled.
            TaskLost: Its hand-outs were lost too often; the story says how.
            TaskFailed: It raised what cannot be rebuilt here.
        """
        if self._state == FINISHED and not isinstance(held := self._held(), _Error):
            return cast(Result, held)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the task raised, or None; raises as ``result`` where there is no answer."""
        if self._state == FINISHED:
            return self._exception
        return super().exception(timeout)

    def add_done_callback(self, fn: Callable[[Future[Result]], object]) -> None:
        """Have *fn* called with the future when it is done: at once, or by a thread of the farm.

        What it raises is logged. A callback that waits for another future of the farm holds up the
        other callbacks, and nothing else.
        """
        if self._state == FINISHED:
            try:
                fn(self)
            except Exception:
                log.exception("exception calling callback for %r", self)
        else:
            super().add_done_callback(fn)

    def running(self) -> bool:
        """Tell whether a slave has the task, and has not answered it."""
        return self._state == PENDING and self._owner.is_out(self)

    def parts(self) -> Parts:
        """Return an iterator of what the task yields while it runs; ``async for`` works, too.

        It ends with the task, and raises what the task raises. The task's function is a generator;
        what it returns is the future's result. A task that is run again because its slave was
        lost goes on where the first one was: parts that have come are not given twice. Where some
        are missing, which happens to a script that is attached to a service (``docs/service.md``),
        it raises ``FarmError``, once, and goes on with those after them.

        Threads: one at a time.
        """
        if self._parts is None:
            with _making:
                if self._parts is None:
                    self._parts = Parts(self, self.function.name, data_only=self._owner.data_only)
            if self.done():  # settled just before
                self._parts.close()
        return self._parts

    @property
    def progress(self) -> tuple[float, float] | None:
        """What the task has told last with ``farm.progress(done, total)``; None: nothing yet."""
        return self._parts.progress if self._parts is not None else None

    def __reduce__(self) -> NoReturn:
        raise NotPicklable(
            f"the future of {self.function.name}() is inside of an argument, or among the items of "
            "a map: only as an argument of its own is it waited for; give its result() instead"
        )

    def __await__(self) -> Generator[Any, None, Result]:
        import asyncio

        return asyncio.wrap_future(self).__await__()

    def __repr__(self) -> str:
        state = {PENDING: "pending", FINISHED: "finished"}.get(self._state, "cancelled")
        if self._state == FINISHED and self._exception is not None:
            state = f"raised {type(self._exception).__name__}"
        return f"<FarmFuture {self.number} of {self.function.name}(): {state}>"

    # What the master calls; each at most once at a time.

    def settle(self, answer: Answer, slave: str) -> None:
        """Take the answer."""
        if self._owner.room is not None:
            self._owner.room.leave(len(self.arguments))
        self.arguments = b""
        if self.keep is not None:
            self.keep(self, answer)
        if isinstance(answer, Cancelled):
            self._finish(CANCELLED_AND_NOTIFIED)
            return
        if isinstance(answer, PredecessorFailed):
            # It may be that another thread is about to hand over the answer of that one.
            cast("FarmFuture[Any]", answer.predecessor).add_done_callback(self._fail_after)
            return
        error: BaseException | None = None
        if isinstance(answer, Failed):
            error = answer.error
        elif isinstance(answer, Recorded):
            self._result_or_error = _InJournal(answer, slave)
        else:
            value, error = unpack(
                answer, slave, self.function.name, data_only=self._owner.data_only
            )
            if error is None:
                self._result_or_error = value
        if error is not None:
            self._owner.note_failed(self, error)
            self._result_or_error = _Error(error)
        self._finish(FINISHED, answer)

    def will_retry(self, outcome: Outcome, *, data_only: bool) -> frozenset[int]:
        """Return the task if what it raised is to be tried again."""
        error = unpack(outcome, "", self.function.name, data_only=data_only)[1]
        on = cast(TaskTerms, self.terms).on
        return frozenset([self.number]) if isinstance(error, on) else frozenset()

    def note_part(self, item: int, payload: bytes) -> None:
        """Keep a value that the task has yielded, for ``parts()``."""
        self.parts().add(item, payload)

    def note_progress(self, payload: bytes) -> None:
        """Keep how far the task is."""
        with contextlib.suppress(*UNREADABLE):  # whatever a slave sends
            self.parts().progress = msgspec.msgpack.decode(payload, type=tuple[float, float])

    def answered(self, keys: bytes, answer: Recorded, slave: str) -> Self:
        """Settle it with what an earlier run has had: the master never sees it."""
        self.keys = keys
        self._result_or_error = _InJournal(answer, slave)
        self._state = FINISHED
        return self

    def fail(self, error: Exception) -> None:
        """Settle it with an error of this process: the master never sees it."""
        self.has_failed = True
        self._owner.note_failed(self, error)
        self._result_or_error = _Error(error)
        self._finish(FINISHED)

    def _fail_after(self, predecessor: Future[Any]) -> None:
        self.fail(dependency_failed(self.function.name, cast("FarmFuture[Any]", predecessor)))

    def _finish(self, state: str, answer: Answer | None = None) -> None:
        self._state = state
        if self._owner.results.wanted:
            self._owner.results.note(self, answer)
        if self._parts is not None:
            self._parts.close()
        condition = self._lazy_condition
        if condition is None:
            return
        with condition:
            waiters, callbacks = self._lazy_waiters or (), self._callbacks
            for waiter in waiters:
                if state == CANCELLED_AND_NOTIFIED:
                    waiter.add_cancelled(self)
                elif self._exception is not None:
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
            condition.notify_all()
        if callbacks and state == CANCELLED_AND_NOTIFIED:  # by who cancels, as in the stdlib
            self._invoke_callbacks()  # type: ignore[attr-defined]
        elif callbacks:
            self._owner.carry(self._invoke_callbacks)  # type: ignore[attr-defined]


class _InJournal:
    """Stands for a result that is read when it is asked for."""

    __slots__ = ("answer", "slave")

    def __init__(self, answer: Recorded, slave: str) -> None:
        self.answer = answer
        self.slave = slave


class _Error:
    """Holds an exception in the place of a result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error
