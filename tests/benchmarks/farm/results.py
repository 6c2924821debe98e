"""What was measured, and the file that keeps it between the runs that make one page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.benchmarks.farm.goals import Line
from tests.benchmarks.farm.measures import Scale

__all__ = ["Plan", "Results", "Table", "keep", "kept"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs have in common whose tables stand on one page."""

    scale: Scale
    systems: list[str]


@dataclass(frozen=True, slots=True)
class Table:
    """What came out of one measure.

    Attributes:
        began: When, to the minute, in UTC.
        machine: Where, and its load when the run began.
    """

    lines: list[Line]
    began: str = ""
    machine: str = ""


Results = dict[str, Table]
"""By the measure's key."""


@dataclass(frozen=True, slots=True)
class _File:
    plan: Plan
    tables: Results = field(default_factory=dict)


def keep(path: Path, plan: Plan, results: Results) -> None:
    """Write what there is so far; whoever reads meanwhile sees all of it, or what was before."""
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(_File(plan, results))))
    part.replace(path)


def kept(path: Path, plan: Plan) -> Results:
    """Return what earlier runs kept; nothing if there is no file.

    Raises:
        ValueError: It is no such file, or of runs that did something else: choose another file.
    """
    if not path.exists():
        return {}
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} holds no results: {error}") from None
    if found.plan != plan:
        raise ValueError(f"{path} holds another repeat, share or choice of systems: {found.plan}")
    return found.tables
