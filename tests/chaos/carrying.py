"""A plan of faults is carried out on a room."""

from __future__ import annotations

import contextlib
import heapq
import os
import time
from collections.abc import Callable, Sequence
from itertools import count
from multiprocessing.connection import wait

from masterslave.testing.faults import Fault, Kind
from tests.chaos.evidence import Trouble
from tests.chaos.room import Room
from tests.chaos.things import Member
from tests.conftest import eventually
from tests.lan.hosts import Line, Running

__all__ = ["Carrier"]

_TICK_S = 0.01
_LONGEST_S = 60.0
_NO_END = float("inf")

_Done = tuple[str, Callable[[], None] | None]
"""Whom it was done to, and what undoes it."""


class Carrier:
    """Does what a plan says, undoes it in time, and sees who ends by himself.

    Attributes:
        troubles: What was done, when, to whom.
        surprises: What was not done and happened: a line each.
    """

    def __init__(self, room: Room) -> None:
        self.troubles: list[Trouble] = []
        self.surprises: list[str] = []
        self._room = room
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._going_on: set[tuple[str, str]] = set()

    def carry_out(self, faults: Sequence[Fault], *, at_once: bool) -> None:
        """Carry out a plan, and let the room come to its end.

        Args:
            at_once: Do not wait until the room works.
        """
        if not at_once:
            told = self._room.folder / "told-0"
            eventually(lambda: told.exists() and told.stat().st_size > 100, "it works", 20.0)
        start = time.monotonic()
        for fault in faults:
            self._plan(start + fault.at_s, lambda fault=fault: self._do(fault))
        last = max((fault.at_s for fault in faults), default=0.0)
        self._plan(start + last + 0.1, self._room.say_enough)
        while self._agenda:
            at, _, act = self._agenda[0]
            if time.monotonic() >= at:
                heapq.heappop(self._agenda)
                act()
            else:
                self._look_after()
                self._wait_for_an_end(at - time.monotonic())
        self._come_to_its_end()

    def _plan(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (at, next(self._number), act))

    def _come_to_its_end(self) -> None:
        """Wait for the script, which has nothing against it any more."""
        script, deadline = self._room.script, time.monotonic() + _LONGEST_S
        while script.is_up or not script.is_wanted:
            if time.monotonic() > deadline:
                self.surprises.append(f"the script has not ended within {_LONGEST_S:g} s")
                self._tell_stacks()
                return
            self._look_after()
            self._wait_for_an_end(_TICK_S)
        self._look_after()

    def _tell_stacks(self) -> None:
        asked = [pid for one in self._room.members if one.is_up for pid in one.tell_stacks()]
        files = [self._room.folder / "stacks" / str(pid) for pid in asked]
        with contextlib.suppress(AssertionError):  # who stands still, or is ending, writes none
            eventually(lambda: all(one.exists() and one.stat().st_size for one in files), "", 2.0)

    def _wait_for_an_end(self, longest_s: float) -> None:
        """Wait until a process of the room ends, or something is due."""
        with contextlib.ExitStack() as stack:
            ends = []
            for member in self._room.members:
                if member.is_up:
                    end = os.pidfd_open(member.running.process.pid)
                    stack.callback(os.close, end)
                    ends.append(end)
            wait(ends, max(0.0, min(_TICK_S, longest_s)))

    def _look_after(self) -> None:
        """See who has ended by himself."""
        for member in self._room.members:
            if not member.is_wanted or member.is_up:
                continue
            code = member.running.process.returncode
            if member is self._room.script and code == 0 and self._room.is_enough:
                continue
            member.is_wanted = False
            said = " | ".join(line.text for line in _last_lines(member.running))
            if member is self._room.master and code and "make room" in said:
                self._start_where_there_is_room()
                continue
            if len(self._room.houses) > 1 and member in self._room.houses and "standby" in said:
                self._note_step_down(member)  # it leads no more, and says what to do
                continue
            self.surprises.append(f"{member.name} has ended by itself with {code}: {said}")

    def _note_step_down(self, member: Member) -> None:
        now = time.monotonic()
        self._room.has_stepped_down |= member is self._room.master
        self.troubles.append(Trouble("stepped down", member.name, now, now))
        self._plan(now + 0.2, member.start)

    def _start_where_there_is_room(self) -> None:
        if self._room.disk.is_full:
            self._plan(time.monotonic() + 0.2, self._start_where_there_is_room)
        else:
            self._room.master.start()

    def _do(self, fault: Fault) -> None:
        """Do it, if it can be done, and see to it that it is undone."""
        since = time.monotonic()  # before: who sees it may be quicker than who does it
        done = _ACTS[fault.kind](self, fault)
        if done is None:
            return
        whom, undo = done
        if undo is None:
            self.troubles.append(Trouble(fault.kind, whom, since, since))
            return
        place = len(self.troubles)
        self.troubles.append(Trouble(fault.kind, whom, since, _NO_END))
        self._going_on.add((fault.kind, whom))

        def end() -> None:
            self._going_on.discard((fault.kind, whom))
            undo()
            self.troubles[place] = Trouble(fault.kind, whom, since, time.monotonic())

        self._plan(since + fault.for_s, end)

    def _slave(self, fault: Fault) -> Member:
        return self._room.slaves[fault.target % len(self._room.slaves)]

    def _kill_slave(self, fault: Fault) -> _Done | None:
        slave = self._slave(fault)
        if not slave.is_up:
            return None
        slave.kill(with_children=fault.target // 8 % 2 == 0)
        return slave.name, slave.start

    def _kill_child(self, fault: Fault) -> _Done | None:
        slave = self._slave(fault)
        children = slave.children() if slave.is_up else []
        if not children:
            return None
        slave.kill_child(children[fault.target // 8 % len(children)])
        return slave.name, None

    def _stop_slave(self, fault: Fault) -> _Done | None:
        return self._stop(self._slave(fault))

    def _stop_master(self, fault: Fault) -> _Done | None:
        return self._stop(self._master_or_script(fault))

    def _stop(self, member: Member) -> _Done | None:
        if not member.is_up or member.is_stopped:
            return None
        member.stop()
        return member.name, member.go_on

    def _kill_master(self, fault: Fault) -> _Done | None:
        member = self._master_or_script(fault)
        if not member.is_up:
            return None
        member.kill(with_children=True)
        if member is self._room.master:
            self._room.keep_copy()
        return member.name, member.start

    def _master_or_script(self, fault: Fault) -> Member:
        """Where the script is attached to the master, sometimes it is that which is hurt."""
        return self._room.script if fault.target // 8 % 3 == 0 else self._room.master

    def _kill_standby(self, fault: Fault) -> _Done | None:
        standby = self._room.standby
        if not standby.is_up:
            return None
        standby.kill(with_children=True)
        return standby.name, standby.start

    def _kill_nameserver(self, fault: Fault) -> _Done | None:
        server = self._room.nameserver
        if not server.is_up:
            return None
        server.kill(with_children=True)
        return server.name, server.start

    def _hurt_wire(self, fault: Fault) -> _Done | None:
        names, kind = list(self._room.wires), fault.kind
        name = names[fault.target % len(names)]
        wire = self._room.wires[name]
        if (kind, name) in self._going_on:
            return None
        wire.say(kind)
        if kind is Kind.HALF_OPEN:
            return name, None
        return name, lambda: wire.say(f"mend {kind}")

    def _cut(self, fault: Fault) -> _Done | None:
        cables = self._room.cables
        name = list(cables)[fault.target % len(cables)]
        if not cables[name].can_cut:
            return self._hurt_wire(fault)
        if (fault.kind, name) in self._going_on:
            return None
        cables[name].cut()
        return name, cables[name].mend

    def _fill_disk(self, fault: Fault) -> _Done | None:
        disk, master = self._room.disk, self._room.master
        if disk.is_full or not master.started:
            return None
        disk.fill(master.running.process.pid)
        return "master", lambda: disk.make_room(master.running.process.pid)

    def _set_clock_back(self, fault: Fault) -> _Done | None:
        names = list(self._room.clocks)
        name = names[fault.target % len(names)]
        self._room.clocks[name].set_back(fault.for_s * _CLOCK_TIMES[fault.target // 8 % 3])
        return name, None

    def _take_memory(self, fault: Fault) -> _Done | None:
        self._room.order_hog()
        return "", None


def _last_lines(running: Running) -> list[Line]:
    """Return what a process that has ended has said in the end."""
    running.wait()  # for all of it
    return running.lines[-3:]


_CLOCK_TIMES = (1.0, 60.0, 3600.0)
"""A plan's seconds suit leases; clocks are wrong by minutes and hours, too."""

_ACTS: dict[Kind, Callable[[Carrier, Fault], _Done | None]] = {
    Kind.KILL_SLAVE: Carrier._kill_slave,
    Kind.STOP_SLAVE: Carrier._stop_slave,
    Kind.KILL_CHILD: Carrier._kill_child,
    Kind.KILL_MASTER: Carrier._kill_master,
    Kind.STOP_MASTER: Carrier._stop_master,
    Kind.KILL_STANDBY: Carrier._kill_standby,
    Kind.KILL_NAMESERVER: Carrier._kill_nameserver,
    Kind.FULL_DISK: Carrier._fill_disk,
    Kind.CLOCK_BACK: Carrier._set_clock_back,
    Kind.OUT_OF_MEMORY: Carrier._take_memory,
    Kind.CUT: Carrier._cut,
    **dict.fromkeys(
        (Kind.HALF_OPEN, Kind.SLOW, Kind.LOSSY, Kind.DUPLICATE, Kind.TRUNCATE),
        Carrier._hurt_wire,
    ),
}
