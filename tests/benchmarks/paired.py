"""``python -m tests.benchmarks.paired``: null tasks on a slave over TLS, and over the Unix socket.

Two farms in this process, each with a slave agent of one slot; they take turns (A B A B), and the
ratio is between neighbours.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from masterslave import Farm
from remoteobj import Identity
from tests.benchmarks.farm.tasks import nothing
from tests.benchmarks.sections import with_section
from tests.certificates import Files, make_cluster

__all__ = ["measure"]

GOAL = 0.85


@contextlib.contextmanager
def _name_server(files: Files) -> Iterator[str]:
    """A name server over TLS, by which the slave knows the farm; it is not in the tasks' way."""
    command = [sys.executable, "-m", "nameserver", "run", "--host", "127.0.0.1", "--port", "0"]
    environment = {**os.environ, "REMOTEOBJ_IDENTITY": os.pathsep.join(map(str, files))}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            found = (re.search(r"name server at ([0-9.]+:\d+)", line) for line in lines)
            yield next(match[1] for match in found if match)
        finally:
            process.terminate()


@contextlib.contextmanager
def _farm(label: str, where: dict[str, Any], *options: str) -> Iterator[Farm]:
    with Farm(label, local_slaves=0, **where) as farm:
        slave = ("-m", "masterslave", "slave", label, "--slots", "1")
        process = subprocess.Popen(
            [sys.executable, *slave, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            farm.submit(nothing).result(30)
            yield farm
        finally:
            process.terminate()
            process.wait()


def _rate(farm: Farm, count: int) -> float:
    begun = time.perf_counter()
    for future in [farm.submit(nothing) for _ in range(count)]:
        future.result()
    return count / (time.perf_counter() - begun)


def measure(count: int, reps: int) -> tuple[float, float, float]:
    """Return tasks/s over TLS and over the Unix socket, and the ratio of neighbours: medians."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        files = make_cluster(Path(folder) / "cluster")
        identity = Identity.from_files(*files["master"])
        with contextlib.ExitStack() as stack:
            address = stack.enter_context(_name_server(files["master"]))
            where = {"host": "127.0.0.1", "identity": identity, "nameserver": address}
            options = ("--nameserver", address, "--identity", *map(str, files["slave"]))
            tls = stack.enter_context(_farm("paired", where, *options))
            local = stack.enter_context(_farm("alone", {}, "--local"))
            pairs = [(_rate(tls, count), _rate(local, count)) for _ in range(reps + 1)][1:]
    rates = [median(each) for each in zip(*pairs, strict=True)]
    return rates[0], rates[1], median(one / other for one, other in pairs)


def main() -> None:
    """Print the table, and put it onto the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.paired", description=__doc__)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--reps", type=int, default=7)
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="of performance.md")
    given = parser.parse_args()
    tls, local, ratio = measure(given.tasks, given.reps)
    text = (
        "## Null tasks of a farm, one slave with one slot\n\n"
        f"`python -m tests.benchmarks.paired`: medians of {given.reps} times "
        f"{given.tasks:,} tasks.\n\n"
        "| slave | tasks/s | rate / Unix socket | must be |  |\n| --- | --- | --- | --- | --- |\n"
        f"| over TLS | {tls:,.0f} | {ratio:.3g} | >= {GOAL} | "
        f"{'met' if ratio >= GOAL else 'missed'} |\n"
        f"| over the Unix socket | {local:,.0f} | 1 |  |  |"
    )
    print(text)
    if given.docs:
        page = given.docs / "performance.md"
        page.write_text(
            with_section(page.read_text(encoding="utf-8"), "paired", text), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
