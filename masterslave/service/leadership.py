"""The lead of a farm: when its master needs it, takes it, and has to stop without it.

A farm that never had a standby needs none. From the first standby on the journal says so, and no
master begins on a copy of it before the name server has said yes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from masterslave.farm.reach import Reach
from masterslave.journal.journal import Journal
from masterslave.leading import Arbiter, Leading, choose_arbiter
from nameserver import NotLeader
from remoteobj import RemoteObjError

__all__ = ["FAILED", "FarmLead"]

log = logging.getLogger("masterslave")

LEASE_S = 2.0
FAILED = (RemoteObjError, OSError)
"""What asking for the lead may raise."""

_PATIENCE_S = 15.0  # a lease of five seconds, and as long again after the name server's start
_TRY_AGAIN_S = 0.25
_ANSWER_S = 1.0
_ASK_S = 5.0


class FarmLead:
    """The lead of one farm for one copy of its journal; see ``masterslave.leading``.

    Args:
        farm_id: Of the farm.
        copy_id: Of the copy.
        seen: The highest epoch that the copy knows of.
        reach: How far the farm reaches: its name server decides.
        remembered: Where that is, as the journal has it.
        as_successor: It is wanted after another master.

    Attributes:
        epoch: Of the lead; 0: it was not taken yet.
        address: Of the name server that decides; empty: the one with the cluster's authority.

    Threads: any.
    """

    def __init__(
        self,
        farm_id: str,
        copy_id: str,
        seen: int,
        reach: Reach,
        *,
        remembered: str = "",
        as_successor: bool = False,
    ) -> None:
        self.copy_id = copy_id
        self.epoch = 0
        self.address = remembered
        self._farm_id, self._seen, self._reach = farm_id, seen, reach
        self._as_successor = as_successor
        self._lock = threading.Lock()
        self._arbiter: Arbiter | None = None
        self._leading: Leading | None = None
        self._lost = ""
        self._on_lost: Callable[[str], None] | None = None
        self._on_taken: Callable[[int], None] | None = None
        self._asks_at = float("-inf")
        self._is_closed = False

    @classmethod
    def of(cls, journal: Journal, reach: Reach) -> FarmLead:
        """Return the lead for the master that has a journal open."""
        folded = journal.folded
        return cls(journal.farm_id, journal.copy_id, folded.epoch, reach, remembered=folded.arbiter)

    def begin(self, journal: Journal, ended: threading.Event) -> int:
        """Have the lead where the journal has had a standby, before anything is done with it.

        Args:
            ended: Once it is set, nobody wants the lead any more.
        Returns:
            The epoch; 0: it needs none, or is wanted no more.

        Raises:
            NotLeader: Another master acts for the farm; the message says what to do.
            RemoteObjError: The name server does not answer.

        Blocks: on the network, as long as the lease of a master that is gone may run; once *ended*
        is set, for the few seconds of a question that is under way.
        """
        if self.epoch or not journal.folded.epoch:
            return self.epoch
        until = time.monotonic() + _PATIENCE_S
        while not ended.is_set():
            try:
                self.take()
                break
            except FAILED as error:
                is_late = time.monotonic() > until
                if not ended.is_set() and (is_late or self._is_led_elsewhere()):
                    raise NotLeader(
                        f"{journal.path} has had a standby, so the name server has to say that the "
                        f"farm may be led from here, and it does not: {error}. To follow whoever "
                        "leads it, start 'masterslave standby' with this file"
                    ) from error
            ended.wait(_TRY_AGAIN_S)
        if self.epoch:
            journal.lead_with(self.epoch, self.address)
        return self.epoch

    def _is_led_elsewhere(self) -> bool:
        arbiter = self._arbiter
        if arbiter is None:
            return False
        try:
            with arbiter.find() as client:
                told = client.leader(self._farm_id, timeout_s=_ANSWER_S)
        except FAILED:
            return False
        if told is None or not told.holder:
            return False
        return self.copy_id not in (told.holder, told.successor)

    def take(self) -> int:
        """Have the lead, from now on; returns the epoch. Once it is had, that is all.

        Raises:
            NotLeader: It is not given now; the message says why. Asking again may help. Or it was
                closed meanwhile: then nobody has it here.
            RemoteObjError, OSError: The name server is not found, or does not answer. Ask again.

        Blocks: on the network, for a few seconds at most.
        """
        if self.epoch:
            return self.epoch
        arbiter = self._find_arbiter()
        with self._lock:
            if self._is_closed:
                raise NotLeader(f"farm {self._farm_id} has ended here")
            if self._leading is None:
                self._leading = Leading(
                    arbiter.find,
                    self._farm_id,
                    self.copy_id,
                    self._seen + 1,
                    on_lost=self._lose,
                    lease_s=LEASE_S,
                    as_successor=self._as_successor,
                )
            leading = self._leading
        leading.take()  # which gives back what it gets when it was closed meanwhile
        self.epoch = leading.epoch
        if self._on_taken is not None:
            self._on_taken(self.epoch)
        return self.epoch

    def when_taken(self, tell: Callable[[int], None]) -> None:
        """Have this called with the epoch, when the lead is taken."""
        self._on_taken = tell

    def heard_of(self, epoch: int) -> None:
        """A slave says that it has served a later master, with this epoch: find out if it is so.

        A slave may lie, so the name server is asked, in a thread, every few seconds at most. Who
        has the lead need not ask: there is no later master.
        """
        now = time.monotonic()
        with self._lock:
            if self.epoch or self._is_closed or now - self._asks_at < _ASK_S:
                return
            self._asks_at = now
        log.warning(
            "a slave says that it has served a later master of the farm, with epoch %d, and is not "
            "let in; the name server is asked",
            epoch,
        )
        threading.Thread(target=self._look_for_later, name="lead look", daemon=True).start()

    def _look_for_later(self) -> None:
        try:
            with self._find_arbiter().find() as client:
                told = client.leader(self._farm_id)
        except FAILED as error:
            log.warning("whether there is a later master is not known: %s", error)
            return
        if told is not None and told.epoch > self._seen and told.holder not in ("", self.copy_id):
            where = f" on the machine {told.node}" if told.node else ""
            self._lose(
                f"the farm was taken over{where}, with epoch {told.epoch}, and this is an older "
                "copy of its journal: to follow that master, start 'masterslave standby' with a "
                "new file"
            )

    def _find_arbiter(self) -> Arbiter:
        if self._arbiter is None:
            reach = self._reach
            self._arbiter = choose_arbiter(
                self.address,
                nameserver=reach.nameserver,
                identity=reach.identity,
                insecure=reach.insecure,
                cluster=reach.cluster,
            )
            self.address = self._arbiter.address
        return self._arbiter

    def name(self, copy_id: str, node: str) -> None:
        """Have this copy, on this machine, known as the one that may take over; "": none.

        Raises:
            NotLeader: The lead was lost meanwhile.

        Blocks: until the name server has said yes.
        """
        assert self._leading is not None
        self._leading.set_successor(copy_id, node=node)

    @property
    def trouble(self) -> str:
        """What is wrong with the name server now, in words; empty: nothing that is known."""
        return self._leading.trouble if self._leading is not None else ""

    def when_lost(self, stop: Callable[[str], None]) -> None:
        """Have this called, with the reason, when the lead is lost; at once where it was."""
        with self._lock:
            self._on_lost = stop
            lost = self._lost
        if lost:
            stop(lost)

    def _lose(self, words: str) -> None:
        with self._lock:
            self._lost = words
            stop = self._on_lost
        if stop is not None:
            stop(words)

    def close(self, *, resigns: bool = True) -> None:
        """Have it no more; *resigns*: whoever may come next need not wait for the lease's end.

        The master acts no more. Calling it again does nothing.
        Blocks: on the name server, a second or two.
        """
        with self._lock:
            leading, was_closed, self._is_closed = self._leading, self._is_closed, True
        if leading is None or was_closed:
            return
        if resigns:
            leading.resign()
        else:
            leading.close()
