"""``cache=True``: what a run of a script has had, the next has without doing it again."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from masterslave import Farm, FarmSettings
from masterslave.farm.caching.places import folder_of, results_dir, script_here, volumes_in
from masterslave.farm.caching.volumes import size_of
from masterslave.journal import Journal, writing
from tests.conftest import eventually

StartScript = Callable[..., "subprocess.Popen[str]"]

SCRIPT = """
import os, sys, threading
from masterslave import Farm
notes, gate = sys.argv[1:3]

def square(number):
    with open(notes, "a") as file:
        file.write(f"{number} ")
    if number < 0:
        raise ValueError(number)
    while gate and number == 100 and not os.path.exists(gate):
        threading.Event().wait(0.005)
    return number * number

with Farm(here=True) as farm:
    print(list(farm.map(square, range(5), cache=True)))
    pairs = sorted(farm.imap_unordered(square, [5, 6], cache=True))
    print(pairs, list(farm.imap(square, [7], cache=True)))
    view = farm.options(cache=True)
    three = view.submit(square, 8)
    print(view.submit(square, three).result(), type(view.submit(square, -1).exception()))
    print(view.submit(square, 100).result() if gate else "")
"""


EVERY = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "64", "-1"]


def _answers(more: str = "\n") -> str:
    return f"[0, 1, 4, 9, 16]\n[(5, 25), (6, 36)] [49]\n4096 <class 'ValueError'>\n{more}"


def _run(start_script: StartScript, script: Path, notes: Path) -> tuple[str, str, list[str]]:
    notes.write_text("")
    process = start_script(str(script), str(notes), "")
    output, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return output, said, notes.read_text().split()


def _masterslave(*arguments: str) -> str:
    command = [sys.executable, "-m", "masterslave", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_a_second_run_has_the_values_of_the_first_and_runs_what_has_raised(
    tmp_path: Path, start_script: StartScript
) -> None:
    script, notes = tmp_path / "survey.py", tmp_path / "notes"
    script.write_text(SCRIPT)
    output, said, ran = _run(start_script, script, notes)
    assert output == _answers()
    assert ran == EVERY
    assert "results were" not in said
    output, said, ran = _run(start_script, script, notes)
    assert (output, ran) == (_answers(), ["-1"])
    assert f"farm 'default': 10 results were in the cache of {script}\n" in said

    told = _masterslave("status", str(script))
    assert f"cache of {script}, 2 runs" in told
    assert "square    10       0       0" in told
    (cache,) = json.loads(_masterslave("status", "--json"))["caches"]
    assert (cache["script"], cache["results"]) == (str(script), 10)
    assert _masterslave("invalidate", str(script), "square").startswith("10 tasks run again")
    assert _run(start_script, script, notes)[2] == [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "64",
        "-1",
    ]
    assert "no results of" in _masterslave("status", str(tmp_path / "other.py"))

    script.write_text(SCRIPT.replace("number * number", "number ** 2"))
    assert len(_run(start_script, script, notes)[2]) == 11


def test_two_scripts_at_once_do_not_disturb_each_other(
    tmp_path: Path, start_script: StartScript
) -> None:
    script, notes, gate = tmp_path / "survey.py", tmp_path / "notes", tmp_path / "open"
    script.write_text(SCRIPT)
    first = start_script(str(script), str(tmp_path / "others"), str(gate))
    assert first.stdout is not None
    first.stdout.readline(), first.stdout.readline()  # it has its cache open
    assert "in use by process" in _masterslave("invalidate", str(script), "--all")
    assert _run(start_script, script, notes)[0] == _answers()
    gate.touch()
    output, said = first.communicate(timeout=60)
    assert first.returncode == 0, said
    assert output.endswith("\n10000\n")
    assert len(volumes_in(folder_of(script))) == 2
    output, _, ran = _run(start_script, script, notes)
    assert (output, ran) == (_answers(), ["-1"])


def _ran(farm: Farm, asked: int) -> int:
    """Return how many tasks have run, of those that were asked for."""
    cache = farm._submitter.cached.open() if farm._submitter.cached is not None else None
    assert cache is not None
    return asked - cache.found


def test_the_oldest_are_forgotten_and_what_is_used_stays() -> None:
    limit = 64 * 1024 * 16
    settings = FarmSettings(cache_bytes=limit)

    def large(number: int) -> bytes:
        return bytes([number]) * 40_000

    def run(numbers: range) -> int:
        with Farm(here=True, settings=settings) as farm:
            for number in numbers:
                assert farm.options(cache=True).submit(large, number).result()[0] == number
            return _ran(farm, len(numbers))

    folder = folder_of(script_here())
    assert run(range(1)) == 1
    for first in range(1, 40, 10):
        assert run(range(1)) == 0  # it is of use in each run
        assert run(range(first, first + 10)) == 10
        assert sum(map(size_of, volumes_in(folder))) < limit * 1.2
    assert run(range(31, 41)) == 0
    assert run(range(1, 11)) > 0


def test_a_volume_that_is_no_journal_is_passed_over() -> None:
    folder = folder_of(script_here())
    folder.mkdir(parents=True)
    (folder / "1.db").write_text("something else " * 1000)
    for ran in (2, 0):
        with Farm(here=True) as farm:
            assert list(farm.map(abs, [-1, -2], cache=True)) == [1, 2]
            assert _ran(farm, 2) == ran
    (cache,) = json.loads(_masterslave("status", "--json"))["caches"]
    assert cache["results"] == 2


def test_a_disk_that_is_full_costs_the_cache_and_no_result(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with Farm(here=True) as farm:
        assert farm.options(cache=True).submit(abs, -3).result() == 3
        monkeypatch.setattr(writing, "write_rows", fail)
        assert farm.options(cache=True).submit(abs, -4).result() == 4
        eventually(lambda: "results are not cached any more" in caplog.text, "it is said")
        assert list(farm.map(abs, range(100), cache=True)) == [*range(100)]
    assert caplog.text.count("results are not cached any more") == 1


def test_a_farm_with_a_journal_has_them_there(tmp_path: Path) -> None:
    with Farm("survey", here=True, journal=tmp_path / "survey.db") as farm:
        assert list(farm.map(abs, [-1, -2], cache=True)) == [1, 2]
    assert not results_dir().exists()
    with Journal.read_only(tmp_path / "survey.db") as reader:
        assert len(reader.folded.finished) == 2


def test_functions_without_an_identity_say_so_and_run(caplog: pytest.LogCaptureFixture) -> None:
    with Farm(here=True) as farm:
        unknown = farm.submit(abs, -1)  # which is not cached
        assert farm.options(cache=True).submit(abs, unknown).result() == 1
    assert "have no identity, so they run again when the script is started again" in caplog.text


def test_a_farm_goes_on_without_a_cache_that_cannot_be_had(
    caplog: pytest.LogCaptureFixture, own_machine: Path
) -> None:
    (own_machine / "cache").write_text("")
    with Farm(here=True) as farm:
        assert list(farm.map(abs, [-1, -2], cache=True)) == [1, 2]
        assert farm.options(cache=True).submit(abs, -3).result() == 3
    assert len([one for one in caplog.records if "nothing is cached" in one.message]) == 1
