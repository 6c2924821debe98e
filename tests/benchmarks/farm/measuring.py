"""Runs the measures: a fresh process for each repetition, the systems taking turns (A B A B)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.farm.goals import Line
from tests.benchmarks.farm.measures import START, Measure, Scale, told
from tests.benchmarks.farm.process import run_job
from tests.benchmarks.farm.systems import BY_KEY, System, missing
from tests.benchmarks.process import Failed

__all__ = ["measure", "try_out"]

_START_S = 90.0  # of the slowest system, when nothing of it is in the machine's memory


def try_out(systems: Sequence[System], cache: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Start each system once, which also warms the machine's caches; return why some fail."""
    why = {}
    for system in systems:
        say(f"trying out {system.title}")
        why[system.key] = missing(system)
        if not why[system.key]:
            try:
                run_job(system, told(START, system, Scale()), _START_S, cache)
            except Failed as failure:
                why[system.key] = str(failure)
    return why


def measure(
    what: Measure, scale: Scale, why_not: dict[str, str], cache: Path, say: Callable[[str], None]
) -> list[Line]:
    """Return a line for each system of *what* that is a key of *why_not*.

    Args:
        why_not: Why a system cannot be measured; empty text where it can.
        cache: Where bytecode is kept.
    """
    lines = [Line(key, fault=why_not[key]) for key in what.systems if key in why_not]
    for number in range(scale.repeat):
        for line in lines:
            if line.fault:
                continue
            say(f"{what.key}: {BY_KEY[line.system].title}, {number + 1} of {scale.repeat}")
            job = told(what, BY_KEY[line.system], scale)
            line.count = int(str(job["count"]))
            try:
                line.samples[number] = run_job(
                    BY_KEY[line.system], job, _START_S + 3 * what.patience_s, cache
                )
            except Failed as failure:
                line.fault = str(failure)
    return lines
