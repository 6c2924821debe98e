"""The process of one server: ``serve.py SYSTEM FAMILY CORE`` prints its address and serves.

It ends when its standard input does. CORE is the one it runs on, or ``free``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.peers import RAW, SYSTEMS, TLS

__all__ = ["main", "pin", "raise_file_limit"]


def pin(core: str) -> None:
    """Keep this process, and the threads it starts from now on, on one core."""
    if core != "free":
        os.sched_setaffinity(0, {int(core)})


def raise_file_limit() -> None:
    """Allow as many open files as this user may have."""
    with contextlib.suppress(ImportError):  # Windows has no such limit
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(name: str, family: str, core: str) -> None:
    pin(core)
    raise_file_limit()
    system = next(system for system in (RAW, *SYSTEMS, *TLS) if system.name == name)
    with (
        tempfile.TemporaryDirectory(prefix="b-") as folder,
        system.serve(family, Path(folder)) as address,
    ):
        print(address, flush=True)
        sys.stdin.read()
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # servers may have threads that do not end
