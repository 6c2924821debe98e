"""``initializer`` and ``max_tasks_per_child``: CPython's test_init.py and test_process_pool.py."""

from __future__ import annotations

import os
from concurrent.futures import BrokenExecutor
from typing import NoReturn

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.masterslave.stdlib.tasks import mul


def initialize(value: str) -> None:
    os.environ["INITIALIZER_STATUS"] = value


def status() -> str:
    return os.environ.get("INITIALIZER_STATUS", "uninitialized")


def fail() -> NoReturn:
    raise ValueError("error in initializer")


def test_initializer() -> None:
    with Farm("stdlib", local_slaves=2, initializer=initialize, initargs=("initialized",)) as farm:
        assert list(farm.map(lambda _: status(), range(10))) == ["initialized"] * 10


def test_failing_initializer(caplog: pytest.LogCaptureFixture) -> None:
    farm = Farm("stdlib", local_slaves=2, initializer=fail)
    try:
        future = farm.submit(status)
        with pytest.raises(BrokenExecutor, match="error in initializer"):
            future.result(timeout=20)

        def is_broken() -> bool:
            try:
                farm.submit(status)
            except BrokenExecutor:
                return True
            return False

        eventually(is_broken, "submit() is guaranteed to fail")
    finally:
        farm.shutdown()


def test_an_initializer_is_a_callable() -> None:
    try:
        farm = Farm("stdlib", local_slaves=0, initializer="x")
    except TypeError as error:
        if "callable" in str(error):
            return
        pytest.fail(str(error))
    farm.shutdown()
    pytest.fail("taken")


def test_max_tasks_per_child() -> None:
    with Farm("stdlib", local_slaves=1, max_tasks_per_child=3) as farm:
        pids = [farm.submit(os.getpid).result(timeout=10) for _ in range(4)]
    assert len(set(pids[:3])) == 1, "a process may be used again"
    assert pids[3] != pids[0], "but not for ever"


def test_max_tasks_early_shutdown() -> None:
    farm = Farm("stdlib", local_slaves=2, max_tasks_per_child=1)
    futures = [farm.submit(mul, number, number) for number in range(6)]
    farm.shutdown()
    assert [future.result(timeout=0) for future in futures] == [n * n for n in range(6)]


@pytest.mark.parametrize("number", [0, -1])
def test_max_tasks_is_positive(number: int) -> None:
    with pytest.raises(ValueError, match="max_tasks_per_child"):
        Farm("stdlib", local_slaves=0, max_tasks_per_child=number)
