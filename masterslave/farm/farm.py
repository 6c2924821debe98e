"""``Farm``: a ``concurrent.futures.Executor`` whose workers are the slaves of the room.

::

    submit --> Master (this process) <--long polls-- slaves, here and elsewhere
    future <-- carrier thread            deliveries
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from masterslave.farm.arguments import check_arguments, settings_for
from masterslave.farm.at_exit import open_farms
from masterslave.farm.attaching import Attaching
from masterslave.farm.cached import Cached
from masterslave.farm.ending import drop_open, end_farm, end_soon
from masterslave.farm.explain import explain_task
from masterslave.farm.functions import pack_initializer
from masterslave.farm.futures import FarmFuture
from masterslave.farm.handlers import Handlers, own_handlers
from masterslave.farm.here.ground import Here, threads_here
from masterslave.farm.inside import FarmInside, report_progress
from masterslave.farm.keep_going import again, failures_of
from masterslave.farm.lacking import Lacking
from masterslave.farm.leaving import Leaving
from masterslave.farm.modules import search_path
from masterslave.farm.options import CallOptions, whole
from masterslave.farm.output import log_levels, shower
from masterslave.farm.outside import Outside
from masterslave.farm.reach import choose_reach
from masterslave.farm.records import FarmStatistics, SlaveRecord, statistics_of
from masterslave.farm.requests import Requests
from masterslave.farm.sharing import Sharing
from masterslave.farm.steering import Steering
from masterslave.farm.submitting import Submitter
from masterslave.farm.tracing import trace_of
from masterslave.farm.travelling import LocalCode
from masterslave.master.carrier import Carrier
from masterslave.master.output import TaskOutput
from masterslave.master.shell import Master
from masterslave.naming import check_label
from masterslave.protocol.joining import Welcome
from masterslave.settings import FarmSettings
from remoteobj import URI, Identity, forks
from remoteobj.identity import AUTO, Auto

if TYPE_CHECKING:
    from masterslave.farm.journaled import Journaled

__all__ = ["Farm"]

log = logging.getLogger("masterslave")


class Farm(Leaving, Sharing, Attaching):
    """Runs functions on slaves that join and leave while it runs.

    ::

        with Farm("survey") as farm:
            future = farm.submit(fn, 12)
            for item, result in farm.imap_unordered(fn, items):
                ...

    Each task is answered exactly once, and may run more than once: a task whose slave is lost is
    handed out again, and the first answer counts. An exception that a task raises is raised by
    its future, with the slave's name and traceback as its cause.

    Leaving the block waits for what was submitted. Leaving it by an exception or Ctrl-C does not,
    other than with the standard library's executors: what waits is dropped, what runs is stopped.

    Args:
        label: What slaves may ask for: ``masterslave slave LABEL``.
        local_slaves: Slaves to start on this machine, of one slot each; "auto" starts one per CPU
            if no slave has joined within a second.
        nameserver: Where to register besides this user's directory: True looks for name servers
            (by zeroconf, or where ``REMOTEOBJ_NAMESERVER`` says), an address is asked itself,
            False is nowhere, and without a host keeps the farm to this user on this machine. By
            default True with an identity, else where ``REMOTEOBJ_NAMESERVER`` says, if it says.
        identity: Who this machine is: slaves of other machines of the same cluster may come then,
            over TLS. "auto" is what pairing has stored on this account, if it is paired; else, and
            with None, the farm is this user's on this machine.
        insecure: Whether name servers on plain TCP are used. Code crosses no plain TCP either way.
        cluster: Which of this account's clusters, and only name servers of it; by default, what
            ``REMOTEOBJ_CLUSTER`` says, else the only one, or the one chosen by `nameserver use`.
        host: Serve other machines at this address of this one; by default, at all.
        handlers: What does named tasks (``farm.submit("frame", 12)``) in local slaves and ``here``:
            a class derived from ``masterslave.Slave``, its place as "studio:Render", or a list of
            these. By default, what ``REMOTEOBJ_FARM_HANDLERS`` says, if it says.
        initializer: Called once in each process that runs tasks of this farm, before the first of
            them; what it raises breaks the farm (``FarmBroken``).
        initargs: Its arguments.
        max_tasks_per_child: After so many tasks of this farm, a process is replaced; None: never.
        results: "any" brings results as data where that is possible, else pickled; "data" refuses
            what only pickle could carry: for a farm that does not trust its slaves.
        here: True runs the tasks in a thread of this process, a number in so many: for debuggers,
            profilers and ``print``. No slave joins then, and nothing of the above about slaves and
            networks is looked at. By default, what ``REMOTEOBJ_FARM_HERE`` says, if it says.
        output: What becomes of lines that tasks print, and of their log records. "show" prints
            them on standard error, marked with slave and task, and hands log records to the
            script's loggers; "log" hands over both, lines to the logger "masterslave.output";
            "none" leaves them at the slaves; a function is called with each ``TaskOutput``, in a
            thread of the farm.
        journal: A file that keeps what was done: when the script is started again, after whatever
            has ended it, tasks that were done are not run again. It is made where there is none.
        settings: Times and limits.

    Raises:
        NotPicklable: The initializer or its arguments, or handlers, cannot be sent.
        HandlersUnusable: Handlers cannot be imported, or offer no task.
        BadName: The name of the cluster is none.
        BadLabel: The label has other characters than letters, digits, ``-`` and ``_``.
        CodeRefused: A host was given, and there is no identity.
        IdentityUnusable: What pairing has stored cannot be used (or is a slave's, or of several
            clusters), and a host or name server was asked for. Without that it is only logged.
        BadInput: An identity and ``insecure=True`` were both given.
        JournalInUse: Another process has the journal.
        JournalUnusable: It is no journal, or one of another label or release, or not to be written.

    Threads: any thread may submit; callbacks of futures run in a thread of the farm.
    """

    _master: Master

    def __init__(
        self,
        label: str = "default",
        *,
        local_slaves: int | str = "auto",
        nameserver: str | bool | None = None,
        identity: Identity | Auto | None = AUTO,
        insecure: bool = False,
        cluster: str | None = None,
        host: str | None = None,
        handlers: Handlers | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = None,
        results: str = "any",
        here: bool | int | None = None,
        output: str | Callable[[TaskOutput], object] = "show",
        journal: str | os.PathLike[str] | None = None,
        settings: FarmSettings | None = None,
    ) -> None:
        self.label = check_label(label)
        threads = threads_here(here)
        check_arguments(local_slaves, results, max_tasks_per_child, nameserver)
        self._settings = settings_for(settings, bool(threads), max_tasks_per_child)
        show_output = shower(output)
        packed_initializer = pack_initializer(initializer, initargs)
        code = LocalCode()
        own = own_handlers(handlers, code)
        self._close_lock = threading.Lock()
        self._closed = False
        self._pid = os.getpid()
        journaled: Journaled | None = None
        if journal is not None:  # only those pay for SQLite who have one
            with forks.whole:
                from masterslave.farm.journaled import Journaled
            journaled = Journaled(journal, label)
        trace = trace_of(label, self._settings, journaled)
        self._carrier = Carrier()
        self._master = Master(
            self._settings,
            self._carrier,
            recording=None if journaled is None else journaled.recording,
            trace=trace,
            data_only=results == "data",
            origin=f"farm {label!r} ({secrets.token_hex(4)})",
            look_at=Lacking().sort_out,
            show_output=show_output,
        )
        self._submitter = Submitter(
            self._master, self._carrier, label, self._settings,
            data_only=results == "data", code=code, handlers=own.given.digest,
        )  # fmt: skip
        self._submitter.cached = cached = Cached(
            label, code, own, limit=self._settings.cache_bytes, data_only=results == "data"
        )
        if journaled is not None:
            self._submitter.resuming = journaled.resume(
                self._master, code, own, wait_s=self._settings.patience_s
            )
        self._options = CallOptions(is_here=threads > 0, max_attempts=self._settings.max_attempts)
        self._title = partial(_title_of, weakref.ref(self))
        self._requests = Requests()
        welcome = Welcome(
            heartbeat_s=self._settings.heartbeat_s,
            label=label,
            search_path=search_path(),
            initializer=packed_initializer,
            max_tasks_per_child=max_tasks_per_child or 0,
            data_only=results == "data",
            output=show_output is not None,
            log_levels={} if show_output is None else log_levels(),
            handlers=own.given,
            farm_id=journaled.farm_id if journaled else "",
            keep_s=self._settings.keep_s if journaled else 0.0,
        )
        self._steering = Steering(label, self._master, is_here=bool(threads))
        self._ground: Outside | Here
        if threads:
            self._ground = Here(self._master, welcome, threads, own.classes)
            self._submitter.cancel_singles = self._ground.cancel
        else:
            self._ground = Outside(
                self._master,
                self._settings,
                welcome,
                local_slaves=local_slaves,
                status=partial(_status_of, weakref.ref(self)),
                steer=self._steering.begin,
                reach=choose_reach(
                    label, host=host, identity=identity, nameserver=nameserver,
                    insecure=insecure, cluster=cluster,
                ),
            )  # fmt: skip
        self._journaled = journaled
        self._submitter.failures = failures_of(label, self._settings.keep_going, again(journaled))
        kept = (journaled, cached, self._submitter.failures, trace)
        self._end = partial(end_farm, self._ground, self._master, self._carrier, kept)
        self._forgotten = weakref.finalize(
            self, end_soon, os.getpid(), self._submitter, self._master, self._end
        )
        self._forgotten.atexit = False
        try:
            self._start()
        except BaseException:  # no memory for a thread or a process, or Ctrl-C
            self._close()
            raise

    def _start(self) -> None:
        self._carrier.start()
        self._master.start()
        self._ground.open()
        open_farms.add(self)

    @property
    def uri(self) -> URI:
        """Where the master's door is: for other machines, if they are served."""
        return self._ground.uri

    @property
    def slaves(self) -> tuple[SlaveRecord, ...]:
        """The slaves that are here now; each record steers its slave."""
        return self._steering.slaves()

    @property
    def former_slaves(self) -> tuple[SlaveRecord, ...]:
        """The slaves that were here, and left or were lost."""
        return self._steering.former_slaves()

    def add_local_slaves(self, count: int) -> None:
        """Start slaves of one slot each on this machine; they end with the farm or the script."""
        if whole(count, "the number of slaves") < 0:
            raise ValueError(f"the number of slaves is at least 0, not {count}")
        self._submitter.check_open()
        self._ground.add_local_slaves(count)

    def statistics(self) -> FarmStatistics:
        """Return what the farm has done so far."""
        failed = self._submitter.failed
        spreading = self._master.spreading
        return self._master.view(lambda d: statistics_of(d.scheduler.state, failed, spreading))

    @staticmethod
    def progress(done: float, total: float) -> None:
        """Inside a task: tell the script how far it is; its future's ``progress`` says so.

        Cheap enough for a loop: at most ten times a second something is sent. Elsewhere than in a
        task it does nothing.
        """
        report_progress(done, total)

    def explain(self, future: Future[Any]) -> str:
        """Return in words where a task is, and what it waits for."""
        if not isinstance(future, FarmFuture) or future._owner is not self._submitter:
            raise TypeError(f"explain() is about a future of this farm, not {future!r}")
        return self._master.view(lambda decisions: explain_task(future, decisions, self.label))

    def __reduce__(self) -> tuple[Any, ...]:
        return FarmInside, (self.label,)

    def why_waiting(self) -> str:
        """Return in words what the waiting tasks wait for; empty when none waits."""
        trouble = self._journaled.trouble if self._journaled is not None else ""
        return trouble or self._ground.why_waiting()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and end: the local slaves leave, others wait for the next farm.

        Args:
            wait: Return when every task is answered; False returns at once, and the tasks that are
                under way are still answered. In a callback of a future it is always False: the
                callback itself is waited for.
            cancel_futures: Drop the tasks that are not with a slave yet.

        Blocks: on the tasks, as long as they take, and on the slaves' end, a few seconds.
        Threads: any; several may wait.
        """
        drop = self._master.cancel_waiting if cancel_futures else None
        self._end_by(self._master, drop, self._close, wait=wait)

    def __repr__(self) -> str:
        if self._closed:
            return f"<Farm {self.label!r}: closed>"
        counts = self.statistics()
        why = self.why_waiting()
        state = f"{counts.done} of {counts.submitted} tasks done, {self._slaves_in_words()}"
        return f"<Farm {self.label!r}: {state}{'; ' if why else ''}{why}>"

    def _interrupt(self, how: str = "interrupted") -> None:
        self._submitter.take_no_more()
        counts = self.statistics()
        told = drop_open(self._ground, self._master, self._journaled)
        if told:
            log.warning("farm %r %s: %d tasks are done %s", self.label, how, counts.done, told)
        self._close()

    def _close(self) -> None:
        with self._close_lock:
            if not self._closed:
                open_farms.discard(self)
                self._forgotten.detach()
                self._end()
                self._closed = True

    def _slaves_in_words(self) -> str:
        slaves = self.slaves
        slots = sum(slave.slots for slave in slaves)
        return f"{_count(len(slaves), 'slave')} ({_count(slots, 'slot')})"

    def _status(self) -> dict[str, Any]:
        return {
            "statistics": asdict(self.statistics()),
            "waits": self.why_waiting(),
            "journal": "" if self._journaled is None else str(self._journaled.path),
            "slaves": [asdict(slave) for slave in self.slaves],
            "former_slaves": [asdict(slave) for slave in self.former_slaves],
        }


def _status_of(farm: weakref.ref[Farm]) -> dict[str, Any]:
    here = farm()
    return {} if here is None else here._status()


def _title_of(farm: weakref.ref[Farm]) -> tuple[str, Callable[[], str]]:
    here = farm()
    return ("", str) if here is None else (here.label, here._slaves_in_words)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
