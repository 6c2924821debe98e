"""``python -m tests.benchmarks.journal``: what a journal costs a farm, and how fast it is resumed.

Two farms in this process, with two local slaves each and one of them with a journal; they take
turns (A B A B), and the ratio is between neighbours. Then a journal with many finished tasks is
made, and opened in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from masterslave import Farm
from masterslave.journal import Journal, Settled, Submitted
from tests.benchmarks.farm.proc import peak_bytes

__all__ = ["compare", "make_finished", "measure_resume", "null_task", "short_task"]

NULL_GOAL, SHORT_GOAL, RESUME_S, RESUME_BYTES = 0.5, 0.95, 30.0, 1 << 30
_ROW = 100


def null_task(number: int) -> int:
    """Do nothing."""
    return number


def short_task(number: int) -> int:
    """Take 10 ms."""
    time.sleep(0.01)  # what is measured beside: a processor that computes would slow the farm down
    return number


def _rate(farm: Farm, fn: Callable[[int], int], numbers: range) -> float:
    begun = time.perf_counter()
    for future in [farm.submit(fn, number) for number in numbers]:
        future.result()
    return len(numbers) / (time.perf_counter() - begun)


def compare(fn: Callable[[int], int], count: int, reps: int) -> dict[str, float]:
    """Return tasks/s with and without a journal, the ratio of neighbours, and bytes a task."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        path = Path(folder) / "survey.db"
        with (
            Farm("kept", local_slaves=2, output="none", journal=path) as kept,
            Farm("plain", local_slaves=2, output="none") as plain,
        ):
            pairs = []
            for rep in range(reps + 1):
                numbers = range(rep * count, (rep + 1) * count)  # new ones: else they are known
                pairs.append((_rate(kept, fn, numbers), _rate(plain, fn, numbers)))
        size = path.stat().st_size
    pairs = pairs[1:]
    with_it, without = (median(each) for each in zip(*pairs, strict=True))
    return {
        "with": with_it,
        "without": without,
        "ratio": median(one / other for one, other in pairs),
        "bytes": size / (count * (reps + 1)),
    }


def make_finished(path: Path, count: int) -> None:
    """Make a journal with so many finished tasks."""
    with Journal.open(path, "resumed") as journal:
        first = journal.first_number
        for number in range(0, count, _ROW):
            keys = b"".join((at + 1).to_bytes(16, "big") for at in range(number, number + _ROW))
            journal.record(Submitted(first + number, 0, keys))
            for at in range(number, number + _ROW):
                place = journal.keep(b"\x02" + at.to_bytes(8, "big"))
                journal.record(Settled(first + at, 1, 1, -1, 0, place))
            journal.wait_for_room(None)


def measure_resume(path: Path) -> dict[str, Any]:
    """Open a journal in a process of its own; returns seconds, peak memory and results."""
    command = [sys.executable, "-m", "tests.benchmarks.journal", "--open", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _open(path: Path) -> None:
    begun = time.perf_counter()
    with Journal.open(path, "resumed") as journal:
        finished = journal.folded.finished
        seconds = time.perf_counter() - begun
        some = next(iter(finished.values()))
        assert journal.read(some.place)
        found = {"seconds": seconds, "bytes": peak_bytes(), "results": len(finished)}
        print(json.dumps(found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.journal", description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000, help="null tasks, each time")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open:
        _open(given.open)
        return
    null = compare(null_task, given.tasks, given.reps)
    short = compare(short_task, 400, given.reps)
    print("| what | with a journal | without | ratio | must be |")
    print("| --- | --- | --- | --- | --- |")
    for name, found, goal in (
        ("null tasks/s", null, NULL_GOAL),
        ("10 ms tasks/s", short, SHORT_GOAL),
    ):
        ratio = f"{found['ratio']:.3g} | >= {goal}"
        print(f"| {name} | {found['with']:,.0f} | {found['without']:,.0f} | {ratio} |")
    print(f"\njournal: {null['bytes']:.0f} bytes a null task")
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        path = Path(folder) / "finished.db"
        make_finished(path, given.finished)
        found = measure_resume(path)
    print(
        f"opening {found['results']:,} finished tasks: {found['seconds']:.1f} s (< {RESUME_S:g}), "
        f"{found['bytes'] / 2**20:.0f} MiB at most (< {RESUME_BYTES // 2**20})"
    )


if __name__ == "__main__":
    main()
