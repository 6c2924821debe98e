"""Two runs of a script with one journal: what the first has done, the second does not do again."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.errors import JournalInUse, JournalUnusable, NotPicklable
from masterslave.journal import Journal, writing
from remoteobj import BadInput
from tests.conftest import eventually

Run = Callable[..., tuple[str, list[str]]]

_HEAD = """
import sys
from masterslave import Farm

journal, notes = sys.argv[1:]

def note(what):
    with open(notes, "a") as file:
        file.write(f"{what}\\n")
"""


@pytest.fixture
def run(tmp_path: Path, start_script: Callable[..., subprocess.Popen[str]]) -> Run:
    """Run a script with a farm; returns what it printed, and what its tasks have noted."""
    path, notes = tmp_path / "script.py", tmp_path / "notes"

    def run_script(functions: str, body: str, *, fails: bool = False) -> tuple[str, list[str]]:
        notes.write_text("")
        block = textwrap.indent(textwrap.dedent(body), "    ")
        path.write_text(
            f"{_HEAD}\n{textwrap.dedent(functions)}\n"
            'with Farm("survey", local_slaves=1, journal=journal) as farm:\n' + block
        )
        process = start_script(str(path), str(tmp_path / "survey.db"), str(notes))
        output, said = process.communicate(timeout=60)
        assert fails or process.returncode == 0, said
        return output, notes.read_text().split()

    return run_script


SQUARE = """
def square(number):
    note(number)
    return number * number
"""


def test_what_was_done_is_not_done_again(run: Run) -> None:
    body = "print([farm.submit(square, number).result() for number in range(5)])"
    assert run(SQUARE, body) == ("[0, 1, 4, 9, 16]\n", list("01234"))
    assert run(SQUARE, body) == ("[0, 1, 4, 9, 16]\n", [])


@pytest.mark.parametrize("is_cached", [False, True])
def test_what_was_done_can_be_asked_for_after_the_end(tmp_path: Path, *, is_cached: bool) -> None:
    path = None if is_cached else tmp_path / "survey.db"
    for _ in range(2):
        with Farm("survey", here=True, journal=path) as farm:
            one = farm.options(cache=True).submit(divmod, 7, 2)
            more = farm.map(abs, [-1, 2], cache=True)
        assert (one.result(), list(more)) == ((3, 1), [1, 2])
    if path is not None:
        with Farm("survey", here=True, journal=path) as farm:
            one = farm.submit(divmod, 7, 2)
        Journal.compact(path, "survey")
        with pytest.raises(NotPicklable, match="written anew, or removed, since its farm"):
            one.result()


def test_new_tasks_run_and_those_of_a_changed_function(run: Run) -> None:
    body = "print([farm.submit(square, number).result() for number in {}])"
    run(SQUARE, body.format("(1, 2)"))
    assert run(SQUARE, body.format("(1, 2, 3)"))[1] == ["3"]
    cube = SQUARE.replace("number * number", "number ** 3")
    assert run(cube, body.format("(1, 2)")) == ("[1, 8]\n", ["1", "2"])


def test_items_of_a_map_and_of_streams_are_known_one_by_one(run: Run) -> None:
    run(SQUARE, "print(list(farm.map(square, range(0, 100, 3))))")
    output, ran = run(SQUARE, "print(sum(farm.map(square, range(100))))")
    assert output == f"{sum(number * number for number in range(100))}\n"
    assert {*map(int, ran)} == {*range(100)} - {*range(0, 100, 3)}
    body = (
        "print(sorted(farm.imap_unordered(square, range(100)))[-1], list(farm.imap(square, [7])))"
    )
    assert run(SQUARE, body) == ("(99, 9801) [49]\n", ["7"])  # the second 7 of this run


def test_equal_tasks_are_as_many_as_they_are(run: Run) -> None:
    draw = "import random\ndef draw():\n    note('drawn')\n    return random.random()\n"
    body = "print([farm.submit(draw).result() for _ in range({})])"
    three = run(draw, body.format(3))[0]
    four, ran = run(draw, body.format(4))
    assert four.startswith(three.strip()[:-1])
    assert ran == ["drawn"]


def test_what_has_raised_runs_again(run: Run) -> None:
    fails = """
    def inverse(number):
        note(number)
        return 1 / number
    """
    body = """
    futures = [farm.submit(inverse, number) for number in (1, 0, 2)]
    print([future.exception() or future.result() for future in futures])
    """
    assert run(fails, body)[0] == "[1.0, ZeroDivisionError('division by zero'), 0.5]\n"
    output, ran = run(fails, body)
    assert (output, ran) == ("[1.0, ZeroDivisionError('division by zero'), 0.5]\n", ["0"])
    assert run(fails, body)[1] == ["0"]


def test_a_key_of_ones_own_stands_for_function_and_arguments(run: Run) -> None:
    body = """
    print(farm.options(key="one").submit(square, {0}).result())
    print(list(farm.options(key=lambda item: item % 10).map(square, [{0}, {0} + 1])))
    """
    run(SQUARE, body.format(11))
    cube = SQUARE.replace("number * number", "number ** 3")
    assert run(cube, body.format(21)) == ("121\n[121, 144]\n", [])


def test_results_that_others_are_given_come_from_the_journal_too(run: Run) -> None:
    body = """
    first = farm.submit(square, 3)
    second = farm.options(after=first).submit(square, {})
    print(farm.submit(square, first).result(), second.result())
    """
    assert run(SQUARE, body.format(4)) == ("81 16\n", ["3", "4", "9"])
    assert run(SQUARE, body.format(5)) == ("81 25\n", ["5"])


POINT = """
import enum

class Point:
    class Shade(enum.Enum):
        DARK = 1

    def __init__(self, x):
        self.x = x

    def twice(self):
        return self.x * 2

def point(x):
    note(x)
    return Point(x)

def shade(number):
    return Point.Shade.DARK
"""


def test_results_of_the_scripts_own_classes_are_rebuilt_by_their_name(run: Run) -> None:
    body = """
    one = farm.options(key=1).submit(point, 3).result()
    (two,) = farm.options(key=lambda _: 2).map(shade, [4])
    print(type(one) is Point, one.x, one.twice(), two is Point.Shade.DARK)
    """
    assert run(POINT, body) == ("True 3 6 True\n", ["3"])
    changed = POINT.replace("note(x)", "note('again')").replace("self.x * 2", "self.x * 3")
    assert run(changed, body) == ("True 3 9 True\n", [])
    body = "print(farm.options(key=1).submit(print).exception())"
    said, ran = run("", body)
    assert "a result of print() cannot be had from the journal: it is of a class Point" in said
    assert ran == []


def test_ctrl_c_keeps_what_was_done(run: Run) -> None:
    body = """
    done = [farm.submit(square, number).result() for number in range(3)]
    raise KeyboardInterrupt
    """
    run(SQUARE, body, fails=True)
    body = "print([farm.submit(square, number).result() for number in range(4)])"
    assert run(SQUARE, body) == ("[0, 1, 4, 9]\n", ["3"])


def _add(a: int, b: int) -> int:
    return a + b


def _draw(bound: int) -> float:
    return random.random() * bound


def test_functions_of_one_name_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "alike.db"
    ten, hundred = [lambda x, by=by: x * by for by in (10, 100)]
    with Farm("alike", here=1, journal=path) as farm:
        futures = [farm.submit(one, 3) for one in (ten, hundred, ten)]
        assert [future.result() for future in futures] == [30, 300, 30]
    with Journal.read_only(path) as reader:
        numbers = sorted(finish.number for finish in reader.folded.finished.values())
        rows = [reader.folded.numbers.find(number) for number in numbers]
        first, second, third = (row[0].function for row in rows if row is not None)
    assert first == third != second


def test_threads_here_keep_a_journal_as_well(tmp_path: Path) -> None:
    path = tmp_path / "here.db"
    with Farm("here", here=2, journal=path) as farm:
        first = [farm.submit(_draw, 5).result(), *farm.map(_draw, range(3))]
    with Farm("here", here=2, journal=path) as farm:
        assert [farm.submit(_draw, 5).result(), *farm.map(_draw, range(3))] == first


def test_a_journal_has_one_farm_at_a_time_and_one_label(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    with Farm("one", here=1, journal=path) as farm:
        with pytest.raises(JournalInUse, match=r"one\.db"):
            Farm("one", here=1, journal=path)
        assert farm.submit(_add, 1, 2).result() == 3
    with pytest.raises(JournalUnusable, match="one"):
        Farm("other", here=1, journal=path)


def test_a_disk_that_is_full_is_told_and_nothing_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows = writing.write_rows

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Farm("full", here=1, journal=tmp_path / "full.db") as farm:
        monkeypatch.setattr(writing, "write_rows", refuse)
        future = farm.submit(_add, 1, 2)
        eventually(farm.why_waiting, "it is told")
        assert "full.db cannot be written" in farm.why_waiting()
        assert "make room" in repr(farm)
        assert not future.done()
        monkeypatch.setattr(writing, "write_rows", write_rows)
        assert future.result(20) == 3
        assert farm.why_waiting() == ""
    assert "can be written again" in caplog.text


def test_keys_that_are_none_are_told(tmp_path: Path) -> None:
    with Farm("keys", here=1, journal=tmp_path / "keys.db") as farm:
        with pytest.raises(BadInput, match="key="):
            farm.options(key="one for all").map(_add, [1], [2])
        with pytest.raises(BadInput, match="key="):
            farm.options(key=object()).submit(_add, 1, 2)
        assert farm.submit(_add, 1, 2).result() == 3


def test_a_farm_without_a_journal_imports_nothing_for_it() -> None:
    code = (
        "import sys; from masterslave import Farm; Farm('x', here=1).shutdown(); "
        "print('sqlite3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
