"""A slot that is a thread of the script's own process; it runs tasks as a child process does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from masterslave.farm.here.tracebacks import Unwanted, describe_and_keep
from masterslave.farm.inside import reporting
from masterslave.protocol.functions import KnownFunctions
from masterslave.protocol.outcomes import PART, PROGRESS, Outcome
from masterslave.slave.child.calls import Caller
from masterslave.slave.child.frames import Call, Prepare
from masterslave.slave.child.frames import Outcome as ChildOutcome
from masterslave.slave.child.outbox import Outbox
from masterslave.slave.work import Job

__all__ = ["GOES_ON", "Desk", "Slot"]

GOES_ON = (PART, PROGRESS)
"""Outcomes after which the hand-out goes on."""


class Desk(Protocol):
    """Where a slot gets jobs, and tells what became of them."""

    def next_job(self) -> Job | None:
        """Wait for a job; None: there will be none."""

    def tell(self, outcome: Outcome) -> None:
        """A job goes on, and has this to say."""

    def end(self, job: Job, outcome: Outcome) -> None:
        """A job has ended."""

    def deliver(self) -> None:
        """Bring the master what was told."""


class Slot:
    """One thread.

    Args:
        number: Of the slot, from 1.
        desk: Whose it is.
        prepared: What a child would be told of the farm.
        classes: Of the farm's handlers: the script's own, which are not copied.

    Attributes:
        tears_down: Handlers clean up, because the farm has ended.
    """

    def __init__(
        self, number: int, desk: Desk, prepared: Prepare, classes: Mapping[str, type[Any]]
    ) -> None:
        self._desk = desk
        self.tears_down = False
        self._mark = _Mark()
        self._outbox = _Outbox(self._post, desk.deliver)
        self._caller = Caller(
            self._outbox, cast(memoryview, self._mark), describe=describe_and_keep
        )
        self._farm = self._caller.meet(prepared, classes)  # of its own, as each child has
        self._known = KnownFunctions()
        self._job: Job | None = None
        self._ended: Outcome | None = None
        self._thread = threading.Thread(target=self._run, name=f"farm here {number}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the thread has ended, at most so long; tells whether it has."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def skip_rest(self, is_meant: Callable[[Job], bool]) -> None:
        """Nobody waits for these: of items that travelled together, no further one is begun."""
        job = self._job
        if job is not None and is_meant(job):
            self._mark.is_unwanted = True

    def _run(self) -> None:
        reporting.report = self._caller.report_progress
        while (job := self._desk.next_job()) is not None:
            self._job = job
            self._do(job)
            self._job = None
            del job  # it may be the last that holds its arguments
        self.tears_down = True
        self._caller.close()
        self.tears_down = False

    def _do(self, job: Job) -> None:
        task = job.task
        self._define(task.function, job.pickled)
        call = Call(task.task, task.attempt, task.count, task.form, task.function, task.arguments)
        self._mark.is_unwanted = False
        self._caller.run(0, call, self._farm)
        outcome, self._ended = self._ended, None
        assert outcome is not None
        self._desk.end(job, outcome)

    def _define(self, digest: bytes, pickled: bytes) -> None:
        caller = self._caller
        for forgotten in self._known.use(digest, len(pickled)):
            caller.functions.pop(forgotten, None)
            caller.pickled.pop(forgotten, None)
        if digest not in caller.functions:
            caller.pickled[digest] = pickled

    def _post(self, told: tuple[int, ChildOutcome]) -> None:
        of = told[1]
        outcome = Outcome(of.task, of.attempt, of.count, of.kind, of.payload, of.seconds, of.item)
        if of.kind in GOES_ON:
            self._desk.tell(outcome)
        else:
            self._ended = outcome


class _Outbox(Outbox):
    """What the caller has to say goes to the desk, without a pipe."""

    def __init__(
        self, post: Callable[[tuple[int, ChildOutcome]], None], deliver: Callable[[], None]
    ) -> None:
        self.post = post
        self._deliver = deliver

    def post_large(self, number: int, outcome: ChildOutcome) -> None:
        self.post((number, outcome))
        if outcome.kind in GOES_ON:  # a job's end is delivered by who ends it
            self._deliver()

    def flush(self) -> None:
        self._deliver()


class _Mark:
    """Told which item is begun, and raises if nobody waits for it any more."""

    def __init__(self) -> None:
        self.is_unwanted = False

    def __setitem__(self, place: int, number: Any) -> None:
        if self.is_unwanted and place == 1 and number:
            raise Unwanted
