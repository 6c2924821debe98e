"""A slave's link with one farm: with its master, and where the farm is kept, with those after it.

The rules are in ``keeping``; one master is talked with in a ``Session``. Between two of them, what
children have goes on, and what becomes of it is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from msgspec import structs

from masterslave.errors import SlaveRefused
from masterslave.protocol.joining import Introduction, Welcome
from masterslave.slave.calling import MasterGone
from masterslave.slave.children import Child
from masterslave.slave.epochs import Epochs
from masterslave.slave.errands import Errands
from masterslave.slave.giving import Giver
from masterslave.slave.keeper import Keeper
from masterslave.slave.keeping import KEPT_BYTES, Countdown, Happening, State
from masterslave.slave.session import Session
from masterslave.slave.succession import Succession, Successor
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop
from remoteobj import URI, Identity

__all__ = ["Link"]

_PATIENCE_S = 2.0
"""So long a master is tried that was found for what is kept; then it is found again."""
_LANE_S = 2.0
"""A lane that is not closed by then runs a call that holds Python's lock; its mark tells of it."""
_LONGEST_S = 7 * 24 * 3600.0


class Link:
    """Serves one farm until it ends.

    Args:
        uri: The master's door.
        workshop: Where tasks are run.
        introduction: Who the slave is.
        patience_s: How long a master that does not answer is tried, in seconds, before what is
            held for it is dropped, or kept for another one; one that refuses the connection is
            gone at once.
        identity: Who this machine is, for a door on TCP; it is never called over plain TCP.
        node: Which machine the master has to be on, by its certificate; None: any of the cluster.
        giver: Gives to other slaves what this one has fetched; None: it gives nothing.
        report: Called with lines for people.
        keeps: Whether what is held of a farm that is kept outlives its master: somebody has to
            look for the next one, and ``offer`` it.
        most_kept_bytes: About so much of outcomes is kept.
        epochs: Of masters that were seen, also by other links.
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
        keeps: bool = False,
        most_kept_bytes: int = KEPT_BYTES,
        epochs: Epochs | None = None,
    ) -> None:
        self.work = FarmWork(only_named=introduction.only_named)
        self._workshop = workshop
        self._introduction = introduction
        self._patience_s, self._identity = patience_s, identity
        self._giver, self._report = giver, report
        self._keeps, self._most_kept_bytes = keeps, most_kept_bytes
        self._succession, self._epochs = Succession(), epochs or Epochs()
        self._closing: list[threading.Thread] = []
        self._errands = Errands(
            workshop,
            self.work,
            label=lambda: self.welcome.label,
            deliver_soon=self._deliver_soon,
            drain=self.drain,
            leave_now=self.leave_now,
            report=report,
        )
        self._session = self._session_with(uri, node, patience_s)
        self._keeper = Keeper(
            self.work,
            workshop,
            self._session.caller,
            self._session.talk,
            slave=lambda: self.welcome.slave,
            identity=identity,
        )

    @property
    def welcome(self) -> Welcome:
        """What the master has said of the farm."""
        return self._session.welcome

    @property
    def lost_touch(self) -> bool:
        """Whether the master stopped answering, rather than ended: it may come back."""
        return self._session.caller.lost_touch

    @property
    def trouble(self) -> tuple[float, str] | None:
        """Since when (monotonic) the master does not answer, and how; None: it does."""
        since = self._succession.kept_since
        if since is None:
            return self._session.caller.trouble
        return since, f"its master {self._session.caller.how}, and none that follows was found yet"

    @property
    def met_another(self) -> bool:
        """Whether somebody else than the master answered at its address."""
        return self._session.caller.met_another

    def run(self) -> str:
        """Join, serve until the farm ends or the slave has left, and say how it ended.

        Raises:
            SlaveRefused: The master does not take this slave.
        """
        try:
            self._session.join()
            if self._giver is not None:
                self._giver.add(self._keeper.read)
            self._workshop.add(
                self.work,
                self.welcome,
                self._session.asker.has_outcomes,
                self._session.asker.lane_closed,
                self._keeper.want,
                self._session.courier.deliver_lines_soon,
            )
            self._begin_to_serve()
            how = self._serve()
        except MasterGone as error:
            how = str(error)
        finally:
            self._session.caller.over.set()
            if self._giver is not None:
                self._giver.remove(self._keeper.read)
            self._workshop.remove(self.work)
            self._session.close()
            for thread in self._closing:
                thread.join()
            self._keeper.close()
        return how

    def drain(self) -> None:
        """Take no more, give back what has not been started, and leave when the rest is done.

        What is kept for the next master of a farm is waited with, as long as it is kept.
        """
        with self._workshop.lock:
            if self._succession.state is not State.KEPT:
                self._session.caller.how = "was left"
            self.work.draining = True
            self.work.give_back_waiting()
        self._workshop.give_back_unstarted(self.work)
        self._deliver_soon()
        if self._succession.state is State.KEPT and not self._succession.is_told_to_drop:
            self._report(
                f"farm {self.welcome.label!r}: waits for its next master, to deliver "
                f"{self._held_in_words()}; Ctrl-C again drops that"
            )

    def leave_now(self) -> None:
        """Give back everything, stop what runs, and leave as soon as the master knows.

        What is kept for the next master of a farm is dropped.
        """
        if self._succession.tell_to_drop():
            return
        self.drain()
        self._workshop.give_back_running(self.work)
        self._deliver_soon()

    def rest(self, reason: str) -> None:
        """Take nothing for now, for a reason in words; or take tasks again, if that is empty.

        What runs is finished, what has not been started is given back.
        """
        self._errands.why_resting = reason
        if not self.welcome.slave:  # it is told with the first word
            self.work.rests = bool(reason)
            return
        with self._workshop.lock:
            self.work.rests = bool(reason)
            if reason:
                self.work.give_back_waiting()
        if reason:
            self._workshop.give_back_unstarted(self.work)
        self._errands.tell()  # and with it, how many slots there are

    # Masters that come one after the other.

    @property
    def is_keeping(self) -> bool:
        """Whether the master is gone, and what is held is kept for the next one."""
        return self._succession.state is State.KEPT

    def wants_master(self, *, is_same: bool, epoch: int = 0) -> bool:
        """Tell whether a master of this farm that was found is of use.

        Args:
            is_same: It is the one that was served last.
            epoch: Of the farm, as its record says: a later master is of use whenever it comes.
        """
        is_over = epoch > self.welcome.epoch or self._session.is_silent(time.monotonic())
        return self._is_of_kept_farm() and self._succession.wants(is_over=is_over and not is_same)

    def offer(self, successor: Successor) -> None:
        """Go on with this master, which is wanted, if it lets the slave in."""
        if self._succession.offer(successor):
            self._session.abandon("does not answer or was succeeded, and another one was found")

    def what_is_dropped(self) -> str:
        """Return in words what is lost if the slave ends now; empty: nothing."""
        return self._held_in_words() if self._is_of_kept_farm() else ""

    def _serve(self) -> str:
        """Serve one master after the other; returns how it ended."""
        succession = self._succession
        while True:
            session, is_kept = self._session, self._is_of_kept_farm()
            happening = session.serve_aside() if is_kept else session.serve()
            held, how = self._held_in_words(), session.caller.how
            holds = bool(held) or session.is_abandoned
            keeps = is_kept and holds and not succession.is_told_to_drop
            if succession.step(happening, keeps=keeps) is State.OVER:
                is_dropped = is_kept and held and happening is not Happening.ENDED
                return f"{how}; dropped: {held}" if is_dropped else how
            how = self._wait_for_a_master()
            if how:
                return how

    def _wait_for_a_master(self) -> str:
        """Keep what is held until another master takes it; returns how it ended, if none did."""
        succession, session = self._succession, self._session
        keep_s = min(self.welcome.keep_s, _LONGEST_S)
        session.caller.over.set()
        with self._workshop.lock:
            self.work.begin_to_keep(self._most_kept_bytes)
        self._workshop.turn_to(self.work, self._has_more_to_keep, self._lane_closed, lambda: None)
        closing = threading.Thread(target=session.close, name="slave farewell", daemon=True)
        closing.start()
        self._closing = [thread for thread in self._closing if thread.is_alive()] + [closing]
        how = session.caller.how
        self._report(
            f"farm {self.welcome.label!r}: its master {how}; kept for the next one, for "
            f"{keep_s:g} s: {self._held_in_words() or 'nothing'}"
        )
        countdown = Countdown(keep_s, time.monotonic())
        while True:
            found = succession.wait(countdown)
            if isinstance(found, Successor):
                succession.step(Happening.FOUND)
                if self._go_on_with(found):
                    return ""
                continue
            succession.step(found)
            if found is Happening.TOLD_TO_DROP:
                how = "was left before its next master came"
            else:
                how += f", and no other master of it came within {keep_s:g} s"
            return f"{how}; dropped: {self._held_in_words() or 'nothing'}"

    def _go_on_with(self, found: Successor) -> bool:
        """Join a master with what is held; tells whether it has let the slave in."""
        changed = self._succession.changed
        with changed:
            changed.wait_for(lambda: not self.work.is_in_lane, _LANE_S)
        session = self._session_with(found.uri, found.node, min(_PATIENCE_S, self._patience_s))
        what = f"farm {self.welcome.label!r}: {found.who}"
        try:
            session.join()
        except SlaveRefused as refusal:
            self._report(f"{what} refuses this slave: {refusal}")
            self._succession.step(Happening.TURNED_AWAY, keeps=True)
        except MasterGone as error:
            self._report(f"{what} {error}")
            self._succession.step(Happening.GONE, keeps=True)
            if session.caller.lost_touch:
                session.close()
                return False
        else:
            if session.welcome.farm_id == self.welcome.farm_id:
                self._follow(session, found)
                return True
            self._report(f"{what} is another farm's master")
            self._succession.step(Happening.TURNED_AWAY, keeps=True)
        session.close()
        found.on_useless()
        return False

    def _follow(self, session: Session, found: Successor) -> None:
        """Serve another master, which has let the slave in."""
        held, self._session = self._held_in_words() or "nothing", session
        session.caller.patience_s = self._patience_s
        with self._workshop.lock:
            self.work.end_keeping()
            if not found.is_same:
                self.work.change_master(self._workshop.jobs_of(self.work))
        self._keeper.turn_to(session.caller, session.talk)
        self._workshop.turn_to(
            self.work,
            session.asker.has_outcomes,
            session.asker.lane_closed,
            session.courier.deliver_lines_soon,
            session.welcome,
        )
        self._report(f"farm {self.welcome.label!r}: {found.who} goes on with it, and with {held}")
        self._begin_to_serve()
        found.on_joined()
        self._workshop.assign()  # what was not begun for want of room
        if self._succession.is_told_to_drop:  # just before: this master can hear of it
            self.leave_now()

    def _begin_to_serve(self) -> None:
        self._succession.step(Happening.LET_IN)
        self._session.courier.start()
        self._deliver_soon()  # it may have been told to leave before
        if self._errands.why_resting:
            self._errands.tell()

    def _deliver_soon(self) -> None:
        self._session.courier.deliver_soon()

    def _is_of_kept_farm(self) -> bool:
        return self._keeps and bool(self.welcome.farm_id) and self.welcome.keep_s > 0

    def _has_more_to_keep(self, child: Child | None) -> None:
        """There may be more than there is room for; called as ``Served.on_outcomes``."""
        with self._workshop.lock:
            kept = self.work.kept
            if kept is None or not kept.is_full:
                return
            self.work.give_back_waiting()
            is_overfull = kept.is_overfull
        self._workshop.give_back_unstarted(self.work)
        if is_overfull:
            self._workshop.give_back_running(self.work)

    def _lane_closed(self, answer: bytes) -> None:
        """Nobody is to be asked, and what a master has said that is gone is nothing."""
        with self._succession.changed:
            self._succession.changed.notify_all()

    def _held_in_words(self) -> str:
        with self._workshop.lock:
            return self.work.held_in_words(self._workshop.jobs_of(self.work))

    def _session_with(self, uri: URI, node: str | None, patience_s: float) -> Session:
        return Session(
            uri,
            self.work,
            self._workshop,
            self._introduce,
            self._epochs,
            patience_s=patience_s,
            identity=self._identity,
            node=node,
            drop=self._drop,
            obey=self._errands.obey,
            slots=lambda: 0 if self.work.takes_nothing else self._workshop.slots,
            report=self._report,
        )

    def _introduce(self) -> Introduction:
        """Return who the slave is, and what it holds of the farm.

        The name that it had before is for a master that did not end, and was out of reach for long.
        """
        farm_id, former = self.welcome.farm_id, self.welcome.slave
        if not farm_id:
            return self._introduction
        with self._workshop.lock:
            holds = self.work.holds(self._workshop.jobs_of(self.work))
        return structs.replace(self._introduction, formerly=former, farm_id=farm_id, holds=holds)

    def _drop(self, digests: Iterable[bytes]) -> None:
        self._keeper.drop(digests)
