"""The keeper of a master's lease: it takes it, renews it, and says in time when it is lost.

::

    renew thread ──> name server        each lease_s / 4, and at once for another successor
         │ counts from before the request was sent
         v
    OwnLease ──> watch thread ──> on_lost, when three quarters of the lease are over without a yes

Two threads, so that a name server that hangs in a call does not keep the news from the master.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable

from masterslave.leading.clock import awake_or_not
from masterslave.leading.lease import OwnLease, Sent
from nameserver import Leadership, NameServerClient, NotLeader
from nameserver.leadership import Manner
from remoteobj import RemoteObjError

__all__ = ["Leading"]

log = logging.getLogger("masterslave")

_LEAST_CALL_S = 0.1
_RESIGN_S = 1.0
_LOOK_S = 0.25
_FAILURES = 2  # after so many in a row the name server is looked for anew

_FAILED = (RemoteObjError, OSError)

Finder = Callable[[], NameServerClient]
"""Finds the name server that decides; raises RemoteObjError or OSError where it is not found."""


class Leading:
    """Holds the leadership of a farm, for one master.

    A master with a successor acts as long as ``acts`` is true, and stops when ``on_lost`` is
    called. One whose name server has said that it has no successor goes on without the name server:
    nobody with another copy would be given the leadership.

    Args:
        find: Finds the name server that decides; see ``masterslave.leading.arbiter``.
        farm_id: What is led.
        copy_id: Of the journal's copy that this master works on.
        epoch: At least this one is asked for: one more than the journal has seen.
        lease_s: How long nobody else gets it when this master is gone, in seconds, 0.2 to 5.
        on_lost: Called once, in a thread of its own, with the reason in words: the master has to
            stop acting at once. It is not called after ``close`` or ``resign``.
        as_successor: It is taken as the successor of another master, not as a new or former one.
        clock: Seconds that only grow, also while the machine sleeps.

    Attributes:
        epoch: Of the leadership, once it was taken.

    Threads: two of its own, once it was taken; any may call.
    """

    def __init__(
        self,
        find: Finder,
        farm_id: str,
        copy_id: str,
        epoch: int,
        *,
        on_lost: Callable[[str], None],
        lease_s: float = 2.0,
        as_successor: bool = False,
        clock: Callable[[], float] = awake_or_not,
    ) -> None:
        self.epoch = epoch
        self._find, self._farm_id, self._copy_id = find, farm_id, copy_id
        self._on_lost, self._clock = on_lost, clock
        self._manner = Manner.SUCCEED if as_successor else Manner.TAKE
        self._run = secrets.token_hex(8)
        self._lease = OwnLease(lease_s)
        self._changed = threading.Condition()
        self._client: NameServerClient | None = None
        self._failures = 0
        self._trouble = ""
        self._lost = ""
        self._is_closed = False
        self._threads: list[threading.Thread] = []

    def take(self) -> Leadership:
        """Ask for the leadership once, and hold it from then on. It has no successor at first.

        Raises:
            NotLeader: It is not given now; the message says why. Asking again may help. Or it was
                closed meanwhile, and what was given is given back.
            RemoteObjError, OSError: The name server is not found, or does not answer; it may have
                been given. Ask again with this same object: it gets the same one.

        Blocks: on the network, for half the lease and the search for a name server at most.
        """
        with self._changed:
            sent = self._lease.sends(self._clock())
        try:
            told = self._ask(sent, self._manner, max(self._lease.lease_s / 2, _LEAST_CALL_S))
            with self._changed:
                self.epoch = told.epoch
                if not self._is_closed:
                    self._lease.granted(sent)
                    if not self._threads:
                        self._start_threads()
                    return told
            self._give_back()
            raise NotLeader(f"farm {self._farm_id} is led here no more")
        finally:
            if self._is_closed:
                self._let_go()

    def _start_threads(self) -> None:
        for run in (self._renew, self._watch):
            thread = threading.Thread(target=run, name=f"lead{run.__name__}", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def acts(self) -> bool:
        """Whether the master may act at this moment."""
        with self._changed:
            return not self._lost and not self._is_closed and self._lease.acts(self._clock())

    @property
    def trouble(self) -> str:
        """What is wrong with the name server now, in words; empty: nothing that is known."""
        return self._trouble

    def set_successor(self, copy_id: str, *, node: str = "") -> None:
        """Have the name server know who may come after this master; empty: nobody.

        Before a copy is named here it has to have all that was acknowledged; and from this call on,
        whether it returns or raises, nothing may be acknowledged that it does not have, until a
        later call for another one has returned.

        Args:
            copy_id: Of the copy that is in step.
            node: The machine that it has to be on, by its certificate; empty: any.
        Raises:
            NotLeader: The leadership was lost meanwhile, or was not held.

        Blocks: until the name server has said yes, or the lease is over; for a master without a
        successor, until there is a name server.
        """
        with self._changed:
            wish = self._lease.wish(copy_id, node)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._lease.said_yes_to >= wish or self._lost or self._is_closed
            )
            if self._lease.said_yes_to < wish or self._lost:
                raise NotLeader(self._lost or f"farm {self._farm_id} is led here no more")

    def resign(self) -> None:
        """Give it up, so that the successor need not wait. The master has to have stopped before.

        Blocks: on the name server, a second at most, and as ``close``.
        """
        holds = bool(self._threads) and not self._lost
        self._end()
        if holds:
            self._give_back()
        self._let_go()

    def close(self) -> None:
        """Renew it no more: it is over with its lease. Calling it again does nothing.

        Blocks: on a call to the name server that is under way, for a part of the lease.
        """
        self._end()
        self._let_go()

    def _end(self) -> None:
        with self._changed:
            self._is_closed = True
            self._lease.end()
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():  # on_lost may close it
                thread.join()

    def _give_back(self) -> None:
        with contextlib.suppress(*_FAILED):
            client = self._client or self._find()
            self._client = client
            client.resign(
                self._farm_id, self._copy_id, self.epoch, run=self._run, timeout_s=_RESIGN_S
            )

    def _let_go(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    # The thread that renews.

    def _renew(self) -> None:
        pause_s = self._lease.lease_s / 4
        while self._waits(pause_s):
            with self._changed:
                now = self._clock()
                sent = self._lease.sends(now)
                left_s = self._lease.left_s(now) or self._lease.lease_s
            try:
                self._ask(sent, Manner.RENEW, max(min(left_s, self._lease.lease_s / 3), 0.05))
            except NotLeader as error:
                if not self._is_led_anew(sent, error):
                    return
            except _FAILED as error:
                self._has_failed(error)
                pause_s = self._lease.lease_s / 8
                continue
            with self._changed:
                self._lease.granted(sent)
                self._changed.notify_all()
            if self._trouble:
                log.warning("the name server answers again: the farm's master leads on")
            self._trouble, self._failures = "", 0
            pause_s = self._lease.lease_s / 4

    def _waits(self, pause_s: float) -> bool:
        """Wait for the next request; tells whether there is one to be made."""
        with self._changed:
            self._changed.wait_for(self._is_urgent, pause_s)
            return not self._lost and not self._is_closed

    def _is_urgent(self) -> bool:
        has_ended = bool(self._lost) or self._is_closed
        return has_ended or (self._lease.has_wish and not self._trouble)

    def _ask(self, sent: Sent, manner: Manner, timeout_s: float) -> Leadership:
        client = self._client
        if client is None:
            client = self._client = self._find()
        return client.lead(
            self._farm_id,
            self._copy_id,
            epoch=self.epoch,
            lease_s=self._lease.lease_s,
            successor=sent.successor,
            successor_node=sent.node,
            manner=manner,
            run=self._run,
            timeout_s=timeout_s,
        )

    def _is_led_anew(self, sent: Sent, refusal: NotLeader) -> bool:
        """Tell whether this master leads on, although its renewal was refused.

        It does where it has no successor, and the name server knows nothing of it any more: then it
        says that it is the one.
        """
        words = str(refusal)
        if not sent.successor and self._is_unknown():
            try:
                self._ask(sent, Manner.STAY, self._lease.lease_s / 3)
                return True
            except NotLeader as error:
                words = str(error)
            except _FAILED as error:
                self._has_failed(error)
                return True
        self._lose(words)
        return False

    def _is_unknown(self) -> bool:
        assert self._client is not None
        try:
            return self._client.leader(self._farm_id, timeout_s=self._lease.lease_s / 3) is None
        except _FAILED:
            return False

    def _has_failed(self, error: Exception) -> None:
        if not self._trouble:
            log.warning("the name server that decides which master acts does not answer: %s", error)
        self._trouble = f"the name server that decides which master acts does not answer: {error}"
        self._failures += 1
        if self._failures >= _FAILURES:
            self._failures = 0
            self._let_go()

    # The thread that watches.

    def _watch(self) -> None:
        with self._changed:
            while not self._lost and not self._is_closed:
                now = self._clock()
                if not self._lease.acts(now):
                    self._lost = (
                        "the lease could not be renewed in time, so that another master may act: "
                        f"{self._trouble or 'this machine was stopped, or busy'}"
                    )
                    self._lease.end()
                    self._changed.notify_all()
                    break
                self._changed.wait(min(self._lease.left_s(now) or _LOOK_S, _LOOK_S))
            if self._is_closed:
                return
        self._on_lost(self._lost)

    def _lose(self, words: str) -> None:
        with self._changed:
            self._lost = self._lost or words
            self._lease.end()
            self._changed.notify_all()
