"""The page: goals met and missed, a table for each measure, and a plot."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.goals import CHANGED, GOALS, MEASURES, Goal, Line, Measure, Scale
from tests.benchmarks.peers import RAW, REMOTEOBJ, SYSTEMS

__all__ = ["Results", "draw", "number", "page", "table", "tables", "this_machine"]

Results = dict[str, list[Line]]
_PLOT = "performance-rpc.svg"
_HOW = """\
Each server runs in a process of its own, on loopback. Each repetition is a fresh client process,
the systems taking turns (A B A B); numbers are medians of {reps}, and `from - to` is the range of
the ratio. A client plays ping-pong of 64 bytes with a raw socket immediately before and after, and
the ratio is to that neighbour, because machines like this one change their speed from minute to
minute: trust ratios within one run, and read small differences as ties. Where a wake-up across
cores costs more than the software, two processes on one core show what the software costs. The raw
line of large payloads stores and forwards: its server reads all of a payload into fresh memory
before it answers, so a system that copies less may beat it. MB/s count both ways. Where a system
carries bytes only, records and arrays are packed by hand."""


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells
    )


def _facts(line: Line) -> str:
    return ", ".join(f"{number(value)} {name}" for name, value in line.facts.items())


def _range(line: Line) -> str:
    if line.low is None or line.high is None:
        return ""
    return f"{number(line.low)} - {number(line.high)}"


def _measure_table(what: Measure, lines: list[Line]) -> str:
    if what.kind in {"idle", "later"}:
        rows = [[line.system, _facts(line) or "-", line.note] for line in lines]
        return table(["system", "the server held", ""], rows)
    kind = "time" if what.kind == "echo" else "rate"
    rows = [
        [line.system, number(line.value), number(line.ratio), _range(line), line.note]
        for line in lines
    ]
    head = ["system", what.unit, f"{kind} / {what.ratio_to}", "from - to", ""]
    return table(head, rows)


def _verdict(goal: Goal, lines: list[Line]) -> list[str]:
    reached = goal.reached(lines)
    if reached is None:
        return [goal.says, f"{goal.sign} {goal.bound:g}", "-", "missed: no number, see below"]
    own = next(line for line in lines if line.system == goal.system)
    changed = [note for note in own.note.split("; ") if note == CHANGED]
    verdict = "met" if goal.is_met_by(reached) and not changed else ": ".join(["missed", *changed])
    size = own.facts.get("MiB")
    of_size = f" at {size:g} MiB" if size else ""
    return [goal.says, f"{goal.sign} {goal.bound:g}", number(reached) + of_size, verdict]


def tables(results: Results) -> str:
    """Return the goals and every table that was measured, as markdown."""
    goals = [_verdict(goal, results[goal.measure]) for goal in GOALS if goal.measure in results]
    parts = ["## Goals", table(["goal", "must be", "measured", ""], goals)]
    for what in MEASURES:
        if what.key in results:
            parts += [f"## {what.title}", _measure_table(what, results[what.key])]
    return "\n\n".join(parts) + "\n"


def _versions() -> str:
    found = {}
    for name in [*(system.distribution for system in SYSTEMS), "msgpack", "numpy"]:
        if name:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = "not installed"
    return ", ".join(f"{name} {version}" for name, version in found.items())


def this_machine() -> str:
    """Return what there is to say of it, with its load right now."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    load = f", load {os.getloadavg()[0]:.1f} when it began" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs{load}; {python}"


def page(results: Results, scale: Scale, plot: Path | None, machine: str) -> str:
    """Return docs/performance.md; *machine* is where it was measured."""
    now = datetime.now(UTC)
    picture = (
        f"![time of a null call and rates, against the raw socket]({plot.name})" if plot else ""
    )
    return "\n\n".join(
        part
        for part in [
            "# How fast remote calls are",
            "Written by `make bench-rpc` (`tests/benchmarks/`); nothing here is written by hand.",
            f"* {now:%Y-%m-%d}, {machine}\n* {_versions()}",
            _HOW.format(reps=scale.reps),
            picture,
            tables(results),
        ]
        if part
    )


def draw(results: Results, folder: Path) -> Path | None:
    """Draw the ratios into *folder*; return the file, or None if nothing can be drawn."""
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "remoteobj"
    from matplotlib import pyplot as plt

    shown = [what for what in MEASURES if any(line.ratio for line in results.get(what.key, []))]
    if not shown:
        return None
    figure, places = plt.subplots(
        (len(shown) + 1) // 2, 2, figsize=(11, 2.4 * ((len(shown) + 1) // 2)), squeeze=False
    )
    for place in places.flat[len(shown) :]:
        place.set_visible(False)
    for place, what in zip(places.flat, shown, strict=False):
        lines = [line for line in reversed(results[what.key]) if line.ratio]
        colours = ["#d95f02" if line.system == REMOTEOBJ.name else "#7a8ca0" for line in lines]
        place.barh([line.system for line in lines], [line.ratio for line in lines], color=colours)
        place.set_title(what.title, fontsize=8)
        kind = "time" if what.kind == "echo" else "rate"
        place.set_xlabel(f"{kind} / {what.ratio_to}", fontsize=8)
        place.set_xscale("log")
        place.tick_params(labelsize=7)
        place.axvline(1.0, color="black", linewidth=0.8)
        for goal in GOALS:
            if (
                goal.measure == what.key
                and goal.fact == "ratio"
                and goal.against in {"", what.ratio_to}
            ):
                place.axvline(goal.bound, color="#1b9e77", linestyle="--", linewidth=1.2)
    figure.suptitle(f"black: {RAW.name} (or the system named); green: remoteobj's goal", fontsize=9)
    figure.tight_layout()
    path = folder / _PLOT
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
