"""Reads what a child prints; a thread for each.

A child that prints more than is taken waits in its ``print``, so it neither fills memory nor keeps
its agent from the others. Before an agent tells of a task's end it reads what is in the pipe.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterable
from typing import BinaryIO

from masterslave.protocol.outcomes import PART, PROGRESS, Outcome
from masterslave.slave.child.frames import BEGIN, CLOSE, SEPARATOR
from masterslave.slave.lines import BURST_LINES, Said, Splitter, Writer

__all__ = ["Output", "show"]

_READ_BYTES = 64 * 1024
_CATCH_UP_BYTES = 1024 * 1024
_KEPT_BYTES = 4096
_SILENCE_S = 0.5
"""What is printed without an end of line is shown after so long."""
_PAUSE_S = 0.01
_GOES_ON = (PART, PROGRESS)
_MARK = re.compile(re.escape(BEGIN) + b"[^%b]*%b" % (CLOSE, CLOSE))


class Output:
    """What one child prints.

    Args:
        pipe: Where it comes from; it is closed here.
        runs_now: Returns the number of the call that runs, and the item of it.
        on_lines: Called with lines, and how many were passed over before them; returns how many
            more it takes.
    """

    def __init__(
        self,
        pipe: BinaryIO,
        runs_now: Callable[[], tuple[int, int]],
        on_lines: Callable[[list[Said], int], int],
    ) -> None:
        self._pipe, self._runs_now, self._on_lines = pipe, runs_now, on_lines
        self._room = BURST_LINES
        self._lock = threading.Lock()
        self._splitter = Splitter()
        self._kept = bytearray()
        self._has_ended = False
        self._can_poll = sys.platform != "win32"
        if self._can_poll:
            os.set_blocking(pipe.fileno(), False)
        self._thread = threading.Thread(target=self._read_on, name="output", daemon=True)
        self._thread.start()

    def last_of(self, task: int) -> str:
        """Return the last that was printed, without what was by another task before; -1: by any."""
        kept = bytes(self._kept)
        start, is_others = 0, False
        for mark in _MARK.finditer(kept) if task >= 0 else ():
            fields = mark[0].split(SEPARATOR)
            is_end = len(fields) == 1
            if is_others and is_end:
                start = mark.end()
            is_others = not is_end and fields[1] != b"%d" % task
            if is_others:
                start = len(kept)
        text = _MARK.sub(b"", kept[start:])
        return text[-_KEPT_BYTES:].decode(errors="replace").strip()

    def catch_up(self, outcomes: Iterable[Outcome]) -> None:
        """Read what is in the pipe before something is said of these. Does not wait."""
        with self._lock:
            if self._can_poll:
                left = _CATCH_UP_BYTES
                while left > 0 and (read := self._read()):
                    left -= read
            writer = self._splitter.writer
            if writer is not None and _has_ended(writer, outcomes):
                self._tell(self._splitter.end_line())

    def wait(self, timeout_s: float) -> None:
        """The child has ended: wait for its last words."""
        self._thread.join(timeout_s)  # what it has left in a session of its own may print on
        with self._lock:
            self._tell(self._splitter.end_line())
            self._runs_now = lambda: (-1, -1)  # the mark is closed

    def _read_on(self) -> None:
        tick = threading.Event()
        while not self._has_ended:
            if self._can_poll:
                self._wait()
                with self._lock:
                    self._read()
            else:
                data = self._pipe.read(_READ_BYTES)
                with self._lock:
                    self._has_ended = not data
                    self._take(data, self._runs_now())
            if self._room < 1:
                tick.wait(_PAUSE_S)
        self._pipe.close()

    def _wait(self) -> None:
        """Wait until something comes; a line that was begun is one after a while."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        while not poll.poll(_SILENCE_S * 1000 if self._splitter.writer is not None else None):
            with self._lock:
                self._tell(self._splitter.end_line())

    def _read(self) -> int:
        """Read some of what there is; returns how many bytes. The lock is held."""
        data = b""
        while not self._has_ended and len(data) < _READ_BYTES:
            runs = self._runs_now()  # first: if nothing more has come then, it has printed the last
            more = self._pipe.read(_READ_BYTES)
            if more is None:
                break
            self._has_ended = not more
            data += more
        if data:
            self._take(data, runs)
        return len(data)

    def _take(self, data: bytes, runs: tuple[int, int]) -> None:
        self._kept += data[-2 * _KEPT_BYTES :]
        del self._kept[: -2 * _KEPT_BYTES]
        number, item = runs
        self._tell(self._splitter.feed(data, Writer(-1, number, item), max(self._room, 1)))

    def _tell(self, found: list[Said]) -> None:
        left_out = self._splitter.take_left_out()
        if found or left_out:
            self._room = self._on_lines(found, left_out)


def _has_ended(writer: Writer, outcomes: Iterable[Outcome]) -> bool:
    if writer.farm < 0:
        return True
    return any(
        one.task <= writer.task < one.task + one.count and one.kind not in _GOES_ON
        for one in outcomes
    )


def show(lines: Iterable[str]) -> None:
    """Print lines on this process's standard error."""
    rest = memoryview("".join(f"{line}\n" for line in lines).encode(errors="replace"))
    with contextlib.suppress(OSError, ValueError):
        while rest:
            rest = rest[os.write(2, rest) :]
