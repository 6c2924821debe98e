"""``masterslave run SCRIPT --keep-going``: a task that fails costs no other, and is said."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from masterslave import Farm, FarmBroken, FarmSettings
from masterslave.farm.keep_going import NoResult
from tests.masterslave.gates import wait_at

SCRIPT = """
import sys
from masterslave import Farm

notes, journal = sys.argv[1:]

def inverse(number):
    with open(notes, "a") as file:
        file.write(f"{number} ")
    return 1 / number

with Farm("survey", journal=journal or None) as farm:
    print(list(farm.map(inverse, [0, 1, 2, 0])))
    print(list(farm.imap(inverse, [4, 0])))
    print(sorted(farm.imap_unordered(inverse, [5, 0, 8])))
    odd = farm.submit(inverse, 0)
    print(repr(odd.exception()))
"""

ANSWERS = """\
[<no result: ZeroDivisionError: division by zero>, 1.0, 0.5, <no result: ZeroDivisionError: \
division by zero>]
[0.25, <no result: ZeroDivisionError: division by zero>]
[(5, 0.2), (8, 0.125)]
ZeroDivisionError('division by zero')
"""

GOING_ON = FarmSettings(keep_going=True)


def _run(folder: Path, *options: str, journal: str = "") -> tuple[int, str, str, list[str]]:
    notes = folder / "notes"
    notes.write_text("")
    command = ["run", *options, "--here", "script.py", str(notes), journal]
    done = subprocess.run(
        [sys.executable, "-m", "masterslave", *command],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr, notes.read_text().split()


def test_the_others_go_on_and_only_what_has_failed_runs_again(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    code, _, said, _ = _run(tmp_path)
    assert code == 1
    assert "Traceback" in said  # as ever

    journal = tmp_path / "survey.db"
    code, output, said, ran = _run(tmp_path, "--keep-going", journal=str(journal))
    assert (code, output) == (1, ANSWERS)
    assert sorted(ran) == sorted(["0", "1", "2", "0", "4", "0", "5", "0", "8", "0"])
    assert "farm 'survey': 5 tasks failed:\n  inverse(0): ZeroDivisionError: division" in said
    assert f"'masterslave status {journal}' lists them" in said
    assert "Traceback" not in said

    code, output, said, ran = _run(tmp_path, "--keep-going", journal=str(journal))
    assert (code, output, ran) == (1, ANSWERS, ["0"] * 5)

    status = [sys.executable, "-m", "masterslave", "status", str(journal)]
    told = subprocess.run(status, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "5 tasks have failed, and run again when the script is started next:" in told
    assert told.count("inverse: ZeroDivisionError: division by zero") == 5
    assert re.search(r"^ *inverse +5 +5 +0 +0 *$", told, re.MULTILINE), told
    told = subprocess.run(
        [*status, "--json"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    (counted,) = json.loads(told)["functions"]
    assert (counted["results"], counted["raised"]) == (5, 5)

    (tmp_path / "script.py").write_text(SCRIPT.replace("1 / number", "1 / (number or 1)"))
    code, _, said, ran = _run(tmp_path, "--keep-going", journal=str(journal))
    assert (code, len(ran)) == (0, 10)
    assert "failed" not in said


def test_all_of_a_map_is_done_before_the_script_gets_what_may_end_it(tmp_path: Path) -> None:
    def item(number: int, gate: Path = tmp_path / "go") -> int:
        if number == 1:
            raise ValueError(number)
        if number == 2:
            gate.touch()
        wait_at(gate)
        (gate.parent / str(number)).touch()
        return number

    with Farm(here=2, settings=GOING_ON) as farm:
        results = farm.map(item, range(20))
        assert next(results) == 0
        assert isinstance(next(results), NoResult)
        assert all((tmp_path / str(number)).exists() for number in range(20) if number != 1)
        assert list(results) == [*range(2, 20)]


def test_what_is_open_is_done_though_the_block_is_left_by_a_tasks_error(tmp_path: Path) -> None:
    def item(number: int, folder: Path = tmp_path) -> None:
        if number == 0:
            raise ValueError(number)
        (folder / str(number)).touch()

    with pytest.raises(ValueError, match="0"), Farm(here=True, settings=GOING_ON) as farm:
        for future in [farm.submit(item, number) for number in range(50)]:
            future.result()
    assert len([*tmp_path.iterdir()]) == 49


def test_a_task_that_is_given_no_result_fails_as_well(caplog: pytest.LogCaptureFixture) -> None:
    with Farm(here=True, settings=GOING_ON) as farm:
        inverses = farm.map(lambda number: 1 / number, [2, 0])
        assert [isinstance(one, NoResult) for one in farm.map(abs, inverses)] == [False, True]
    assert "2 tasks failed" in caplog.text
    assert "with a journal (journal=...) only those would run" in caplog.text


def test_a_farm_that_is_broken_does_not_go_on() -> None:
    def fails() -> None:
        raise RuntimeError("no licence")

    with Farm(here=True, initializer=fails, settings=GOING_ON) as farm:
        with pytest.raises(FarmBroken):
            list(farm.map(abs, range(3)))
        with pytest.raises(FarmBroken):
            list(farm.imap(abs, range(3)))


def test_what_stands_in_the_place_of_a_result_is_no_value() -> None:
    nothing = NoResult(KeyError("star"), 7)
    for use in (
        bool, len, iter, float, hash, abs,
        lambda it: it + 1, lambda it: 1 + it, lambda it: it == 1, lambda it: it < 1,
        lambda it: it[0], lambda it: it(), lambda it: f"{it:.2f}", lambda it: {it: 1},
        lambda it: 1 in [it], pickle.dumps,
    ):  # fmt: skip
        with pytest.raises(KeyError, match="star"):
            use(nothing)
    with pytest.raises(AttributeError, match="no result to have 'mean' of: KeyError: 'star'"):
        nothing.mean()
    assert f"{nothing}" == repr(nothing) == "<no result: KeyError: 'star'>"
    assert (nothing.item, str(nothing.error)) == (7, "'star'")


def test_what_failed_tasks_have_written_is_shown_and_does_nothing(
    own_machine: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def paint(text: str) -> None:
        raise ValueError(text)

    with Farm("survey", here=True, settings=GOING_ON) as farm:
        list(farm.map(paint, ["\x1b[31mred"]))
    assert "ValueError: \\x1b[31mred" in caplog.text
    assert "\x1b" not in caplog.text
