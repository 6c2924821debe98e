"""Futures that yield parts, tell of progress, are awaited, explained, cancelled while they run."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import CancelledError, as_completed, wait
from pathlib import Path

import pytest

from masterslave import Farm, FarmError, NotData, OnlyInScript, TaskFailed
from tests.conftest import eventually


def count_up(limit: int) -> Iterator[int]:
    yield from range(limit)
    return "done"


def raise_after(limit: int) -> Iterator[int]:
    yield from range(limit)
    raise ValueError("no more")


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


def squares_of(numbers: list[int]) -> list[int]:
    return [number * number for number in numbers]


class OfTheScript:
    """What only pickle can carry."""


def test_what_a_task_yields_comes_while_it_runs(farm: Farm, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"

    def steps(path: str) -> Iterator[str]:
        yield "before"
        wait_for(path)
        yield "after"

    steps.__globals__["wait_for"] = wait_for
    future = farm.submit(steps, str(go_on))
    parts = future.parts()
    assert next(parts) == "before"
    assert not future.done()
    go_on.touch()
    assert list(parts) == ["after"]
    assert future.result(timeout=10) is None


def test_what_a_generator_returns_is_the_result(farm: Farm) -> None:
    future = farm.submit(count_up, 100)
    assert list(future.parts()) == list(range(100))
    assert future.result(timeout=10) == "done"
    failing = farm.submit(raise_after, 3)
    parts = failing.parts()
    assert [next(parts) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no more"):
        next(parts)


def test_progress_from_inside_a_task(farm: Farm, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"

    def work(path: str) -> None:
        farm.progress(3, 10)
        wait_for(path)
        farm.progress(10, 10)

    future = farm.submit(work, str(go_on))
    assert future.progress is None or future.progress == (3, 10)
    eventually(lambda: future.progress == (3, 10), "the task has told")
    go_on.touch()
    future.result(timeout=10)
    assert future.progress == (10, 10)
    farm.progress(1, 2)  # outside of a task it does nothing


def test_a_task_that_uses_its_farm_is_told_so(farm: Farm) -> None:
    def submit_more() -> object:
        return farm.submit(abs, -1).result()

    with pytest.raises(OnlyInScript, match=r"farm\.submit works in the script only"):
        farm.submit(submit_more).result(timeout=10)


def test_futures_and_streams_are_awaited(farm: Farm) -> None:
    async def main() -> None:
        assert await farm.submit(abs, -7) == 7
        assert await asyncio.wrap_future(farm.submit(abs, -8)) == 8
        assert [part async for part in farm.submit(count_up, 5).parts()] == [0, 1, 2, 3, 4]
        seen = [pair async for pair in farm.imap_unordered(abs, range(-50, 0))]
        assert sorted(seen) == [(number, -number) for number in range(-50, 0)]
        assert [result async for result in farm.imap(abs, range(-5, 0))] == [5, 4, 3, 2, 1]
        with pytest.raises(ZeroDivisionError):
            await farm.submit(divmod, 1, 0)

    asyncio.run(main())


def test_a_task_that_runs_is_cancelled_within_a_second(farm: Farm, tmp_path: Path) -> None:
    started = tmp_path / "started"

    def run_for_ever(path: str) -> None:
        Path(path).touch()
        while True:
            pass

    future = farm.submit(run_for_ever, str(started))
    eventually(started.exists, "it runs")
    assert future.running()
    assert "has been running on slave" in farm.explain(future)
    start = time.monotonic()
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(CancelledError):
        future.result()
    assert farm.submit(abs, -1).result(timeout=10) == 1
    eventually(lambda: all(slave.held == 0 for slave in farm.slaves), "its slot is free")
    assert time.monotonic() - start < 1.0


def test_the_standard_library_waits_for_them(farm: Farm) -> None:
    futures = [farm.submit(abs, -number) for number in range(200)]
    done, open_ones = wait(futures, timeout=20)
    assert (len(done), len(open_ones)) == (200, 0)
    assert {future.result() for future in as_completed(futures)} == set(range(200))
    called: list[int] = []
    for future in futures:
        future.add_done_callback(lambda one: called.append(one.result()))
    assert called == list(range(200))


def test_what_waits_is_explained() -> None:
    with pytest.raises(KeyError), Farm("test", local_slaves=0) as farm:
        first, second = farm.submit(abs, 1), farm.submit(abs, 2)
        assert farm.explain(first) == "abs() waits for a slave: none is here"
        assert farm.explain(second).endswith("behind 1 other task")
        assert not first.running()
        with pytest.raises(TypeError, match="a future of this farm"):
            farm.explain(3)
        raise KeyError


def test_results_that_are_data_only() -> None:
    with Farm("test", local_slaves=1, results="data") as farm:
        assert farm.submit(squares_of, [1, 2, 3]).result(timeout=10) == [1, 4, 9]
        with pytest.raises(NotData):
            farm.submit(OfTheScript).result(timeout=10)
        with pytest.raises(ZeroDivisionError):
            farm.submit(divmod, 1, 0).result(timeout=10)

        class Own(Exception):
            pass

        def fail() -> None:
            raise Own("of the script")

        with pytest.raises((TaskFailed, FarmError), match="of the script"):
            farm.submit(fail).result(timeout=10)
        assert list(farm.map(abs, range(-100, 0))) == list(range(100, 0, -1))


def test_a_future_that_nobody_waits_for_is_small() -> None:
    with pytest.raises(KeyError), Farm("test", local_slaves=0) as farm:
        farm.submit(abs, 1)
        gc.collect()
        tracemalloc.start()
        futures = [farm.submit(abs, number) for number in range(10_000)]
        each = tracemalloc.get_traced_memory()[0] / len(futures)
        tracemalloc.stop()
        print(f"{each:.0f} bytes a task in flight")
        assert each < 1600
        raise KeyError


def test_many_threads_wait_for_one_future(farm: Farm, tmp_path: Path) -> None:
    future = farm.submit(wait_for, str(tmp_path / "go"))
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(future.result(timeout=20)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join()
    assert results == [None] * 16
