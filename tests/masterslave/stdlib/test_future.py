"""The futures that ``submit`` returns: CPython's test_future.py."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, InvalidStateError
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.masterslave.stdlib.tasks import mul, raise_error, touch_and_wait_for, wait_for

PATIENCE_S = 10


def test_done_callback_with_result(fresh: Farm, tmp_path: Path) -> None:
    results: list[Any] = []
    future = fresh.submit(wait_for, tmp_path / "go")
    future.add_done_callback(lambda done: results.append(done.result()))
    assert results == []
    (tmp_path / "go").touch()
    eventually(lambda: results == [tmp_path / "go"], "the callback is called")


def test_done_callback_with_exception(executor: Farm) -> None:
    errors: list[Any] = []
    executor.submit(raise_error, KeyError).add_done_callback(lambda f: errors.append(f.exception()))
    eventually(lambda: [type(error) for error in errors] == [KeyError], "the callback is called")


def test_done_callback_with_cancel(idle: Farm) -> None:
    was_cancelled: list[bool] = []
    future = idle.submit(abs, -1)
    future.add_done_callback(lambda done: was_cancelled.append(done.cancelled()))
    assert future.cancel()
    eventually(lambda: was_cancelled == [True], "the callback is called")


def test_done_callback_raises(fresh: Farm, tmp_path: Path, caplog: Any) -> None:
    called: list[Any] = []

    def fail(_: Future[Any]) -> None:
        called.append("failing")
        raise ValueError("doh!")

    future = fresh.submit(wait_for, tmp_path / "go")
    future.add_done_callback(fail)
    future.add_done_callback(called.append)
    (tmp_path / "go").touch()
    eventually(lambda: called == ["failing", future], "both are called, in their order")
    assert "doh!" in caplog.text


def test_done_callback_already_successful(executor: Farm) -> None:
    future = executor.submit(mul, 2, 3)
    assert future.result(PATIENCE_S) == 6
    results: list[int] = []
    future.add_done_callback(lambda done: results.append(done.result()))
    assert results == [6], "at once, in this thread"


def test_done_callback_already_failed(executor: Farm) -> None:
    future = executor.submit(raise_error, KeyError)
    error = future.exception(PATIENCE_S)
    errors: list[Any] = []
    future.add_done_callback(lambda done: errors.append(done.exception()))
    assert errors == [error]


def test_done_callback_already_cancelled(idle: Farm) -> None:
    future = idle.submit(abs, -1)
    future.cancel()
    called: list[Any] = []
    future.add_done_callback(called.append)
    assert called == [future]


def test_done_callback_raises_already_succeeded(executor: Farm, caplog: Any) -> None:
    future = executor.submit(mul, 2, 3)
    future.result(PATIENCE_S)
    future.add_done_callback(lambda _: raise_error(ValueError))
    assert "exception calling callback for" in caplog.text


def test_repr(idle: Farm, executor: Farm) -> None:
    future = idle.submit(abs, -1)
    assert "pending" in repr(future)
    future.cancel()
    assert "cancelled" in repr(future)
    good, bad = executor.submit(mul, 2, 3), executor.submit(raise_error, OSError)
    good.result(PATIENCE_S)
    bad.exception(PATIENCE_S)
    assert "finished" in repr(good)
    assert "raised OSError" in repr(bad)


def test_states_of_what_waits_and_of_what_is_cancelled(idle: Farm) -> None:
    future = idle.submit(abs, -1)
    assert (future.done(), future.running(), future.cancelled()) == (False, False, False)
    assert future.cancel()
    assert (future.done(), future.running(), future.cancelled()) == (True, False, True)
    assert future.cancel(), "again"
    for ask in (future.result, future.exception):
        with pytest.raises(CancelledError):
            ask(timeout=0)


def test_states_of_what_runs(fresh: Farm, tmp_path: Path) -> None:
    future = fresh.submit(touch_and_wait_for, tmp_path / "started", tmp_path / "go")
    eventually((tmp_path / "started").exists, "the task runs")
    try:
        eventually(future.running, "and the future says so", timeout_s=1)
    finally:
        (tmp_path / "go").touch()
    assert future.result(PATIENCE_S) == tmp_path / "go"
    assert (future.done(), future.running(), future.cancelled()) == (True, False, False)


def test_what_runs_can_be_cancelled(fresh: Farm, tmp_path: Path) -> None:
    """On purpose: the standard library's cannot, and returns False."""
    future = fresh.submit(touch_and_wait_for, tmp_path / "started", tmp_path / "never")
    eventually((tmp_path / "started").exists, "the task runs")
    assert future.cancel()
    assert future.cancelled()
    eventually(lambda: not any(slave.held for slave in fresh.slaves), "it has been stopped")


def test_what_is_done_cannot_be_cancelled(executor: Farm) -> None:
    good, bad = executor.submit(mul, 2, 3), executor.submit(raise_error, OSError)
    assert good.result(PATIENCE_S) == 6
    assert isinstance(bad.exception(PATIENCE_S), OSError)
    for future in (good, bad):
        assert not future.cancel()
        assert (future.done(), future.running(), future.cancelled()) == (True, False, False)
    assert good.exception(0) is None
    with pytest.raises(OSError):
        bad.result(0)


def test_asking_with_a_timeout(idle: Farm) -> None:
    future = idle.submit(abs, -1)
    for ask in (future.result, future.exception):
        with pytest.raises(TimeoutError):
            ask(timeout=0)
        with pytest.raises(TimeoutError):
            ask(timeout=0.01)


@pytest.mark.parametrize("ask", ["result", "exception"])
def test_another_thread_may_wait_for_a_result(fresh: Farm, tmp_path: Path, ask: str) -> None:
    future = fresh.submit(wait_for, tmp_path / "go")
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(getattr(future, ask)(PATIENCE_S)))
    waiting.start()
    (tmp_path / "go").touch()
    waiting.join()
    assert answers == [tmp_path / "go" if ask == "result" else None]


def test_another_thread_may_wait_for_what_is_cancelled(idle: Farm) -> None:
    future = idle.submit(abs, -1)
    errors: list[Any] = []

    def ask() -> None:
        try:
            future.result(PATIENCE_S)
        except BaseException as error:
            errors.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    future.cancel()
    waiting.join()
    assert [type(error) for error in errors] == [CancelledError]


def test_a_future_is_settled_once(executor: Farm) -> None:
    future = executor.submit(mul, 2, 3)
    assert future.result(PATIENCE_S) == 6
    with pytest.raises(InvalidStateError, match="FINISHED"):
        future.set_result(2)
    with pytest.raises(InvalidStateError, match="FINISHED"):
        future.set_exception(ValueError())
    assert future.result(0) == 6
