"""What the farm has to reach."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks.farm.sample import Sample

__all__ = ["GOALS", "OURS", "Goal", "Line"]

OURS = "farm"


@dataclass(slots=True)
class Line:
    """What came out for one system in one measure.

    Attributes:
        count: Tasks that it was given.
        samples: By number of the repetition.
        fault: Why there are no more of them.
    """

    system: str
    count: int = 1
    samples: dict[int, Sample] = field(default_factory=dict)
    fault: str = ""

    def values(self) -> list[float]:
        return [each.value for each in self.samples.values() if each.value is not None]

    def value(self) -> float | None:
        """Return the median."""
        return median(self.values()) if self.values() else None

    def ratios(self, other: Line | None) -> list[float]:
        """Return the ratios to another system, each within one repetition."""
        pairs = [
            (sample.value, other.samples[number].value)
            for number, sample in self.samples.items()
            if other is not None and number in other.samples
        ]
        return [own / its for own, its in pairs if own is not None and its]

    def facts(self) -> dict[str, float]:
        """Return the medians of what else was noted."""
        names = dict.fromkeys(name for each in self.samples.values() for name in each.facts)
        return {
            name: median(each.facts[name] for each in self.samples.values() if name in each.facts)
            for name in names
        }

    def flaw(self) -> str:
        """Return why it does not count; empty if it does."""
        flaws = [each.flaw for each in self.samples.values() if each.flaw]
        if flaws and len(self.samples) > 1:
            flaws[0] += f" ({len(flaws)} of {len(self.samples)} times)"
        return "; ".join([*flaws[:1], *([self.fault] if self.fault else [])])


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise: the farm's median, or the median of its ratios to another system.

    Attributes:
        against: The other system; "" compares the median itself.
        is_of_all: With fewer tasks it says nothing.
    """

    measure: str
    says: str
    sign: str
    bound: float
    against: str = ""
    is_of_all: bool = False

    def reached(self, lines: list[Line]) -> float | None:
        """Return what the farm reached, or None if there is no number."""
        by_key = {line.system: line for line in lines}
        own = by_key.get(OURS)
        if own is None:
            return None
        if not self.against:
            return own.value()
        ratios = own.ratios(by_key.get(self.against))
        return median(ratios) if ratios else None

    def is_met_by(self, number: float) -> bool:
        compare = {"<=": operator.le, ">=": operator.ge, ">": operator.gt}[self.sign]
        return bool(compare(number, self.bound))


GOALS = (
    Goal("submit", "null tasks by submit, rate / ProcessPoolExecutor", ">=", 3.0, "ppe"),
    Goal("submit", "null tasks by submit, rate / multiprocessing.Pool", ">=", 1.2, "pool"),
    Goal("map", "map of null items, rate / ProcessPoolExecutor", ">=", 1.0, "ppe"),
    Goal("efficiency-1ms", "tasks of 1 ms, ideal / actual time", ">=", 0.90),
    Goal("efficiency-1ms", "tasks of 1 ms, efficiency / ProcessPoolExecutor", ">", 1.0, "ppe"),
    Goal("efficiency-10ms", "tasks of 10 ms, ideal / actual time", ">=", 0.97),
    Goal("efficiency-10ms", "tasks of 10 ms, efficiency / ProcessPoolExecutor", ">", 1.0, "ppe"),
    Goal("arrays", "tasks with 1 MiB, rate / ProcessPoolExecutor", ">=", 1.7, "ppe"),
    Goal("memory", "memory of a task in flight, KB", "<=", 1.6),
    Goal("one", "one task at a time, time / ProcessPoolExecutor", "<=", 1.2, "ppe"),
    Goal("computing", "the script computes, ideal / actual time", ">=", 0.90),
    Goal("stream", "1,000,000 items streamed, growth in MB", "<=", 50.0, is_of_all=True),
    Goal("start", "start to first result, time / loky", "<=", 4.0, "loky"),
    Goal("child-killed", "a child killed, s more, nothing lost", "<=", 0.4),
    Goal("agent-killed", "an agent killed, s more, nothing lost, children gone", "<=", 0.7),
    Goal("join", "second slave at 0.7 s of 8 s of work, s in all", "<=", 5.0, is_of_all=True),
    Goal("joined", "registration to first task, s", "<=", 0.3),
)
