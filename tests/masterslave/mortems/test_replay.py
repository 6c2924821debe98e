"""``masterslave replay``: failed tasks are run again, from what the journal has of them."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from masterslave import Farm, TaskLost
from masterslave.journal import (
    NO_PLACE,
    RUN_BITS,
    ArgumentsKnown,
    FunctionKnown,
    Journal,
    RunBegan,
    Submitted,
)
from masterslave.protocol.hand_outs import CALL
from tests.masterslave.mortems.commands import masterslave, story_of
from tests.masterslave.mortems.victims import HOSTILE, exits, fails

SCRIPT = """
import sys
from masterslave import Farm
from beside import half

def odd(number):
    print("looking at", number)
    number = half(number)
    if number % 2:
        raise ArithmeticError(f"{number} is odd")
    return number

def both(one, other):
    return one / other

def counted(number):
    yield number
    yield number / 0

with Farm("survey", local_slaves=1, journal=sys.argv[1]) as farm:
    futures = [farm.submit(odd, 6), farm.submit(odd, 8), farm.submit(counted, 3)]
    futures.append(farm.submit(sum, farm.share([1, 2]), start="a"))
    for future in futures:
        future.exception()
    for iterator in (farm.map(both, [4, 5], [2, 0]), farm.imap(odd, [2, 4])):
        try:
            list(iterator)
        except ArithmeticError:
            pass
"""


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a script of two modules has left, which was run elsewhere."""
    folder = tmp_path_factory.mktemp("script")
    (folder / "beside.py").write_text("def half(number):\n    return number // 2\n")
    (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(folder / "script.py"), str(folder / "survey.db")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder / "survey.db"


def replay(journal: Path, task: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "masterslave", "replay", str(journal), task, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_function_of_the_script_runs_again_and_finds_its_modules(journal: Path) -> None:
    done = replay(journal, "odd")
    assert done.returncode == 1
    assert done.stdout == "looking at 2\n"
    assert "odd(2)" in done.stderr
    assert "in odd\n    raise ArithmeticError" in done.stderr
    assert "ArithmeticError: 1 is odd" in done.stderr
    assert "masterslave/" not in done.stderr


def test_where_it_raised_is_looked_into(journal: Path) -> None:
    command = [sys.executable, "-m", "masterslave", "replay", str(journal), "1:0", "--pdb"]
    done = subprocess.run(
        command, input="p number * 100\n", capture_output=True, text=True, timeout=30, check=False
    )
    assert "(Pdb) 300" in done.stdout


def test_each_kind_of_call_runs_again(journal: Path, capfd: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(masterslave("show", str(journal), "--json"))["failed"]
    failed = {one["function"]: one["task"] for one in listed}
    assert set(failed) == {"odd", "both", "counted", "sum"}
    masterslave("replay", str(journal), failed["both"])
    assert "both(5, 0)" in (said := capfd.readouterr().err)
    assert "ZeroDivisionError" in said
    assert "it yielded 3" in masterslave("replay", str(journal), failed["counted"])
    said = capfd.readouterr().err
    assert "ZeroDivisionError" in said
    assert "replaying.py" not in said
    assert "the journal of a script does not keep those" in masterslave(
        "replay", str(journal), failed["sum"]
    )


def test_what_has_not_failed_is_not_kept(journal: Path) -> None:
    assert "it has not failed" in masterslave("replay", str(journal), "1:1")


def test_a_module_that_is_not_here_is_named(journal: Path, tmp_path: Path) -> None:
    beside = journal.parent / "beside.py"
    moved = beside.rename(tmp_path / "beside.py")
    try:
        done = replay(journal, "odd")
        assert done.returncode == 1
        assert "needs module 'beside', which is not found" in done.stderr
        assert replay(journal, "odd", "--path", str(tmp_path)).stdout == "looking at 2\n"
    finally:
        moved.rename(beside)


def test_a_task_that_was_lost_takes_this_process_along(tmp_path: Path, own_machine: Path) -> None:
    path = tmp_path / "j.db"
    with (
        Farm("survey", local_slaves=1, journal=path, output="none") as farm,
        pytest.raises(TaskLost),
    ):
        farm.options(max_attempts=1).submit(exits).result(20)
    done = replay(path, "exits", "--path", str(Path.cwd()))
    assert done.returncode == 3
    assert "it was lost with its process" in done.stderr


def test_what_the_task_is_given_and_raises_does_nothing_to_the_terminal(
    tmp_path: Path, own_machine: Path
) -> None:
    path = tmp_path / "j.db"
    with Farm("survey", local_slaves=1, journal=path, output="none") as farm:
        farm.submit(fails, 3).exception(20)
    assert HOSTILE not in replay(path, "fails").stderr


def test_named_tasks_want_their_handlers(tmp_path: Path, own_machine: Path) -> None:
    path, name = tmp_path / "j.db", "tests.masterslave.mortems.handled:Sums"
    with Farm("survey", local_slaves=1, journal=path, handlers=name) as farm:
        farm.submit("add", 1, "2").exception(20)
    assert story_of(path, "add")["state"] == "raised"
    assert "say which with --handlers MODULE:CLASS" in masterslave("replay", str(path), "add")
    done = replay(path, "add", "--handlers", name)
    assert "TypeError: unsupported operand" in done.stderr
    assert "in do_add" in done.stderr
    other = "tests.masterslave.mortems.handled:Others"
    assert "has no task 'add'; it has nothing" in masterslave(
        "replay", str(path), "add", "--handlers", other
    )


def _recorded(path: Path, python: str, function: bytes, arguments: ArgumentsKnown | bytes) -> None:
    with Journal.open(path, "survey") as journal:
        first = 7 << RUN_BITS
        journal.record(RunBegan(7, 0, 1.0, "host", 1, "0", python))
        journal.record(FunctionKnown(0, "f", b"d", journal.keep(function)))
        journal.record(Submitted(first, 0, bytes(16)))
        if isinstance(arguments, bytes):
            arguments = ArgumentsKnown(first, CALL, journal.keep(arguments))
        journal.record(arguments)


HERE = f"{sys.version_info[0]}.{sys.version_info[1]}.0"
CALLED = pickle.dumps(((), {}))


def test_what_cannot_be_run_says_why(tmp_path: Path) -> None:
    not_kept = ArgumentsKnown(7 << RUN_BITS, CALL, NO_PLACE, "they take 99 MiB")
    for name, python, function, arguments, why in (
        ("other", "3.2.1", b"", CALLED, "its function is of Python 3.2"),
        ("junk", HERE, b"junk", CALLED, "cannot be made"),
        ("odd", HERE, pickle.dumps(len), pickle.dumps(3), "its arguments cannot be read"),
        ("large", HERE, pickle.dumps(len), not_kept, "not kept: they take 99 MiB"),
    ):
        path = tmp_path / f"{name}.db"
        _recorded(path, python, function, arguments)
        assert why in masterslave("replay", str(path), "7:0"), name


def test_what_succeeds_here_is_told(tmp_path: Path) -> None:
    _recorded(tmp_path / "j.db", HERE, pickle.dumps(int), pickle.dumps((("7",), {"base": 8})))
    said = masterslave("replay", str(tmp_path / "j.db"), "7:0")
    assert said.endswith(" s: 7\n")
    assert said.startswith("it returned in ")
