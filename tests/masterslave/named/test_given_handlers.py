"""``Farm(handlers=...)``: named tasks in local slaves and in threads, as in the room."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from masterslave import (
    Farm,
    FarmSettings,
    HandlersUnusable,
    NotPicklable,
    RetryPolicy,
    SetupFailed,
    Slave,
    TaskUnknown,
)
from masterslave.cli import main_group
from remoteobj.cli import run_command
from tests.conftest import StartScript, eventually
from tests.masterslave.named.conftest import HERE, StartSlave
from tests.masterslave.named.studio import Exits, Fragile, Idle, Plain, Render, Twin

both = threading.Barrier(2)
torn_down: list[int] = []


class Counts(Slave):
    """What it is asked, its own instance says."""

    def setup(self) -> None:
        self.calls = 0
        self.thread = threading.get_ident()

    def do_meet(self) -> tuple[int, int]:
        both.wait(10)
        return self.do_count()

    def do_count(self) -> tuple[int, int]:
        self.calls += 1
        return self.thread, self.calls

    def do_agent(self) -> int:
        return os.getppid()

    def do_die(self) -> None:
        os.kill(os.getppid(), 9)

    def teardown(self) -> None:
        torn_down.append(self.calls)


class Locked(Slave):
    lock = threading.Lock()

    def do_nothing(self) -> None:
        pass


@pytest.fixture(params=["here", "local"])
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of a farm with one slot."""
    return {"here": {"here": True}, "local": {"local_slaves": 1}}[request.param]


def test_classes_do_named_tasks_beside_functions(place: dict[str, Any]) -> None:
    with Farm(**place, handlers=[Render, Fragile]) as farm:
        assert farm.submit("frame", 12, scale=3).result(10) == 36
        assert list(farm.map("frame", range(20))) == list(range(20))
        assert dict(farm.imap_unordered("frame", range(5))) == {n: n for n in range(5)}
        assert farm.submit(lambda: 6 * 7).result(10) == 42
        future = farm.submit("parts", 3)
        assert list(future.parts()) == [0, 1, 2]
        assert future.progress == (3.0, 3.0)
        assert farm.request("frame", 1) == "frame_1"
        assert farm.retrieve("frame", timeout_s=10) == ("frame_1", "frame", 1)
        with pytest.raises(TypeError, match="task 'frame' is called as frame"):
            farm.submit("frame").result(10)
        each = farm.each_slave("frame", 5)
        assert list(each.results(10).values()) == [5]


def test_a_set_up_that_fails_is_told_as_elsewhere(
    place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO", str(tmp_path))
    with Farm(**place, handlers=[Fragile, Exits]) as farm:
        with pytest.raises(SetupFailed) as raised:
            farm.submit("ping").result(10)
        name = Fragile.__module__
        assert str(raised.value) == (
            f"{name}:Fragile could not be set up: FileNotFoundError: there is no scene"
        )
        assert "in setup" in str(raised.value.__cause__)
        with pytest.raises(SetupFailed, match="SystemExit: no licence"):
            farm.submit("exit").result(10)
        (tmp_path / "scene").touch()
        policy = RetryPolicy(1, on=SetupFailed)
        assert farm.options(retries=policy).submit("ping").result(10) == "pong"
        assert not (tmp_path / "torn down").exists()
    assert (tmp_path / "torn down").exists(), "it cleans up before the block is left"


def test_each_thread_has_an_instance_that_lives_as_long() -> None:
    torn_down.clear()
    with Farm(here=2, handlers=Counts) as farm:
        met = [future.result(10) for future in [farm.submit("meet") for _ in range(2)]]
        assert {calls for _, calls in met} == {1}
        assert len({thread for thread, _ in met}) == 2
        again = [future.result(10) for future in [farm.submit("meet") for _ in range(2)]]
        assert sorted(again) == sorted((thread, 2) for thread, _ in met)
    assert torn_down == [2, 2]


def test_slaves_that_are_added_or_replaced_have_them_too() -> None:
    with Farm(local_slaves=0, handlers=Counts) as farm:
        farm.add_local_slaves(1)
        first = farm.submit("agent").result(10)
        assert farm.slaves[0].pid == first
        assert [farm.submit("count").result(10)[1] for _ in range(3)] == [1, 2, 3]
        farm.options(max_attempts=1).submit("die").exception(10)
        assert farm.submit("agent").result(10) != first
        assert farm.submit("count").result(10)[1] == 1


def test_a_slave_without_them_is_not_enough(
    start_slave: StartSlave, caplog: pytest.LogCaptureFixture
) -> None:
    start_slave("enough", "--slots", "1")
    settings = FarmSettings(auto_slaves_after_s=0.3)
    with Farm("enough", handlers=Render, settings=settings) as farm:
        assert farm.submit("frame", 3).result(20) == 3
        eventually(lambda: any(slave.slots for slave in farm.slaves), "they join")
    assert "no slave with handlers joined within 0.3 s" in caplog.text


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of this folder can be imported from the current one."""
    monkeypatch.chdir(HERE)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])


def test_a_place_may_be_given_and_the_environment_gives_one(
    beside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Farm(here=True, handlers="studio:Render") as farm:
        assert farm.submit("frame", 2).result(10) == 2
    monkeypatch.setenv("REMOTEOBJ_FARM_HANDLERS", "studio:Render,twins:Render")
    with pytest.raises(HandlersUnusable, match="twins:Render are both called Render"):
        Farm(here=True)
    monkeypatch.setenv("REMOTEOBJ_FARM_HANDLERS", "studio:Render")
    with Farm(here=True) as farm:
        assert farm.submit("frame", 4).result(10) == 4
    with Farm(here=True, handlers=[]) as farm, pytest.raises(TaskUnknown):
        farm.submit("frame", 4).result(10)


@pytest.mark.parametrize(
    ("handlers", "error", "said"),
    [
        (12, TypeError, "handlers is a class derived from masterslave.Slave, its place as"),
        ([Render, None], TypeError, r"or a list of these, not None$"),
        (Render(), TypeError, r"\(give the class itself, Render\)$"),
        (Plain, HandlersUnusable, r"studio:Plain is no class of handlers: it has to be derived"),
        (Slave, HandlersUnusable, "masterslave.handlers:Slave is no class of handlers"),
        (Idle, HandlersUnusable, r"studio:Idle has no method do_<name>"),
        ([Render, Twin], HandlersUnusable, "both have a method do_frame"),
        ("studio", HandlersUnusable, "'studio' names no class: give MODULE:CLASS"),
        ("nowhere:Render", HandlersUnusable, "there is no module 'nowhere' in "),
        (Locked, NotPicklable, r"Locked cannot be sent .* make files, locks .* in setup\(\)"),
    ],
)
def test_what_are_no_handlers_is_refused_at_once(
    handlers: Any, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if handlers is Locked:
        monkeypatch.setattr(Locked, "__module__", "__main__")  # what is imported needs no pickle
    for place in ({"here": True}, {"local_slaves": 0}):
        with pytest.raises(error, match=said):
            Farm(**place, handlers=handlers)


SAME = """
from masterslave import Farm, SetupFailed, TaskUnknown

with Farm("same", handlers=["studio:Render", "studio:Fragile"]) as farm:
    print(farm.submit("frame", 12, scale=2).result(), list(farm.map("frame", range(5))))
    print(sorted(farm.imap_unordered("frame", range(3))), list(farm.submit("parts", 2).parts()))
    print(farm.request("frame", 7), farm.retrieve("frame"))
    print(list(farm.each_slave("frame", 3).results(30).values())[0])
    for task, args in (("fail", ["no scene"]), ("ping", []), ("frame", [])):
        try:
            farm.submit(task, *args).result()
        except Exception as error:
            print(type(error).__name__, error)
    unknown = farm.submit("frme", 1)
    try:
        said = str(unknown.exception(0.5))
    except TimeoutError:  # somebody who offers it may come
        said = farm.explain(unknown)
        unknown.cancel()
    print(said[said.index("no slave"):])
    print([slave.name for slave in farm.slaves][0])
"""

ANSWERS = [
    "24 [0, 1, 2, 3, 4]",
    "[(0, 0), (1, 1), (2, 2)] [0, 1]",
    "frame_1 Retrieved(task_id='frame_1', name='frame', result=7)",
    "3",
    "KeyError 'no scene'",
    "SetupFailed studio:Fragile could not be set up: FileNotFoundError: there is no scene",
]
WRONG = "task 'frame' is called as frame(number, *, scale=1): missing a required argument: 'number'"
OFFERED = "'count', 'fail', 'frame', 'function', 'kind_of', 'parts', 'ping', 'wrong_inside'"
ANSWERS += [
    f"TypeError {WRONG}",
    f"no slave offers task 'frme'; those that are here offer {OFFERED}",
]


@pytest.mark.parametrize("way", ["here", "local", "run", "room"])
def test_the_same_script_runs_in_each_way(
    way: str,
    start_script: StartScript,
    start_slave: StartSlave,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = tmp_path / "same.py"
    script.write_text(SAME)
    monkeypatch.chdir(HERE)
    monkeypatch.setenv("STUDIO", str(tmp_path))
    command = {
        "here": ["-m", "masterslave", "run", str(script), "--here"],
        "run": ["-m", "masterslave", "run", str(script), "--slaves", "1"],
    }.get(way, [str(script)])
    if way == "room":
        handlers = ("--handlers", "studio:Render", "--handlers", "studio:Fragile")
        slave = start_slave("same", "--name", "room", "--slots", "1", *handlers)
        assert slave.stdout is not None
        assert "offers" in [slave.stdout.readline() for _ in range(2)][1], "it is ready"
    lines = start_script(*command).communicate(timeout=40)[0].splitlines()
    assert lines[:-1] == ANSWERS
    where = lines[-1] if lines[-1] in ("here", "room") else "a local slave"
    assert where == {"here": "here", "room": "room"}.get(way, "a local slave")


OWN = """
import sys
from masterslave import Farm, Slave

FACTOR = 3

def scaled(number):
    return number * FACTOR

class Doubles(Slave):
    def setup(self):
        import scale  # late, so that only who reads this knows that it is needed
        self.unit, self.calls = scale.UNIT, 0

    def do_double(self, number):
        self.calls += 1
        return scaled(number), self.unit, self.calls

class Other(Slave):
    def do_double(self, number):
        return 2 * number

if __name__ == "__main__":
    given = sys.argv[1] if sys.argv[1:] else Doubles
    with Farm("one", local_slaves=0, handlers=given) as one:
        print([one.submit("double", 5).result() for _ in range(2)])
        with Farm("two", local_slaves=0, handlers=Other) as two:
            print(two.submit("double", 5).result(), one.submit("double", 1).result()[0])
"""


@pytest.mark.parametrize("way", ["--here", "--slaves=1"])
@pytest.mark.parametrize("given", ["", "own:Doubles"])
def test_a_class_of_the_script_travels_with_what_it_uses(
    way: str, given: str, start_script: StartScript, tmp_path: Path
) -> None:
    script = tmp_path / "own.py"
    script.write_text(OWN)
    (tmp_path / "scale.py").write_text("UNIT = 'mm'")
    process = start_script("-m", "masterslave", "run", way, str(script), *filter(None, [given]))
    expected = "[(15, 'mm', 1), (15, 'mm', 2)]\n10 3\n"
    assert process.communicate(timeout=40) == (expected, "")


GIVEN = """
from masterslave import Farm

with Farm("given", local_slaves=0) as farm:
    print(farm.submit("frame", 6).result(), farm.submit("count").result()[1:])
"""


@pytest.mark.parametrize("way", ["--here", "--slaves=1"])
def test_run_gives_them_to_a_script_that_has_none(
    way: str, start_script: StartScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    script = tmp_path / "given.py"
    script.write_text(GIVEN)
    options = ("run", way, "--handlers", "studio:Render", str(script))
    process = start_script("-m", "masterslave", *options)
    assert process.communicate(timeout=40) == ("6 (1, 1)\n", "")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("studio:Nobody", "module studio has no class 'Nobody'"),
        ("given:Render", "given:Render is in the script itself"),
    ],
)
def test_run_refuses_bad_ones_before_the_script_is_started(
    spec: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    script = tmp_path / "given.py"
    script.write_text("print('started')")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studio.py").write_text((HERE / "studio.py").read_text())
    assert run_command(main_group, ["run", "--handlers", spec, str(script)]) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert said in errors
