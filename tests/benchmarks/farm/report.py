"""The tables: goals met and missed, and one for each measure."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from statistics import median

from tests.benchmarks.farm.goals import GOALS, OURS, Goal, Line
from tests.benchmarks.farm.measures import MEASURES, Measure, Scale
from tests.benchmarks.farm.results import Results, Table
from tests.benchmarks.farm.systems import BY_KEY, SYSTEMS
from tests.benchmarks.report import number, table

__all__ = ["goals_part", "measure_part", "page", "section", "tables"]

_BASE = "ppe"
_HOW = """\
Two workers of one slot on this machine, and a script that gives them work: each repetition is a
fresh process of its own, the systems taking turns (A B A B). Numbers are medians of {repeat}; a
ratio is the median of the ratios within one repetition, and `from - to` is their range, because
machines like this one change their speed from minute to minute: trust ratios within one run, and
read small differences as ties. Tasks of some milliseconds burn CPU time of their thread, so what
the script computes counts against the system where there are two cores; *of two cores then* is what
two processes that only compute got just before. Slow systems are given fewer tasks, as noted.
While the script computes, the tasks sleep, as if the workers were on other machines: three
processes that compute cannot all have a core of two. For *in flight*, both workers are held until
all tasks are handed in; the value is the peak until all are answered. Each system is started once
before anything is measured. dispy's tasks last 5 ms longer: it loses sight of shorter ones."""


def _range(ratios: list[float]) -> str:
    return f"{number(min(ratios))} - {number(max(ratios))}" if len(ratios) > 1 else ""


def _facts(line: Line) -> str:
    return ", ".join(f"{number(value)} {name}" for name, value in line.facts().items())


def _note(what: Measure, line: Line) -> str:
    given = "" if line.count >= what.count or not line.samples else f"{line.count:,} tasks"
    return "; ".join(part for part in (given, _facts(line), line.flaw()) if part)


def _measure_table(what: Measure, lines: list[Line]) -> str:
    base = next((line for line in lines if line.system == _BASE), None)
    kind = "more is better" if what.is_rate else "less is better"
    rows = []
    for line in lines:
        ratios = line.ratios(base)
        middle = number(median(ratios) if ratios else None)
        title, note = BY_KEY[line.system].title, _note(what, line)
        rows.append([title, number(line.value()), middle, _range(ratios), note])
    if any(line.ratios(base) for line in lines):
        return table(["system", what.unit, f"/ {BY_KEY[_BASE].title}", "from - to", kind], rows)
    return table(["system", what.unit, kind], [[row[0], row[1], row[4]] for row in rows])


def measure_part(what: Measure, measured: Table) -> str:
    """Return the part of the page of one measure, as markdown."""
    began = [f"Measured {measured.began} UTC."] if measured.began else []
    return "\n\n".join([f"## {what.title}", *began, _measure_table(what, measured.lines)])


def _verdict(goal: Goal, lines: list[Line]) -> list[str]:
    bound = f"{goal.sign} {goal.bound:g}"
    reached = goal.reached(lines)
    own = next(line for line in lines if line.system == OURS)
    if reached is None:
        why = own.flaw() or f"no number of {BY_KEY[goal.against].title}"
        return [goal.says, bound, "-", f"missed: {why}"]
    if own.flaw():
        return [goal.says, bound, number(reached), f"missed: {own.flaw()}"]
    wanted = next(what.count for what in MEASURES if what.key == goal.measure)
    of_less = f", with {own.count:,} tasks" if own.count < wanted else ""
    verdict = "met" if goal.is_met_by(reached) else "missed"
    if goal.is_of_all and of_less:
        verdict = "not judged"
    return [goal.says, bound, number(reached), verdict + of_less]


def goals_part(results: Results) -> str:
    """Return the goals, as the page has them; empty if the farm was not measured."""
    goals = _goals_table(results)
    return f"## Goals\n\n{goals}" if goals else ""


def _goals_table(results: Results) -> str:
    rows = [
        [*_verdict(goal, found.lines), found.began]
        for goal in GOALS
        if (found := results.get(goal.measure)) and any(line.system == OURS for line in found.lines)
    ]
    return table(["goal", "must be", "measured", "", "when, UTC"], rows) if rows else ""


def tables(results: Results) -> str:
    """Return the goals and every table that was measured, as markdown."""
    parts = [measure_part(what, results[what.key]) for what in MEASURES if what.key in results]
    return "\n\n".join(part for part in [goals_part(results), *parts] if part) + "\n"


def _versions() -> str:
    found = []
    for name in [system.distribution for system in SYSTEMS if system.distribution]:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def page(results: Results, scale: Scale, plot: Path | None) -> str:
    """Return docs/performance-farm.md."""
    share = f"; {scale.share:g} of the tasks" if scale.share != 1 else ""
    runs = "\n".join(f"* {run}{share}" for run in _runs(results))
    parts = [
        "# How fast the farm is",
        "Written by `make bench-farm`; nothing here is written by hand.",
        f"{runs}\n* {_versions()}",
        _HOW.format(repeat=scale.repeat),
        _picture(plot),
        tables(results),
    ]
    return "\n\n".join(part for part in parts if part)


def section(results: Results, scale: Scale, plot: Path | None) -> str:
    """Return the farm's part of docs/performance.md."""
    share = f" and {scale.share:g} of the tasks" if scale.share != 1 else ""
    runs = "; ".join(_runs(results))
    parts = [
        "## The farm",
        f"Written by `make bench-farm`: {runs}; medians of {scale.repeat}{share}.",
        "[All tables, and how it is measured](performance-farm.md).",
        _picture(plot),
        _goals_table(results),
    ]
    return "\n\n".join(part for part in parts if part)


def _runs(results: Results) -> list[str]:
    """Return the days and machines of the runs that measured these."""
    days = (f"{each.began.partition(' ')[0]}, {each.machine}" for each in results.values())
    return list(dict.fromkeys(days))


def _picture(plot: Path | None) -> str:
    return f"![the farm beside other systems, and its goals]({plot.name})" if plot else ""
