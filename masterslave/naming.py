"""How farms are named: labels, and the records by which slaves find farms."""

from __future__ import annotations

import re
from dataclasses import dataclass

from masterslave.errors import BadLabel
from nameserver import Record
from remoteobj import URI

__all__ = [
    "PREFIX",
    "SLAVE_PREFIX",
    "FarmRecord",
    "SlaveEntry",
    "check_label",
    "metadata_of",
    "metadata_of_slave",
    "name_of",
    "name_of_slave",
    "read_record",
    "read_slave_record",
]

PREFIX = "masterslave."
SLAVE_PREFIX = "masterslave-slave."
_MOST_OF_NAME = 400
_MOST_DIGITS = 17
ANY_LABEL = "*"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class FarmRecord:
    """A farm, as a name server or this user's directory tells of it.

    Attributes:
        farm: Unique id of this run of the farm.
        script: File name of its script.
        pid: Process id of its script, on ``host``.
        node: The machine that registered it, as a name server says that its certificate said; empty
            where none does.
        farm_id: Of a farm that is kept, the same in each of its runs; empty: it is not kept.
        epoch: Of the master, when it was registered: of two of one farm, the higher one acts.
    """

    label: str
    farm: str
    uri: URI
    host: str
    pid: int
    script: str
    node: str = ""
    farm_id: str = ""
    epoch: int = 0


def check_label(label: str) -> str:
    """Return the label if it is one.

    Raises:
        BadLabel: It has other characters than letters, digits, ``-`` and ``_``.
    """
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise BadLabel(
            f"{label!r} cannot be a farm's label: use 1 to 63 letters, digits, '-' and '_', "
            "such as 'survey-2'"
        )
    return label


def name_of(label: str, farm: str) -> str:
    """Return the name that a farm is registered under."""
    return f"{PREFIX}{label}.{farm}"


def metadata_of(record: FarmRecord) -> frozenset[str]:
    """Return what is told of a farm beside its URI."""
    facts = {f"host={record.host}", f"pid={record.pid}", f"script={record.script}"}
    if record.farm_id:
        facts.add(f"farm-id={record.farm_id}")
    if record.epoch:
        facts.add(f"epoch={record.epoch}")
    return frozenset(facts)


def read_record(record: Record) -> FarmRecord | None:
    """Return the farm that a record tells of, or None if it tells of something else."""
    name = record.name
    if not name.startswith(PREFIX) or name.count(".") != 2:
        return None
    _, label, farm = name.split(".")
    facts = dict(fact.partition("=")[::2] for fact in record.metadata)
    return FarmRecord(
        label=label,
        farm=farm,
        uri=record.uri,
        host=facts.get("host", "?"),
        pid=_number(facts.get("pid", "0")),
        script=facts.get("script", "?"),
        node=getattr(record, "node", None) or "",
        farm_id=facts.get("farm-id", ""),
        epoch=_number(facts.get("epoch", "0")),
    )


def _number(text: str) -> int:
    """Return what a record says; 0 where that is no number, or one that nobody has."""
    is_one = text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS
    return int(text) if is_one else 0


@dataclass(frozen=True, slots=True)
class SlaveEntry:
    """A slave, as this user's directory tells of it.

    Attributes:
        pid: Of its agent, on ``host``.
        uri: Where its user's commands reach it; None where they do not.
    """

    name: str
    host: str
    pid: int
    slots: int
    uri: URI | None = None


def name_of_slave(token: str) -> str:
    """Return the name that a slave is registered under; *token* is its own."""
    return f"{SLAVE_PREFIX}{token}"


def metadata_of_slave(entry: SlaveEntry) -> frozenset[str]:
    """Return what is told of a slave beside its URI."""
    name = entry.name[:_MOST_OF_NAME]
    facts = {"name": name, "host": entry.host, "pid": entry.pid, "slots": entry.slots}
    return frozenset(f"{key}={value}" for key, value in facts.items())


def read_slave_record(record: Record) -> SlaveEntry | None:
    """Return the slave that a record tells of, or None if it tells of something else."""
    if not record.name.startswith(SLAVE_PREFIX):
        return None
    facts = dict(fact.partition("=")[::2] for fact in record.metadata)
    numbers = [facts.get(key, "") for key in ("pid", "slots")]
    pid, slots = (int(text) if text.isdigit() else 0 for text in numbers)
    return SlaveEntry(facts.get("name", "?"), facts.get("host", "?"), pid, slots, record.uri)
