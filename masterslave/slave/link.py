"""A slave's conversation with one master: it joins, asks for tasks, and has outcomes delivered.

To ask there is a thread and a connection (``asking``), to deliver another (``courier``). A call
that fails is made again until the master answers, says that it does not know the slave (then the
slave joins anew and keeps what it holds), or is gone for good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from msgspec import structs

from masterslave.errands import DRAIN, STATUS, STOP, Errand
from masterslave.errors import SlaveRefused
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import GivenHandlers, Introduction, Welcome
from masterslave.protocol.outcomes import REPORT, Outcome
from masterslave.slave.asking import Asker
from masterslave.slave.calling import Caller, MasterGone
from masterslave.slave.courier import Courier
from masterslave.slave.giving import Giver
from masterslave.slave.intake import Intake
from masterslave.slave.keeper import Keeper
from masterslave.slave.rights import without_code_in
from masterslave.slave.state import report_of
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop
from remoteobj import URI, Identity, Proxy, options, release

__all__ = ["Link"]

_ANSWER_S = 5.0
_DRAINS = "it finishes what runs, and leaves"


class Link:
    """Serves one farm until it ends.

    Args:
        uri: The master's door.
        workshop: Where tasks are run.
        introduction: Who the slave is.
        patience_s: How long a master that does not answer is tried, in seconds, before what is
            held for it is dropped; one that refuses the connection is dropped at once.
        identity: Who this machine is, for a door on TCP; it is never called over plain TCP.
        node: Which machine the master has to be on, by its certificate; None: any of the cluster.
        giver: Gives to other slaves what this one has fetched; None: it gives nothing.
        report: Called with lines for people.
    """

    def __init__(
        self,
        uri: URI,
        workshop: Workshop,
        introduction: Introduction,
        *,
        patience_s: float,
        identity: Identity | None,
        giver: Giver | None = None,
        report: Callable[[str], None],
        node: str | None = None,
    ) -> None:
        self.work = FarmWork(only_named=introduction.only_named)
        self.welcome = Welcome()
        self._why_resting = ""
        self._workshop = workshop
        self._introduction = introduction
        self._report = report
        self._join_lock = threading.Lock()
        self._caller = Caller(patience_s)
        proxy = Proxy(uri, identity=identity, node=node)
        self._talk = options(proxy, timeout_s=_ANSWER_S)
        self._listen = Proxy(uri, identity=identity, node=node)
        self._keeper = Keeper(
            self.work,
            workshop,
            self._caller,
            self._talk,
            slave=lambda: self.welcome.slave,
            identity=identity,
        )
        self._giver = giver
        intake = Intake(
            self.work, workshop, lambda: self.welcome.slave, self._keeper.drop, self._obey
        )
        self._courier = Courier(
            self.work,
            workshop.lock,
            self._caller,
            self._talk,
            intake,
            slave=lambda: self.welcome.slave,
            slots=self._slots,
            join_anew=self._join,
        )
        self._asker = Asker(
            self.work,
            workshop,
            self._caller,
            self._courier,
            intake,
            slave=lambda: self.welcome.slave,
            slots=self._slots,
            heartbeat_s=lambda: self.welcome.heartbeat_s,
        )

    @property
    def lost_touch(self) -> bool:
        """Whether the master stopped answering, rather than ended: it may come back."""
        return self._caller.lost_touch

    @property
    def met_another(self) -> bool:
        """Whether somebody else than the master answered at its address."""
        return self._caller.met_another

    def run(self) -> str:
        """Join, serve until the farm ends or the slave has left, and say how it ended.

        Raises:
            SlaveRefused: The master does not take this slave.
        """
        try:
            self._join("")
            if self._giver is not None:
                self._giver.add(self._keeper.read)
            self._workshop.add(
                self.work,
                self.welcome,
                self._asker.has_outcomes,
                self._asker.lane_closed,
                self._keeper.want,
                self._courier.deliver_lines_soon,
            )
            self._courier.start()
            self._courier.deliver_soon()  # it may have been told to leave before
            if self._why_resting:
                self._tell(0)
            self._poll()
            how = self._caller.how
        except MasterGone as error:
            how = str(error)
        finally:
            self._caller.over.set()
            if self._giver is not None:
                self._giver.remove(self._keeper.read)
            self._workshop.remove(self.work)
            self._courier.close()
            self._keeper.close()
            release(self._talk)
            release(self._listen)
        return how

    def drain(self) -> None:
        """Take no more, give back what has not been started, and leave when the rest is done."""
        with self._workshop.lock:
            self._caller.how = "was left"
            self.work.draining = True
            self.work.give_back_waiting()
        self._workshop.give_back_unstarted(self.work)
        self._courier.deliver_soon()

    def leave_now(self) -> None:
        """Give back everything, stop what runs, and leave as soon as the master knows."""
        self.drain()
        self._workshop.give_back_running(self.work)
        self._courier.deliver_soon()

    def rest(self, reason: str) -> None:
        """Take nothing for now, for a reason in words; or take tasks again, if that is empty.

        What runs is finished, what has not been started is given back.
        """
        self._why_resting = reason
        if not self.welcome.slave:  # it is told with the first word
            self.work.rests = bool(reason)
            return
        with self._workshop.lock:
            self.work.rests = bool(reason)
            if reason:
                self.work.give_back_waiting()
        if reason:
            self._workshop.give_back_unstarted(self.work)
        self._tell(0)  # and with it, how many slots there are

    @property
    def trouble(self) -> tuple[float, str] | None:
        """Since when (monotonic) the master does not answer, and how; None: it does."""
        return self._caller.trouble

    def _obey(self, errands: tuple[Errand, ...]) -> None:
        for errand in errands:
            if errand.kind == STATUS:
                self._tell(errand.number)
            elif errand.kind == DRAIN:
                self._report(f"farm {self.welcome.label!r} wants no more of this slave: {_DRAINS}")
                self._tell(errand.number, _DRAINS)
                self.drain()
            elif errand.kind == STOP:
                self._report(f"farm {self.welcome.label!r} tells this slave to leave at once")
                self.leave_now()

    def _tell(self, number: int, state: str = "") -> None:
        """Tell the master how the slave is."""
        state = state or (_DRAINS if self.work.draining else self._why_resting)
        report = encode(report_of(self._workshop, self.work, state))
        with self._workshop.lock:
            self.work.tell([Outcome(-1, number, 1, REPORT, report)])
        self._courier.deliver_soon()

    def _slots(self) -> int:
        return 0 if self.work.takes_nothing else self._workshop.slots

    def _poll(self) -> None:
        listen = options(self._listen, timeout_s=self.welcome.heartbeat_s + _ANSWER_S)
        while not self._caller.over.is_set():
            slave = self.welcome.slave
            told = self._asker.poll(listen)
            if told.ended or self._courier.has_said_goodbye:
                return
            if told.unknown:
                self._join(slave)

    def _join(self, unknown: str) -> None:
        """Join, or join anew if the slave is still known to itself by the name *unknown*."""
        with self._join_lock:
            if self.welcome.slave != unknown:
                return  # the other thread has done it meanwhile
            introduction = structs.replace(self._introduction, formerly=unknown)
            welcome = self._caller.call(self._talk, "join", introduction, Welcome)
            if welcome.refused:
                raise SlaveRefused(welcome.refused)
            if introduction.only_named:
                welcome = without_code_in(welcome)
            elif welcome.no_code and not unknown:
                self._report(f"farm {welcome.label!r}: this slave {welcome.no_code}")
            if not introduction.takes_handlers:
                welcome = structs.replace(welcome, handlers=GivenHandlers())
            with self._workshop.lock:
                self.welcome = welcome
                self.work.take_handlers(welcome.handlers)
                self.work.join_anew()
