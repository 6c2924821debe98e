"""Method by method, what the documentation of multiprocessing.Pool says: both pools agree.

The words quoted are those of the standard library's documentation, Python 3.11 to 3.13.
"""

from __future__ import annotations

import math
import multiprocessing
import operator
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.masterslave.pool.conftest import MakePool
from tests.masterslave.shared import wait_for_file

PATIENCE_S = 10


def square(number: int) -> int:
    return number * number


def keywords(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return args, kwargs


def touch(path: Path) -> None:
    path.touch()


def fail_for(number: int) -> int:
    if number % 5 == 3:
        raise KeyError(number)
    return number


def items_until(last: int) -> Iterator[int]:
    yield from range(last)
    raise LookupError("no more items")


def test_apply_calls_with_args_and_kwds(pool: Any) -> None:
    """«Call func with arguments args and keyword arguments kwds. It blocks until ... ready.»"""
    assert pool.apply(square, (5,)) == 25
    assert pool.apply(square, (), {"number": 3}) == 9
    assert pool.apply(keywords, [1, 2], {"args": 3, "func": 4}) == ((1, 2), {"args": 3, "func": 4})
    assert pool.apply(keywords) == ((), {})


def test_apply_raises_what_the_call_raised(pool: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        pool.apply(operator.floordiv, (1, 0))


def test_tasks_run_in_other_processes(pool: Any) -> None:
    assert os.getpid() not in {pool.apply(os.getpid) for _ in range(4)}


def test_apply_async_returns_a_result_to_come(pool: Any, tmp_path: Path) -> None:
    """«A variant of the apply() method which returns a AsyncResult object.»"""
    go = tmp_path / "go"
    result = pool.apply_async(wait_for_file, (go,))
    assert not result.ready()
    assert result.wait(0.01) is None
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0.01)
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    go.touch()
    assert result.get(timeout=PATIENCE_S) == go
    assert result.ready()
    assert result.successful()
    assert result.get(0) == go, "the result can be had again"


def test_the_result_of_a_call_that_raised(pool: Any) -> None:
    """«If the remote call raised an exception then that exception will be reraised by get().»"""
    result = pool.apply_async(fail_for, (3,))
    result.wait(PATIENCE_S)
    assert result.ready()
    assert not result.successful()
    for _ in range(2):
        with pytest.raises(KeyError) as caught:
            result.get()
        assert caught.value.args == (3,)


def test_an_exception_shows_where_it_was_raised(pool: Any) -> None:
    with pytest.raises(KeyError) as caught:
        pool.apply(fail_for, (3,))
    assert "in fail_for" in str(caught.value.__cause__)


def test_a_callback_gets_the_result(pool: Any) -> None:
    """«When the result becomes ready callback is applied to it, that is unless the call failed.»"""
    called, failed = [], []
    result = pool.apply_async(square, (3,), callback=called.append, error_callback=failed.append)
    assert result.get(PATIENCE_S) == 9
    assert (called, failed) == ([9], []), "before get() returns"


def test_an_error_callback_gets_the_exception(pool: Any) -> None:
    """«If the target function fails, then the error_callback is called with the exception.»"""
    called, failed = [], []
    result = pool.apply_async(fail_for, (3,), callback=called.append, error_callback=failed.append)
    result.wait(PATIENCE_S)
    assert called == []
    assert [type(error) for error in failed] == [KeyError]


def test_a_callback_may_start_more(pool: Any) -> None:
    more: list[Any] = []
    first = pool.apply_async(
        square, (3,), callback=lambda value: more.append(pool.apply_async(square, (value,)))
    )
    first.get(PATIENCE_S)
    assert more[0].get(PATIENCE_S) == 81


@pytest.mark.parametrize("chunksize", [None, 1, 7, 1000])
def test_map_is_a_parallel_map(pool: Any, chunksize: int | None) -> None:
    """«A parallel equivalent of the map() built-in function. It blocks until ... ready.»"""
    assert pool.map(square, range(50), chunksize) == list(map(square, range(50)))
    assert pool.map(square, (n for n in range(50)), chunksize=chunksize) == pool.map(
        square, list(range(50)), chunksize
    )


def test_map_of_nothing(pool: Any) -> None:
    called = []
    assert pool.map(square, []) == []
    assert pool.starmap(square, iter(())) == []
    result = pool.map_async(square, [], callback=called.append)
    assert result.ready()
    assert result.successful()
    assert result.get(0) == []
    assert called == [], "no result has become ready"


def test_map_takes_any_iterable(pool: Any) -> None:
    assert pool.map(str.upper, "abc") == ["A", "B", "C"]
    assert pool.map(square, {3: "x", 2: "y"}) == [9, 4]
    assert pool.map(len, [(), (1,)]) == [0, 1], "an item is one argument"


def test_map_raises_what_a_call_raised(pool: Any) -> None:
    with pytest.raises(KeyError) as caught:
        pool.map(fail_for, range(5), 1)
    assert caught.value.args == (3,)


def test_map_raises_what_the_items_raise(pool: Any) -> None:
    with pytest.raises(LookupError, match="no more items"):
        pool.map(square, items_until(3))
    assert pool.apply(square, (2,)) == 4


def test_map_async_is_ready_when_all_is_done(pool: Any, tmp_path: Path) -> None:
    """«A variant of the map() method which returns a AsyncResult object.»"""
    go, called = tmp_path / "go", []
    ready = tmp_path / "ready"
    ready.touch()
    result = pool.map_async(wait_for_file, [ready, go], 1, callback=called.append)
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0.05)
    assert called == []
    go.touch()
    assert result.get(PATIENCE_S) == [ready, go]
    assert called == [[ready, go]], "once, with the list"


def test_map_async_that_fails_calls_back_once(pool: Any) -> None:
    called, failed = [], []
    result = pool.map_async(
        fail_for, range(20), 2, callback=called.append, error_callback=failed.append
    )
    result.wait(PATIENCE_S)
    assert not result.successful()
    assert called == []
    assert [type(error) for error in failed] == [KeyError]
    with pytest.raises(KeyError):
        result.get(0)


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_starmap_unpacks_its_items(pool: Any, chunksize: int | None) -> None:
    """«An iterable of [(1,2), (3, 4)] results in [func(1,2), func(3,4)].»"""
    pairs = [(number, 2) for number in range(10)]
    assert pool.starmap(pow, pairs, chunksize) == [number**2 for number in range(10)]
    assert pool.starmap(pow, iter(map(list, pairs)), chunksize=chunksize) == [
        number**2 for number in range(10)
    ]


def test_starmap_of_what_is_no_iterable(pool: Any) -> None:
    with pytest.raises(TypeError):
        pool.starmap(pow, [1, 2])


def test_starmap_async(pool: Any) -> None:
    """«A combination of starmap() and map_async() ... Returns a result object.»"""
    called, failed = [], []
    result = pool.starmap_async(
        divmod, [(7, 2), (9, 4)], callback=called.append, error_callback=failed.append
    )
    assert result.get(PATIENCE_S) == [(3, 1), (2, 1)]
    assert (called, failed) == ([[(3, 1), (2, 1)]], [])
    result = pool.starmap_async(
        divmod, [(7, 0)], callback=called.append, error_callback=failed.append
    )
    with pytest.raises(ZeroDivisionError):
        result.get(PATIENCE_S)
    assert [type(error) for error in failed] == [ZeroDivisionError]


@pytest.mark.parametrize("chunksize", [1, 7, 200])
def test_imap_gives_results_in_order(pool: Any, chunksize: int) -> None:
    """«A lazier version of map().»"""
    results = pool.imap(square, iter(range(100)), chunksize)
    assert iter(results) is results
    assert list(results) == list(map(square, range(100)))
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("chunksize", [1, 7, 200])
def test_imap_unordered_gives_each_result_once(pool: Any, chunksize: int) -> None:
    """«The ordering of the results from the returned iterator should be considered arbitrary.»"""
    results = list(pool.imap_unordered(square, range(100), chunksize))
    assert sorted(results) == list(map(square, range(100)))


def test_imap_of_nothing(pool: Any) -> None:
    assert list(pool.imap(square, [])) == list(pool.imap_unordered(square, [])) == []


def test_imap_gives_a_result_before_all_are_done(pool: Any, tmp_path: Path) -> None:
    go, ready = tmp_path / "go", tmp_path / "ready"
    ready.touch()
    results = pool.imap(wait_for_file, [ready, go])
    assert next(results) == ready
    go.touch()
    assert next(results) == go


def test_imap_unordered_gives_first_what_is_done_first(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(2)  # where no task is known to be short, so that none waits behind a long one
    go, ready = tmp_path / "go", tmp_path / "ready"
    ready.touch()
    results = pool.imap_unordered(wait_for_file, [go, ready])
    assert next(results) == ready
    go.touch()
    assert next(results) == go


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_the_next_method_has_a_timeout(pool: Any, method: str, tmp_path: Path) -> None:
    """«next(timeout) will raise TimeoutError if the result cannot be returned within timeout.»"""
    go = tmp_path / "go"
    results = getattr(pool, method)(wait_for_file, [go])
    for timeout in (0, 0.01):
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(timeout)
    go.touch()
    assert results.next(timeout=PATIENCE_S) == go
    with pytest.raises(StopIteration):
        results.next(timeout=0)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_goes_on_after_a_call_that_raised(pool: Any, method: str) -> None:
    results = getattr(pool, method)(fail_for, range(10))
    seen, errors = [], []
    while True:
        try:
            seen.append(next(results))
        except StopIteration:
            break
        except KeyError as error:
            errors.append(error.args[0])
    assert sorted(seen) == [0, 1, 2, 4, 5, 6, 7, 9]
    assert sorted(errors) == [3, 8]


@pytest.mark.parametrize("chunksize", [1, 2])
def test_imap_raises_what_the_items_raise_in_its_turn(pool: Any, chunksize: int) -> None:
    results = pool.imap(square, items_until(4), chunksize)
    assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
    with pytest.raises(LookupError, match="no more items"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_starts_before_a_result_is_asked_for(pool: Any, method: str, tmp_path: Path) -> None:
    results = getattr(pool, method)(touch, [tmp_path / "one", tmp_path / "two"])
    eventually(lambda: len(list(tmp_path.iterdir())) == 2, "both tasks have run")
    assert list(results) == [None, None]


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
@pytest.mark.parametrize("chunksize", [0, -1])
def test_a_chunksize_below_one_is_refused(pool: Any, method: str, chunksize: int) -> None:
    with pytest.raises(ValueError, match="Chunksize must be 1"):
        getattr(pool, method)(square, [1], chunksize)


def test_many_results_may_be_open_at_a_time(pool: Any) -> None:
    results = [pool.map_async(math.sqrt, range(20)) for _ in range(20)]
    streams = [pool.imap(math.sqrt, range(20)) for _ in range(5)]
    assert all(result.get(PATIENCE_S) == list(map(math.sqrt, range(20))) for result in results)
    assert [list(stream) for stream in streams] == [list(map(math.sqrt, range(20)))] * 5


def test_a_pool_cannot_be_pickled(pool: Any) -> None:
    with pytest.raises(NotImplementedError, match="cannot be passed between processes or pickled"):
        pickle.dumps(pool)


METHODS: dict[str, Callable[[Any], Any]] = {
    "apply": lambda pool: pool.apply(square, (1,)),
    "apply_async": lambda pool: pool.apply_async(square, (1,)),
    "map": lambda pool: pool.map(square, [1]),
    "map_async": lambda pool: pool.map_async(square, [1]),
    "starmap": lambda pool: pool.starmap(square, [(1,)]),
    "starmap_async": lambda pool: pool.starmap_async(square, [(1,)]),
    "imap": lambda pool: pool.imap(square, [1]),
    "imap_unordered": lambda pool: pool.imap_unordered(square, [1]),
    "with": lambda pool: pool.__enter__(),
}
