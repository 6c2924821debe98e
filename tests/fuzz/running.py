"""Feeds parsers, and sees what came of it: errors, time, memory."""

from __future__ import annotations

import contextlib
import gc
import os
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.parsers import Parser

__all__ = ["Report", "once", "run"]

GROWTH_BYTES = 64 * 1024
"""What one parser may hold more after inputs that it has read before."""

RSS_MIB = 24
_WARM = 0.1
_AGAIN = 150
_AGAIN_S = 0.2
_SOME = 500
_MOST_COMPLAINTS = 20


@dataclass
class Report:
    """What came of it."""

    inputs: int = 0
    seconds: float = 0.0
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    slowest_s: dict[str, float] = field(default_factory=dict)
    grown_bytes: dict[str, int] = field(default_factory=dict)
    rss_mib: tuple[float, float] = (0.0, 0.0)
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{name}: {dict(outcomes.most_common())}, slowest {self.slowest_s[name] * 1e3:.1f} ms, "
            f"grown by {self.grown_bytes[name]} bytes"
            for name, outcomes in self.outcomes.items()
        ]
        before, after = self.rss_mib
        lines.append(
            f"{self.inputs} inputs in {self.seconds:.1f} s; {before:.1f} -> {after:.1f} MiB; "
            + ("\n".join(self.complaints) or "no complaint")
        )
        return "\n".join(lines)


def once(parser: Parser, seed: int, number: int) -> str:
    """Feed one input; returns what came of it. An error that may not come is raised."""
    try:
        parser.feed(Random(f"{seed}/{parser.name}/{number}"))
    except parser.errors as error:
        return type(error).__name__
    return "read"


def run(
    chosen: Sequence[Parser], inputs: int, seed: int, alive: Callable[[], None] = lambda: None
) -> Report:
    """Feed *inputs* in all, shared out among the parsers; *alive* is called all the time."""
    report, started = Report(), time.monotonic()
    whole = sum(each.share for each in chosen)
    counts = {each.name: max(1, inputs * each.share // whole) for each in chosen}
    first = chosen[0].name
    counts[first] += max(0, inputs - sum(counts.values()))
    warm = {name: max(1, int(count * _WARM)) for name, count in counts.items()}
    for parser in chosen:
        _feed(parser, seed, range(warm[parser.name]), report, alive)
    before = _rss_mib()
    for parser in chosen:
        _feed(parser, seed, range(warm[parser.name], counts[parser.name]), report, alive)
    report.rss_mib = before, _rss_mib()
    if report.rss_mib[1] - before > RSS_MIB:
        report.complaints.append(f"{report.rss_mib[1] - before:.0f} MiB more than before")
    for parser in chosen:
        _look_for_growth(parser, seed, min(_AGAIN, counts[parser.name]), report)
    report.seconds = time.monotonic() - started
    return report


def _feed(
    parser: Parser, seed: int, numbers: range, report: Report, alive: Callable[[], None]
) -> None:
    outcomes = report.outcomes.setdefault(parser.name, Counter())
    slowest_s = report.slowest_s.get(parser.name, 0.0)
    for number in numbers:
        if number % _SOME == 0:
            alive()
        begun = time.thread_time()
        try:
            outcomes[once(parser, seed, number)] += 1
        except Exception as error:
            outcomes[f"!{type(error).__name__}"] += 1
            _complain(report, parser, seed, number, traceback.format_exc(limit=-4))
        took_s = time.thread_time() - begun
        if took_s > parser.cpu_s:
            _complain(report, parser, seed, number, f"it took {took_s:.2f} s of the processor")
        slowest_s = max(slowest_s, took_s)
        report.inputs += 1
    report.slowest_s[parser.name] = slowest_s


def _complain(report: Report, parser: Parser, seed: int, number: int, why: str) -> None:
    again = f"python -m tests.fuzz --only '{parser.name}' --seed {seed} --at {number}"
    if len(report.complaints) < _MOST_COMPLAINTS:
        report.complaints.append(f"{again}\n{why}")


def _look_for_growth(parser: Parser, seed: int, count: int, report: Report) -> None:
    """Feed inputs that were fed before, twice: what is held after the second time is kept."""

    def feed(count: int) -> int:
        begun = time.thread_time()
        for number in range(count):
            with contextlib.suppress(Exception):  # it was told already
                once(parser, seed, number)
            if time.thread_time() - begun > _AGAIN_S:
                return number + 1
        return count

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        count = feed(count)
        feed(count)
        before = held()
        feed(count)
        grown = held() - before
    finally:
        tracemalloc.stop()
    report.grown_bytes[parser.name] = grown
    if grown > GROWTH_BYTES:
        report.complaints.append(f"{parser.name}: {grown} bytes more after the same inputs again")


def _rss_mib() -> float:
    gc.collect()
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
    except OSError:  # not on Linux
        return 0.0
