"""What a journal costs: ``python -m tests.masterslave.journal.measure [--tasks N]``.

Null tasks as a master would record them, in turns of 50; then the journal is opened by a process of
its own, whose time and memory are those of a resume.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from masterslave.journal import HandedOut, Journal, Settled, Submitted

_TURN = 50
_VALUE = b"\x00\x2a" * 6


@dataclass(frozen=True)
class Written:
    """What recording has cost, per task: seconds of the recording thread and of all, and bytes."""

    recording_s: float
    cpu_s: float
    size: float


@dataclass(frozen=True)
class Opened:
    """What opening has cost: seconds of the processor, and bytes of memory."""

    seconds: float
    size: int


def write(path: Path, tasks: int) -> Written:
    """Record so many null tasks, and wait until they are on the disk."""
    with Journal.open(path, "survey") as journal:
        cpu, began, first = time.process_time(), time.thread_time(), journal.first_number
        for turn in range(first, first + tasks, _TURN):
            numbers = range(turn, turn + _TURN)
            journal.record(Submitted(turn, 0, os.urandom(16 * _TURN)))
            journal.record(HandedOut(0, tuple((number, 1, 1) for number in numbers)))
            for number in numbers:
                place = journal.keep(_VALUE)
                journal.record(Settled(number, 1, 1, -1, 0, place, 0, 0.0001))
            journal.after(_nothing)
            journal.wait_for_room(None)
        recording_s = time.thread_time() - began
        done = threading.Event()
        journal.after(done.set)
        done.wait()
        cpu_s = time.process_time() - cpu
    return Written(recording_s / tasks, cpu_s / tasks, path.stat().st_size / tasks)


def open_elsewhere(path: Path) -> Opened:
    """Open a journal in a fresh process."""
    said = subprocess.run(
        [sys.executable, "-m", "tests.masterslave.journal.measure", "--open", str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return Opened(float(said[0]), int(said[1]))


def _open(path: Path) -> None:
    before, began = _memory("VmRSS"), time.process_time()
    journal = Journal.open(path, "survey")
    took_s = time.process_time() - began
    print(took_s, _memory("VmHWM") - before)
    journal.close()


def _memory(what: str) -> int:
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


def _nothing() -> None:
    pass


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--open", type=Path)
    arguments = parser.parse_args()
    if arguments.open:
        _open(arguments.open)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "survey.db")
        written = write(path, arguments.tasks)
        print(
            f"{arguments.tasks:,} null tasks: recorded in {written.recording_s * 1e6:.2f} us each, "
            f"{written.cpu_s * 1e6:.2f} us with writing; {written.size:.0f} bytes each"
        )
        opened = open_elsewhere(path)
        print(f"opened in {opened.seconds:.1f} s, with {opened.size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
