"""The script of a chaos run, and the answers of its tasks, which are known beforehand.

    python -m tests.chaos.script own|attached FOLDER LABEL [HOST]

It submits rounds of tasks until there is a file "enough" in the folder, and writes down what it was
told, after it was told it: ``told-N``, a line each, on the disk before the next. Tasks write down
in ``ran-SLAVE`` when they begin and when they end. Who is called "3.square.2" is the same task in
each run of the script.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from masterslave import Farm, FarmSettings

__all__ = ["WITHOUT_TEXT", "Answer", "answer_of", "names_of"]

SETTINGS = FarmSettings(heartbeat_s=0.3, silence_s=1.5, patience_s=4.0, keep_s=30.0)
SPAN = 12
_OPEN_ROUNDS = 3
_LEAST_ROUNDS = 3
_ATTEMPTS = 1000
_ATTACH_S = 40.0
_HOG_BYTES = 260 << 20

Answer = list[str]
"""["value", its repr], or [name of the exception's class, its text if that is the task's own]."""


class Refused(Exception):
    """What some tasks have for an answer."""


def note(name: str, what: str) -> None:
    """Write down what becomes of a task, at its slave: one write, which a kill does not undo."""
    line = json.dumps([name, what, os.getpid(), time.monotonic()]) + "\n"
    file = os.open(os.environ["CHAOS_RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def square(name: str, number: int) -> int:
    note(name, "begins")
    time.sleep(0.004 + number % 7 * 0.004)  # so long a task takes
    note(name, "ends")
    return number * number


def long(name: str, number: int) -> int:
    note(name, "begins")
    time.sleep(0.3)  # longer than most of its slaves' troubles
    note(name, "ends")
    return -number


def refuse(name: str, number: int) -> int:
    note(name, "begins")
    note(name, "ends")
    raise Refused(f"{number} is refused")


def add(name: str, one: int, other: int) -> int:
    note(name, "begins")
    note(name, "ends")
    return one + other


def frail(name: str, number: int) -> int:
    """Take its process along twice, and then work."""
    note(name, "begins")
    path = f"{os.environ['CHAOS_FOLDER']}/frail-{name}"
    with open(path, "ab", buffering=0) as file:
        file.write(b".")
        deaths = file.tell()
    if deaths <= 2:
        os.kill(os.getpid(), signal.SIGKILL)
    note(name, "ends")
    return number


def hopeless(name: str, number: int) -> int:
    note(name, "begins")
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def hog(name: str, number: int) -> int:
    """Take more memory than a slot has."""
    note(name, "begins")
    held = bytearray(_HOG_BYTES)
    held[:: 1 << 12] = bytes(len(held[:: 1 << 12]))  # each page is there then
    threading.Event().wait()  # until the slave ends this process
    return number


def item(name: str) -> int:
    note(name, "begins")
    number = sum(name.encode())
    time.sleep(0.002 + number % 5 * 0.002)  # so long an item takes
    note(name, "ends")
    return number


_SQUARES = 10


def names_of(round_: int) -> list[str]:
    """Return what the tasks of a round are called."""
    squares = [f"{round_}.square.{number}" for number in range(_SQUARES)]
    items = [f"{round_}.item.{number}" for number in range(SPAN)]
    ones = [f"{round_}.{kind}.0" for kind in ("long", "refuse", "add", "after")]
    if round_ % 2 == 0:
        ones.append(f"{round_}.frail.0")
    if round_ % 8 == 5:
        ones.append(f"{round_}.hopeless.0")
    return [*squares, *ones, *items]


def number_of(name: str) -> int:
    """Return the argument of a task."""
    round_, _, place = name.split(".")
    return 100 * int(round_) + int(place)


def answer_of(name: str) -> Answer:
    """Return the answer that a task must have."""
    number, kind = number_of(name), name.split(".")[1]
    value = _VALUES.get(kind)
    if value is not None:
        return ["value", repr(value(number))]
    if kind == "item":
        return ["value", repr(sum(name.encode()))]
    return ["Refused", f"{number} is refused"] if kind == "refuse" else [_ERRORS[kind], ""]


_VALUES: dict[str, Callable[[int], int]] = {
    "square": lambda number: number * number,
    "long": lambda number: -number,
    "add": lambda number: number * number + (number + 1) * (number + 1),
    "frail": lambda number: number,
}
_ERRORS = {"after": "DependencyFailed", "hopeless": "TaskLost", "hog": "TaskOutOfMemory"}
WITHOUT_TEXT = frozenset(_ERRORS.values())
"""Exceptions of the farm's own: their text is not looked at."""


class Told:
    """What the script was told, on the disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *lines: list[Any]) -> None:
        """Write lines; where the disk is full, as soon as it is not."""
        text = "".join(json.dumps([*line, time.monotonic()]) + "\n" for line in lines).encode()
        while text:
            with contextlib.suppress(OSError):
                text = text[os.write(self._file, text) :]
                continue
            time.sleep(0.05)  # nobody tells when a disk has room
        os.fsync(self._file)


class Run:
    """One run of the script.

    Args:
        first: The first round that it submits.
        has_keys: Tasks are known by keys in other runs; else by the serials of a ticket.
    """

    def __init__(self, farm: Any, folder: Path, told: Told, *, first: int, has_keys: bool) -> None:
        self._farm = farm
        self._folder = folder
        self._told = told
        self._first = first
        self._has_keys = has_keys
        self._done: SimpleQueue[tuple[str, Answer]] = SimpleQueue()
        self._open: dict[int, int] = {}
        self._hogs = 0 if has_keys else _size(folder / "hogs-submitted")

    def work(self) -> None:
        """Submit rounds, and write down what comes of them, until it is enough."""
        enough, round_ = self._folder / "enough", self._first
        begun = self._folder / "rounds"  # by any run of the script
        least = max(self._first + _LEAST_ROUNDS, _size(begun))
        while round_ < least or not enough.exists():
            if round_ >= _size(begun):
                with begun.open("ab") as file:
                    file.write(b".")
            self._told.write(["submits", names_of(round_)])
            self._submit(round_)
            round_ += 1
            self._obey()
            while len(self._open) >= _OPEN_ROUNDS:
                self._take()
        while self._open:
            self._take()

    def come_back_to(self, futures: Sequence[Future[Any]]) -> None:
        """Wait for tasks of an earlier run, too, which are known by their serials."""
        for serial, future in enumerate(futures):
            self._note(f"#{serial}", future)

    def _obey(self) -> None:
        """Submit what takes too much memory, as often as the run was told to."""
        wanted = _size(self._folder / "hogs")
        while self._hogs < wanted:
            with (self._folder / "hogs-submitted").open("ab") as file:
                file.write(b".")
            self._told.write(["submits", [f"{self._hogs}.hog.0"]])
            self._one(hog, f"{self._hogs}.hog.0")
            self._hogs += 1

    def _submit(self, round_: int) -> None:
        futures = {}
        for name in names_of(round_):
            kind = name.split(".")[1]
            if kind == "add":
                pair = [futures[f"{round_}.square.{place}"] for place in (0, 1)]
                futures[name] = self._one(add, name, *pair)
            elif kind == "after":
                after = futures[f"{round_}.refuse.0"]
                futures[name] = self._one(square, name, after=after)
            elif kind == "hopeless":
                futures[name] = self._one(hopeless, name, max_attempts=2)
            elif kind != "item":
                futures[name] = self._one(_FUNCTIONS[kind], name)
        items = [name for name in names_of(round_) if ".item." in name]
        results = self._view(key=lambda name: name, repeatable=False).map(item, items)
        self._open[round_] += len(items)
        threading.Thread(target=self._follow, args=(items, results), daemon=True).start()

    def _one(self, function: Callable[..., int], name: str, *args: Any, **terms: Any) -> Any:
        view = self._view(key=name, repeatable=".long." in name, **terms)
        future = view.submit(function, name, *(args or (number_of(name),)))
        self._note(name, future)
        return future

    def _view(self, *, key: object, **terms: Any) -> Any:
        if self._has_keys:
            terms["key"] = key
        return self._farm.options(**{"max_attempts": _ATTEMPTS, **terms})

    def _follow(self, items: list[str], results: Iterator[int]) -> None:
        """Take the results of a map, in a thread of its own."""
        for name in items:
            try:
                answer = ["value", repr(next(results))]
            except BaseException as error:  # whatever it is, the run is judged by it
                answer = said_of(error)
            self._done.put((name, answer))

    def _note(self, name: str, future: Future[Any]) -> None:
        round_ = _round_of(name)
        self._open[round_] = self._open.get(round_, 0) + 1
        future.add_done_callback(lambda one: self._done.put((name, said_by(one))))

    def _take(self) -> None:
        """Write down what was told since the last time; wait for one thing at least."""
        lines = []
        while not lines or not self._done.empty():
            name, answer = self._done.get()
            lines.append([name, answer])
            round_ = _round_of(name)
            self._open[round_] -= 1
            if not self._open[round_]:
                del self._open[round_]
        self._told.write(*lines)


_FUNCTIONS: dict[str, Callable[..., int]] = {
    "square": square, "long": long, "refuse": refuse, "frail": frail,
}  # fmt: skip


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _round_of(name: str) -> int:
    """Return the round of a task; -1 of those that are of none."""
    return -1 if ".hog." in name or name.startswith("#") else int(name.split(".", 1)[0])


def said_by(future: Future[Any]) -> Answer:
    """Return the answer that a future has."""
    try:
        return ["value", repr(future.result())]
    except BaseException as error:  # whatever it is, the run is judged by it
        return said_of(error)


def said_of(error: BaseException) -> Answer:
    """Return an exception as an answer."""
    name = type(error).__name__
    return [name, "" if name in WITHOUT_TEXT else str(error)]


def run_own(folder: Path, label: str, told: Told, host: str | None) -> None:
    """Have the tasks done by a farm of the script's own, with a journal."""
    with Farm(
        label, local_slaves=0, journal=folder / "disk" / "journal.db", output="none",
        settings=SETTINGS, host=host,
    ) as farm:  # fmt: skip
        Run(farm, folder, told, first=0, has_keys=True).work()


def run_attached(folder: Path, label: str, told: Told) -> None:
    """Have the tasks done by a farm that runs by itself; come back to a ticket, if there is one."""
    path = folder / "ticket"
    known = path.read_text() if path.exists() else None
    farm = Farm.attach(label, ticket=known, timeout_s=_ATTACH_S)
    told.write(["taken", [str(len(farm.futures))]])
    if not known:
        fresh = path.with_suffix(".new")
        fresh.write_text(farm.ticket)
        fresh.rename(path)
    run = Run(farm, folder, told, first=_size(folder / "rounds"), has_keys=False)
    run.come_back_to(farm.futures)
    over = threading.Event()
    threading.Thread(target=_note_taken, args=(farm, folder, told, over), daemon=True).start()
    run.work()
    over.set()
    farm.detach()
    told.write(["taken", [str(farm.statistics().on_disk)]])


def _note_taken(farm: Any, folder: Path, told: Told, over: threading.Event) -> None:
    """Write down how many tasks are said to be on the disk, whenever these are more."""
    before = 0
    while not over.wait(0.02):
        taken = farm.statistics().on_disk
        if taken > before:
            told.write(["taken", [str(taken)]])
            before = taken


def main(how: str, folder: Path, label: str, host: str | None = None) -> None:
    number = len(list(folder.glob("told-*")))
    told = Told(folder / f"told-{number}")
    if how == "own":
        run_own(folder, label, told, host)
    else:
        run_attached(folder, label, told)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
