"""How a pool begins and ends, as the documentation of multiprocessing.Pool says: both agree."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from masterslave import Pool
from tests.conftest import eventually
from tests.masterslave.pool.conftest import MakePool
from tests.masterslave.pool.test_methods import METHODS, PATIENCE_S, square, touch
from tests.masterslave.shared import wait_for_file


def test_closing_takes_no_more_and_finishes_what_was_taken(
    make_pool: MakePool, tmp_path: Path
) -> None:
    """«Prevents any more tasks from being submitted ... Once all the tasks have been completed
    the worker processes will exit.» «One must call close() or terminate() before using join().»
    """
    pool, go = make_pool(1), tmp_path / "go"
    with pytest.raises(ValueError, match="Pool is still running"):
        pool.join()
    running = pool.apply_async(wait_for_file, (go,))
    waiting = pool.map_async(square, range(20))
    stream = pool.imap(square, range(3000))
    pool.close()
    pool.close()
    for method in METHODS.values():
        with pytest.raises(ValueError, match="Pool not running"):
            method(pool)
    go.touch()
    pool.join()
    assert running.get(0) == go
    assert waiting.get(0) == list(map(square, range(20)))
    assert list(stream) == list(map(square, range(3000))), "also what nobody has taken yet"
    pool.join()


def test_terminating_drops_what_is_not_done(make_pool: MakePool, tmp_path: Path) -> None:
    """«Stops the worker processes immediately without completing outstanding work.»"""
    pool = make_pool(1)
    assert pool.apply(square, (3,)) == 9
    never = tmp_path / "never"
    pool.apply_async(wait_for_file, (never,))
    pool.map_async(touch, [tmp_path / f"{number}" for number in range(20)], 1)
    pool.imap(touch, (tmp_path / f"imap-{number}" for number in range(20)))
    start = time.monotonic()
    pool.terminate()
    pool.join()
    assert time.monotonic() - start < PATIENCE_S
    assert list(tmp_path.iterdir()) == [], "nothing of it has run"
    for method in METHODS.values():
        with pytest.raises(ValueError, match="Pool not running"):
            method(pool)
    pool.terminate()


def test_leaving_the_block_terminates(make_pool: MakePool, tmp_path: Path) -> None:
    """«__enter__() returns the pool object, and __exit__() calls terminate().»"""
    with make_pool(1) as pool:
        assert isinstance(pool.apply(os.getpid), int)
        pool.apply_async(wait_for_file, (tmp_path / "never",))
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(square, (1,))
    with pytest.raises(ValueError, match="Pool not running"), pool:
        pass


def test_a_pool_has_as_many_processes_as_it_is_told(make_pool: MakePool, tmp_path: Path) -> None:
    """«processes is the number of worker processes to use.»"""
    pool = make_pool(3)
    paths = [tmp_path / f"{number}" for number in range(3)]
    results = [pool.apply_async(meet, (path, paths)) for path in paths]
    assert len({result.get(PATIENCE_S) for result in results}) == 3


def meet(mine: Path, everyone: list[Path]) -> int:
    mine.touch()
    for path in everyone:
        wait_for_file(path)
    return os.getpid()


@pytest.mark.parametrize("processes", [0, -1])
def test_fewer_processes_than_one_are_refused(make_pool: MakePool, processes: int) -> None:
    with pytest.raises(ValueError, match="Number of processes must be at least 1"):
        make_pool(processes)


@pytest.mark.parametrize("number", [0, -1, 1.5, "1"])
def test_a_bad_number_of_tasks_for_a_child_is_refused(make_pool: MakePool, number: object) -> None:
    with pytest.raises(ValueError, match="maxtasksperchild must be a positive int or None"):
        make_pool(1, maxtasksperchild=number)


def test_an_initializer_is_a_callable(make_pool: MakePool) -> None:
    with pytest.raises(TypeError, match="initializer must be a callable"):
        make_pool(1, initializer="not callable")


def initialize(value: int) -> None:
    os.environ["POOL_TEST"] = str(value)


def initialized() -> str | None:
    return os.environ.get("POOL_TEST")


def test_each_process_is_initialized_first(make_pool: MakePool) -> None:
    """«If initializer is not None then each worker process will call initializer(*initargs).»"""
    pool = make_pool(2, initialize, (12,))
    assert [pool.apply(initialized) for _ in range(10)] == ["12"] * 10


def test_a_process_is_replaced_after_its_tasks(make_pool: MakePool) -> None:
    """«maxtasksperchild is the number of tasks a worker process can complete before it will exit
    and be replaced with a fresh worker process.»
    """
    pool = make_pool(1, maxtasksperchild=3)
    pids = [pool.apply(os.getpid) for _ in range(7)]
    assert [len(set(pids[:3])), len(set(pids[3:6])), len(set(pids))] == [1, 1, 3]


def test_the_arguments_are_those_of_multiprocessing() -> None:
    theirs = inspect.signature(multiprocessing.pool.Pool)
    ours = inspect.signature(Pool)
    assert list(ours.parameters)[:4] == list(theirs.parameters)[:4]
    for name in METHODS.keys() - {"with"}:
        parameters = [
            inspect.signature(getattr(cls, name)).parameters
            for cls in (multiprocessing.pool.Pool, Pool)
        ]
        assert list(parameters[0]) == list(parameters[1]), name


def test_processes_end_with_the_pool(make_pool: MakePool, own_machine: Path) -> None:
    pool = make_pool(1)
    pid = pool.apply(os.getpid)
    pool.close()
    eventually(lambda: not Path(f"/proc/{pid}").exists() or _is_dead(pid), "it ends by itself")


def _is_dead(pid: int) -> bool:
    try:
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
