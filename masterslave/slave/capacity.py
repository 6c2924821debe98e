"""How many CPUs and how much memory a slot has."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

__all__ = ["LEAST_SHARE_BYTES", "bytes_of", "cpu_quota", "thread_limits", "usable_cpus"]

LEAST_SHARE_BYTES = 32 << 20
"""Of memory, for a slot: an interpreter with numpy, which has not begun to work, takes 30 MiB."""

Read = Callable[[str], str | None]
"""Returns what is in a file, or None."""

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def usable_cpus() -> int:
    """Return how many CPUs this process may use: by its affinity, and by its control group."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = cpu_quota(_read)
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def cpu_quota(read: Read) -> float | None:
    """Return how many CPUs' time the control group of this process gets; None: there is no limit.

    Both versions are looked at, and each group above, of which any may have the lowest limit.

    Source: the kernel's admin-guide/cgroup-v2.rst, cpu.max; scheduler/sched-bwc.rst for version 1.
    """
    quotas: list[float] = []
    for line in (read("/proc/self/cgroup") or "").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            quotas += _quotas_2(read, path)
        elif "cpu" in controllers.split(","):
            quotas += _quotas_1(read, controllers, path)
    return min(quotas, default=None)


def _quotas_2(read: Read, path: str) -> Iterator[float]:
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        for group in _upwards(path):
            words = (read(f"{root}{group}/cpu.max") or "").split()
            if len(words) == 2:
                yield from _quota(*words)


def _quotas_1(read: Read, controllers: str, path: str) -> Iterator[float]:
    for mounted in {controllers, "cpu", "cpu,cpuacct"}:
        for group in _upwards(path):  # in a container the path may be the host's: its root is ours
            folder = f"/sys/fs/cgroup/{mounted}{group}"
            quota = read(f"{folder}/cpu.cfs_quota_us")
            period = read(f"{folder}/cpu.cfs_period_us")
            yield from _quota(quota or "", period or "")


def _upwards(path: str) -> Iterator[str]:
    """Yield a group and those above it, as they follow on a folder's name."""
    pure = PurePosixPath("/" + path.strip("/"))
    for group in (pure, *pure.parents):
        yield "" if str(group) == "/" else str(group)


def _quota(quota: str, period: str) -> Iterator[float]:
    try:
        limit_us, period_us = int(quota), int(period)
    except ValueError:  # "max", or no such file
        return
    if limit_us > 0 and period_us > 0:
        yield limit_us / period_us


def thread_limits(threads: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what tells numerical libraries how many threads a process may run.

    What the user has set stays: it is left out.
    """
    count = str(max(1, threads))
    return {name: count for name in _THREADS if name not in environment}


def bytes_of(text: str) -> int:
    """Read a size such as ``4G`` or ``512M``: powers of 1024.

    Raises:
        ValueError: It is none.
    """
    match = _SIZE.fullmatch(text.strip())
    number = float(match[1]) if match else 0.0
    size = int(number * (1 << _UNITS[match[2].upper()])) if match and number < 1e18 else 0
    if size <= 0:
        raise ValueError(f"{text!r} is no size: write 4G or 512M")
    return size


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None
