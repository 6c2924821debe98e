"""Why nothing runs, in words: for the log, ``repr(farm)`` and ``masterslave show``."""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass
from typing import Any

from masterslave.farm.futures import FarmFuture
from masterslave.farm.unmet import why_not_here
from masterslave.master.decisions import Decisions
from masterslave.master.seats import bare_name
from masterslave.scheduler import TaskWait, Wait, WaitsFor, wait_of_task

__all__ = ["OWN_SLAVES", "Refused", "explain", "explain_task"]

OWN_SLAVES = "Farm(local_slaves=2)"


@dataclass(frozen=True, slots=True)
class Refused:
    """A slave that came and was not let in, or does not take tasks now."""

    who: str
    reason: str


def explain(
    wait: Wait,
    *,
    label: str,
    waiting: int,
    slots: int,
    refused: tuple[Refused, ...],
    why_not: tuple[Refused, ...] = (),
    inherited: int = 0,
    own_slaves: str = OWN_SLAVES,
) -> str:
    """Return what the waiting tasks wait for, and what to do; empty when nothing waits.

    Args:
        inherited: Tasks that wait for slaves which had them in an earlier run.
        why_not: Slaves that take nothing now, and what they say of it.
        own_slaves: What to give for slaves of the farm's own.
    """
    tasks = f"{waiting} task{'s' * (waiting != 1)} wait{'s' * (waiting == 1)}"
    match wait:
        case Wait.NOTHING if inherited:
            return (
                f"{inherited} task{'s' * (inherited != 1)} wait{'s' * (inherited == 1)} for slaves "
                "with which they were when an earlier run ended"
            )
        case Wait.NOTHING:
            return ""
        case Wait.NO_SLAVE:
            return f"{tasks}: {_why_no_slave(label, refused, own_slaves)}"
        case Wait.ALL_BUSY:
            return f"{tasks}: all {slots} slots are busy"
        case Wait.NO_SLOTS if why_not:
            said = _in_words(why_not)
            return f"{tasks}: no slave takes tasks now: {said}; start another slave, or wait"
        case _:
            return f"{tasks}: {_WORDS[wait]}"


_WORDS = {
    Wait.NOT_MET: "no slave that is here could run them",
    Wait.QUARANTINED: (
        "every slave is quarantined, because it failed tasks that succeeded elsewhere; "
        "'masterslave show' says which; start another slave"
    ),
    Wait.NO_SLOTS: "the slaves offer no slots: they are busy with other farms, or leaving",
}


def _why_no_slave(label: str, refused: tuple[Refused, ...], own_slaves: str = OWN_SLAVES) -> str:
    if refused:
        return f"slaves were seen, but refused: {_in_words(refused)}"
    return (
        f"no slave seen; start one with 'masterslave slave {label}' as user "
        f"{getpass.getuser()}, or give {own_slaves}"
    )


def _in_words(slaves: tuple[Refused, ...]) -> str:
    return "; ".join(f"{one.who}: {one.reason}" for one in slaves[-3:])


def explain_task(future: FarmFuture[Any], decisions: Decisions, label: str) -> str:
    """Return where one task is, and what it waits for."""
    name = f"{future.function.name}()"
    if future.done():
        return f"{name} has its answer"
    inherited = decisions.inherited
    if inherited is not None and (where := inherited.where(future, time.monotonic())):
        return f"{name} {where}"
    wait = wait_of_task(decisions.scheduler.state, future.number)
    if wait.waits_for in _FOR_SLAVES:
        demand = decisions.scheduler.state.roster.demand_of(future.terms)
        missing = why_not_here(demand, decisions, label)
        if missing:
            return f"{name} waits: {missing}{_past(wait)}"
    if wait.after:
        return f"{name} waits for {_predecessors(wait.after, decisions)}{_past(wait)}"
    return f"{name} {_where(wait, time.monotonic())}{_past(wait)}"


_FOR_SLAVES = (WaitsFor.A_SLAVE, WaitsFor.A_SLOT, WaitsFor.AN_OFFER, WaitsFor.SOMEBODY_ELSE)
_MOST = 3


def _predecessors(tasks: tuple[int, ...], decisions: Decisions) -> str:
    named = [
        f"{one.function.name}(), task {task}"
        for task in tasks[:_MOST]
        if (one := decisions.book.find(task)) is not None
    ]
    more = [f"{len(tasks) - _MOST} more"] if len(tasks) > _MOST else []
    return " and ".join([*named, *more])


def _where(wait: TaskWait, now: float) -> str:
    slave = bare_name(wait.slave)
    before = f", behind {wait.behind} other task{'s' * (wait.behind != 1)}" if wait.behind else ""
    left_s, run_s = max(0.0, (wait.until or now) - now), now - (wait.since or now)
    words = {
        WaitsFor.ITS_RUN: f"has been running on slave {slave} for {run_s:.1f} s",
        WaitsFor.ITS_SLAVE: f"is at slave {slave}{before}",
        WaitsFor.ITS_DELAY: f"raised, and is run again in {left_s:.1f} s",
        WaitsFor.A_SLAVE: f"waits for a slave: none is here{before}",
        WaitsFor.A_SLOT: f"waits for a slot: all are busy{before}",
        WaitsFor.AN_OFFER: f"waits for slots: the slaves offer none now{before}",
        WaitsFor.AMOUNTS: f"waits for what it needs: other tasks use it{before}",
        WaitsFor.SOMEBODY_ELSE: f"waits for a slave that could run it{before}",
        WaitsFor.OTHERS: "waits for others",
        WaitsFor.NOTHING: "has its answer on the way",
    }
    return words[wait.waits_for]


def _past(wait: TaskWait) -> str:
    past = []
    if wait.failures:
        past.append(f"run again {wait.failures} time{'s' * (wait.failures != 1)}")
    if wait.losses:
        past.append(f"lost {wait.losses} time{'s' * (wait.losses != 1)} with its slave or child")
    return f"; so far it was {' and '.join(past)}" if past else ""
