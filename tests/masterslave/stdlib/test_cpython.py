"""CPython's own executor tests, as the running interpreter ships them, with ``Farm`` for a pool.

Many builds of Python ship no tests, and 3.11 has these in one file. There, only what was written
anew runs. FailingInitializerMixin and test_deadlock are not here: each of their tests looks into
``ProcessPoolExecutor``.
"""

from __future__ import annotations

import importlib
import unittest
from typing import Any

import pytest

from masterslave import Farm

NOT_FARMS: dict[str, str] = {
    "test_max_workers_negative": "a farm has slaves: local_slaves=",
    "test_max_workers_too_large": "Windows's limit of what one process can wait for",
    "test_killed_child": "kills one of _processes; on purpose, a farm is not broken by it",
    "test_traceback": "the cause is SlaveTraceback, not multiprocessing's _RemoteTraceback",
    "test_ressources_gced_in_workers": "needs a context of multiprocessing",
    "test_saturation": "needs a context of multiprocessing",
    "test_idle_process_reuse_one": "looks into _processes; a farm starts its slaves at once",
    "test_idle_process_reuse_multiple": "looks into _processes; a farm starts its slaves at once",
    "test_max_tasks_per_child": "looks into _processes; written anew in test_init",
    "test_max_tasks_per_child_defaults_to_spawn_context": "a farm has no start method",
    "test_max_tasks_early_shutdown": "needs a context of multiprocessing; anew in test_init",
    "test_python_finalization_error": "patches how multiprocessing starts threads",
    "test_cancel_futures": "wants a task begun before any process is; anew in test_shutdown",
    "test_interpreter_shutdown": "its script imports the executor from concurrent.futures",
    "test_submit_after_interpreter_shutdown": "its script imports it from concurrent.futures",
    "test_hang_gh83386": "its script imports the executor from concurrent.futures",
}
"""Tests that cannot apply, and why. What they state is tested by those that were written anew."""

MIXINS = {
    "executor": "ExecutorTest",
    "test_process_pool": "ProcessPoolExecutorTest",
    "test_wait": "WaitTests",
    "test_as_completed": "AsCompletedTests",
    "test_shutdown": "ExecutorShutdownTest",
    "test_init": "InitializerMixin",
}


class FarmExecutor(Farm):
    """A farm that is made like a pool."""

    def __init__(self, max_workers: int = 2, **options: Any) -> None:
        super().__init__("cpython", local_slaves=min(max_workers, 2), **options)


def cases() -> list[Any]:
    """Return a parameter for each test that the interpreter ships."""
    found = []
    for module, name in MIXINS.items():
        try:
            mixin = getattr(importlib.import_module(f"test.test_concurrent_futures.{module}"), name)
        except ImportError:
            continue
        for test in unittest.TestLoader().getTestCaseNames(mixin):
            marks = []
            if test in NOT_FARMS:
                marks.append(pytest.mark.skip(reason=NOT_FARMS[test]))
            inherited = module != "executor" and hasattr(_executor_test(), test)
            if not inherited:
                found.append(pytest.param(mixin, test, id=f"{name}.{test}", marks=marks))
    return found or [
        pytest.param(None, "", marks=pytest.mark.skip(reason="this Python ships no executor tests"))
    ]


def _executor_test() -> Any:
    return importlib.import_module("test.test_concurrent_futures.executor").ExecutorTest


@pytest.mark.parametrize(("mixin", "test"), cases())
def test_as_cpython_says(mixin: Any, test: str) -> None:
    util = importlib.import_module("test.test_concurrent_futures.util")
    bases = (mixin, util.ExecutorMixin, unittest.TestCase)
    members = {"executor_type": FarmExecutor, "worker_count": 2}
    outcome = unittest.TestResult()
    type("FarmTest", bases, members)(test).run(outcome)
    for _, text in (*outcome.errors, *outcome.failures):
        pytest.fail(text, pytrace=False)
    for _, reason in outcome.skipped:
        pytest.skip(reason)
