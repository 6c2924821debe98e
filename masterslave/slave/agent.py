"""The agent: one per machine. It finds farms, serves them, and leaves when it is told to.

::

    FarmWatch --found--> Agent --one Link a farm--> master's door
                           |
                        Workshop --> child processes, one a slot
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from masterslave.errands import Report
from masterslave.errors import SlaveRefused
from masterslave.memory import reuse_large_blocks
from masterslave.naming import FarmRecord
from masterslave.protocol.joining import VERSION, Introduction
from masterslave.slave.avoiding import Avoided
from masterslave.slave.calling import Caller, MasterGone
from masterslave.slave.children import Child
from masterslave.slave.epochs import Epochs
from masterslave.slave.giving import Giver
from masterslave.slave.guests import Guest, Look, decline, why_not
from masterslave.slave.housekeeping import Housekeeper
from masterslave.slave.link import Link
from masterslave.slave.offer import NamedTasks
from masterslave.slave.state import count_busy, count_running, report_of
from masterslave.slave.succession import Successor
from masterslave.slave.usage import Meter
from masterslave.slave.whose import THIS_USER, Allowed, Owner, Refusals, Refused, owner_at
from masterslave.slave.wires import ANY, Conditions
from masterslave.slave.workshop import Workshop
from remoteobj import Identity

__all__ = ["PATIENCE_S", "Agent"]

PATIENCE_S = 10.0


class Agent:
    """Serves farms with a number of child processes.

    Args:
        slots: Tasks that run at once.
        name: What the slave is called in the farm.
        offers: Amounts of what tasks may need, by name.
        patience_s: How long a master that does not answer is tried, in seconds.
        identity: Who this machine is, for farms and name servers of its cluster; None serves this
            user's farms on this machine.
        report: Called with lines for people, from any thread.
        only_pid: Serve farms of this script's process only.
        once: Leave when the first farm that was served has ended.
        named: Tasks that it has handlers for.
        allow: Machines whose tasks are run, as of ``Allowed``.
        idle_exit_s: Leave when there was nothing to do for so long, in seconds; None: never.
        meter: Take tasks only while others do not use the machine, as this measures it.
        look_s: How often it is looked, for the last two.
        shows_output: Whether what tasks print is shown on standard error here, too.
        conditions: What holds for each child.
        giver: Gives to other slaves what this one has fetched; None: it gives nothing. The agent
            closes it.
    """

    def __init__(
        self,
        *,
        slots: int,
        name: str = "",
        offers: Mapping[str, float] | None = None,
        patience_s: float = PATIENCE_S,
        identity: Identity | None = None,
        report: Callable[[str], None] = lambda line: None,
        only_pid: int | None = None,
        once: bool = False,
        named: NamedTasks | None = None,
        allow: Iterable[str] = (),
        idle_exit_s: float | None = None,
        meter: Meter | None = None,
        look_s: float = 2.0,
        shows_output: bool = True,
        conditions: Conditions = ANY,
        giver: Giver | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._offers = dict(offers or {})
        self._patience_s = patience_s
        self._identity, self._giver = identity, giver
        self._report = report
        self._only_pid = only_pid
        self._once = once
        self._named = named or NamedTasks()
        self._workshop = Workshop(
            slots,
            make_child=partial(Child, conditions=conditions),
            named=self._named,
            shows_output=shows_output,
            share_bytes=conditions.memory_bytes,
        )
        self._housekeeper = Housekeeper(
            self._workshop,
            done=lambda: self.look().done,
            idle_exit_s=idle_exit_s,
            on_idle=self._leave_idle,
            meter=meter,
            on_rest=self._rest,
            look_s=look_s,
        )
        self._idle_exit_s = idle_exit_s
        self._rests = ""
        self._done_before = 0
        self._lock = threading.Lock()
        self.allowed = Allowed(allow)
        self._refusals = Refusals()
        self._avoided = Avoided()
        self._epochs = Epochs()
        self._guests: dict[str, Guest] = {}
        self._meets: dict[str, Caller] = {}
        """Farms that are asked who they are."""
        self._closed_farms: set[str] = set()
        self._leaving = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def open(self) -> None:
        """Start the child processes."""
        reuse_large_blocks()
        self._workshop.open()
        self._housekeeper.start()

    def found(self, farm: FarmRecord, where: str) -> None:
        """Serve a farm, unless it is served already, has ended, or one of the two refuses."""
        if self._only_pid is not None and farm.pid != self._only_pid:
            return
        with self._lock:
            if (
                farm.farm in self._meets
                or farm.farm in self._closed_farms
                or not self._is_wanted(farm)
                or self._refusals.has(farm, time.monotonic())
                or self._avoided.has(farm, time.monotonic())
            ):
                return
            refusal = why_not(farm, self._identity)
            if refusal:
                self._closed_farms.add(farm.farm)
                self._report(refusal)
                return
            if farm.uri.sockname is not None:
                self._receive(farm, THIS_USER, where)
                return
            self._idle.clear()
            self._meets[farm.farm] = caller = Caller(self._patience_s)
        _start(self._meet, farm, where, caller)

    def _is_wanted(self, farm: FarmRecord) -> bool:
        """Tell whether a farm that was found is to be served; the lock is held."""
        guest = self._guest_of(farm)
        if guest is None:
            return not self._leaving.is_set()
        return guest.link.wants_master(is_same=farm.farm == guest.farm.farm, epoch=farm.epoch)

    def _guest_of(self, farm: FarmRecord) -> Guest | None:
        """Return the same farm as a guest, with whichever master; the lock is held."""
        here = self._guests.get(farm.farm)
        return here or next((one for one in self._guests.values() if one.is_of(farm)), None)

    def drain(self) -> None:
        """Finish what runs, give back the rest, take nothing new."""
        self._leave()
        for guest in self.guests():
            guest.link.drain()

    def leave_now(self) -> None:
        """Give back everything and leave as soon as the masters know."""
        self._leave()
        for guest in self.guests():
            guest.link.leave_now()

    def _leave(self) -> None:
        self._leaving.set()
        with self._lock:
            for caller in self._meets.values():
                caller.over.set()

    def wait_until_left(self, timeout_s: float | None = None) -> bool:
        """Wait until the agent was told to leave (or its only farm has ended) and serves nobody."""
        if not self._leaving.wait(timeout_s):
            return False
        with self._lock:  # a farm that was found just before is served, and is not idle any more
            pass
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """Give nothing more to others, and end the children. Blocks until they are gone."""
        for guest in self.guests():
            dropped = guest.link.what_is_dropped()
            if dropped:
                self._report(f"farm {guest.farm.label!r}: dropped: {dropped}")
        if self._giver is not None:
            self._giver.close()
        self._housekeeper.close()
        self._workshop.close()

    def look(self) -> Look:
        """Return what there is to see."""
        busy = count_busy(self._workshop)
        with self._lock:
            links = [guest.link for guest in self._guests.values()]
            done = self._done_before + sum(link.work.done for link in links)
            rests = self._rests
        farms = tuple((link.welcome.label, link.trouble) for link in links if link.welcome.label)
        refused = tuple(map(str, self.refused()))
        return Look(self._workshop.slots, busy, done, farms, rests, refused)

    def report(self) -> Report:
        """Return how the slave is, for its own user."""
        state = "it finishes what runs, and leaves" if self._leaving.is_set() else self._rests
        return report_of(self._workshop, None, state)

    def guests(self) -> list[Guest]:
        """Return the farms that are served."""
        with self._lock:
            return list(self._guests.values())

    def running_for(self, guest: Guest) -> int:
        """Return how many tasks run for a farm."""
        return count_running(self._workshop, guest.link.work)

    def refused(self) -> tuple[Refused, ...]:
        """Return the farms that are there, and not served because of whose they are."""
        with self._lock:
            return self._refusals.now(time.monotonic())

    def _leave_idle(self) -> None:
        self._report(f"nothing to do for {self._idle_exit_s:g} s: leaving")
        self.drain()

    def _rest(self, reason: str) -> None:
        """Take nothing from now on, for a reason in words; or take tasks again."""
        with self._lock:
            self._rests = reason
            links = [guest.link for guest in self._guests.values()]
        rests = f"takes no tasks: {reason}; what runs is finished"
        self._report(rests if reason else "takes tasks: nobody else uses the machine")
        for link in links:
            link.rest(reason)

    def introduction(self, farm_id: str = "") -> Introduction:
        """Return who the slave is, for a farm of which it may have seen a master before."""
        return Introduction(
            version=VERSION,
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=self._workshop.slots,
            python=sys.version_info[:2],
            tasks=tuple(self._named.by_name),
            only_named=self._named.are_all,
            offers=self._offers,
            takes_handlers=self._only_pid is not None,
            gives="" if self._giver is None else str(self._giver.uri),
            farm_id=farm_id if self._epochs.of(farm_id) else "",
        )

    def _meet(self, farm: FarmRecord, where: str, caller: Caller) -> None:
        """Find out whose a farm is that was found at an address, and serve it then."""
        owner, how, is_known = THIS_USER, "", False
        try:
            owner = caller.insist(lambda: owner_at(farm.uri, self._identity, farm.node))
        except MasterGone as error:
            how = str(error)
        with self._lock:
            del self._meets[farm.farm]
            if not how and self._is_wanted(farm):
                self._receive(farm, owner, where)
            elif how and not (caller.lost_touch or caller.over.is_set()):
                is_known = not self._avoided.add(farm, time.monotonic())
            self._note_idle()
        if how and not is_known:
            self._report(f"found farm {farm.label!r} of {farm.script} in {where}; it {how}")

    def _receive(self, farm: FarmRecord, owner: Owner, where: str) -> None:
        """Begin to serve a farm, or refuse it for its owner; the lock is held."""
        if not self.allowed.includes(owner):
            self._refusals.add(Refused(farm, owner), time.monotonic())
            _start(self._decline, farm, owner)
            return
        here = self._guest_of(farm)
        if here is not None:
            here.link.offer(self._successor(here, farm, owner))
            return
        link = Link(
            farm.uri,
            self._workshop,
            self.introduction(farm.farm_id),
            patience_s=self._patience_s,
            identity=self._identity,
            giver=self._giver,
            report=self._report,
            node=owner.node or None,
            keeps=not self._once and self._only_pid is None,
            epochs=self._epochs,
        )
        link.rest(self._rests)
        guest = self._guests[farm.farm] = Guest(farm, owner, time.time(), link)
        self._idle.clear()
        _start(self._serve, guest, where)

    def _successor(self, guest: Guest, farm: FarmRecord, owner: Owner) -> Successor:
        """Return a master for a farm that is served already."""

        def has_joined() -> None:
            with self._lock:
                if self._guests.pop(guest.farm.farm, None) is guest:
                    guest.farm, guest.owner = farm, owner
                    self._guests[farm.farm] = guest

        def is_useless() -> None:
            with self._lock:
                self._avoided.add(farm, time.monotonic())

        return Successor(
            farm.uri,
            owner.node or None,
            farm.farm == guest.farm.farm,
            _in_words(farm, owner),
            has_joined,
            is_useless,
        )

    def _decline(self, farm: FarmRecord, owner: Owner) -> None:
        """Tell a farm that it is not served, and why."""
        names = ", ".join(self.allowed.names)
        self._report(decline(farm, owner, self.name, names, self._identity))

    def _serve(self, guest: Guest, where: str) -> None:
        farm, link = guest.farm, guest.link
        self._report(f"found farm {farm.label!r} of {_in_words(farm, guest.owner)} in {where}")
        may_come_back = is_elsewhere = False
        try:
            how = link.run()
            is_elsewhere, may_come_back = link.met_another, link.lost_touch
            self._report(f"farm {farm.label!r} {how}; {link.work.done} tasks done for it here")
        except SlaveRefused as refusal:
            self._report(f"farm {farm.label!r} refuses this slave: {refusal}")
        finally:
            with self._lock:
                del self._guests[guest.farm.farm]
                self._done_before += link.work.done
                if is_elsewhere:
                    self._avoided.add(guest.farm, time.monotonic())
                elif not may_come_back:
                    self._closed_farms.add(guest.farm.farm)
                if self._once:
                    self._leaving.set()
                self._note_idle()

    def _note_idle(self) -> None:
        """Serve nobody, if that is so; the lock is held."""
        if not self._guests and not self._meets:
            self._idle.set()


def _in_words(farm: FarmRecord, owner: Owner) -> str:
    of = f"{farm.script} (pid {farm.pid})"
    return f"{of} on {owner}" if owner.node else of


def _start(act: Callable[..., None], farm: FarmRecord | Guest, *args: Any) -> None:
    label = farm.label if isinstance(farm, FarmRecord) else farm.farm.label
    threading.Thread(target=act, args=(farm, *args), name=f"farm {label}", daemon=True).start()
