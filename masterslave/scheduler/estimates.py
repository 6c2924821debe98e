"""How long tasks of a function take, from those that came back.

The *mean*, by which slaves are fed, is exponentially weighted. The *bar*, beyond which a task is
called a straggler, is a high percentile of the last hundred: "The Tail at Scale" (Dean and Barroso,
2013) sends a second request when the first is out for longer than the 95th percentile. Of a
percentile, because what is slow now and then must not raise the bar for what is stuck; of a window,
because what was slow long ago says nothing.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

__all__ = ["WINDOW", "Estimate", "Estimates", "bar_of"]

WINDOW = 100
"""The bar is known from so many hand-outs, the last ones. Of fewer than 20 it is the slowest."""

_PERCENTILE = 95

# The mean of the first ten, then a mean over about the last ten: follows a change within a few.
_WEIGHT_OF_LATEST = 0.1

# A script may make a function for every task.
_MAX_FUNCTIONS = 4096

# What a task costs at least, so that a clock that has not moved does not make it cost nothing.
_SHORTEST_S = 1e-6

_LONGEST_S = 1e9


class Estimate(Struct, gc=False):
    """What is known of a function.

    Attributes:
        mean_s: Of one task or item.
        outcomes: Hand-outs that it is known from.
        latest_s: What the last of them took, per item; the window and at most as many before it.
    """

    mean_s: float
    outcomes: int
    latest_s: array[float]

    def bar_s(self) -> float:
        """Return what a task or item takes that is slow, and no straggler."""
        return bar_of(sorted(self.latest_s[-WINDOW:]))


class Estimates:
    """What is known of the functions that came back last."""

    __slots__ = ("by_function",)

    def __init__(self) -> None:
        self.by_function: OrderedDict[int, Estimate] = OrderedDict()

    def note(self, function: int, seconds: Sequence[float]) -> None:
        """Take in what hand-outs of a function took, per item, in seconds.

        What cannot be a time is passed over, with what came with it: a slave may say anything.
        """
        outcomes, total_s = len(seconds), sum(seconds)
        if not 0.0 <= total_s < _LONGEST_S or min(seconds) < 0.0:
            return
        mean_s = max(total_s / outcomes, _SHORTEST_S)
        known = self.by_function.get(function)
        if known is None:
            latest_s = array("d", seconds[-WINDOW:])
            self.by_function[function] = Estimate(mean_s, outcomes, latest_s)
            if len(self.by_function) > _MAX_FUNCTIONS:
                self.by_function.popitem(last=False)
            return
        known.outcomes += outcomes
        weight = max(1.0 - (1.0 - _WEIGHT_OF_LATEST) ** outcomes, outcomes / known.outcomes)
        known.mean_s += weight * (mean_s - known.mean_s)
        latest_s = known.latest_s
        latest_s.extend(seconds[-WINDOW:])
        if len(latest_s) > 2 * WINDOW:
            del latest_s[:-WINDOW]
        self.by_function.move_to_end(function)


def bar_of(ordered_s: Sequence[float]) -> float:
    """Return the bar of a window: the 95th percentile, rounded up, of times that are sorted."""
    return ordered_s[-(-_PERCENTILE * len(ordered_s) // 100) - 1]
