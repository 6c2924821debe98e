"""joblib, and scikit-learn by it, on a farm."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy
import pytest
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from masterslave import Farm, FarmClosed, SlaveTraceback
from masterslave.patterns import joblib_backend
from tests.conftest import eventually
from tests.masterslave.patterns.tasks import count_together
from tests.masterslave.shared import wait_for_file

X, y = make_classification(200, 8, random_state=1)


def test_calls_run_on_the_slaves_in_order(farm: Farm) -> None:
    with joblib_backend(farm):
        results = Parallel()(delayed(pow)(number, 2) for number in range(500))
        pids = Parallel(n_jobs=-1)(delayed(os.getpid)() for _ in range(20))
    assert results == [number**2 for number in range(500)]
    assert os.getpid() not in pids
    assert Parallel()(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2


def test_a_grid_search_equals_the_serial_one(farm: Farm) -> None:
    def search(jobs: int) -> GridSearchCV:
        parameters = {"C": [0.01, 0.1, 1, 10], "fit_intercept": [True, False]}
        return GridSearchCV(LogisticRegression(), parameters, cv=3, n_jobs=jobs).fit(X, y)

    before = farm.statistics().submitted
    serial = search(1)
    with joblib_backend(farm):
        farmed = search(-1)
    assert farm.statistics().submitted > before
    assert farmed.best_params_ == serial.best_params_
    assert farmed.best_score_ == serial.best_score_
    for key in ("mean_test_score", "std_test_score", "rank_test_score"):
        numpy.testing.assert_array_equal(farmed.cv_results_[key], serial.cv_results_[key])
    numpy.testing.assert_array_equal(farmed.predict(X), serial.predict(X))


def test_a_model_that_is_parallel_itself_runs_in_its_slot(farm: Farm) -> None:
    forest = RandomForestClassifier(5, n_jobs=-1, random_state=1)
    serial = cross_val_score(RandomForestClassifier(5, random_state=1), X, y, cv=3)
    with joblib_backend(farm):
        numpy.testing.assert_array_equal(cross_val_score(forest, X, y, cv=3), serial)


def inner() -> tuple[str, int, list[int]]:
    backend, _ = get_active_backend()
    pids = Parallel(n_jobs=4)(delayed(os.getpid)() for _ in range(4))
    return type(backend).__name__, os.getpid(), pids


def test_a_parallel_call_within_a_task_runs_there_one_after_the_other(farm: Farm) -> None:
    with joblib_backend(farm):
        for name, pid, pids in Parallel()(delayed(inner)() for _ in range(4)):
            assert name == "SequentialBackend"
            assert pids == [pid] * 4


def test_jobs_are_the_slots_of_the_farm(farm: Farm) -> None:
    eventually(lambda: len(farm.slaves) == 2, "both slaves join")
    with joblib_backend(farm):
        assert [effective_n_jobs(number) for number in (-1, -2, -9, 1, 7)] == [2, 1, 1, 1, 7]
        with pytest.raises(ValueError, match="n_jobs == 0"):
            effective_n_jobs(0)
        assert Parallel(n_jobs=1)(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2
    with joblib_backend(farm, n_jobs=1):
        assert Parallel()(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2


def test_short_calls_travel_in_batches(farm: Farm) -> None:
    before = farm.statistics().submitted
    with joblib_backend(farm):
        assert Parallel()(delayed(abs)(-n) for n in range(3000)) == list(range(3000))
    assert farm.statistics().submitted - before < 1000


def fail(path: Path) -> None:
    wait_for_file(path)
    raise LookupError("failed")


def test_a_call_that_raises_drops_the_others(fresh: Farm, tmp_path: Path) -> None:
    farm, go, never = fresh, tmp_path / "go", tmp_path / "never"
    go.touch()
    with joblib_backend(farm):
        with pytest.raises(LookupError, match="failed") as caught:
            Parallel()(delayed(fail)(path) for path in (never, go, never, never))
        assert isinstance(caught.value.__cause__, SlaveTraceback)
        eventually(lambda: not any(slave.held for slave in farm.slaves), "what ran is stopped")
        assert Parallel()(delayed(abs)(-n) for n in range(5)) == list(range(5))


def test_a_timeout_drops_what_runs(farm: Farm, tmp_path: Path) -> None:
    with joblib_backend(farm):
        with pytest.raises(multiprocessing.TimeoutError):
            Parallel(timeout=0.1)(delayed(wait_for_file)(tmp_path / "never") for _ in range(2))
        eventually(lambda: not any(slave.held for slave in farm.slaves), "what ran is stopped")


def test_results_may_come_as_they_are_ready(fresh: Farm, tmp_path: Path) -> None:
    go, ready = tmp_path / "go", tmp_path / "ready"
    ready.touch()
    with joblib_backend(fresh):
        calls = (delayed(wait_for_file)(path) for path in (go, ready))
        results = Parallel(return_as="generator_unordered")(calls)
        assert next(results) == ready
        go.touch()
        assert list(results) == [go]
        ordered = Parallel(return_as="generator")(delayed(abs)(-n) for n in range(10))
        assert list(ordered) == list(range(10))


def test_slaves_that_join_during_a_call_work_for_it(tmp_path: Path) -> None:
    with Farm("late", local_slaves=1) as farm, joblib_backend(farm):
        enough, most = threading.Event(), 0

        def calls() -> Iterator[Any]:
            while not enough.is_set():
                yield delayed(count_together)(tmp_path)

        parallel = Parallel(return_as="generator", batch_size=1, pre_dispatch=2)
        for number, together in enumerate(parallel(calls())):
            if number == 0:
                farm.add_local_slaves(2)
            most = max(most, together)
            if most == 3 or number == 500:
                enough.set()
        assert most == 3


def test_a_farm_that_is_gone_is_named() -> None:
    farm = Farm("gone", local_slaves=1)
    with joblib_backend(farm):
        assert Parallel()(delayed(abs)(-n) for n in range(2)) == [0, 1]
        farm.shutdown()
        with pytest.raises((FarmClosed, CancelledError), match="was shut down"):
            Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(2))


def test_without_joblib_the_extra_is_named(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    with (
        pytest.raises(ImportError, match=r"pip install 'remoteobj-farm\[joblib\]'"),
        joblib_backend(farm),
    ):
        pass
