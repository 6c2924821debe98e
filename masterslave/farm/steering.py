"""Steering slaves, from the script and, through the farm's door, from the command line."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from typing import Any

from masterslave.errands import DRAIN, STATUS, STOP, ErrandKind, Report
from masterslave.errors import SlaveGone, SlaveSilent
from masterslave.farm.records import RunningTask, SlaveRecord, SlaveStatus, records_of
from masterslave.master.errands import Answered
from masterslave.master.seats import bare_name
from masterslave.master.shell import Master
from remoteobj import BadInput

__all__ = ["Steering"]

_KINDS: dict[str, ErrandKind] = {"status": STATUS, "drain": DRAIN, "stop": STOP}


class Steering:
    """Asks slaves of one farm for what is no task; ``slave`` is one's id in the farm.

    Args:
        is_here: Whether the farm's only slave is its script.
    """

    def __init__(self, label: str, master: Master, *, is_here: bool) -> None:
        self._label, self._is_here = label, is_here
        self._master = master

    def slaves(self) -> tuple[SlaveRecord, ...]:
        """Return the records of those that are here."""
        return self._master.view(
            lambda decisions: records_of(
                decisions.table.seats.values(), decisions, self._label, self
            )
        )

    def former_slaves(self) -> tuple[SlaveRecord, ...]:
        """Return the records of those that left or were lost."""
        return self._master.view(lambda d: records_of(d.table.former, d, self._label, self))

    def ask(self, slave: str, what: str, timeout_s: float) -> SlaveStatus | None:
        """Ask a slave, and wait for what it says.

        Args:
            what: "status", "drain", or "stop", whose answer is that it has left.
        Raises:
            SlaveGone: It is not here any more, or has left meanwhile.
            SlaveSilent: It has not answered in time.
        """
        answered = self._request(slave, what)
        try:
            report = answered.result(timeout_s)
        except TimeoutError:
            raise SlaveSilent(
                f"slave {bare_name(slave)} has not answered for {timeout_s:g} s: it or its "
                "machine may be suspended; if it stays so, the farm gives it up within seconds"
            ) from None
        return None if report is None else self._status(report)

    def release(self, slave: str) -> None:
        """End its quarantine, if it is in one.

        Raises:
            SlaveGone: It is not here any more.
        """
        self._master.release(slave)

    def begin(self, slave: str, what: str) -> Future[dict[str, Any]]:
        """Do the same without waiting; what comes is plain data, and empty if it has left."""
        told: Future[dict[str, Any]] = Future()
        self._request(slave, what).add_done_callback(partial(self._pass_on, told))
        return told

    def _pass_on(self, told: Future[dict[str, Any]], answered: Answered) -> None:
        error = answered.exception()
        if error is not None:
            told.set_exception(error)
            return
        report = answered.result()
        told.set_result({} if report is None else asdict(self._status(report)))

    def _request(self, slave: str, what: str) -> Answered:
        if what not in _KINDS:
            raise BadInput(f"a slave can be asked for {', '.join(_KINDS)}, not for {what!r}")
        if self._is_here:
            raise SlaveGone(
                f"farm {self._label!r} runs in threads of its script (here): there is no slave to "
                "steer; cancel futures, or leave the farm's block"
            )
        return self._master.errand(slave, _KINDS[what])

    def _status(self, report: Report) -> SlaveStatus:
        """Return a report with the names of the functions that run."""
        runs = self._master.view(
            lambda decisions: tuple(
                RunningTask(
                    function=found.function.name if found else "",
                    task=run.task,
                    label=run.label,
                    since_s=run.since_s,
                    ahead=run.ahead,
                    child=run.pid,
                    memory_bytes=run.memory_bytes,
                )
                for run in report.runs
                for found in (decisions.book.find(run.task),)
            )
        )
        return SlaveStatus(
            state=report.state or ("busy" if runs else "idle"),
            uptime_s=report.uptime_s,
            slots=report.slots,
            python=report.python,
            release=report.release,
            load=report.load,
            memory_bytes=report.memory_bytes,
            farms=report.farms,
            runs=runs,
        )
