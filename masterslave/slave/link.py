"""A slave's conversation with one master: it joins, polls for tasks, and delivers outcomes.

Two threads, each with a connection of its own. A call that fails is made again until the master
answers, says that it does not know the slave (then the slave joins anew and keeps what it holds),
or is gone for good.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from masterslave.errors import SlaveRefused
from masterslave.protocol import (
    Ask,
    Delivery,
    Instructions,
    Introduction,
    Receipt,
    Welcome,
    decode,
    encode,
)
from masterslave.settings import FarmSettings
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop
from remoteobj import (
    URI,
    ConnectionLost,
    DeadlinePassed,
    Identity,
    PeerRefused,
    Proxy,
    RemoteObjError,
    options,
    release,
)

__all__ = ["Link", "MasterGone"]

_MAX_DELIVERY_BYTES = 16 * 1024 * 1024
_RETRY_S = 0.2
_ANSWER_S = 5.0
_SLOWEST_BYTES_PER_S = 1024 * 1024

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class MasterGone(Exception):
    """The master has ended, or cannot be reached any more; the text says which."""


class Link:
    """Serves one farm until it ends.

    Args:
        uri: The master's door.
        workshop: Where tasks are run.
        introduction: Who the slave is.
        identity: Who this machine is, for a door on TCP; it is never called over plain TCP.
        report: Called with lines for people.
    """

    def __init__(
        self,
        uri: URI,
        workshop: Workshop,
        introduction: Introduction,
        *,
        settings: FarmSettings,
        identity: Identity | None,
        report: Callable[[str], None],
    ) -> None:
        self.work = FarmWork(workshop.slots, settings)
        self.welcome = Welcome()
        self.lost_touch = False
        """Whether the master stopped answering, rather than ended: it may come back."""
        self._workshop = workshop
        self._introduction = introduction
        self._settings = settings
        self._report = report
        self._join_lock = threading.Lock()
        self._over = threading.Event()
        self._has_said_goodbye = False
        self._how = "has ended"
        proxy = Proxy(uri, identity=identity)
        self._talk = options(proxy, timeout_s=_ANSWER_S)
        self._listen = Proxy(uri, identity=identity)

    def run(self) -> str:
        """Join, serve until the farm ends or the slave has left, and say how it ended.

        Raises:
            SlaveRefused: The master does not take this slave.
        """
        deliverer = threading.Thread(target=self._deliver, name="slave deliver", daemon=True)
        try:
            self._join(unknown="")
            self._workshop.add(self.work, self.welcome.search_path)
            deliverer.start()
            self._poll()
            how = self._how
        except MasterGone as error:
            how = str(error)
        finally:
            self._end()
            self._workshop.remove(self.work)
            if deliverer.is_alive():
                deliverer.join()
            release(self._talk)
            release(self._listen)
        return how

    def drain(self) -> None:
        """Take no more, give back what has not been started, and leave when the rest is done."""
        with self._workshop.changed:
            self._how = "was left"
            self.work.draining = True
            self.work.give_back_waiting()
            self._workshop.changed.notify_all()

    def leave_now(self) -> None:
        """Give back everything, stop what runs, and leave as soon as the master knows."""
        self.drain()
        with self._workshop.changed:
            running = self.work.give_back_running()
            self._workshop.changed.notify_all()
        self._workshop.stop(self.work, running)

    def _end(self) -> None:
        self._over.set()
        with self._workshop.changed:
            self._workshop.changed.notify_all()

    def _poll(self) -> None:
        listen = options(self._listen, timeout_s=self.welcome.heartbeat_s + _ANSWER_S)
        while not self._over.is_set():
            with self._workshop.changed:
                slave = self.welcome.slave
                ask = Ask(slave, self.work.credit(), self.work.acknowledged)
            instructions = self._call(listen, "next", ask, Instructions)
            if instructions.ended:
                return
            if instructions.unknown:
                if self._has_said_goodbye:
                    return
                self._join(unknown=slave)
                continue
            with self._workshop.changed:
                # Joined anew meanwhile: batches count from 1 again, and the master hands out anew
                # what this one holds.
                if self.welcome.slave != slave:
                    continue
                self.work.take_in(instructions.batch, instructions.tasks, instructions.functions)
                running = self.work.stop(instructions.stops)
                self._workshop.changed.notify_all()
            if running:
                self._workshop.stop(self.work, running)
            self._workshop.assign()

    def _deliver(self) -> None:
        try:
            while (delivery := self._next_delivery()) is not None:
                size = sum(len(outcome.payload) for outcome in delivery.outcomes)
                talk = options(self._talk, timeout_s=_ANSWER_S + size / _SLOWEST_BYTES_PER_S)
                receipt = self._call(talk, "deliver", delivery, Receipt)
                if receipt.unknown:
                    self._join(unknown=delivery.slave)
                    continue
                with self._workshop.changed:
                    self.work.acknowledge(receipt.acknowledged)
                if delivery.leaving:
                    self._end()
        except (MasterGone, SlaveRefused) as error:
            self._how = str(error)
            self._end()

    def _next_delivery(self) -> Delivery | None:
        """Wait for outcomes, or for the moment to say goodbye; None when it is over."""
        with self._workshop.changed:
            while not self._over.is_set():
                sequence, outcomes = self.work.to_deliver(_MAX_DELIVERY_BYTES)
                leaving = self.work.draining and self.work.is_empty()
                self._has_said_goodbye = leaving
                if outcomes or leaving:
                    return Delivery(
                        self.welcome.slave,
                        sequence,
                        outcomes,
                        self.work.credit(),
                        self.work.acknowledged,
                        leaving,
                    )
                self._workshop.changed.wait()
        return None

    def _join(self, *, unknown: str) -> None:
        """Join, or join anew if the slave is still known to itself by the name *unknown*."""
        with self._join_lock:
            if self.welcome.slave != unknown:
                return  # the other thread has done it meanwhile
            welcome = self._call(self._talk, "join", self._introduction, Welcome)
            if welcome.refused:
                raise SlaveRefused(welcome.refused)
            with self._workshop.changed:
                self.welcome = welcome
                self.work.join_anew()

    def _call(
        self, proxy: Proxy, verb: str, message: msgspec.Struct, kind: type[_Answer]
    ) -> _Answer:
        """Call the master until it answers.

        Raises:
            MasterGone: It refuses connections, has not answered for ``patience_s``, or answers
                something else.
        """
        packed = encode(message)
        give_up_at: float | None = None
        while True:
            try:
                return decode(getattr(proxy, verb)(packed), kind)
            except PeerRefused as error:  # trying again is of no use
                raise MasterGone(f"refuses this slave, or is refused by it ({error})") from error
            except (ConnectionLost, DeadlinePassed) as error:
                if _nobody_listens(error):
                    raise MasterGone("has ended") from error
                now = time.monotonic()
                give_up_at = give_up_at or now + self._settings.patience_s
                if self._over.wait(_RETRY_S):
                    raise MasterGone(self._how) from error
                if now > give_up_at:
                    self.lost_touch = True
                    raise MasterGone(
                        f"did not answer for {self._settings.patience_s:g} s ({error})"
                    ) from error
            except RemoteObjError as error:
                raise MasterGone(f"does not speak as a farm does ({error})") from error


def _nobody_listens(error: Any) -> bool:
    """Tell whether the connection was refused: then no process serves that address any more."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return True
        error = error.__cause__
    return False
