"""What children print, taken apart into lines and bounded: the rules, without a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.protocol.verbs import Line
from masterslave.slave.child.frames import BEGIN, CLOSE, LOGGED, SEPARATOR, STDERR, STDOUT
from masterslave.slave.lines import (
    BURST_BYTES,
    BURST_LINES,
    BYTES_PER_S,
    LINES_PER_S,
    MAX_LINE_BYTES,
    Lines,
    Said,
    Splitter,
    Writer,
)
from masterslave.slave.output import Output

UNMARKED = Writer(-1, 7, 0)
END = BEGIN + CLOSE
MANY = 10**6


def mark(task: int, kind: int = STDOUT, level: int = 0, logger: bytes = b"") -> bytes:
    fields = [b"1", b"%d" % task, b"%d" % kind, b"%d" % level, b"f", logger]
    return BEGIN + SEPARATOR.join(fields) + CLOSE


def texts(found: list[Said]) -> list[str]:
    return [said.text for said in found]


def split(*chunks: bytes) -> list[tuple[int, int, str]]:
    splitter, found = Splitter(), []
    for chunk in chunks:
        found += splitter.feed(chunk, UNMARKED, MANY)
    found += splitter.end_line()
    assert not splitter.take_left_out()
    return [
        (said.writer.task if said.writer.kind else 0, said.writer.kind, said.text) for said in found
    ]


STREAM = (
    mark(1) + b"one\npart" + END + b"from C\n" + mark(1) + b"ial\n" + END
    + mark(2, STDERR) + b"10%\r20%\r30%\r\n" + END
    + mark(3, LOGGED, 30, b"lib") + b"a record\nof two lines" + END
    + b"\xff\x00\n\x1e\n\n" + mark(4) + "grün".encode() + END
)  # fmt: skip

PARTED = [
    (1, STDOUT, "one"),
    (1, STDOUT, "part"),
    (0, 0, "from C"),
    (1, STDOUT, "ial"),
    (2, STDERR, "30%"),
    (3, LOGGED, "a record\nof two lines"),
    (0, 0, "\ufffd\x00"),
    (0, 0, "\x1e"),
    (0, 0, ""),
    (4, STDOUT, "grün"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_the_same_lines_come_of_any_pieces(cuts: list[int]) -> None:
    pieces = [STREAM[start:end] for start, end in pairwise([0, *cuts, len(STREAM)])]
    assert split(*pieces) == PARTED


def test_they_come_of_single_bytes_too() -> None:
    assert split(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == PARTED


def test_what_has_no_mark_is_of_the_task_around_it_or_of_the_one_that_runs() -> None:
    splitter = Splitter()
    first, second = mark(1) + b"one\n" + END, mark(2) + b"two\n" + END
    found = splitter.feed(first + b"a\n" + first + b"b\n" + second + b"c\n", UNMARKED, MANY)
    assert [(said.writer.task, said.text) for said in found] == [
        (1, "one"),
        (1, "a"),
        (1, "one"),
        (7, "b"),
        (2, "two"),
        (7, "c"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are read otherwise there")
def test_what_has_no_mark_is_of_its_task_also_if_that_has_ended_meanwhile() -> None:
    def runs_now() -> tuple[int, int]:
        """The task goes on, and the next one begins, before the reader is given the processor."""
        if rest:
            os.write(pipe, rest.pop())
        return 8, 0

    found: list[Said] = []
    rest = [mark(1) + b"at its end\n" + END]
    ours, pipe = os.pipe()
    os.write(pipe, mark(1) + b"marked\n" + END + b"from C\n")
    read_to_the_end(found, runs_now, ours, pipe)
    assert [(said.writer.task, said.text) for said in found] == [
        (1, "marked"),
        (1, "from C"),
        (1, "at its end"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are read otherwise there")
def test_what_has_no_mark_is_of_its_task_also_if_that_has_begun_meanwhile() -> None:
    def runs_now() -> tuple[int, int]:
        """The next task begins after the reader has looked which one runs."""
        if not rest:
            return 7, 0
        os.write(pipe, rest.pop())
        return 6, 0

    found: list[Said] = []
    rest = [b"from C\n"]
    ours, pipe = os.pipe()
    read_to_the_end(found, runs_now, ours, pipe)
    assert [(said.writer.task, said.text) for said in found] == [(7, "from C")]


def read_to_the_end(
    found: list[Said], runs_now: Callable[[], tuple[int, int]], ours: int, pipe: int
) -> None:
    def take(lines: list[Said], left_out: int) -> int:
        found.extend(lines)
        return MANY

    output = Output(os.fdopen(ours, "rb", 0), runs_now, take)
    output.catch_up([])
    os.close(pipe)
    output.wait(60)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([BEGIN, CLOSE, END, b"\n", b"\r"])))
def test_anything_is_taken(chunks: list[bytes]) -> None:
    splitter = Splitter()
    for chunk in chunks:
        splitter.feed(chunk, UNMARKED, 3)
    splitter.end_line()


def test_a_mark_that_never_ends_is_text() -> None:
    splitter = Splitter()
    found = splitter.feed(BEGIN + b"x" * 5000 + b"\n", UNMARKED, MANY)
    assert texts(found) == ["x" * 5000]


def test_of_a_long_line_the_start_is_kept() -> None:
    splitter = Splitter()
    for _ in range(100):
        assert splitter.feed(b"x" * 10_000, UNMARKED, MANY) == []
    (said,) = splitter.feed(b"\n", UNMARKED, MANY)
    assert said.text.startswith("x" * MAX_LINE_BYTES + " ... (")
    assert f"{100 * 10_000 - MAX_LINE_BYTES} more bytes" in said.text
    assert texts(splitter.feed(b"short\n", UNMARKED, MANY)) == ["short"]


def test_a_bar_that_is_rewritten_for_ever_takes_no_memory() -> None:
    splitter = Splitter()
    for number in range(10_000):
        assert splitter.feed(b"\r%d of many" % number, UNMARKED, MANY) == []
    assert texts(splitter.end_line()) == ["9999 of many"]


def test_what_is_too_much_is_counted_and_the_task_stays_known() -> None:
    splitter = Splitter()
    lines = b"".join(mark(task) + b"%d\n" % task + END for task in range(100))
    found = splitter.feed(lines + mark(100) + b"x", UNMARKED, 10)
    assert texts(found) == [str(task) for task in range(10)]
    assert splitter.take_left_out() == 90
    (said,) = splitter.feed(b"goes on\n", UNMARKED, 10)
    assert (said.writer.task, said.text) == (100, "goes on")
    assert texts(splitter.feed(END + b"1\n2\n3\n4\n", UNMARKED, 2)) == ["1", "2"]
    assert splitter.take_left_out() == 2


def printed(text: str = "text") -> Line:
    return Line(1, "f", STDOUT, 0, "", text)


def taken(lines: Lines, count: int, now: float, text: str = "text") -> int:
    return sum(lines.add(printed(text), now) for _ in range(count))


def test_so_many_lines_a_second_are_taken() -> None:
    lines = Lines()
    assert taken(lines, 10 * BURST_LINES, 100.0) == BURST_LINES
    assert lines.room(100.5) == 0, "until there is a second's worth"
    assert taken(lines, 10 * BURST_LINES, 101.0) == LINES_PER_S
    assert taken(lines, 10 * BURST_LINES, 1000.0) == BURST_LINES


def test_so_many_bytes_a_second_are_taken() -> None:
    lines, text = Lines(), "x" * 1024
    assert taken(lines, 10 * BURST_LINES, 100.0, text) == BURST_BYTES // 1024
    assert taken(lines, 10 * BURST_LINES, 101.0, text) == BYTES_PER_S // 1024


def test_how_many_were_left_out_is_said_once_a_second() -> None:
    lines = Lines()
    taken(lines, BURST_LINES + 5, 100.0)
    lines.leave_out(7)
    number, told = lines.to_deliver(100.0)
    assert number == len(told) == BURST_LINES + 1
    assert told[-1].text.startswith("... 12 lines are left out: ")
    taken(lines, 3, 100.1)
    lines.delivered(number)
    assert lines.to_deliver(100.2) == (number, ())
    assert lines.has_more
    (told_then,) = lines.to_deliver(101.5)[1]
    assert told_then.text.startswith("... 3 lines are left out: ")
    assert not lines.has_more


def test_lines_are_delivered_again_until_they_have_arrived() -> None:
    lines = Lines()
    taken(lines, 2, 100.0)
    number, told = lines.to_deliver(100.0)
    taken(lines, 1, 100.0, "later")
    assert lines.to_deliver(100.0)[1][:2] == told
    lines.delivered(number)
    assert [line.text for line in lines.to_deliver(100.0)[1]] == ["later"]


def test_lines_that_nobody_fetches_take_no_memory() -> None:
    lines = Lines()
    for second in range(100):
        taken(lines, LINES_PER_S, 100.0 + second)
    assert len(lines.to_deliver(200.0)[1]) <= 2 * BURST_LINES + 1


def test_a_farm_that_wants_none_is_told_nothing() -> None:
    lines = Lines()
    lines.is_wanted = False
    taken(lines, BURST_LINES + 5, 100.0)
    lines.leave_out(1)
    assert lines.to_deliver(100.0) == (0, ())
