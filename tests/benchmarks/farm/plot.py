"""The picture of the page."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.farm.goals import GOALS, OURS, Line
from tests.benchmarks.farm.measures import MEASURES, Measure
from tests.benchmarks.farm.results import Results
from tests.benchmarks.farm.systems import BY_KEY

__all__ = ["draw"]

_PLOT = "performance-farm.svg"


def _bounds(what: Measure, lines: list[Line]) -> list[float]:
    """Return the goals in the measure's unit."""
    by_key = {line.system: line for line in lines}
    found = []
    for goal in GOALS:
        if goal.measure == what.key:
            other = by_key.get(goal.against)
            values = other.values() if other else []
            if not goal.against:
                found.append(goal.bound)
            elif values:
                found.append(goal.bound * median(values))
    return found


def _draw_one(place: Any, what: Measure, lines: list[Line]) -> None:
    shown = [(line, value) for line in reversed(lines) if (value := line.value()) is not None]
    place.barh(
        [BY_KEY[line.system].title for line, _ in shown],
        [value for _, value in shown],
        color=["#d95f02" if line.system == OURS else "#7a8ca0" for line, _ in shown],
    )
    place.set_title(what.title.partition(";")[0], fontsize=8)
    place.set_xlabel(f"{what.unit} ({'more' if what.is_rate else 'less'} is better)", fontsize=8)
    if what.is_log and all(value > 0 for _, value in shown):
        place.set_xscale("log")
    place.tick_params(labelsize=7)
    place.tick_params(which="minor", labelsize=5)
    for bound in _bounds(what, lines):
        place.axvline(bound, color="#1b9e77", linestyle="--", linewidth=1.2)


def draw(results: Results, folder: Path) -> Path | None:
    """Draw the values into *folder*; return the file, or None if nothing can be drawn."""
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "remoteobj"
    from matplotlib import pyplot as plt

    shown = [
        what
        for what in MEASURES
        if what.key in results and any(line.values() for line in results[what.key].lines)
    ]
    if not shown:
        return None
    rows = (len(shown) + 1) // 2
    figure, places = plt.subplots(rows, 2, figsize=(11, 2.2 * rows), squeeze=False)
    for place in places.flat[len(shown) :]:
        place.set_visible(False)
    for place, what in zip(places.flat, shown, strict=False):
        _draw_one(place, what, results[what.key].lines)
    figure.suptitle("green: what the farm has to reach", fontsize=9)
    figure.tight_layout()
    path = folder / _PLOT
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
