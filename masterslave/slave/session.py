"""A slave's conversation with one master, from joining to its end.

To ask there is a thread and a connection (``asking``), to deliver another (``courier``). A call
that fails is made again until the master answers, says that it does not know the slave (then the
slave joins anew and keeps what it holds), or is gone for good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from msgspec import structs

from masterslave.errands import Errand
from masterslave.errors import SlaveRefused
from masterslave.protocol.joining import GivenHandlers, Introduction, Welcome
from masterslave.slave.asking import Asker
from masterslave.slave.calling import Caller, MasterGone
from masterslave.slave.courier import Courier
from masterslave.slave.epochs import Epochs
from masterslave.slave.intake import Intake
from masterslave.slave.keeping import Happening
from masterslave.slave.rights import without_code_in
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop
from remoteobj import URI, Identity, Proxy, options, release

__all__ = ["Session"]

_ANSWER_S = 5.0
_LATE_S = 1.0
"""A poll that is answered so much later than a heartbeat is late: the master may be gone."""


class Session:
    """Talks with one master of a farm.

    Args:
        uri: The master's door.
        work: What is held for the farm.
        workshop: Where tasks are run.
        introduce: Returns who the slave is, and what it holds.
        epochs: Of masters that were seen: no earlier one is believed.
        patience_s: How long a master that does not answer is tried, in seconds.
        identity: Who this machine is, for a door on TCP; it is never called over plain TCP.
        node: Which machine the master has to be on, by its certificate; None: any of the cluster.
        drop: Called with the hashes of what is shared no more.
        obey: Does what the master asks for beside tasks.
        slots: Returns how many tasks the slave would run at once.
        report: Called with lines for people.

    Attributes:
        welcome: What the master has said when it let the slave in.
        caller: Calls it.
        talk: The master, for short calls.
        is_abandoned: Whether another master of the farm has come, and this one did not answer.
    """

    def __init__(
        self,
        uri: URI,
        work: FarmWork,
        workshop: Workshop,
        introduce: Callable[[], Introduction],
        epochs: Epochs,
        *,
        patience_s: float,
        identity: Identity | None,
        node: str | None,
        drop: Callable[[Iterable[bytes]], None],
        obey: Callable[[tuple[Errand, ...]], None],
        slots: Callable[[], int],
        report: Callable[[str], None],
    ) -> None:
        self.welcome = Welcome()
        self.is_abandoned = False
        self._ended = threading.Condition()
        self._asking: threading.Thread | None = None
        self.caller = Caller(patience_s)
        self._work, self._workshop = work, workshop
        self._introduce, self._report, self._epochs = introduce, report, epochs
        self._join_lock = threading.Lock()
        proxy = Proxy(uri, identity=identity, node=node)
        self.talk = options(proxy, timeout_s=_ANSWER_S)
        self._listen = Proxy(uri, identity=identity, node=node)
        intake = Intake(work, workshop, self._known_as, drop, obey)
        self.courier = Courier(
            work,
            workshop.lock,
            self.caller,
            self.talk,
            intake,
            slave=self._known_as,
            slots=slots,
            join_anew=self.join,
        )
        self.asker = Asker(
            work,
            workshop,
            self.caller,
            self.courier,
            intake,
            slave=self._known_as,
            slots=slots,
            heartbeat_s=lambda: self.welcome.heartbeat_s,
        )

    def is_silent(self, now: float) -> bool:
        """Tell whether the master owes an answer, though it answers every heartbeat."""
        return self.caller.waits_s(now) > self.welcome.heartbeat_s + _LATE_S

    def abandon(self, how: str) -> None:
        """Leave the master, whatever it says from now on; *how* it was, in words."""
        with self._ended:
            self.is_abandoned = True
            self.caller.how = how
            self.caller.over.set()
            self._ended.notify_all()

    def serve(self) -> Happening:
        """Ask and deliver until that is over, and say why; ``caller.how`` says it in words.

        Raises:
            SlaveRefused: The master has forgotten the slave, and does not let it in again.
        """
        caller, courier = self.caller, self.courier
        listen = options(self._listen, timeout_s=self.welcome.heartbeat_s + _ANSWER_S)
        try:
            while not caller.over.is_set():
                slave = self.welcome.slave
                told = self.asker.poll(listen)
                if told.ended:
                    return Happening.ENDED
                if courier.has_said_goodbye:
                    return Happening.LEFT
                if told.unknown:
                    self.join(slave)
        except MasterGone as error:
            caller.how = str(error)
        return Happening.LEFT if courier.has_left else Happening.GONE

    def serve_aside(self) -> Happening:
        """Do the same in a thread of its own, so that it ends when the master is abandoned."""
        ended: list[Happening] = []

        def serve() -> None:
            happening = Happening.TURNED_AWAY
            try:
                happening = self.serve()
            except SlaveRefused as refusal:
                self.caller.how = f"refuses this slave: {refusal}"
            finally:
                with self._ended:
                    ended.append(happening)
                    self._ended.notify_all()

        self._asking = threading.Thread(target=serve, name="slave ask", daemon=True)
        self._asking.start()
        with self._ended:
            self._ended.wait_for(lambda: ended or self.is_abandoned)
            return ended[0] if ended else Happening.GONE

    def close(self) -> None:
        """End. Blocks until the threads have: on a call that is under way, some seconds at most."""
        self.caller.over.set()
        self.courier.close()
        if self._asking is not None:
            self._asking.join()
        release(self.talk)
        release(self._listen)

    def join(self, unknown: str = "") -> None:
        """Join, or join anew if the slave is still known to itself by the name *unknown*.

        Raises:
            SlaveRefused: The master does not take this slave.
            MasterGone: As ``Caller.insist``; or the master was succeeded, and need not know it.
        """
        with self._join_lock:
            if self.welcome.slave != unknown:
                return  # the other thread has done it meanwhile
            introduction = self._introduce()
            seen, former = self._epochs.of(introduction.farm_id), unknown or introduction.formerly
            introduction = structs.replace(introduction, formerly=former, epoch=seen)
            welcome = self.caller.call(self.talk, "join", introduction, Welcome)
            if welcome.refused:
                raise SlaveRefused(welcome.refused)
            succeeded = self._epochs.note(welcome)
            if succeeded:
                raise MasterGone(succeeded)
            if introduction.only_named:
                welcome = without_code_in(welcome)
            elif welcome.no_code and not unknown:
                self._report(f"farm {welcome.label!r}: this slave {welcome.no_code}")
            if not introduction.takes_handlers:
                welcome = structs.replace(welcome, handlers=GivenHandlers())
            with self._workshop.lock:
                if self.caller.over.is_set():
                    raise MasterGone(self.caller.how)
                self.welcome = welcome
                self._work.take_handlers(welcome.handlers)
                self._work.join_anew()

    def _known_as(self) -> str:
        """Return by which name the master knows the slave; empty: this is over."""
        return "" if self.caller.over.is_set() else self.welcome.slave
