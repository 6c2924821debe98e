"""What a child makes of a call: values, exceptions, spans, parts, progress, what it prints."""

from __future__ import annotations

import datetime
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from masterslave.packed import NotData, unpack_value
from masterslave.protocol.encoding import encode
from masterslave.protocol.hand_outs import BUNDLED, BUNDLED_STARRED, EACH, EACH_STARRED
from masterslave.protocol.outcomes import (
    BROKEN,
    LOST,
    MIXED,
    NOT_DATA,
    NOT_PICKLABLE,
    PART,
    PROGRESS,
    RAISED,
    VALUE,
    Outcome,
    PostMortem,
)
from remoteobj import codec
from tests.conftest import eventually
from tests.masterslave.slave.conftest import MakeMaster, Serve
from tests.masterslave.slave.fake_master import FakeMaster, raised_of, value_of

HERE = (str(Path(__file__).parents[3]),)


def run(master: FakeMaster, function: Any, *args: Any) -> Outcome:
    return master.wait_for(master.submit(function, *args))[0]


def fail(message: str) -> None:
    raise ValueError(message)


def test_a_call_has_its_value_and_its_time(master: FakeMaster) -> None:
    outcome = run(master, pow, 2, 10)
    assert (outcome.kind, outcome.attempt, outcome.count) == (VALUE, 1, 1)
    assert value_of(outcome) == 1024
    assert 0 < outcome.seconds < 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        2**70,
        "\udc80",
        (1, (2, 3)),
        {(1, 2): {3}},
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        bytearray(b"x" * 10_000),
        b"x" * 3_000_000,
        [*range(10_000)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_arrives_as_it_was_and_was_not_pickled(master: FakeMaster, value: Any) -> None:
    outcome = run(master, lambda: value)
    assert outcome.payload[:1] in (b"D", b"B")
    again = unpack_value(outcome.payload, data_only=True)
    assert again == value
    assert type(again) is type(value)


def test_an_array_arrives_as_an_array(master: FakeMaster) -> None:
    np = pytest.importorskip("numpy")
    outcome = run(master, lambda: np.arange(1_000_000).reshape(1000, 1000))
    array = unpack_value(outcome.payload, data_only=True)
    assert array.shape == (1000, 1000)
    assert array.sum() == 499_999_500_000
    array[0, 0] = 1  # it may be written, as in the task


def test_what_is_no_data_is_pickled(master: FakeMaster) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    outcome = run(master, lambda: Point(5))
    assert outcome.payload[:1] == b"P"
    assert value_of(outcome).x == 5
    with pytest.raises(NotData):
        unpack_value(outcome.payload, data_only=True)


def test_an_exception_comes_with_its_traceback(master: FakeMaster) -> None:
    raised = value_of(run(master, fail, "a bad item"))
    assert (raised.type_name, raised.message) == ("ValueError", "a bad item")
    assert "in fail" in raised.traceback
    assert "masterslave/slave/child" not in raised.traceback
    assert isinstance(pickle.loads(raised.pickled), ValueError)


def test_what_cannot_be_sent_is_said(master: FakeMaster) -> None:
    raised = value_of(run(master, threading.Lock))
    assert raised.type_name == NOT_PICKLABLE
    assert "return plain data" in raised.message


def test_a_result_that_is_too_large_is_said(master: FakeMaster) -> None:
    raised = value_of(run(master, lambda: bytes(129 * 2**20)))
    assert raised.type_name == NOT_PICKLABLE
    assert "129 MiB" in raised.message


def test_sys_exit_in_a_task_ends_the_task(master: FakeMaster) -> None:
    raised = value_of(run(master, sys.exit, 3))
    assert "sys.exit(3)" in raised.message
    assert run(master, abs, -1).kind == VALUE


def test_each_item_of_a_span_is_called(master: FakeMaster) -> None:
    span = master.submit_span(lambda x: x * 2, [1, 2, 3], EACH)
    starred = master.submit_span(divmod, [(7, 2), (9, 4)], EACH_STARRED)
    first, second = master.wait_for(span, starred)
    assert (first.kind, first.count, value_of(first)) == (VALUE, 3, [2, 4, 6])
    assert value_of(second) == [(3, 1), (2, 1)]


def test_items_that_were_packed_one_by_one_are_called_each(master: FakeMaster) -> None:
    bundle = encode([pickle.dumps([1]), pickle.dumps([2])])
    (plain,) = master.submit_many(lambda x: x * 2, [bundle], BUNDLED, 2)
    bundle = encode([pickle.dumps([(7, 2)]), pickle.dumps([(9, 4)])])
    (starred,) = master.submit_many(divmod, [bundle], BUNDLED_STARRED, 2)
    first, second = master.wait_for(plain, starred)
    assert (first.count, value_of(first), value_of(second)) == (2, [2, 4], [(3, 1), (2, 1)])


def test_one_of_them_that_cannot_be_unpacked_costs_no_other(master: FakeMaster) -> None:
    bundle = encode([pickle.dumps([3]), b"\x80no pickle", pickle.dumps([0]), pickle.dumps([6])])
    (span,) = master.submit_many(lambda x: 6 // x, [bundle], BUNDLED, 4)
    (outcome,) = master.wait_for(span)
    assert outcome.kind == MIXED
    one, unread, error, last = value_of(outcome)
    assert (one, last) == (2, 1)
    assert (unread.type_name, error.type_name) == ("ValueError", "ZeroDivisionError")


def test_an_item_that_fails_costs_no_other(master: FakeMaster) -> None:
    span = master.submit_span(lambda x: 6 // x, [1, 0, 3, 0], EACH)
    (outcome,) = master.wait_for(span)
    assert outcome.kind == MIXED
    one, error, two, last = value_of(outcome)
    assert (one, two) == (6, 2)
    assert error.type_name == last.type_name == "ZeroDivisionError"


def test_an_item_whose_value_cannot_be_sent_costs_no_other(master: FakeMaster) -> None:
    span = master.submit_span(lambda x: threading.Lock() if x == 1 else x, [0, 1, 2], EACH)
    zero, error, two = value_of(master.wait_for(span)[0])
    assert (zero, two) == (0, 2)
    assert error.type_name == NOT_PICKLABLE


def test_a_generator_tells_its_parts_while_it_runs(master: FakeMaster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def count(path: str) -> Iterator[Any]:
        yield "first"
        while not os.path.exists(path):
            time.sleep(0.005)
        yield ("second", 2)
        return "all"

    task = master.submit(count, str(gate))
    eventually(lambda: master.outcomes, "the first part is there while the task runs")
    assert task not in master.settled
    gate.touch()
    assert value_of(master.wait_for(task)[0]) == "all"
    parts = [outcome for outcome in master.outcomes if outcome.kind == PART]
    assert [part.item for part in parts] == [0, 1]
    assert [unpack_value(part.payload) for part in parts] == ["first", ("second", 2)]
    assert master.outcomes[-1].kind == VALUE


def test_a_generator_that_fails_has_told_its_parts(master: FakeMaster) -> None:
    def fail_later() -> Iterator[int]:
        yield 1
        raise KeyError("later")

    raised = value_of(run(master, fail_later))
    assert raised.type_name == "KeyError"
    assert [outcome.kind for outcome in master.outcomes] == [PART, RAISED]


def report(steps: int, pause_s: float) -> None:
    child = sys.modules["_masterslave"]
    for step in range(steps):
        child.report_progress(step + 1, steps)
        time.sleep(pause_s)


def test_progress_is_told_ten_times_a_second_and_at_the_end(
    make_master: MakeMaster, serve: Serve
) -> None:
    master = make_master(search_path=HERE)
    serve(master)
    run(master, report, 300, 0.001)
    told = [
        msgspec.msgpack.decode(outcome.payload)
        for outcome in master.outcomes
        if outcome.kind == PROGRESS
    ]
    assert told[0] == [1, 300]
    assert told[-1] == [300, 300]
    assert 3 <= len(told) <= 12
    assert master.outcomes[-1].kind == VALUE


def test_the_initializer_runs_once_in_each_child(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    def note(path: str) -> None:
        with open(path, "a") as file:
            file.write("x")

    import cloudpickle

    path = tmp_path / "notes"
    master = make_master(initializer=cloudpickle.dumps((note, (str(path),))))
    serve(master)
    for _ in range(3):
        run(master, abs, -1)
    assert path.read_text() == "x"


def test_an_initializer_that_fails_breaks_its_farm_only(
    make_master: MakeMaster, serve: Serve
) -> None:
    broken = make_master(initializer=pickle.dumps((divmod, (1, 0))))
    sound = make_master()
    serve(broken, sound)
    for _ in range(2):
        outcome = run(broken, abs, -1)
        assert outcome.kind == BROKEN
        assert raised_of(outcome.payload).type_name == "ZeroDivisionError"
    assert run(sound, abs, -1).kind == VALUE


def test_a_child_is_replaced_after_so_many_tasks(make_master: MakeMaster, serve: Serve) -> None:
    master = make_master(max_tasks_per_child=3)
    serve(master)
    tasks = master.submit_many(os.getpid, [pickle.dumps(((), {}))] * 9)
    pids = [value_of(outcome) for outcome in master.wait_for(*tasks)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]


def test_where_results_are_data_nothing_is_pickled(make_master: MakeMaster, serve: Serve) -> None:
    master = make_master(data_only=True, search_path=HERE)
    serve(master)
    assert value_of(run(master, lambda: {"a": (1, {2})})) == {"a": (1, {2})}
    raised = value_of(run(master, lambda: lambda: 1))
    assert raised.type_name == NOT_DATA
    assert "data only is taken" in raised.message
    raised = value_of(run(master, fail, "as data"))
    assert not raised.pickled
    assert not raised.parts
    error = codec.decode(raised.data)
    assert type(error) is ValueError
    assert error.args == ("as data",)


def test_what_a_child_printed_last_is_in_its_post_mortem(
    master: FakeMaster, capfd: pytest.CaptureFixture[str]
) -> None:
    def die() -> None:
        print("x" * 10_000)
        print("on standard output")
        subprocess.run(["sh", "-c", "echo by another process >&2"], check=True)
        os.write(2, b"by the system \xff\n")
        os._exit(7)

    outcome = run(master, die)
    assert outcome.kind == LOST
    post_mortem = msgspec.msgpack.decode(outcome.payload, type=PostMortem)
    assert "exit code 7" in post_mortem.how
    lines = post_mortem.output.splitlines()
    assert lines[1:] == ["on standard output", "by another process", "by the system \ufffd"]
    assert 3000 < len(post_mortem.output) <= 4096
    eventually(lambda: "by another process" in capfd.readouterr().err, "it is passed on")


def test_two_children_draw_different_numbers(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    def draw(here: str) -> tuple[int, float]:
        import random

        open(os.path.join(here, str(os.getpid())), "w").close()
        while len(os.listdir(here)) < 2:  # the other one draws, too
            time.sleep(0.005)
        return os.getpid(), random.random()

    master = make_master()
    serve(master, slots=2)
    tasks = [master.submit(draw, str(tmp_path)) for _ in range(4)]
    drawn = [value_of(outcome) for outcome in master.wait_for(*tasks)]
    assert len({pid for pid, _ in drawn}) == 2
    assert len({number for _, number in drawn}) == 4
