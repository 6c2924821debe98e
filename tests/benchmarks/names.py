"""``python -m tests.benchmarks.names``: what a name server does with many names and watchers.

The server is a process of its own, on loopback. What is compared is measured in turn (A B A B) in
one run, and medians are printed: machines like this one change their speed from minute to minute.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from nameserver import NameServer, NameServerClient, SqliteStorage
from nameserver.book import Book
from nameserver.record import Record, make_record
from remoteobj import InsecureWarning, Proxy

ROOT = Path(__file__).parents[2]
SOME = 100  # names that begin alike


@dataclass(frozen=True, slots=True)
class Line:
    """One figure and what it has to be."""

    says: str
    value: float
    unit: str
    goal: float
    is_least: bool = False

    def __str__(self) -> str:
        is_met = self.value >= self.goal if self.is_least else self.value <= self.goal
        bound = ">=" if self.is_least else "<="
        verdict = "met" if is_met else "MISSED"
        return f"{self.says:58} {self.value:12,.2f} {self.unit:8} {bound} {self.goal:g}  {verdict}"


def records(count: int) -> Iterator[Record]:
    """Make names of rooms, SOME in each, as a lab would have them."""
    for number in range(count):
        room, device = divmod(number, SOME)
        yield make_record(
            f"room{room:04d}.device{device:02d}",
            f"PYRO:obj_{number:032x}@10.1.{room % 250}.{device}:{9000 + device}",
            {f"kind{device % 7}"},
        )


def serve(count: int, store: str | None) -> None:
    """Be a server with many names, and say what they cost."""
    started = time.perf_counter()
    storage = SqliteStorage(store) if store else None
    server = NameServer("127.0.0.1", insecure=True, announce=False, storage=storage)
    began_s = time.perf_counter() - started
    before = _resident_bytes()
    if not store:
        for record in records(count):
            server._book.register(record)
    bytes_each = (_resident_bytes() - before) / max(count, 1)
    with server:
        print(server.address, bytes_each, began_s, flush=True)
        for _ in sys.stdin:
            print(threading.active_count(), _resident_bytes(), flush=True)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@contextmanager
def started(count: int, store: Path | None = None) -> Iterator[tuple[str, float, float]]:
    """Start a server; gives its address, the bytes of a name and the seconds of its start."""
    command = [sys.executable, "-m", "tests.benchmarks.names", "--serve", str(count)]
    with subprocess.Popen(
        command + (["--store", str(store)] if store else []),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            address, bytes_each, began_s = process.stdout.readline().split()
            yield address, float(bytes_each), float(began_s)
        finally:
            process.kill()


def rate(call: Callable[[], Any], seconds: float) -> float:
    """Return how often a call is made in a second."""
    count, begin = 0, time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds:
        for _ in range(10):
            call()
        count += 10
    return count / took


def in_turn(reps: int, seconds: float, *calls: Callable[[], Any]) -> list[float]:
    """Return the median rates of calls that are made in turn."""
    rates = [[rate(call, seconds) for call in calls] for _ in range(reps)]
    return [median(each) for each in zip(*rates, strict=True)]


def measure(count: int, reps: int, seconds: float) -> Iterator[Line]:
    """Measure all; *count* names, *reps* repetitions of so many *seconds*."""
    few = min(1000, count)
    with started(count) as (address, bytes_each, _), started(few) as (small, _, _):
        names = NameServerClient(address, insecure=True, quiet=True)
        few_names = NameServerClient(small, insecure=True, quiet=True)
        ping = Proxy(f"PYRO:Pyro.NameServer@{address}", insecure=True).ping
        name = f"room{count // SOME // 2:04d}.device07"
        null, looked_up = in_turn(reps, seconds, ping, lambda: names.lookup(name))
        yield Line(f"lookups/s of one in {count:,}", looked_up, "/s", 0, is_least=True)
        yield Line("  of the rate of null calls", looked_up / null, "", 0.6, is_least=True)
        prefix = f"room{few // SOME // 2:04d}."
        assert len(names.list(prefix)) == len(few_names.list(prefix)) == SOME
        many, less = in_turn(
            reps, seconds, lambda: names.list(prefix), lambda: few_names.list(prefix)
        )
        yield Line(f"list(prefix=) of {SOME} in {count:,}", 1e3 / many, "ms", 50)
        yield Line(f"  of its time with {few:,} names", less / many, "", 2)
        yield Line("memory for a name", bytes_each / 1024, "KiB", 1.5)
        for client in (names, few_names):
            client.close()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "names"
        with Book("benchmark", SqliteStorage(store)) as book:
            begin = time.perf_counter()
            for record in records(count):
                book.register(record)
            kept = count / (time.perf_counter() - begin)
        yield Line("registrations/s kept by SQLite", kept, "/s", 1000, is_least=True)
        with started(0, store) as (address, _, began_s):
            yield Line(f"start with a SQLite store of {count:,}", began_s, "s", 3)
            with NameServerClient(address, insecure=True, quiet=True) as names:
                assert names.lookup(name).name == name


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.names", description=__doc__)
    parser.add_argument("--names", type=int, default=100_000, help="default %(default)s")
    parser.add_argument("--reps", type=int, default=7, help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=0.5, help="of one repetition")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore", InsecureWarning)
    if options.serve is not None:
        serve(options.serve, options.store)
        return 0
    for line in measure(options.names, options.reps, options.seconds):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
