"""``submit`` and ``map``: CPython's executor.py, and test_process_pool.py where it is of use."""

from __future__ import annotations

import operator
import os
import sys
import threading
import weakref
from concurrent.futures import Future, process
from pathlib import Path

import pytest

from masterslave import Farm, SlaveTraceback, TaskLost, wait
from tests.conftest import eventually
from tests.masterslave.stdlib.tasks import (
    MyObject,
    TouchesWhenDeleted,
    capture,
    crash,
    mul,
    touch,
    wait_for,
)


def test_submit(executor: Farm) -> None:
    future = executor.submit(pow, 2, 8)
    assert isinstance(future, Future)
    assert future.result() == 256


def test_submit_keyword(executor: Farm) -> None:
    assert executor.submit(mul, 2, y=8).result() == 16
    assert executor.submit(capture, 1, self=2, fn=3).result() == ((1,), {"self": 2, "fn": 3})
    with pytest.raises(TypeError):
        executor.submit(fn=capture, arg=1)
    with pytest.raises(TypeError):
        executor.submit(arg=1)


def test_map(executor: Farm) -> None:
    expected = list(map(pow, range(10), range(10)))
    assert list(executor.map(pow, range(10), range(10))) == expected
    assert list(executor.map(pow, range(10), range(10), chunksize=3)) == expected
    assert list(executor.map(pow, range(10), range(99))) == expected, "the shortest decides"
    assert list(executor.map(pow, [], [])) == []


@pytest.mark.parametrize("chunksize", [6, 40, 50])
def test_map_chunksize(executor: Farm, chunksize: int) -> None:
    expected = list(map(pow, range(40), range(40)))
    assert list(executor.map(pow, range(40), range(40), chunksize=chunksize)) == expected


@pytest.mark.parametrize("chunksize", [0, -1])
def test_map_refuses_a_bad_chunksize(executor: Farm, chunksize: int) -> None:
    with pytest.raises(ValueError, match="chunksize"):
        list(executor.map(pow, range(40), range(40), chunksize=chunksize))


def test_map_exception(executor: Farm) -> None:
    results = executor.map(divmod, [1, 1, 1, 1], [2, 3, 0, 5])
    assert next(results) == (0, 1)
    assert next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_timeout(fresh: Farm, tmp_path: Path) -> None:
    results = []
    ready = touch(tmp_path / "ready")
    iterator = fresh.map(wait_for, [ready, ready, tmp_path / "never"], timeout=1)
    with pytest.raises(TimeoutError):
        for result in iterator:
            results.append(result)
    assert results == [ready, ready]
    eventually(lambda: not any(slave.held for slave in fresh.slaves), "the rest is dropped")


def test_map_submits_at_once(executor: Farm, tmp_path: Path) -> None:
    results = executor.map(touch, [tmp_path / "one", tmp_path / "two"])
    eventually(lambda: len(list(tmp_path.iterdir())) == 2, "the tasks run, asked for or not")
    assert len(list(results)) == 2


def test_map_cancels_what_is_not_taken(idle: Farm) -> None:
    results = idle.map(abs, range(5), timeout=0)
    with pytest.raises(TimeoutError):
        next(results)
    eventually(lambda: idle.statistics().cancelled == 5, "nobody waits for it any more")


def test_shutdown_race() -> None:  # issue 12456
    farm = Farm("stdlib", local_slaves=2)
    results = farm.map(str, [2] * 3)
    farm.shutdown()
    assert list(results) == ["2"] * 3


def test_no_stale_references(executor: Farm) -> None:  # issue 16284
    collected = threading.Event()
    my_object = MyObject()
    reference = weakref.ref(my_object, lambda _: collected.set())
    executor.submit(my_object.my_method)
    del my_object
    assert collected.wait(10)
    assert reference() is None


def test_free_reference(executor: Farm) -> None:  # issue 14406
    for result in executor.map(make_dummy_object, range(10)):
        reference = weakref.ref(result)
        del result
        eventually(lambda: reference() is None, "nobody keeps what was given away", 1)  # noqa: B023


def make_dummy_object(_: int) -> MyObject:
    return MyObject()


def test_resources_are_collected_at_the_slaves(executor: Farm, tmp_path: Path) -> None:
    executor.submit(id, TouchesWhenDeleted(tmp_path / "deleted")).result()
    eventually((tmp_path / "deleted").exists, "arguments are let go when the task is done")


def test_traceback(executor: Farm, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as caught:
        executor.submit(raise_runtime_error).result()
    error = caught.value
    assert type(error) is RuntimeError
    assert error.args == (123,)
    assert isinstance(error.__cause__, SlaveTraceback)
    assert "raise RuntimeError(123)  # some comment" in str(error.__cause__)
    sys.excepthook(*caught._excinfo)
    assert "raise RuntimeError(123)  # some comment" in capsys.readouterr().err
    assert not isinstance(error.__cause__, process._RemoteTraceback)


def raise_runtime_error() -> None:
    raise RuntimeError(123)  # some comment


def test_killed_child(executor: Farm) -> None:
    """On purpose: the pool is not broken by it, and healthy tasks are not lost."""
    healthy = [executor.submit(mul, number, 2) for number in range(20)]
    with pytest.raises(TaskLost):
        executor.submit(crash).result()
    assert [future.result() for future in healthy] == list(range(0, 40, 2))
    assert executor.submit(pow, 2, 8).result() == 256


def test_saturation(fresh: Farm, tmp_path: Path) -> None:
    """More tasks than slots wait, and do not make more processes."""
    go = tmp_path / "go"
    futures = [fresh.submit(wait_for, go) for _ in range(15 * 2)]
    assert len(fresh.slaves) == 2
    go.touch()
    assert wait(futures, timeout=20).not_done == set()
    assert len(fresh.slaves) == 2


def test_processes_are_used_again(executor: Farm) -> None:
    pids = {executor.submit(os.getpid).result() for _ in range(10)}
    assert len(pids) <= 2


def test_submit_from_many_threads(executor: Farm) -> None:
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:  # issue 14406, test_pending_calls_race
        futures = [executor.submit(operator.neg, number) for number in range(100)]
        assert wait(futures, timeout=20).not_done == set()
    finally:
        sys.setswitchinterval(switch_interval)
