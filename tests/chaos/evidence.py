"""What is left of a run: what the journal says, what the script was told, what ran, what was done.

Nothing here judges; ``checker`` does, and opens no file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from masterslave import FarmSettings
from masterslave.farm.recorded import items_in
from masterslave.journal.facts import (
    KEY_BYTES,
    RUN_BITS,
    Ended,
    Fact,
    HandedOut,
    Lost,
    RunBegan,
    Settled,
    SlaveKnown,
    Submitted,
)
from masterslave.journal.journal import Journal
from masterslave.journal.keys import explicit_key
from masterslave.journal.reading import JournalReader
from masterslave.journal.tickets import key_of
from masterslave.packed import unpack_value
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, Raised
from tests.chaos.script import SETTINGS, WITHOUT_TEXT, Answer, names_of

__all__ = [
    "Copy",
    "Entry",
    "Evidence",
    "Ran",
    "Taken",
    "Told",
    "Trouble",
    "read_evidence",
    "read_journal",
]

_MOST_ROUNDS, _MOST_HOGS = 400, 60
_ENDS: dict[str, Answer] = {
    "given up": ["TaskLost", ""],
    "predecessor failed": ["DependencyFailed", ""],
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal says of one task.

    Attributes:
        what: "begun" (a run, of no task), "submitted", "handed out", "answered" or "lost".
        name: Of the task; empty where its key is none of the script's.
    """

    what: str
    run: int
    number: int = -1
    name: str = ""
    slave: str = ""
    attempt: int = 0
    answer: tuple[str, ...] = ()
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that the script was given in one of its runs.

    Attributes:
        name: Of the task; "#7" where it is the one with serial 7 of a ticket that it came back to.
    """

    name: str
    answer: tuple[str, ...]
    run: int
    at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """A service has said that so many tasks of the script are on its disk."""

    count: int
    run: int
    at: float


@dataclass(frozen=True, slots=True)
class Ran:
    """Once that a task ran; *ended* is None if it did not come to its end."""

    name: str
    slave: str
    pid: int
    began: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault that was done to somebody: a slave, "master", "nameserver" or "standby"."""

    kind: str
    whom: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Copy:
    """What the journal said when its master had just been killed."""

    at: float
    entries: tuple[Entry, ...]


@dataclass(slots=True)
class Evidence:
    """All of it.

    Attributes:
        wanted: Tasks that the script has submitted in its last run.
        by_serial: Their names, where the script came back to a ticket: by "#" and serial.
        is_final: What has raised is not run again by a later run: the farm is a service.
        has_standby: There are two who may be the master.
        wait_s: How long a master waits for what slaves have of the one before it.
    """

    wanted: list[str] = field(default_factory=list)
    by_serial: dict[str, str] = field(default_factory=dict)
    is_final: bool = False
    has_standby: bool = False
    wait_s: float = 4.0
    entries: tuple[Entry, ...] = ()
    copies: list[Copy] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)


def read_evidence(
    folder: Path, troubles: list[Trouble], *, is_final: bool, has_standby: bool
) -> Evidence:
    """Read what a run has left in its folder."""
    evidence = Evidence(troubles=troubles, is_final=is_final, has_standby=has_standby)
    evidence.wait_s = (FarmSettings() if is_final else SETTINGS).patience_s
    path, ticket = folder / "disk" / "journal.db", folder / "ticket"
    evidence.entries = read_journal(path)
    other = folder / "disk-of-standby" / "journal.db"
    if other.exists() and (latest := read_journal(other)) and _age(latest) > _age(evidence.entries):
        evidence.entries, path = latest, other
    if ticket.exists():
        evidence.by_serial = _by_serial(path, ticket.read_text())
    for path in sorted(folder.glob("copy-*/journal.db")):
        at = float((path.parent / "at").read_text())
        evidence.copies.append(Copy(at, read_journal(path)))
    for path in sorted(folder.glob("told-*"), key=lambda path: int(path.name[5:])):
        _read_told(path, evidence)
    for path in sorted(folder.glob("ran-*")):
        evidence.ran += _read_ran(path)
    return evidence


def _age(entries: tuple[Entry, ...]) -> tuple[int, int]:
    """Return what the journal of the last master has more of."""
    return max((one.epoch for one in entries), default=0), len(entries)


def _lines(path: Path) -> Iterator[list[Any]]:
    for line in path.read_text().split("\n")[:-1]:
        yield json.loads(line)


def _read_told(path: Path, evidence: Evidence) -> None:
    run, evidence.wanted = int(path.name[5:]), []
    for what, told, at in _lines(path):
        if what == "submits":
            evidence.wanted += told
        elif what == "taken":
            evidence.taken.append(Taken(int(told[0]), run, at))
        else:
            evidence.told.append(Told(what, tuple(told), run, at))


def _read_ran(path: Path) -> list[Ran]:
    slave, begun, ran = path.name[4:], dict[tuple[str, int], float](), list[Ran]()
    for name, what, pid, at in _lines(path):
        before = begun.pop((name, pid), None)
        if what == "ends":
            ran.append(Ran(name, slave, pid, at if before is None else before, at))
            continue
        if before is not None:
            ran.append(Ran(name, slave, pid, before, None))
        begun[name, pid] = at
    return ran + [Ran(name, slave, pid, at, None) for (name, pid), at in begun.items()]


def read_journal(path: Path) -> tuple[Entry, ...]:
    """Return what a journal says, task by task, in its order; nothing where there is none yet."""
    if not path.exists():
        return ()
    with Journal.read_only(path) as reader:
        return tuple(_Entries(reader).all())


_NAMES = {
    explicit_key(name): name
    for name in (
        *(name for round_ in range(_MOST_ROUNDS) for name in names_of(round_)),
        *(f"{number}.hog.0" for number in range(_MOST_HOGS)),
    )
}


class _Entries:
    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._names: dict[int, str] = {}
        self.by_key = dict(_NAMES)
        self._slaves = {-1: ""}

    def all(self) -> Iterator[Entry]:
        for fact in self._reader.facts():
            yield from self._of(fact)

    def _of(self, fact: Fact) -> Iterator[Entry]:
        match fact:
            case RunBegan(run=run, epoch=epoch):
                yield Entry("begun", run, epoch=epoch)
            case SlaveKnown(index=index, name=name):
                self._slaves[index] = name
            case Submitted(first=first, keys=keys):
                for at in range(len(keys) // KEY_BYTES):
                    key = keys[KEY_BYTES * at : KEY_BYTES * (at + 1)]
                    if fact.arguments and key not in self.by_key:
                        self.by_key[key] = _name_in(self._reader.read(fact.arguments[at]))
                    self._names[first + at] = self.by_key.get(key, "")
                    yield self._entry("submitted", first + at)
            case HandedOut(slave=slave, hand_outs=hand_outs):
                for task, attempt, count in hand_outs:
                    for number in range(task, task + count):
                        yield self._entry("handed out", number, slave, attempt)
            case Settled():
                answers = _answers_in(fact, self._reader.read(fact.place))
                for at in range(fact.count):
                    number = fact.task + at
                    yield self._entry("answered", number, fact.slave, fact.attempt, answers[at])
            case Ended(first=first, count=count, why=why):
                for number in range(first, first + count):
                    yield self._entry("answered", number, answer=_ENDS.get(why, [why, ""]))
            case Lost(task=task, attempt=attempt, count=count, slave=slave):
                for number in range(task, task + count):
                    yield self._entry("lost", number, slave, attempt)

    def _entry(
        self, what: str, number: int, slave: int = -1, attempt: int = 0, answer: Sequence[str] = ()
    ) -> Entry:
        name = self._names.get(number, "")
        who = self._slaves.get(slave, "?")
        return Entry(what, number >> RUN_BITS, number, name, who, attempt, tuple(answer))


def _by_serial(path: Path, ticket: str) -> dict[str, str]:
    with Journal.read_only(path) as reader:
        entries = _Entries(reader)
        for _ in entries.all():
            pass
        keys = ((serial, key_of(ticket, serial)) for serial in range(len(entries.by_key)))
        return {f"#{serial}": entries.by_key[key] for serial, key in keys if key in entries.by_key}


def _name_in(arguments: bytes) -> str:
    """Return the name that is a task's first argument, however that is packed."""
    found = re.search(rb"\d+\.[a-z]+\.\d+", arguments)
    return "" if found is None else found[0].decode()


def _answers_in(fact: Settled, payload: bytes) -> list[Answer]:
    """Return the answers of the tasks of a fact."""
    if fact.kind == RAISED:
        return [_said(payload)] * fact.count
    if fact.skip < 0:
        return [["value", repr(unpack_value(payload))]]
    part = slice(fact.skip, fact.skip + fact.count)
    if fact.kind == VALUE:
        return [["value", repr(value)] for value in unpack_value(payload)[part]]
    assert fact.kind == MIXED
    return [
        ["value", repr(unpack_value(one.payload))] if one.kind == VALUE else _said(one.payload)
        for one in (items_in(payload) or ())[part]
    ]


def _said(payload: bytes) -> Answer:
    raised = msgspec.msgpack.decode(payload, type=Raised)
    name = raised.type_name.rpartition(".")[2]
    return [name, "" if name in WITHOUT_TEXT else raised.message]
