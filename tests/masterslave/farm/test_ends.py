"""Streams of farms that are shut down, callbacks that shut down, items of all kinds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from masterslave import Farm, FarmBroken, RetryPolicy
from masterslave.settings import FarmSettings
from tests.conftest import eventually


def call(function: Callable[[], Any]) -> Any:
    return function()


def nothing(_: int) -> None:
    return None


def fail() -> None:
    raise OSError("no licence")


def test_functions_are_items(farm: Farm) -> None:
    assert list(farm.map(call, [lambda: 1, lambda: 2])) == [1, 2]
    assert list(farm.imap(call, [lambda: 1, lambda: 2])) == [1, 2]


def test_what_was_cancelled_says_so_in_its_stream_and_map() -> None:
    with Farm("test", local_slaves=0) as farm:
        results, stream = farm.map(abs, range(3)), farm.imap(abs, range(3))
        stream._refill()
        farm.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        next(results)
    for _ in range(3):
        with pytest.raises(CancelledError):
            next(stream)
    assert list(stream) == []


def test_a_callback_of_who_cancels_may_shut_down() -> None:
    with Farm("test", local_slaves=0) as farm:
        future = farm.submit(abs, -1)
        future.add_done_callback(lambda _: farm.shutdown())
        assert future.cancel()
    eventually(lambda: "closed" in repr(farm), "it is closed")


def test_a_stream_of_nothing_is_not_shortened_by_async_for(farm: Farm) -> None:
    async def count() -> int:
        return len([each async for each in farm.imap(nothing, range(100))])

    assert asyncio.run(count()) == 100


@pytest.mark.parametrize("on", ["ValueError", [ValueError], 3, (ValueError, 3), ValueError()])
def test_a_policy_is_for_exceptions(on: Any) -> None:
    with pytest.raises(TypeError, match="on is"):
        RetryPolicy(1, on=on)


def test_a_broken_farm_keeps_no_room() -> None:
    settings = FarmSettings(max_open_tasks=1)
    with Farm("test", local_slaves=1, initializer=fail, settings=settings) as farm:
        with pytest.raises(FarmBroken):
            farm.submit(abs, -1).result(timeout=10)
        for _ in range(3):
            with pytest.raises(FarmBroken):
                farm.submit(abs, -1)


FORKING = """
import os, sys
from masterslave import Farm
with Farm("test", local_slaves=1) as farm:
    waiting = farm.submit(abs, -1)
    child = os.fork()
    if not child:
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    print(waiting.result(timeout=10), farm.submit(abs, -2).result(timeout=10))
"""


def test_a_fork_that_leaves_the_block_leaves_the_farm_alone() -> None:
    told = subprocess.run(
        [sys.executable, "-c", FORKING], check=False, capture_output=True, text=True, timeout=30
    )
    assert told.stdout == "1 2\n", told.stderr
