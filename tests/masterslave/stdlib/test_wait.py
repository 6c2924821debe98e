"""``wait`` and ``as_completed``: CPython's test_wait.py and test_as_completed.py."""

from __future__ import annotations

import itertools
import weakref
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Future,
)
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm, as_completed, wait
from tests.conftest import eventually
from tests.masterslave.stdlib.tasks import mul, wait_and_raise, wait_for

PATIENCE_S = 10


@pytest.fixture(scope="module")
def successful(executor: Farm) -> Future[Any]:
    future = executor.submit(mul, 6, 7)
    future.result(PATIENCE_S)
    return future


@pytest.fixture(scope="module")
def failed(executor: Farm) -> Future[Any]:
    future = executor.submit(divmod, 21, 0)
    future.exception(PATIENCE_S)
    return future


@pytest.fixture
def cancelled(idle: Farm) -> Future[Any]:
    """Cancelled, and whoever waits has been told."""
    future = idle.submit(abs, -1)
    future.cancel()
    assert wait([future], timeout=PATIENCE_S).done == {future}
    return future


def test_duplicates_are_waited_for_once(executor: Farm) -> None:  # issue 20369
    future = executor.submit(mul, 2, 3)
    done, not_done = wait([future, future], timeout=PATIENCE_S, return_when=ALL_COMPLETED)
    assert (done, not_done) == ({future}, set())


def test_first_completed(fresh: Farm, tmp_path: Path) -> None:
    late = fresh.submit(wait_for, tmp_path / "go")
    early = fresh.submit(mul, 21, 2)
    assert wait([late, early], PATIENCE_S, FIRST_COMPLETED) == ({early}, {late})
    (tmp_path / "go").touch()


def test_first_completed_some_already_completed(
    idle: Farm, successful: Future[Any], cancelled: Future[Any]
) -> None:
    pending = idle.submit(abs, -1)
    done, not_done = wait([cancelled, successful, pending], return_when=FIRST_COMPLETED)
    assert (done, not_done) == ({cancelled, successful}, {pending})


def test_first_exception(fresh: Farm, tmp_path: Path) -> None:
    good = fresh.submit(wait_for, tmp_path)
    assert good.result(PATIENCE_S)
    never = fresh.submit(wait_for, tmp_path / "never")
    bad = fresh.submit(wait_and_raise, tmp_path / "go")
    (tmp_path / "go").touch()
    done, not_done = wait([good, bad, never], PATIENCE_S, FIRST_EXCEPTION)
    never.cancel()
    assert bad in done or pytest.fail("stuck behind what runs for ever")
    assert (done, not_done) == ({good, bad}, {never})


def test_first_exception_some_already_complete(
    idle: Farm, executor: Farm, successful: Future[Any], cancelled: Future[Any]
) -> None:
    pending, bad = idle.submit(abs, -1), executor.submit(divmod, 21, 0)
    done, not_done = wait(
        [successful, cancelled, bad, pending], PATIENCE_S, return_when=FIRST_EXCEPTION
    )
    assert (done, not_done) == ({successful, cancelled, bad}, {pending})


def test_first_exception_one_already_failed(idle: Farm, failed: Future[Any]) -> None:
    pending = idle.submit(abs, -1)
    assert wait([failed, pending], return_when=FIRST_EXCEPTION) == ({failed}, {pending})


def test_all_completed(
    executor: Farm, successful: Future[Any], failed: Future[Any], cancelled: Future[Any]
) -> None:
    futures = {successful, failed, cancelled}
    futures |= {executor.submit(divmod, 2, 0), executor.submit(mul, 2, 21)}
    assert wait(futures, PATIENCE_S, return_when=ALL_COMPLETED) == (futures, set())


def test_timeout(
    idle: Farm, successful: Future[Any], failed: Future[Any], cancelled: Future[Any]
) -> None:
    pending = idle.submit(abs, -1)
    done, not_done = wait([successful, failed, cancelled, pending], timeout=0.02)
    assert (done, not_done) == ({successful, failed, cancelled}, {pending})


def test_cancelling_ends_a_wait(idle: Farm) -> None:
    futures = [idle.submit(abs, -number) for number in range(3)]
    for future in futures:
        future.add_done_callback(lambda _: None)
        assert future.cancel()
    assert wait(futures, timeout=PATIENCE_S).not_done == set()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(0)


def test_as_completed(
    executor: Farm, successful: Future[Any], failed: Future[Any], cancelled: Future[Any]
) -> None:
    futures = {successful, failed, cancelled, *(executor.submit(mul, n, 6) for n in (1, 7))}
    assert set(as_completed(futures, timeout=PATIENCE_S)) == futures


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_as_completed_times_out(
    idle: Farm, successful: Future[Any], failed: Future[Any], timeout: float
) -> None:
    seen = set()
    pending = idle.submit(abs, -1)
    with pytest.raises(TimeoutError, match=r"1 \(of 3\) futures unfinished"):
        for future in as_completed({successful, failed, pending}, timeout):
            seen.add(future)
    assert seen == {successful, failed}


def test_as_completed_gives_duplicates_once(executor: Farm) -> None:  # issues 20367, 31641
    future = executor.submit(mul, 2, 3)
    assert list(as_completed(itertools.repeat(future, 3), PATIENCE_S)) == [future]


def test_as_completed_keeps_no_reference(executor: Farm) -> None:  # issue 14406
    futures = [executor.submit(mul, number, 2) for number in range(8)]
    wait(futures, PATIENCE_S)
    for future in as_completed(futures):
        futures.remove(future)
        reference = weakref.ref(future)
        del future
        eventually(lambda: reference() is None, "nobody keeps what was given away", 1)  # noqa: B023
