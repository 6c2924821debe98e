"""What tasks print and log reaches the script, marked with slave and task."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm, TaskOutput
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave


class Printed:
    """A farm of one slot, and what its tasks print."""

    def __init__(self) -> None:
        self.lines: list[TaskOutput] = []
        self.farm = Farm("printed", local_slaves=1, output=self.lines.append)

    def of(self, task: int) -> list[str]:
        """What this task has printed, as far as it has come."""
        return [line.text for line in self.lines if line.task == task]


@pytest.fixture
def printed() -> Iterator[Printed]:
    made = Printed()
    with made.farm:
        yield made


def talk(number: int) -> int:
    print("by print", number)
    os.write(1, b"by the system\n")
    print("in ", end="")
    sys.stdout.write("pieces\n")
    print("to stderr", file=sys.stderr)
    subprocess.run(["echo", "by another process"], check=True)
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.flush()
    logging.getLogger("lab.camera").warning("saw %d", number)
    print("10%\r50%\r100%")
    print("without an end", end="")
    return number


TALK = [
    ("by print {}", "stdout"),
    ("by the system", ""),
    ("in pieces", "stdout"),
    ("to stderr", "stderr"),
    ("by another process", ""),
    ("bytes", "stdout"),
    ("saw {}", "log"),
    ("100%", "stdout"),
    ("without an end", "stdout"),
]


def test_all_of_it_comes_in_order_and_before_the_farm_is_closed() -> None:
    lines: list[TaskOutput] = []
    with Farm("talk", local_slaves=2, output=lines.append) as farm:
        assert farm.submit(talk, 100).result() == 100
        assert list(farm.map(talk, range(101, 110))) == list(range(101, 110))
    for task in range(10):
        mine = [line for line in lines if line.task == task]
        wanted = [(text.format(100 + task), stream) for text, stream in TALK]
        assert [(line.text, line.stream) for line in mine] == wanted
        assert {line.function for line in mine} == {"talk"}
        assert len({line.slave for line in mine}) == 1
    assert len(lines) == 10 * len(TALK)


def test_short_tasks_that_come_one_by_one_are_told_apart(printed: Printed) -> None:
    for number in range(60):
        if number % 20:
            printed.farm.submit(abs, number).result()  # which may go through a lane
        else:
            printed.farm.submit(print, "task", number).result()
    list(printed.farm.map(print, range(200)))
    printed.farm.shutdown()
    assert {task: printed.of(task) for task in range(60) if task % 20 == 0} == {
        task: [f"task {task}"] for task in range(0, 60, 20)
    }
    assert [printed.of(60 + number) for number in range(200)] == [[str(n)] for n in range(200)]


def test_it_comes_while_the_task_runs(printed: Printed, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)

    def wait(here: str) -> None:
        print("it waits", end="", flush=True)
        with open(here):  # until somebody opens it to write
            pass

    future = printed.farm.submit(wait, str(go))
    eventually(lambda: printed.of(0) == ["it waits"], "it is told")
    assert not future.done()
    with go.open("w"):
        pass
    future.result()


def test_by_default_it_is_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    def speak() -> None:
        print("red: \x1b[31mred\x1b[0m, but the cursor stays\x1b[2J\x07")
        os.write(2, b"\xff\n")

    with Farm("shown", local_slaves=1) as farm:
        (slave,) = {slave.name for slave in wait_for_slaves(farm)}
        farm.submit(speak).result()
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        f"[{slave} speak#0] red: \x1b[31mred\x1b[0m, but the cursor stays[2J\x1b[0m",
        f"[{slave} speak#0] \ufffd",
    ]


def wait_for_slaves(farm: Farm) -> tuple[object, ...]:
    eventually(lambda: farm.slaves, "a slave is here")
    return farm.slaves


def test_none_of_it_may_be_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    with Farm("silent", local_slaves=1, output="none") as farm:
        farm.submit(talk, 1).result()
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError, match='output is "show", "log", "none" or a function'):
        Farm("wrong", output="loud")


def log_some(number: int) -> None:
    logger = logging.getLogger("lab.camera")
    logger.debug("nobody wants this %d", number)
    logger.info("an object that cannot travel: %s", open(os.devnull))  # noqa: SIM115
    logging.getLogger("lab.fine").debug("wanted there")
    logger.warning("not %d %d", *[number])  # an argument is missing
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("it failed")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_log_records_go_to_the_loggers_of_the_script(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, "lab.fine")
    with Farm("logs", local_slaves=1, output="log") as farm:
        farm.submit(log_some, 5).result()
        farm.submit(print, "printed").result()
    records = [record for record in caplog.records if record.name != "masterslave"]
    texts = [record.getMessage() for record in records]
    assert [(record.name, record.levelname) for record in records] == [
        ("lab.camera", "INFO"),
        ("lab.fine", "DEBUG"),
        ("lab.camera", "WARNING"),
        ("lab.camera", "ERROR"),
        ("masterslave.output", "INFO"),
    ]
    assert "TextIOWrapper" in texts[0]
    assert texts[1] == "wanted there"
    assert "'not %d %d', which cannot be formatted" in texts[2]
    assert re.match(r"it failed\nTraceback .*ValueError: inside$", texts[3], re.DOTALL)
    assert texts[4].endswith(" print#1] printed")
    assert {(record.task, record.function) for record in records[:4]} == {(0, "log_some")}
    assert capfd.readouterr().err == ""


def test_a_task_that_sets_up_logging_has_it_its_way(printed: Printed) -> None:
    def configure() -> None:
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s / %(message)s")
        logging.getLogger("mine").debug("in my format")

    printed.farm.submit(configure).result()
    printed.farm.shutdown()
    assert printed.of(0) == ["DEBUG / in my format"]


def test_what_a_task_sends_elsewhere_has_no_marks(printed: Printed, tmp_path: Path) -> None:
    def redirect(name: str) -> None:
        with open(name, "wb") as file:
            before = os.dup(1)
            os.dup2(file.fileno(), 1)
            print("to the file")
            sys.stdout.flush()
            os.dup2(before, 1)
            os.close(before)
        print("to the script")

    printed.farm.submit(redirect, str(tmp_path / "file")).result()
    printed.farm.shutdown()
    assert (tmp_path / "file").read_bytes() == b"to the file\n"
    assert printed.of(0) == ["to the script"]


@pytest.mark.parametrize("how", ["print", "system", "one line"])
def test_one_that_prints_without_end_does_not_hinder_the_others(how: str) -> None:
    def print_on(how: str) -> None:
        while True:
            if how == "print":
                print("again and again")
            elif how == "system":
                os.write(1, b"again\n" * 1000)
            else:
                os.write(1, b"again " * 1000)

    lines: list[TaskOutput] = []
    with Farm("loud", local_slaves=2, output=lines.append) as farm:
        wait_for_slaves(farm)
        loud = farm.submit(print_on, how)
        start = time.monotonic()
        if how != "one line":
            eventually(lambda: any("are left out" in line.text for line in lines), "it is too much")
        for number in range(100):
            assert farm.submit(abs, number).result() == number
        farm.submit(print, "done").result()
        passed_s = time.monotonic() - start
        loud.cancel()
        farm.submit(print, "after it").result()
    told = [line.text for line in lines]
    assert "done" in told
    assert "after it" in told or how != "one line", "another slave's, or too much was printed"
    assert len(told) < 2100 + 600 * (passed_s + 2)
    assert all(len(text) < 10_000 for text in told)


def test_a_slave_started_by_hand_shows_it_too(
    start_slave: StartSlave, capfd: pytest.CaptureFixture[str]
) -> None:
    with Farm("hand", local_slaves=0) as farm:
        slave = start_slave("hand", "--slots", "1", "--name", "desk")
        farm.submit(print, "hello").result(timeout=30)
        assert slave.stderr is not None
        assert slave.stderr.readline() == "[hand print#0] hello\n"
    assert "[desk print#0] hello\n" in capfd.readouterr().err


def test_a_function_that_fails_at_a_line_is_told_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken: list[str] = []

    def take(line: TaskOutput) -> None:
        taken.append(line.text)
        raise RuntimeError("of the function")

    with Farm("fails", local_slaves=1, output=take) as farm:
        farm.submit(print, "one").result()
        farm.submit(print, "two").result()
    assert taken == ["one", "two"]
    assert caplog.text.count("RuntimeError: of the function") == 2


def test_the_last_words_of_a_task_are_in_its_error_without_marks(printed: Printed) -> None:
    def die() -> None:
        print("last words", flush=True)
        os._exit(3)

    with pytest.raises(Exception, match="exit code 3") as caught:
        printed.farm.options(max_attempts=1).submit(die).result()
    assert "last words" in str(caught.value)
    assert "\x1e" not in str(caught.value)
    printed.farm.shutdown()
    assert printed.of(0) == ["last words"]
