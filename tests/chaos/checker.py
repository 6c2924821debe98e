"""Whether a run has kept what is promised: pure, from what was written down.

* Every task that was submitted has one answer, which is the right value or its true error. One that
  has raised, or was given up, is run again by a later run of the script; a value is final.
* What the script was told is in the journal, also in the journal as it was when the master was
  killed; and what was in it then is in it now.
* No task ran on two slaves, or twice on one, without a reason: its process has died, perhaps of the
  next task, with what it had not told yet; something was done to one of the slaves or to the
  master; or the journal says that it was lost. See ``reasons``.
* What ran had been handed out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from tests.chaos.evidence import Copy, Entry, Evidence, Ran, Told
from tests.chaos.reasons import (
    ENDS_ITSELF,
    explains,
    has_second_attempt,
    ran_twice_for_a_reason,
    reasons,
)
from tests.chaos.script import answer_of

__all__ = ["complaints"]

_UNRECORDED_S = 1.0
"""What was handed out so shortly before the master was killed, or before the disk was full with
which it was killed, may be missing in the journal."""


def complaints(evidence: Evidence) -> list[str]:
    """Return what is wrong, a line each; nothing if all is well."""
    found: list[str] = []
    for rule in _RULES:
        found += rule(evidence)
    return found


def _answered(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.what == "answered")


def _answered_once(evidence: Evidence) -> Iterator[str]:
    """A task has one answer in a run, a value is final, and nothing is handed out after it."""
    answers: Counter[int] = Counter()
    values: dict[str, int] = {}
    for entry in evidence.entries:
        name = entry.name
        if entry.what == "handed out" and name in values:
            yield f"{name} was handed out to {entry.slave} (run {entry.run}) after it had a value"
        if entry.what != "answered":
            continue
        answers[entry.number] += 1
        if answers[entry.number] > 1:
            yield f"{name} was answered {answers[entry.number]} times in run {entry.run}"
        elif name in values:
            yield f"{name} was answered in run {entry.run}, and had a value from {values[name]}"
        if name and (evidence.is_final or entry.answer[0] == "value"):
            values[name] = entry.run


def _answered_truly(evidence: Evidence) -> Iterator[str]:
    """Each answer is the right one, in the journal and at the script."""
    for entry in _answered(evidence.entries):
        if not entry.name:
            yield f"task {entry.number} was answered, and is none of the script's"
        elif list(entry.answer) != answer_of(entry.name):
            yield f"{entry.name} is {entry.answer} in the journal, not {answer_of(entry.name)}"
    for name, told in _told(evidence):
        if not name:
            yield f"the script was told of {told.name}, which is not in the journal"
        elif list(told.answer) != answer_of(name):
            yield f"the script was told {told.answer} of {name}, not {answer_of(name)}"


def _told(evidence: Evidence) -> Iterator[tuple[str, Told]]:
    """Yield what was told, each with the name of its task."""
    for one in evidence.told:
        yield (evidence.by_serial.get(one.name, "") if one.name[0] == "#" else one.name), one


def _all_answered(evidence: Evidence) -> Iterator[str]:
    """Each task has its answer in the journal, and the last run of the script was told it."""
    known = {entry.name for entry in _answered(evidence.entries)}
    submitted = {entry.name for entry in evidence.entries if entry.what == "submitted"}
    last = max((told.run for told in evidence.told), default=0)
    told = {name for name, one in _told(evidence) if one.run == last}
    wanted = dict.fromkeys(evidence.wanted)
    for name in (*wanted, *sorted(submitted - wanted.keys())):
        if name not in known:
            yield f"{name} has no answer in the journal"
        if name not in told:
            yield f"the script was not told of {name}"


def _told_once(evidence: Evidence) -> Iterator[str]:
    """No run of the script was told of a task twice."""
    for (name, run), times in Counter((name, one.run) for name, one in _told(evidence)).items():
        if times > 1:
            yield f"run {run} of the script was told of {name} {times} times"


def _nothing_missing(evidence: Evidence) -> Iterator[str]:
    """What was told is in the journal, and what once was in it still is."""
    for copy in (*evidence.copies, Copy(float("inf"), evidence.entries)):
        known = {(entry.name, entry.answer) for entry in _answered(copy.entries)}
        for name, told in _told(evidence):
            if told.at < copy.at and (name, told.answer) not in known:
                yield f"the script was told {told.answer} of {name}, {_when(copy)}"
        kept = {entry.name for entry in copy.entries if entry.what == "submitted"}
        taken = max((one.count for one in evidence.taken if one.at < copy.at), default=0)
        if len(kept) < taken:
            yield f"{taken} tasks were taken ({len(kept)} are in the journal), {_when(copy)}"
        if copy.entries != evidence.entries[: len(copy.entries)]:
            lost = set(copy.entries) - set(evidence.entries)
            yield f"the journal has lost {len(lost)} entries of its copy at {copy.at:.3f}"


def _when(copy: Copy) -> str:
    if copy.at == float("inf"):
        return "and the journal does not know that in the end"
    return f"and the journal did not know that at {copy.at:.3f}, when the master was killed"


def _ran_as_handed_out(evidence: Evidence) -> Iterator[str]:
    """What ran had been handed out to that slave."""
    handed = {(one.name, one.slave) for one in evidence.entries if one.what == "handed out"}
    kills = [one.since for one in reasons(evidence) if one.whom == "master"]
    full = [one for one in evidence.troubles if one.kind == "full_disk"]
    for ran in evidence.ran:
        is_late = any(kill - _UNRECORDED_S <= ran.began for kill in kills) or (
            kills != [] and any(one.since - _UNRECORDED_S <= ran.began for one in full)
        )
        if (ran.name, ran.slave) not in handed and not is_late:
            yield f"{ran.name} ran on {ran.slave}, and had not been handed out to it"


def _no_death_without_cause(evidence: Evidence) -> Iterator[str]:
    """What began and did not end was ended by something that was done, or by another attempt."""
    by_name: dict[str, list[Ran]] = defaultdict(list)
    for ran in evidence.ran:
        by_name[ran.name].append(ran)
    for ran in evidence.ran:
        again = Ran(ran.name, ran.slave, ran.pid, float("inf"), None)
        is_cause = (
            any(explains(one, ran, again) for one in reasons(evidence))
            or any(mark in ran.name for mark in ENDS_ITSELF)
            or any(has_second_attempt(ran.name, ran, one) for one in by_name[ran.name])
        )
        if ran.ended is None and not is_cause:
            yield f"{ran.name} began on {ran.slave} at {ran.began:.3f}, and nothing ended it"


_RULES = (
    _answered_once,
    _answered_truly,
    _all_answered,
    _told_once,
    _nothing_missing,
    ran_twice_for_a_reason,
    _ran_as_handed_out,
    _no_death_without_cause,
)
