"""For what a task may run twice: pure, from what was written down.

That a master was killed is no reason by itself: who was handed a task is in the journal, and the
next master waits for what slaves have kept. It is one where the hand-out had not reached the disk,
and where the slave did not come back while the next master waited.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from tests.chaos.evidence import Entry, Evidence, Ran, Trouble

__all__ = ["ENDS_ITSELF", "explains", "has_second_attempt", "ran_twice_for_a_reason", "reasons"]

ENDS_ITSELF = (".frail.", ".hopeless.", ".hog.")

_AFTER_S = 4.0
"""How long a trouble may have consequences, once it is over: slaves come back, and meet hand-outs
that were given to others meanwhile."""

_REASONS = frozenset(
    {
        "kill_slave", "stop_slave", "kill_child", "kill_master", "stop_master", "cut", "half_open",
        "lossy", "duplicate", "truncate",
    }
)  # fmt: skip
"""Troubles for which tasks may run twice; not so what is slow, a full disk, a clock, or the end of
a name server or a standby."""

_KILLS = frozenset({"kill_master", "kill_standby"})


def ran_twice_for_a_reason(evidence: Evidence) -> Iterator[str]:
    """Nothing runs a second time without a reason."""
    by_name: dict[str, list[Ran]] = defaultdict(list)
    for ran in evidence.ran:
        by_name[ran.name].append(ran)
    lost = {(one.name, one.slave) for one in evidence.entries if one.what == "lost"}
    dead = {(one.slave, one.pid): one.began for one in evidence.ran if one.ended is None}
    handed = _HandOuts(evidence)
    for name, times in by_name.items():
        times.sort(key=lambda ran: ran.began)
        for first, second in pairwise(times):
            is_reason = (
                any(mark in name for mark in ENDS_ITSELF)
                or (name, first.slave) in lost
                or first.began <= dead.get((first.slave, first.pid), -1.0) <= second.began
                or has_second_attempt(name, first, second)
                or was_held_up(evidence, first, second)
                or any(
                    explains(one, first, second)
                    and (one.kind not in _KILLS or handed.can_be_lost(one, first, second))
                    for one in reasons(evidence)
                )
            )
            if not is_reason:
                end = "did not end" if first.ended is None else f"ended at {first.ended:.3f}"
                yield (
                    f"{name} ran on {first.slave} from {first.began:.3f} on ({end}) and on "
                    f"{second.slave} from {second.began:.3f} on, and there is no reason"
                )


def has_second_attempt(name: str, first: Ran, second: Ran) -> bool:
    """Whether they may be two attempts at what took long, one of which ended the other."""
    runs = first.ended is None or second.began <= first.ended
    return ".long." in name and first.slave != second.slave and runs


def was_held_up(evidence: Evidence, first: Ran, second: Ran) -> bool:
    """Whether the second is an attempt at what took long as far as the master could know: while the
    disk was full, the slave of the first was not answered, and its outcome waited there. The
    journal has the second hand-out before the answer then.
    """
    if ".long." not in first.name or first.slave == second.slave or first.ended is None:
        return False
    ended = first.ended
    is_full = any(
        one.kind == "full_disk" and one.since <= ended <= one.until
        and second.began <= one.until + _AFTER_S
        for one in evidence.troubles
    )  # fmt: skip
    its = [entry for entry in evidence.entries if entry.name == first.name]
    whats = [(entry.what, entry.slave if entry.what == "handed out" else "") for entry in its]
    handed, answered = ("handed out", second.slave), ("answered", "")
    return (
        is_full
        and handed in whats
        and answered in whats
        and (whats.index(handed) < whats.index(answered))
    )


def reasons(evidence: Evidence) -> list[Trouble]:
    """Return the troubles for which tasks may run twice.

    Where there is a standby, it may be the master, and neither is one without a name server.
    """
    if not evidence.has_standby:
        return [one for one in evidence.troubles if one.kind in _REASONS]
    kinds = _REASONS | {"kill_standby", "kill_nameserver", "stepped down"}
    return [
        replace(one, whom="master") if one.whom in ("standby", "nameserver") else one
        for one in evidence.troubles
        if one.kind in kinds
    ]


def explains(trouble: Trouble, first: Ran, second: Ran) -> bool:
    """Whether it was done to those who ran it, or to their master, and not too long before."""
    is_theirs = trouble.whom in (first.slave, second.slave, "master")
    return is_theirs and trouble.since <= second.began and trouble.until >= first.began - _AFTER_S


class _HandOuts:
    """What the journal knows, in the end, of who was handed what."""

    def __init__(self, evidence: Evidence) -> None:
        self._wait_s = evidence.wait_s
        self._is_final, self._has_standby = evidence.is_final, evidence.has_standby
        self._handed: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        self._raised: dict[str, int] = {}
        self._began: dict[tuple[str, str], list[float]] = defaultdict(list)
        for entry in evidence.entries:
            if entry.what == "handed out":
                self._handed[entry.name, entry.slave].append(entry)
            elif entry.what == "answered" and entry.answer[0] != "value":
                self._raised.setdefault(entry.name, entry.run)
        for ran in evidence.ran:
            self._began[ran.name, ran.slave].append(ran.began)

    def can_be_lost(self, kill: Trouble, first: Ran, second: Ran) -> bool:
        """Whether the next master may run it again, though both slaves are well."""
        # A standby leads before the one that was killed is started again.
        waits_from = kill.since if self._has_standby else kill.until
        if second.began >= waits_from + self._wait_s:
            return True  # the slave did not come in time
        one, other = self._hand_out(first), self._hand_out(second)
        if one is None or other is None:
            return True  # it was on its way to the disk
        if not self._is_final and self._raised.get(first.name, other.run) < other.run:
            return True
        attempts = (self._handed[ran.name, ran.slave] for ran in (first, second))
        numbers, others = ({entry.number for entry in entries} for entries in attempts)
        is_repeatable = ".long." in first.name and first.slave != second.slave
        return is_repeatable and not numbers.isdisjoint(others)

    def _hand_out(self, ran: Ran) -> Entry | None:
        """Return the hand-out that it ran by; None: the journal knows fewer than ran there."""
        handed = self._handed[ran.name, ran.slave]
        place = sum(began < ran.began for began in self._began[ran.name, ran.slave])
        return handed[place] if place < len(handed) else None
