"""The clock by which a master counts its lease."""

from __future__ import annotations

import time

__all__ = ["awake_or_not"]

_COUNTS_SLEEP = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC_RAW", None))


def awake_or_not() -> float:
    """Return seconds that only grow, also while the machine sleeps.

    A laptop that was closed and opened again must not take its lease for one that runs. On Linux
    ``monotonic`` stands still meanwhile, and CLOCK_BOOTTIME does not; on macOS it is
    CLOCK_MONOTONIC_RAW that does not; on Windows ``monotonic`` counts such time.
    """
    return time.monotonic() if _COUNTS_SLEEP is None else time.clock_gettime(_COUNTS_SLEEP)
