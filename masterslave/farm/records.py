"""Frozen records of a farm's state, for scripts, ``masterslave show`` and ``--json``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from masterslave.errors import SlaveGone
from masterslave.master.decisions import Decisions
from masterslave.master.seats import Seat
from masterslave.master.spreading import Spreading
from masterslave.scheduler.slaves import Slave
from masterslave.scheduler.state import State

__all__ = [
    "FarmStatistics",
    "RunningTask",
    "SlaveRecord",
    "SlaveStatus",
    "records_of",
    "statistics_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTask:
    """What a slave runs.

    Attributes:
        function: Its name; empty where it has its answer already, or is another farm's.
        task: Its number; -1: another farm's.
        label: Of the farm for which it runs.
        since_s: For how long, about.
        ahead: Calls that the child has been given beyond this one.
        child: Process id of the child; 0: not asked for.
        memory_bytes: Of the child; 0: not known, or not asked for.
    """

    function: str
    task: int
    label: str
    since_s: float
    ahead: int = 0
    child: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaveStatus:
    """What a slave said of itself when it was asked.

    Attributes:
        state: "idle", "busy", or why it takes no tasks now.
        uptime_s: How long it has been there.
        slots: Tasks that it runs at once.
        python: Version of its Python.
        release: Version of this package there; empty where it is not installed.
        load: Load average of its machine over a minute; -1: not known.
        memory_bytes: Of all its processes together; 0: not known.
        farms: Labels of the farms that it serves.
        runs: What it runs, for whichever farm.
    """

    state: str
    uptime_s: float
    slots: int
    python: str
    release: str
    load: float
    memory_bytes: int
    farms: tuple[str, ...]
    runs: tuple[RunningTask, ...]


class _Asks(Protocol):
    def ask(self, slave: str, what: str, timeout_s: float) -> SlaveStatus | None: ...

    def release(self, slave: str) -> None: ...


class _Steered:
    """What a record can do. It is no field: copies that travel are records and nothing more."""

    __slots__ = ("_steering",)
    id: str
    name: str
    _steering: _Asks

    def status(self, *, timeout_s: float = 5.0) -> SlaveStatus:
        """Ask the slave how it is now.

        Raises:
            SlaveGone: It is not here any more.
            SlaveSilent: It has not answered in time.
        Blocks: on the slave, at most *timeout_s*.  Threads: any but those of callbacks.
        """
        status = self._ask("status", timeout_s)
        assert status is not None
        return status

    def drain(self, *, timeout_s: float = 5.0) -> None:
        """Have the slave finish what it runs for this farm, give back the rest, and leave the farm.

        It serves other farms on: what it does for those is theirs to say. A slave of the farm's own
        ends. Returns when the slave has begun; ``farm.former_slaves`` has it when it is gone.

        Raises: as ``status``.
        Blocks: on the slave's word, at most *timeout_s*, and not on its tasks.  Threads: as there.
        """
        self._ask("drain", timeout_s)

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """Have the slave stop what it runs for this farm, give all back, and leave the farm.

        What ran begins anew elsewhere, and nothing is held against it. Returns when it is gone.

        Raises: as ``status``.
        Blocks: on the slave, at most *timeout_s*.  Threads: as there.
        """
        self._ask("stop", timeout_s)

    def release(self) -> None:
        """End the slave's quarantine, if it is in one: what was wrong with it is mended.

        Raises:
            SlaveGone: It is not here any more.
        """
        self._here().release(self.id)

    def _ask(self, what: str, timeout_s: float) -> SlaveStatus | None:
        return self._here().ask(self.id, what, timeout_s)

    def _here(self) -> _Asks:
        steering: _Asks | None = getattr(self, "_steering", None)
        if steering is None:
            raise SlaveGone(
                f"this record of slave {self.name} is a copy, which steers nothing: take the one "
                "in farm.slaves, in the script"
            )
        return steering


@dataclass(frozen=True, slots=True)
class SlaveRecord(_Steered):
    """A slave, as it was when it was asked for.

    Attributes:
        id: Its name in this farm; unlike ``name``, no other has it.
        pid: Process id of its agent.
        slots: Tasks that it runs at once.
        state: "idle", "busy", "quarantined", "left" or "lost".
        takes_nothing: Why it takes no tasks now, in its own words; empty if it does.
        runs: What it runs for this farm, as far as the farm knows.
        held: Tasks that it has and has not answered.
        done: Tasks that it has answered.
        lacks: Packages that are missing there, and that the script has.
        evidence: Why it is quarantined: tasks that it failed, and that succeeded elsewhere.
        offers: Amounts of what tasks may need, by name.
        only_named: It takes named tasks with data only; its owner wants it so.
        sent_bytes: Of shared objects, what the script has sent it; what it maps where it is, it is
            not sent.
        gives_at: Where it gives other slaves what it has of them; empty: nowhere.
        given_bytes: What it has given to others, as these say.
        lost_pieces: How often one came to it in vain.
        wrong_pieces: How often it gave something else, which was noticed; it is asked no more.
    """

    name: str
    host: str
    pid: int
    slots: int
    state: str
    held: int
    done: int
    address: str
    evidence: tuple[str, ...] = ()
    offers: dict[str, float] = field(default_factory=dict)
    id: str = ""
    takes_nothing: str = ""
    runs: tuple[RunningTask, ...] = ()
    lacks: tuple[str, ...] = ()
    only_named: bool = False
    sent_bytes: int = 0
    gives_at: str = ""
    given_bytes: int = 0
    lost_pieces: int = 0
    wrong_pieces: int = 0


@dataclass(frozen=True, slots=True)
class FarmStatistics:
    """What a farm has done so far.

    Attributes:
        done: Tasks that were answered, by a value or by an exception of theirs.
        failed: Of the answered and given-up ones, those that raise.
        handed_out_again: Hand-outs after a task's first: its slave or child was lost, or left.
        retried: Runs that raised what their options would have run again, and were.
        speculated: Second attempts of tasks that took long, made while slots were free.
        recalled: Tasks that were held ahead, and taken back for a slot that had become free.
        slaves_quarantined, slaves_released: Slaves, each as often as it was.
        late: Answers that came when the task had one already; dropped.
        shared_bytes_sent: Of shared objects, what the script has sent to slaves.
        shared_bytes_given: What slaves have given to slaves, as these say.
    """

    submitted: int
    done: int
    failed: int
    given_up: int
    cancelled: int
    waiting: int
    handed_out: int
    handed_out_again: int
    late: int
    slaves_joined: int
    slaves_left: int
    slaves_lost: int
    retried: int
    speculated: int
    recalled: int
    slaves_quarantined: int
    slaves_released: int
    shared_bytes_sent: int = 0
    shared_bytes_given: int = 0


def records_of(
    seats: Iterable[Seat], decisions: Decisions, label: str, steering: _Asks
) -> tuple[SlaveRecord, ...]:
    """Return the records of slaves that are, or were, at the table."""
    return tuple(_record_of(seat, decisions, label, steering) for seat in seats)


def _record_of(seat: Seat, decisions: Decisions, label: str, steering: _Asks) -> SlaveRecord:
    state = decisions.scheduler.state
    slave = state.slaves.get(seat.slave)
    held = slave.held_count if slave else 0
    here = "busy" if held else "idle"
    if seat.state == "quarantined":
        here = seat.state
    who = seat.introduction
    record = SlaveRecord(
        name=who.name,
        host=who.host,
        pid=who.pid,
        slots=who.slots,
        state=here if slave else seat.state,
        held=held,
        done=seat.done,
        address=seat.peer,
        evidence=seat.evidence,
        offers=dict(who.offers),
        id=seat.slave,
        lacks=seat.lacks,
        only_named=who.only_named,
        takes_nothing=seat.says if slave else "",
        runs=_runs_of(slave, decisions, label) if slave else (),
        sent_bytes=seat.sent_bytes,
        gives_at=seat.gives_at,
        given_bytes=seat.given_bytes,
        lost_pieces=seat.lost_pieces,
        wrong_pieces=seat.wrong_pieces,
    )
    object.__setattr__(record, "_steering", steering)
    return record


def _runs_of(slave: Slave, decisions: Decisions, label: str) -> tuple[RunningTask, ...]:
    now, find = time.monotonic(), decisions.book.find
    return tuple(
        RunningTask(
            function=found.function.name if found else "",
            task=task,
            label=label,
            since_s=max(0.0, now - since),
        )
        for task, since in slave.started.items()
        for found in (find(task),)
    )


def statistics_of(state: State, failed: int, spreading: Spreading) -> FarmStatistics:
    """Return the farm's counts."""
    counts = state.counts
    return FarmStatistics(
        submitted=counts.submitted,
        done=counts.done,
        failed=failed,
        given_up=counts.given_up,
        cancelled=counts.cancelled,
        waiting=state.waiting,
        handed_out=counts.handed_out,
        handed_out_again=counts.handed_out_again,
        late=counts.late,
        slaves_joined=counts.slaves_joined,
        slaves_left=counts.slaves_left,
        slaves_lost=counts.slaves_lost,
        retried=counts.retried,
        speculated=counts.speculated,
        recalled=counts.recalled,
        slaves_quarantined=counts.slaves_quarantined,
        slaves_released=counts.slaves_released,
        shared_bytes_sent=spreading.sent_bytes,
        shared_bytes_given=spreading.given_bytes,
    )
