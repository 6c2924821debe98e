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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from masterslave.errands import Report
from masterslave.errors import SlaveRefused
from masterslave.memory import reuse_large_blocks
from masterslave.naming import FarmRecord
from masterslave.protocol.joining import VERSION, Introduction
from masterslave.slave.children import Child
from masterslave.slave.housekeeping import Housekeeper
from masterslave.slave.link import Link
from masterslave.slave.offer import NamedTasks
from masterslave.slave.state import count_busy, report_of
from masterslave.slave.usage import Meter
from masterslave.slave.wires import ANY, Conditions
from masterslave.slave.workshop import Workshop
from remoteobj import URI, Identity
from remoteobj.runtime import is_private_dir

__all__ = ["PATIENCE_S", "Agent", "Look"]

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to see of an agent.

    Attributes:
        busy: Slots that have something to do.
        done: Tasks that were done so far.
        farms: Those that are served: label, and since when (monotonic) and how its master does not
            answer, if it does not.
        rests: Why nothing is taken for now; empty: it is.
    """

    slots: int
    busy: int
    done: int
    farms: tuple[tuple[str, tuple[float, str] | None], ...]
    rests: str


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
        idle_exit_s: Leave when there was nothing to do for so long, in seconds; None: never.
        meter: Take tasks only while others do not use the machine, as this measures it.
        look_s: How often it is looked, for the last two.
        shows_output: Whether what tasks print is shown on standard error here, too.
        conditions: What holds for each child.
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
        idle_exit_s: float | None = None,
        meter: Meter | None = None,
        look_s: float = 2.0,
        shows_output: bool = True,
        conditions: Conditions = ANY,
    ) -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._offers = dict(offers or {})
        self._patience_s = patience_s
        self._identity = identity
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
        self._links: dict[str, tuple[Link, threading.Thread]] = {}
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
        """Serve a farm, unless it is served already, has ended, or has refused this slave."""
        if self._only_pid is not None and farm.pid != self._only_pid:
            return
        with self._lock:
            if (
                farm.farm in self._links
                or farm.farm in self._closed_farms
                or self._leaving.is_set()
            ):
                return
            refusal = self._refuse(farm)
            if refusal:
                self._closed_farms.add(farm.farm)
                self._report(refusal)
                return
            link = Link(
                farm.uri,
                self._workshop,
                self.introduction(),
                patience_s=self._patience_s,
                identity=self._identity,
                report=self._report,
            )
            link.rest(self._rests)
            thread = threading.Thread(
                target=self._serve, args=(farm, link, where), name=f"farm {farm.label}", daemon=True
            )
            self._links[farm.farm] = (link, thread)
            self._idle.clear()
            thread.start()

    def drain(self) -> None:
        """Finish what runs, give back the rest, take nothing new."""
        self._leaving.set()
        for link, _ in self._all_links():
            link.drain()

    def leave_now(self) -> None:
        """Give back everything and leave as soon as the masters know."""
        self._leaving.set()
        for link, _ in self._all_links():
            link.leave_now()

    def wait_until_left(self, timeout_s: float | None = None) -> bool:
        """Wait until the agent was told to leave (or its only farm has ended) and serves nobody."""
        if not self._leaving.wait(timeout_s):
            return False
        with self._lock:  # a farm that was found just before is served, and is not idle any more
            pass
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """End the children. Blocks until they are gone."""
        self._housekeeper.close()
        self._workshop.close()

    def look(self) -> Look:
        """Return what there is to see."""
        busy = count_busy(self._workshop)
        with self._lock:
            links = [link for link, _ in self._links.values()]
            done = self._done_before + sum(link.work.done for link in links)
            rests = self._rests
        farms = tuple((link.welcome.label, link.trouble) for link in links if link.welcome.label)
        return Look(self._workshop.slots, busy, done, farms, rests)

    def report(self) -> Report:
        """Return how the slave is, for its own user."""
        state = "it finishes what runs, and leaves" if self._leaving.is_set() else self._rests
        return report_of(self._workshop, None, state)

    def _leave_idle(self) -> None:
        self._report(f"nothing to do for {self._idle_exit_s:g} s: leaving")
        self.drain()

    def _rest(self, reason: str) -> None:
        """Take nothing from now on, for a reason in words; or take tasks again."""
        with self._lock:
            self._rests = reason
            links = [link for link, _ in self._links.values()]
        rests = f"takes no tasks: {reason}; what runs is finished"
        self._report(rests if reason else "takes tasks: nobody else uses the machine")
        for link in links:
            link.rest(reason)

    def introduction(self) -> Introduction:
        """Return who the slave is."""
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
        )

    def _refuse(self, farm: FarmRecord) -> str:
        """Return why code of this farm must not run here, or nothing."""
        uri: URI = farm.uri
        if uri.sockname is None:
            if self._identity is not None:  # TLS proves that the farm is of this cluster
                return ""
            return (
                f"farm {farm.label!r} at {uri.location} is refused: code does not cross plain TCP; "
                "start the slave with --identity CA CERTIFICATE KEY of the script's cluster, or on "
                "the script's machine, as the same user"
            )
        if not is_private_dir(Path(uri.sockname).parent):
            return (
                f"farm {farm.label!r} at {uri.location} is refused: its socket is not in a "
                "directory of this user alone"
            )
        return ""

    def _serve(self, farm: FarmRecord, link: Link, where: str) -> None:
        self._report(f"found farm {farm.label!r} of {farm.script} (pid {farm.pid}) in {where}")
        may_come_back = False
        try:
            how = link.run()
            may_come_back = link.lost_touch
            self._report(f"farm {farm.label!r} {how}; {link.work.done} tasks done for it here")
        except SlaveRefused as refusal:
            self._report(f"farm {farm.label!r} refuses this slave: {refusal}")
        finally:
            with self._lock:
                del self._links[farm.farm]
                self._done_before += link.work.done
                if not may_come_back:
                    self._closed_farms.add(farm.farm)
                if self._once:
                    self._leaving.set()
                if not self._links:
                    self._idle.set()

    def _all_links(self) -> list[tuple[Link, threading.Thread]]:
        with self._lock:
            return list(self._links.values())
