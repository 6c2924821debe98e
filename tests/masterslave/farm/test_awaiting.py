"""Awaiting streams and parts: a wait that is cancelled loses nothing, and no thread waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from masterslave import Farm
from masterslave.farm.futures import FarmFuture
from masterslave.farm.spans import ItemSpan
from masterslave.farm.waiting import Waiters
from tests.masterslave.shared import wait_for_file
from tests.masterslave.squares import Squares, ordered_squares, squares


async def patiently(stream: AsyncIterator[Any], timeout_s: float = 0.0005) -> Any:
    """Return what comes next, by short waits."""
    while True:
        try:
            return await asyncio.wait_for(anext(stream), timeout_s)
        except TimeoutError:
            continue


def wait_and_yield(paths: list[Path]) -> Iterator[int]:
    for number, path in enumerate(paths):
        wait_for_file(path)
        yield number


def executor_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "asyncio" in thread.name]


@pytest.fixture
def paths(tmp_path: Path, farm: Farm) -> Iterator[list[Path]]:
    """Files that tasks wait for."""
    paths = [tmp_path / str(number) for number in range(6)]
    yield paths
    for path in paths:  # so that the farm ends, whatever the test found
        path.touch()


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_waits_that_time_out_cost_no_result(farm: Farm, paths: list[Path], method: str) -> None:
    async def main() -> None:
        stream = getattr(farm, method)(wait_for_file, paths)
        seen = []
        for path in paths:
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(stream), 0.0005)
            assert not executor_threads()
            path.touch()
            seen.append(await asyncio.wait_for(anext(stream), 10))
        assert [each[1] if type(each) is tuple else each for each in seen] == paths
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(main())


def test_waits_for_parts_that_time_out_cost_no_part(farm: Farm, paths: list[Path]) -> None:
    future: FarmFuture[Any] = farm.submit(wait_and_yield, paths)

    async def main() -> None:
        parts = future.parts()
        for number, path in enumerate(paths):
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(parts), 0.0005)
            assert not executor_threads()
            path.touch()
            assert await asyncio.wait_for(anext(parts), 10) == number
        with pytest.raises(StopAsyncIteration):
            await anext(parts)

    asyncio.run(main())


@pytest.mark.parametrize("make", [squares, ordered_squares])
def test_each_result_once_under_cancels_of_all_kinds(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Squares(at_once=False)
    stream = make(range(2000), limit=100, sink=sink)
    spans: SimpleQueue[ItemSpan | None] = SimpleQueue()
    monkeypatch.setattr(sink, "submit", spans.put)

    def answer() -> None:  # in a thread of its own: answers come at any moment of a wait
        while (span := spans.get()) is not None:
            for offset in range(span.count):
                sink.answer(span, offset, 1)

    async def main() -> list[Any]:
        seen = []
        for number in range(100_000):
            wait = asyncio.ensure_future(anext(stream))
            if number % 3:
                await asyncio.sleep(0)  # one turn of the loop: it has begun to wait
                wait.cancel()
            try:
                seen.append(await wait)
            except asyncio.CancelledError:
                continue
            except StopAsyncIteration:
                break
        return seen

    answering = threading.Thread(target=answer)
    answering.start()
    try:
        seen = asyncio.run(main())
    finally:
        spans.put(None)
        answering.join()
    results = [each[1] if isinstance(each, tuple) else each for each in seen]
    assert results == [number * number for number in range(2000)]


def test_a_result_is_for_the_loop_that_asks_next() -> None:
    sink = Squares(at_once=False)
    stream = ordered_squares(range(3), sink=sink)

    async def in_vain() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.0005)

    asyncio.run(in_vain())
    sink.answer(sink.taken[0], 0, 1)
    assert asyncio.run(patiently(stream)) == 0
    asyncio.run(in_vain())
    sink.answer(sink.taken[0], 1, 2)
    assert next(stream) == 1
    assert asyncio.run(patiently(stream)) == 4


def test_two_coroutines_may_wait_at_the_same_time() -> None:
    sink = Squares(at_once=False)
    stream = ordered_squares(range(4), sink=sink)

    async def main() -> list[Any]:
        waits = [asyncio.ensure_future(anext(stream, "over")) for _ in range(5)]
        await asyncio.sleep(0)  # one turn of the loop: it has begun to wait
        for offset in range(4):
            answering = threading.Thread(target=sink.answer, args=(sink.taken[0], offset, 1))
            answering.start()
            answering.join()
        return await asyncio.gather(*waits)

    assert asyncio.run(main()) == [0, 1, 4, 9, "over"]


def test_a_loop_that_was_closed_is_no_matter() -> None:
    sink = Squares(at_once=False)
    stream = ordered_squares(range(2), sink=sink)
    loop = asyncio.new_event_loop()
    wait = loop.create_task(stream.__anext__())
    loop.run_until_complete(asyncio.wait([wait], timeout=0))
    loop.close()
    sink.answer(sink.taken[0], 0, 2)  # wakes nobody, and raises nothing
    assert [next(stream), asyncio.run(patiently(stream))] == [0, 1]
    wait._log_destroy_pending = False


def test_who_no_more_waits_is_forgotten() -> None:
    waiters = Waiters()

    async def in_vain() -> None:
        for _ in range(100):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waiters.wait_async(lambda: False), 0)
            wait = asyncio.ensure_future(waiters.wait_async(lambda: False))
            await asyncio.sleep(0)  # one turn of the loop: it has begun to wait
            wait.cancel()
            with pytest.raises(asyncio.CancelledError):
                await wait

    asyncio.run(in_vain())
    assert not waiters._wakes


def test_a_thread_that_waits_is_woken_each_time() -> None:
    waiters, come, taken = Waiters(), [], 0

    def bring() -> None:
        for number in range(2000):
            come.append(number)
            waiters.notify_all()

    bringing = threading.Thread(target=bring)
    bringing.start()
    while taken < 2000:
        if len(come) == taken:
            waiters.wait(lambda taken=taken: len(come) > taken)
        taken = len(come)
    bringing.join()
    assert not waiters._wakes
