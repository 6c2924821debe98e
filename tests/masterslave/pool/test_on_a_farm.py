"""What a pool on a farm has beyond multiprocessing's, on purpose."""

from __future__ import annotations

import itertools
import operator
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from masterslave import Farm, Pool, SlaveTraceback
from tests.conftest import eventually
from tests.masterslave.shared import wait_for_file


@pytest.fixture(scope="module")
def farm(own_machine: Path) -> Iterator[Farm]:
    with Farm("hall", local_slaves=2) as running:
        yield running


@pytest.fixture
def pool(farm: Farm) -> Iterator[Pool]:
    with Pool(farm=farm) as running:
        yield running


def test_a_pool_of_a_running_farm_leaves_it_running(farm: Farm) -> None:
    with Pool(farm=farm) as pool:
        assert pool.farm is farm
        assert pool.map(abs, [-1, -2]) == [1, 2]
    pool.join()
    assert repr(pool) == "<Pool 'hall': terminated>"
    assert farm.submit(abs, -3).result() == 3


def test_a_pool_drops_its_own_tasks_only(farm: Farm, tmp_path: Path) -> None:
    go = tmp_path / "go"
    kept = farm.submit(wait_for_file, go)
    with Pool(farm=farm) as pool:
        dropped = pool.apply_async(wait_for_file, (tmp_path / "never",))
    with pytest.raises(CancelledError, match="the pool was terminated"):
        dropped.get(timeout=10)
    go.touch()
    assert kept.result(timeout=10) == go


def test_what_is_dropped_calls_nobody_back(farm: Farm, tmp_path: Path) -> None:
    called: list[object] = []
    with Pool(farm=farm) as pool:
        result = pool.apply_async(
            wait_for_file, (tmp_path / "never",), {}, called.append, called.append
        )
        stream = pool.imap(wait_for_file, [tmp_path / "never"])
    with pytest.raises(CancelledError):
        result.get(timeout=10)
    with pytest.raises(CancelledError):
        stream.next(timeout=10)
    with pytest.raises(StopIteration):
        stream.next(timeout=10)
    assert called == []


def test_joining_waits_for_the_pools_own_tasks(farm: Farm, tmp_path: Path) -> None:
    go = tmp_path / "go"
    pool = Pool(farm=farm)
    results = [pool.apply_async(abs, (-number,)) for number in range(50)]
    stream = pool.imap(abs, range(50))
    pool.close()
    pool.join()
    assert [result.get(0) for result in results] == list(range(50))
    assert [stream.next(0) for _ in range(50)] == list(range(50))
    other = Pool(farm=farm)
    other.close()
    kept = farm.submit(wait_for_file, go)
    other.join()
    go.touch()
    assert kept.result(timeout=10) == go


def test_a_farm_decides_about_its_slaves(farm: Farm) -> None:
    for option in ({"processes": 2}, {"initializer": print}, {"maxtasksperchild": 1}):
        with pytest.raises(ValueError, match=r"belong to the farm: give them to Farm\(\.\.\.\)"):
            Pool(**option, farm=farm)


def test_functions_may_be_local(pool: Pool) -> None:
    factor = 3
    assert pool.map(lambda number: factor * number, range(5)) == [0, 3, 6, 9, 12]
    assert list(pool.imap(lambda number: factor * number, range(5), 2)) == [0, 3, 6, 9, 12]


def test_what_cannot_be_sent_is_named_by_the_result(pool: Pool) -> None:
    result = pool.apply_async(max, (1, threading.Lock()))
    with pytest.raises(TypeError, match=r"argument 2 of max\(\) cannot be sent"):
        result.get(timeout=10)
    with pytest.raises(TypeError, match=r"of id\(\) cannot be sent"):
        pool.map(id, [threading.Lock()])
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"<lambda>\(\) cannot be sent"):
        pool.map(lambda _: lock, [1])
    with pytest.raises(TypeError, match="lock"):
        next(pool.imap(lambda _: lock, [1]))
    assert pool.apply(abs, (-1,)) == 1


def test_an_exception_names_the_slave(pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        pool.starmap(operator.floordiv, [(1, 0)])
    assert isinstance(caught.value.__cause__, SlaveTraceback)


def test_imap_takes_endless_items_as_there_is_room(pool: Pool) -> None:
    taken = itertools.count()
    stream = pool.imap(abs, (next(taken) for _ in itertools.count()))
    assert list(itertools.islice(stream, 50)) == list(range(50))
    ahead = next(taken)
    assert ahead <= 1052
    eventually(lambda: not pool._open, "what was sent is done; no more is taken")
    assert next(taken) <= 1053


def die_once(path: Path) -> int:
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_a_process_that_dies_costs_nothing(pool: Pool, tmp_path: Path) -> None:
    assert pool.apply_async(die_once, (tmp_path / "died",)).get(timeout=30)
    assert (tmp_path / "died").exists()


def test_a_callback_that_raises_delays_nobody(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise ValueError("in a callback")

    assert pool.apply_async(abs, (-1,), callback=fail).get(timeout=10) == 1
    assert pool.map_async(abs, [-1, -2], callback=fail).get(timeout=10) == [1, 2]
    assert pool.apply(abs, (-3,)) == 3


def test_a_pool_that_nobody_ends_ends_and_is_warned_of() -> None:
    pools = [Pool(1, label="forgotten")]
    farm = pools[0].farm
    with pytest.warns(ResourceWarning, match="unclosed running pool <Pool 'forgotten': running>"):
        pools.clear()
    eventually(lambda: "closed" in repr(farm), "its farm has ended")
