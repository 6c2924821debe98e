"""What children print, as lines, as pure rules: taken apart, bounded, and kept until delivered.

A line is what is printed up to its end, or a log record. Of one that is rewritten by carriage
returns, as progress bars do, its last state counts.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from masterslave.protocol.verbs import Line
from masterslave.slave.child.frames import BEGIN, CLOSE, LOGGED, SEPARATOR

__all__ = ["Lines", "Said", "Splitter", "Writer"]

MAX_LINE_BYTES = 8 * 1024
"""What a longer line has beyond this is left out, in bytes."""

_MARK_BYTES = 1024

LINES_PER_S, BURST_LINES = 500, 2000
BYTES_PER_S, BURST_BYTES = 128 * 1024, 512 * 1024
"""So much of a slave's output travels to one farm; after a silence, so much at once."""

_SAY_S = 1.0
"""It is said no more often how many lines were left out, in seconds."""


class Writer(NamedTuple):
    """Who has printed something.

    Attributes:
        farm: By the agent's number; -1: that is not known.
        task: Its number at the master; of unknown farms that of the call, by the child's mark.
        item: Of that call.
        kind: As ``Line.kind``, with *level* and *logger*.
    """

    farm: int
    task: int
    item: int = 0
    kind: int = 0
    level: int = 0
    function: str = ""
    logger: str = ""


class Said(NamedTuple):
    """One line and who has printed it."""

    writer: Writer
    text: str


class Splitter:
    """Takes apart what comes from one child."""

    def __init__(self) -> None:
        self.left_out = 0
        """How many lines were passed over since the last ``take_left_out``."""
        self.writer: Writer | None = None
        """Whose line is not complete yet."""
        self._marked: Writer | None = None
        self._last: Writer | None = None
        """Who was marked last."""
        self._rest = b""
        self._begun = bytearray()
        self._cut = 0
        self._found: list[Said] = []

    def feed(self, data: bytes, unmarked: Writer, most: int) -> list[Said]:
        """Return the lines that end in *data*.

        Args:
            data: What has come next.
            unmarked: Who has printed what has no mark.
            most: So many lines at most are wanted; the others are counted.
        """
        data = self._rest + data
        end = _end_of_whole(data)
        data, self._rest = data[:end], data[end:]
        place = 0
        while place < len(data):
            if len(self._found) >= most:
                self._pass_over(data, place)
                break
            begin = data.find(BEGIN, place)
            stop = begin if begin >= 0 else len(data)
            if stop > place:
                writer = self._marked or self._between(data, begin) or unmarked
                self._take(data[place:stop], writer, most)
            if begin < 0:
                break
            close = data.find(CLOSE, begin)
            if close < 0:  # it is none
                place = begin + len(BEGIN)
                continue
            self._turn_to(data[begin + len(BEGIN) : close])
            place = close + len(CLOSE)
        found, self._found = self._found, []
        return found

    def end_line(self) -> list[Said]:
        """Nothing comes to what was begun: it is a line."""
        self._end_begun()
        found, self._found = self._found, []
        return found

    def take_left_out(self) -> int:
        """Return how many lines were passed over."""
        count, self.left_out = self.left_out, 0
        return count

    def _turn_to(self, fields: bytes) -> None:
        if self._marked is not None and self._marked.kind == LOGGED:
            self._end_begun()
        self._marked = _writer_of(fields)
        self._last = self._marked or self._last

    def _between(self, data: bytes, begin: int) -> Writer | None:
        """Return who has printed what has no mark, if the marks around it are of one task."""
        last = self._last
        if last is None or begin < 0:
            return None
        following = _writer_of(data[begin + len(BEGIN) : data.find(CLOSE, begin)])
        if following is None or (following.farm, following.task) != (last.farm, last.task):
            return None
        if self.writer is not None and not self.writer.kind:  # the start of it has come before
            return self.writer
        return last._replace(kind=0, level=0, logger="")

    def _take(self, text: bytes, writer: Writer, most: int) -> None:
        if self.writer is not None and self.writer != writer:
            self._end_begun()
        self.writer = writer
        if writer.kind == LOGGED:
            self._add(text)
            return
        parts = text.split(b"\n", max(most - len(self._found), 0))
        for part in parts[:-1]:
            self._add(part)
            self._end_begun()
            self.writer = writer
        left = parts[-1].count(b"\n")
        if left:
            self.left_out += left
            self.writer = None
        elif parts[-1]:
            self._add(parts[-1])
        elif not self._begun:
            self.writer = None

    def _add(self, text: bytes) -> None:
        begun = self._begun
        begun += text
        if len(begun) > MAX_LINE_BYTES:
            at = begun.rfind(b"\r", 0, len(begun) - 1)
            if at >= 0:
                del begun[: at + 1]
            self._cut += max(len(begun) - MAX_LINE_BYTES, 0)
            del begun[MAX_LINE_BYTES:]

    def _end_begun(self) -> None:
        writer, self.writer = self.writer, None
        if writer is None:
            return
        text = bytes(self._begun).decode(errors="replace")
        if writer.kind != LOGGED:
            text = text.rstrip("\r").rpartition("\r")[2]
        if self._cut:
            text += f" ... ({self._cut} more bytes are left out)"
        self._begun.clear()
        self._cut = 0
        self._found.append(Said(writer, text))

    def _pass_over(self, data: bytes, place: int) -> None:
        self.left_out += data.count(b"\n", place)
        self.writer = None
        self._begun.clear()
        self._cut = 0
        begin = data.rfind(BEGIN, place)
        close = data.find(CLOSE, begin)
        if begin >= 0 and close >= 0:
            self._marked = _writer_of(data[begin + len(BEGIN) : close])
            self._last = self._marked


def _end_of_whole(data: bytes) -> int:
    """Return up to where there is no mark of which the rest is missing."""
    if data.endswith(BEGIN[:1]):
        return len(data) - 1
    begin = data.rfind(BEGIN)
    if begin >= 0 and len(data) - begin < _MARK_BYTES and data.find(CLOSE, begin) < 0:
        return begin
    return len(data)


def _writer_of(mark: bytes) -> Writer | None:
    try:
        farm, task, kind, level, function, logger = mark.split(SEPARATOR)
        return Writer(
            int(farm),
            int(task),
            0,
            int(kind),
            int(level),
            function.decode(errors="replace"),
            logger.decode(errors="replace"),
        )
    except ValueError:  # it is the end of one, or none of ours
        return None


class Lines:
    """Lines of one farm's tasks, which are to be delivered; too many are left out.

    Args:
        is_wanted: Whether the farm wants any.
    """

    def __init__(self) -> None:
        self.is_wanted = True
        self.number = 0
        """Of the last line."""
        self._waiting: deque[Line] = deque()
        self._lines, self._bytes = float(BURST_LINES), float(BURST_BYTES)
        self._since = 0.0
        self._is_over = False
        """Whether lines are left out, until a second's worth may be taken again."""
        self._left_out = 0
        self._said_at = float("-inf")
        self._last: Line | None = None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def room(self, now: float) -> int:
        """Return how many lines more are taken now."""
        self._refill(now)
        return 0 if self._is_over else int(self._lines)

    def add(self, line: Line, now: float) -> bool:
        """Note a line, or that it is left out; returns whether it was taken."""
        self._refill(now)
        self._last = line
        if not self.is_wanted:
            return True
        if self._is_over:
            self._left_out += 1
            return False
        self._say_left_out(now)
        self._lines -= 1
        self._bytes -= len(line.text)
        self._is_over = self._lines < 1 or self._bytes <= 0
        self._append(line)
        return True

    def leave_out(self, count: int) -> None:
        """So many lines were passed over before they could be noted."""
        if self.is_wanted:
            self._left_out += count
            self._is_over = True

    def to_deliver(self, now: float) -> tuple[int, tuple[Line, ...]]:
        """Return lines that are not delivered yet, and the number of the last of them."""
        self._refill(now)
        self._say_left_out(now)
        return self.number, tuple(self._waiting)

    @property
    def has_more(self) -> bool:
        """Whether something is to be said of lines that were left out."""
        return bool(self._left_out)

    def delivered(self, number: int) -> None:
        """The lines up to this number have arrived."""
        while self._waiting and self.number - len(self._waiting) < number:
            self._waiting.popleft()

    def _append(self, line: Line) -> None:
        self._waiting.append(line)
        self.number += 1
        if len(self._waiting) > 2 * BURST_LINES:  # nobody fetches them
            self._waiting.popleft()
            self._left_out += 1

    def _say_left_out(self, now: float) -> None:
        count, last = self._left_out, self._last
        if count and last is not None and now - self._said_at >= _SAY_S:
            self._left_out, self._said_at = 0, now
            text = (
                f"... {count} lines are left out: more than {LINES_PER_S} lines or "
                f"{BYTES_PER_S // 1024} KiB a second; have tasks print less, or write to files"
            )
            self._append(Line(last.task, last.function, 0, 0, "", text))

    def _refill(self, now: float) -> None:
        passed, self._since = now - self._since, now
        self._lines = min(self._lines + passed * LINES_PER_S, BURST_LINES)
        self._bytes = min(self._bytes + passed * BYTES_PER_S, BURST_BYTES)
        if self._lines >= LINES_PER_S and self._bytes >= BYTES_PER_S:
            self._is_over = False
