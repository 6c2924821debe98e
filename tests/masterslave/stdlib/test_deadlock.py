"""What crashes, leaves or cannot be pickled hangs nobody: CPython's test_deadlock.py.

There, most of it breaks the pool. Here it costs the task, and the farm goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from masterslave import Farm, NotPicklable, TaskFailed, TaskLost, wait
from tests.masterslave.stdlib.tasks import (
    CrashAtPickle,
    CrashAtUnpickle,
    ErrorAtPickle,
    ErrorAtUnpickle,
    ExitAtPickle,
    ExitAtUnpickle,
    crash,
    leave,
    make,
    mul,
    raise_error,
)

PATIENCE_S = 20

CASES: dict[str, tuple[Callable[..., Any], Any, type[Exception] | tuple[type[Exception], ...]]] = {
    "error at task pickle": (id, ErrorAtPickle(), NotPicklable),
    "exit at task unpickle": (id, ExitAtUnpickle(), TaskFailed),
    "error at task unpickle": (id, ErrorAtUnpickle(), Exception),
    "crash at task unpickle": (id, CrashAtUnpickle(), TaskLost),
    "crash during func exec on worker": (crash, None, TaskLost),
    "exit during func exec on worker": (leave, None, TaskFailed),
    "error during func exec on worker": (raise_error, RuntimeError, RuntimeError),
    "crash during result pickle on worker": (make, CrashAtPickle, TaskLost),
    "exit during result pickle on worker": (make, ExitAtPickle, (NotPicklable, TaskFailed)),
    "error during result pickle on worker": (make, ErrorAtPickle, NotPicklable),
    "error during result unpickle in result handler": (make, ErrorAtUnpickle, NotPicklable),
    "exit during result unpickle in result handler": (make, ExitAtUnpickle, NotPicklable),
}


@pytest.mark.parametrize("case", CASES)
def test_the_future_raises_and_the_farm_goes_on(executor: Farm, case: str) -> None:
    function, argument, error = CASES[case]
    future = executor.submit(function, *(() if argument is None else (argument,)))
    with pytest.raises(error):
        future.result(timeout=PATIENCE_S)
    assert executor.submit(mul, 2, 3).result(timeout=PATIENCE_S) == 6


def test_shutdown_deadlock() -> None:
    with Farm("stdlib", local_slaves=2) as farm:
        future = farm.submit(crash)
        farm.shutdown(wait=True)
        with pytest.raises(TaskLost):
            future.result(timeout=0)


def test_shutdown_deadlock_pickle() -> None:  # bpo-39104
    with Farm("stdlib", local_slaves=2) as farm:
        assert farm.submit(mul, 6, 7).result(timeout=PATIENCE_S) == 42
        future = farm.submit(id, ErrorAtPickle())
        farm.shutdown(wait=False)
        with pytest.raises(NotPicklable):
            future.result(timeout=PATIENCE_S)


def test_crash_big_data(executor: Farm) -> None:  # gh-94777
    data = "a" * (4 * 1024 * 1024 + 1)
    with pytest.raises(TaskLost):
        list(executor.map(crash, [data] * 3))
    assert executor.submit(len, data).result(timeout=PATIENCE_S) == len(data)


def test_submit_does_not_block_when_callbacks_do(executor: Farm) -> None:  # gh-105829
    go, entered = threading.Event(), threading.Event()

    def block(_: object) -> None:
        entered.set()
        go.wait(PATIENCE_S)

    executor.submit(mul, 2, 3).add_done_callback(block)
    assert entered.wait(PATIENCE_S)
    futures = [executor.submit(mul, number, 2) for number in range(1000)]
    go.set()
    assert wait(futures, timeout=PATIENCE_S).not_done == set()
