"""``python -m tests.benchmarks.journal``: what a journal costs a farm, and how fast it is resumed.

Two farms in this process, with two local slaves each and one of them with a journal; they take
turns (A B A B), and the ratio is between neighbours. Then a journal with many finished tasks is
made, and opened in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from masterslave import Farm
from masterslave.journal import Journal, Settled, Submitted
from masterslave.protocol.following import FOLLOW_ID
from masterslave.service.following import FollowDoor
from remoteobj import Daemon
from tests.benchmarks.farm.proc import peak_bytes
from tests.conftest import eventually
from tests.masterslave.standby.two_processes import FileLead

__all__ = [
    "compare",
    "compare_following",
    "make_finished",
    "measure_resume",
    "null_task",
    "short_task",
]

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


def compare_following(fn: Callable[[int], int], count: int, reps: int) -> dict[str, float]:
    """Return tasks/s with a journal that a copy in another process follows, and with one alone."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        paths = [Path(folder) / name for name in ("followed.db", "alone.db", "copy.db", "lead")]
        with (
            Farm("followed", local_slaves=2, output="none", journal=paths[0]) as followed,
            Farm("alone", local_slaves=2, output="none", journal=paths[1]) as alone,
            _copied(followed, paths[2], paths[3]) as in_step,
        ):
            pairs, waits = [], []
            for rep in range(reps + 1):
                numbers = range(rep * count, (rep + 1) * count)
                pairs.append((_rate(followed, fn, numbers), _rate(alone, fn, numbers)))
                assert in_step(), "the copy has not kept pace"
                waits.append((_wait_s(followed, fn, rep), _wait_s(alone, fn, rep)))
    pairs = pairs[1:]
    with_it, without = (median(each) for each in zip(*pairs, strict=True))
    wait_s, alone_s = (median(each) for each in zip(*waits, strict=True))
    ratio = median(one / other for one, other in pairs)
    return {"with": with_it, "without": without, "ratio": ratio, "wait": wait_s, "alone": alone_s}


def _wait_s(farm: Farm, fn: Callable[[int], int], rep: int) -> float:
    """Return how long a task takes that is waited for alone."""
    times = []
    for number in range(50):
        begun = time.perf_counter()
        farm.submit(fn, -50 * rep - number - 1).result()
        times.append(time.perf_counter() - begun)
    return median(times)


@contextlib.contextmanager
def _copied(farm: Farm, path: Path, lead_path: Path) -> Iterator[Callable[[], bool]]:
    """Have a process follow a farm's journal; gives what tells whether it is in step."""
    journal: Journal = farm._journaled.journal  # a script's has no door
    with Daemon() as daemon:
        lead = FileLead(lead_path, str(daemon.uri_of(FOLLOW_ID)))
        lead.write(1, "")
        journal.let_follow(lead)
        daemon.register(FollowDoor(journal.following), FOLLOW_ID)
        daemon.start()
        command = ["-m", "tests.masterslave.standby.two_processes", "copy", path, lead_path]
        command = [sys.executable, *map(str, command), "followed"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as copier:
            eventually(lambda: bool(lead.read()[1]), "the copy is in step", 60.0)
            try:
                yield lambda: bool(lead.read()[1])
            finally:
                copier.terminate()
                journal.following.shut()


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


def _print_following(tasks: int, reps: int) -> None:
    print("| what | followed by a copy | journal alone | ratio |")
    print("| --- | --- | --- | --- |")
    for name, fn, count in (("null", null_task, tasks), ("10 ms", short_task, 400)):
        found = compare_following(fn, count, reps)
        print(f"| {name} tasks/s | {found['with']:,.0f} | {found['without']:,.0f} | "
              f"{found['ratio']:.3g} |")  # fmt: skip
        print(f"| one {name} task alone, ms | {1e3 * found['wait']:.1f} | "
              f"{1e3 * found['alone']:.1f} | |")  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.journal", description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000, help="null tasks, each time")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--following", action="store_true", help="only what a standby costs")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open:
        _open(given.open)
        return
    if given.following:
        _print_following(given.tasks, given.reps)
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
