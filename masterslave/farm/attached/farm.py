"""``Farm.attach``: a farm that runs by itself, as an ``Executor`` of a script that comes and goes.

::

    submit --> backlog --line--> reception of `masterslave master`  (on its disk)
    future <-- backlog <--line-- answers
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from masterslave.errors import CannotAttach, Detached
from masterslave.farm.at_exit import open_farms
from masterslave.farm.attached.finding import (
    Around,
    Door,
    NotFound,
    Refused,
    find,
    greeting,
    none_found,
)
from masterslave.farm.attached.line import Line
from masterslave.farm.attached.master import RemoteMaster
from masterslave.farm.ending import end_soon
from masterslave.farm.futures import FarmFuture
from masterslave.farm.inside import FarmInside, report_progress
from masterslave.farm.keep_going import Failures, failures_of
from masterslave.farm.leaving import Leaving
from masterslave.farm.options import CallOptions, TaskTerms
from masterslave.farm.requests import Requests
from masterslave.farm.sharing import Sharing
from masterslave.farm.submitting import Submitter
from masterslave.farm.travelling import LocalCode
from masterslave.master.carrier import Carrier
from masterslave.master.submission import Function
from masterslave.naming import check_label
from masterslave.protocol.attaching import Admission
from masterslave.settings import FarmSettings
from remoteobj import Identity
from remoteobj.identity import Auto

__all__ = ["AttachedFarm", "AttachedStatistics"]

log = logging.getLogger("masterslave")

_FIRST_RETRY_S, _RETRY_S = 0.05, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedStatistics:
    """What a script has had done by the farm that it is attached to.

    Attributes:
        submitted: Tasks of the ticket, those of earlier times among them.
        done: Those that have their answer here, but for the cancelled ones.
        failed: Of these, those that raise.
        open: Those that have no answer here.
        on_disk: Those that the farm keeps, whatever happens to script or farm.
        reconnected: How often the farm was found again.
    """

    submitted: int
    done: int
    failed: int
    cancelled: int
    open: int
    on_disk: int
    reconnected: int


class AttachedFarm(Leaving, Sharing):
    """A farm that goes on without the script; made by ``Farm.attach``.

    It submits as a ``Farm`` does: ``submit``, ``map``, ``imap``, ``options``, ``share``. Leaving
    the ``with`` block waits for what was submitted, and then has the farm forget it. Leaving it by
    an exception or Ctrl-C drops what this script has submitted and is open; results, and all that
    the ticket had before, stay with the farm. ``detach`` keeps all, for whoever comes back.

    Attributes:
        label: The farm's.
        ticket: By which its tasks are come back to: ``Farm.attach(label, ticket=...)``.
        futures: Of all tasks that the ticket had when this script came, in the order in which they
            were submitted; empty where the ticket is a new one. Their functions have names only:
            ``future.function.name``.

    Threads: any thread may submit; callbacks of futures run in a thread of the farm.
    """

    _submitter: Submitter
    _options: CallOptions

    def __init__(self, label: str, around: Around, door: Door, visitor: str) -> None:
        admission = door.admission
        self.label = label
        self.ticket = admission.ticket
        self._pid = os.getpid()
        self._close_lock = threading.Lock()
        self._closed = False
        self._detached = False
        self._carrier = Carrier()
        self._remote = RemoteMaster(admission.origin or f"farm {label!r} ({admission.farm_id})")
        self._master = self._remote
        settings = FarmSettings(max_attempts=admission.max_attempts)
        self._submitter = Submitter(
            self._remote, self._carrier, label, settings,
            data_only=admission.data_only, code=LocalCode(), handlers=b"",
        )  # fmt: skip
        self._submitter.failures = failures = failures_of(label, None)
        self._options = CallOptions(is_attached=True, max_attempts=admission.max_attempts)
        self._title = partial(_title_of, weakref.ref(self))
        self._requests = Requests()
        self.futures = self._restore(admission)
        with self._remote as backlog:
            backlog.admit(admission.taken)
        self._line = Line(around, door, self._remote, visitor)
        self._end = partial(_end, self._line, self._carrier, failures)
        self._forgotten = weakref.finalize(
            self, end_soon, os.getpid(), self._submitter, self._remote,
            partial(self._end, forget=True),
        )  # fmt: skip
        self._forgotten.atexit = False
        try:
            self._carrier.start()
            self._line.start()
            open_farms.add(self)
        except BaseException:  # no memory for a thread, or Ctrl-C
            self._close(forget=not self.futures)
            raise

    def detach(self) -> str:
        """Leave the farm, which goes on with all that was submitted, and keeps the results.

        Futures without an answer raise ``Detached`` from here on, and nothing more is taken.

        Returns:
            The ticket: ``Farm.attach(label, ticket=...)`` has the futures again, in any process of
            yours, on any machine of the cluster.
        Raises:
            CannotAttach: The farm has refused this script; the message says why.

        Blocks: until the farm has all on its disk; while it cannot be reached, as long as that
            takes; and where a task follows one of ``futures``, until that has its answer.
        Threads: any.
        """
        if self._is_of_parent() or self._closed:
            return self.ticket
        self._submitter.take_no_more()
        self._remote.wait_until_flushed()
        if self._remote.over is not None and not self._detached:
            raise self._remote.over
        self._detached = True
        going_on = self._remote.end(self._detached_error())
        self._close(forget=False)
        log.info("left farm %r with ticket %s: %d tasks go on", self.label, self.ticket, going_on)
        return self.ticket

    def statistics(self) -> AttachedStatistics:
        """Return what was done for this script so far."""
        remote = self._remote
        remote.take_in()
        with remote as backlog:
            cancelled, answered = remote.cancelled, backlog.answered
            submitted, open_now, taken = backlog.submitted, backlog.open, backlog.taken
        return AttachedStatistics(
            submitted=submitted,
            done=answered - cancelled,
            failed=self._submitter.failed,
            cancelled=cancelled,
            open=open_now,
            on_disk=taken,
            reconnected=self._line.sessions - 1,
        )

    def why_waiting(self) -> str:
        """Return in words what the open tasks wait for; empty when none is open."""
        trouble = self._line.trouble
        if trouble:
            return f"farm {self.label!r} does not answer, and is looked for: {trouble}"
        return self._remote.waits if self._remote.backlog.open else ""

    @staticmethod
    def progress(done: float, total: float) -> None:
        """Inside a task: tell the script how far it is; its future's ``progress`` says so."""
        report_progress(done, total)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and leave for good: the farm forgets the ticket.

        Args:
            wait: Return when every task is answered; False returns at once, and the tasks that are
                under way are still answered. In a callback of a future it is always False.
            cancel_futures: Drop the tasks that have no answer.

        Blocks: on the tasks, as long as they take.  Threads: any; several may wait.
        """
        drop = self._remote.cancel_all if cancel_futures else None
        self._end_by(self._remote, drop, self._leave_for_good, wait=wait)

    def __reduce__(self) -> tuple[Any, ...]:
        return FarmInside, (self.label,)

    def __repr__(self) -> str:
        if self._closed:
            how = "left" if self._detached else "closed"
            return f"<AttachedFarm {self.label!r}, ticket {self.ticket}: {how}>"
        counts, why = self.statistics(), self.why_waiting()
        state = f"{counts.done} of {counts.submitted} tasks done"
        return f"<AttachedFarm {self.label!r}, ticket {self.ticket}: {state}{why and '; '}{why}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name in _NOT_HERE:
            raise AttributeError(f"an attached farm has no {name}: {_NOT_HERE[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _restore(self, admission: Admission) -> tuple[FarmFuture[Any], ...]:
        """Make the futures of what the ticket has."""
        every: list[FarmFuture[Any]] = []
        for first, count, name in admission.tasks:
            function = Function(b"", b"", name, name)
            row: list[FarmFuture[Any]] = [
                FarmFuture(self._submitter, function, _TERMS, b"") for _ in range(count)
            ]
            self._remote.restore(first, row)
            every += row
        return tuple(every)

    def _interrupt(self, how: str = "interrupted") -> None:
        if self._closed:
            return
        self._submitter.take_no_more()
        keeps = self._has_results()
        dropped = self._remote.cancel_own()
        if dropped:
            log.warning("farm %r %s: %d tasks under way are dropped", self.label, how, dropped)
        self._leave_for_good(keeps=keeps)

    def _leave_for_good(self, *, keeps: bool = False) -> None:
        if self._closed:
            return
        if keeps or (self._script_has_failed and self._has_results()):
            self._leave_by_failure()
        else:
            self._close(forget=True)

    def _has_results(self) -> bool:
        """Tell whether the ticket has what a script that failed may want to come back to."""
        with self._remote as backlog:
            return bool(self.futures) or backlog.answered > self._remote.cancelled

    def _leave_by_failure(self) -> None:
        self._detached = True
        self._close(forget=False)
        going_on = self._remote.end(self._detached_error())
        log.warning(
            "farm %r keeps what ticket %s has%s: attach with it, or 'masterslave results %s'; "
            "'masterslave forget %s' drops it",
            self.label, self.ticket, f", and goes on with {going_on} tasks" if going_on else "",
            self.ticket, self.ticket,
        )  # fmt: skip

    def _detached_error(self) -> Detached:
        return Detached(
            f"the script has left farm {self.label!r}, which goes on with this task: "
            f"Farm.attach({self.label!r}, ticket={self.ticket!r}) has its future again"
        )

    def _close(self, *, forget: bool) -> None:
        with self._close_lock:
            if not self._closed:
                open_farms.discard(self)
                self._forgotten.detach()
                self._end(forget=forget)
                self._closed = True


_TERMS = TaskTerms(0)

_NOT_HERE = {
    "slaves": "its slaves are its own; 'masterslave show LABEL' lists them",
    "former_slaves": "its slaves are its own; 'masterslave show LABEL' lists them",
    "add_local_slaves": "start some with 'masterslave slave LABEL'",
    "uri": "slaves find it by its label",
    "explain": "why_waiting() says what its tasks wait for",
}


def attach(
    label: str,
    *,
    ticket: str,
    nameserver: str | None,
    identity: Identity | Auto | None,
    insecure: bool,
    cluster: str | None,
    timeout_s: float,
) -> AttachedFarm:
    """Find a farm that runs by itself, and be let in; see ``Farm.attach``."""
    around = Around.of(
        check_label(label), nameserver=nameserver, identity=identity, insecure=insecure,
        cluster=cluster,
    )  # fmt: skip
    visitor = secrets.token_hex(8)
    end_s, pause_s = time.monotonic() + timeout_s, _FIRST_RETRY_S
    while True:
        try:
            door = find(around, greeting(ticket, visitor), suits=lambda _: "")
            break
        except Refused as refused:
            raise CannotAttach(f"farm {label!r} does not let this script in: {refused}") from None
        except NotFound as nobody:
            if time.monotonic() + pause_s > end_s:
                raise none_found(label, str(nobody)) from None
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _RETRY_S)
    farm = AttachedFarm(label, around, door, visitor)
    log.info("attached to farm %r on %s; ticket %s", label, door.record.host, farm.ticket)
    return farm


def _end(line: Line, carrier: Carrier, failures: Failures | None, *, forget: bool) -> None:
    """Leave the farm, and stop what talks with it."""
    if not line.leave(forget=forget):
        what = "forget" if forget else "results"
        log.warning(
            "farm %r did not hear that this script leaves; 'masterslave %s %s' when it is back",
            line.label, what, line.ticket,
        )  # fmt: skip
    line.close()
    carrier.close()
    if failures is not None:
        failures.close()


def _title_of(farm: weakref.ref[AttachedFarm]) -> tuple[str, Callable[[], str]]:
    here = farm()
    return ("", str) if here is None else (here.label, here.why_waiting)
