"""Tasks that are called by their name, and done by the handlers of a slave."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from masterslave import (
    BadTaskName,
    Farm,
    FarmSettings,
    NotPicklable,
    RetryPolicy,
    SetupFailed,
    Slave,
    SlaveTraceback,
)
from tests.conftest import eventually
from tests.masterslave.named.conftest import StartSlave
from tests.masterslave.named.studio import Render


def test_a_task_is_called_by_its_name(studio: Farm) -> None:
    assert studio.submit("frame", 12).result(10) == 12
    assert studio.submit("frame", 12, scale=3).result(10) == 36
    assert studio.options(priority=1, retries=1).submit("frame", 1).result(10) == 1


def test_map_and_streams_take_names(studio: Farm) -> None:
    assert list(studio.map("frame", range(20))) == list(range(20))
    assert list(studio.map("frame", range(3), chunksize=2)) == [0, 1, 2]
    assert list(studio.imap("frame", range(5))) == list(range(5))
    assert dict(studio.imap_unordered("frame", range(5))) == {n: n for n in range(5)}


def test_an_instance_lives_as_long_as_its_process(studio: Farm) -> None:
    counts = [studio.submit("count").result(10) for _ in range(3)]
    assert len({pid for pid, _, _ in counts}) == 1
    assert {setups for _, setups, _ in counts} == {1}
    first = counts[0][2]
    assert [drawn for _, _, drawn in counts] == [first, first + 1, first + 2]


def test_functions_run_beside_named_tasks(studio: Farm) -> None:
    assert studio.submit(lambda: 6 * 7).result(10) == 42


def test_a_generator_sends_parts_and_progress(studio: Farm) -> None:
    future = studio.submit("parts", 3)
    assert list(future.parts()) == [0, 1, 2]
    assert future.result(10) is None
    assert future.progress == (3.0, 3.0)


def test_an_exception_comes_with_the_traceback_of_the_handler(studio: Farm) -> None:
    with pytest.raises(KeyError, match="no such scene") as raised:
        studio.submit("fail", "no such scene").result(10)
    cause = raised.value.__cause__
    assert isinstance(cause, SlaveTraceback)
    assert cause.slave == "box"
    assert "in do_fail" in cause.text
    assert "handlers.py" not in cause.text, "our own part of it is left out"


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'number'"),
        ((1, 2), {}, "too many positional arguments"),
        ((1,), {"size": 2}, "got an unexpected keyword argument 'size'"),
    ],
)
def test_a_wrong_call_is_told_with_the_signature(
    studio: Farm, args: Any, kwargs: Any, said: str
) -> None:
    with pytest.raises(TypeError) as raised:
        studio.submit("frame", *args, **kwargs).result(10)
    assert str(raised.value) == f"task 'frame' is called as frame(number, *, scale=1): {said}"


def test_an_error_in_the_handler_is_its_own(studio: Farm) -> None:
    with pytest.raises(TypeError, match=r"missing 1 required positional argument"):
        studio.submit("wrong_inside").result(10)


@pytest.mark.parametrize(
    "value", [(1, 2), {1: "a"}, frozenset({1}), 1.5, b"x", None, {"a": [(1,)]}, range(3)]
)
def test_arguments_arrive_as_they_were(studio: Farm, value: object) -> None:
    assert studio.submit("kind_of", value).result(10) == type(value).__name__
    assert list(studio.map("kind_of", [value])) == [type(value).__name__]
    assert list(studio.map("frame", [2, 3])) == [2, 3]


def test_what_is_no_data_is_pickled(studio: Farm) -> None:
    assert studio.submit("kind_of", lambda: 1).result(10) == "function"
    assert studio.submit("function").result(10)() == 1


def test_what_cannot_be_sent_fails_its_future(studio: Farm) -> None:
    with pytest.raises(NotPicklable, match="argument 2 of task 'frame' cannot be sent"):
        studio.submit("frame", 1, threading.Lock()).result(10)
    results = studio.map("kind_of", [1, threading.Lock()])
    assert next(results) == "int"
    with pytest.raises(NotPicklable, match="an item for kind_of"):
        next(results)


@pytest.mark.parametrize("name", ["", "two words", "a-b", "a."])
def test_a_bad_name_is_refused_at_once(studio: Farm, name: str) -> None:
    for call in (studio.submit, studio.map, studio.imap, studio.imap_unordered):
        with pytest.raises(BadTaskName, match="names no task"):
            call(name, [1])


def test_a_name_that_no_slave_offers_is_waited_for(
    studio: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    settings = FarmSettings(explain_after_s=0.3)
    with (
        caplog.at_level(logging.WARNING, "masterslave"),
        Farm("named", local_slaves=1, settings=settings) as farm,
    ):
        plain, future = farm.submit(abs, -1), farm.submit("frame", 1)
        assert plain.result(10) == 1
        hint = (
            "no slave offers task 'frame'; start one with 'masterslave slave --handlers "
            "MODULE:CLASS', or local ones with Farm(handlers=...)"
        )
        eventually(lambda: f"farm 'named': 1 task waits: {hint}" in caplog.text, "it says so")
        assert farm.explain(future) == f"frame() waits: {hint}"
        assert not future.running()
        future.cancel()
    other = studio.submit("frme", 1)
    eventually(studio.why_waiting, "it waits")
    here = "'count', 'fail', 'frame', 'function', 'kind_of', 'parts', 'wrong_inside'"
    assert studio.why_waiting() == (
        f"1 task waits: no slave offers task 'frme'; those that are here offer {here}"
    )
    other.cancel()


def test_a_setup_that_fails_is_the_answer_and_is_tried_again(
    start_slave: StartSlave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO", str(tmp_path))
    handlers = ["--handlers", "studio:Fragile", "--handlers", "studio:Exits"]
    slave = start_slave("fragile", "--slots", "1", *handlers)
    with Farm("fragile", local_slaves=0) as farm:
        with pytest.raises(SetupFailed) as raised:
            farm.submit("ping").result(10)
        assert str(raised.value) == (
            "studio:Fragile could not be set up: FileNotFoundError: there is no scene"
        )
        assert "in setup" in str(raised.value.__cause__)
        with pytest.raises(SetupFailed, match="SystemExit: no licence"):
            farm.submit("exit").result(10)
        (tmp_path / "scene").touch()
        policy = RetryPolicy(1, on=SetupFailed)
        assert farm.options(retries=policy).submit("ping").result(10) == "pong"
        slave.terminate()
        eventually((tmp_path / "torn down").exists, "it cleans up")


def test_handlers_are_a_plain_class_in_the_script() -> None:
    render = Render()
    render.setup()
    assert isinstance(render, Slave)
    assert render.do_frame(3, scale=2) == 6
    assert list(render.do_parts(2)) == [0, 1], "progress is of no effect outside of tasks"
