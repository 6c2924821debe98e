"""How long tasks of a function take, from those that came back."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

__all__ = ["Estimate", "Estimates"]

# The mean of the first ten, then a mean over about the last ten: follows a change within a few.
_WEIGHT_OF_LATEST = 0.1

# A script may make a function for every task.
_MAX_FUNCTIONS = 4096

# What a task costs at least, so that a clock that has not moved does not make it cost nothing.
_SHORTEST_S = 1e-6


class Estimate(Struct, gc=False):
    """What is known of a function.

    Attributes:
        mean_s: Of one task or item.
        outcomes: Hand-outs that it is known from.
        slowest_s: Of one task or item.
    """

    mean_s: float
    outcomes: int
    slowest_s: float


class Estimates:
    """What is known of the functions that came back last."""

    __slots__ = ("by_function",)

    def __init__(self) -> None:
        self.by_function: OrderedDict[int, Estimate] = OrderedDict()

    def note(self, function: int, outcomes: int, total_s: float, slowest_s: float) -> None:
        """Take in what *outcomes* hand-outs of a function took, per item, in all and at most."""
        mean_s = max(total_s / outcomes, _SHORTEST_S)
        known = self.by_function.get(function)
        if known is None:
            self.by_function[function] = Estimate(mean_s, outcomes, max(slowest_s, mean_s))
            if len(self.by_function) > _MAX_FUNCTIONS:
                self.by_function.popitem(last=False)
            return
        known.outcomes += outcomes
        weight = max(1.0 - (1.0 - _WEIGHT_OF_LATEST) ** outcomes, outcomes / known.outcomes)
        known.mean_s += weight * (mean_s - known.mean_s)
        known.slowest_s = max(known.slowest_s, slowest_s)
        self.by_function.move_to_end(function)
