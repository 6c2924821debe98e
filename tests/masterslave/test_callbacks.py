"""Code of the user's that runs in the script's process: callbacks, log handlers, unpickling."""

from __future__ import annotations

import functools
import gc
import logging
import sys
import threading
from concurrent.futures import Future
from typing import Any, NoReturn

import pytest

from masterslave import Farm, NotPicklable, TaskFailed, wait
from tests.conftest import eventually


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_callback_that_raises_costs_no_other_answer(
    farm: Farm, kind: type[BaseException]
) -> None:
    def fail(_: Future[int]) -> NoReturn:
        raise kind("in a callback")

    futures = [farm.submit(abs, -number) for number in range(10)]
    for future in futures:
        future.add_done_callback(fail)
    more = [farm.submit(abs, -number) for number in range(10)]
    assert [future.result(timeout=10) for future in more] == list(range(10))
    assert [future.result(timeout=10) for future in futures] == list(range(10))


def test_a_callback_that_raises_does_not_keep_a_cancelled_task() -> None:
    def fail(_: Future[int]) -> NoReturn:
        raise SystemExit

    with Farm("test", local_slaves=0) as farm:
        future = farm.submit(abs, -1)
        future.add_done_callback(fail)
        with pytest.raises(SystemExit):
            future.cancel()
        assert wait([future], timeout=5).done == {future}
        assert farm.statistics().cancelled == 1


def test_a_callback_may_submit_and_ask(farm: Farm) -> None:
    chain: list[int] = []
    done = threading.Event()

    def go_on(future: Future[int]) -> None:
        chain.append(future.result())
        assert repr(farm)
        if len(chain) == 5:
            done.set()
        else:
            farm.submit(abs, -len(chain)).add_done_callback(go_on)

    farm.submit(abs, 0).add_done_callback(go_on)
    assert done.wait(10)
    assert chain == [0, 1, 2, 3, 4]


def test_a_callback_may_shut_the_farm_down() -> None:
    farm = Farm("test", local_slaves=1)
    futures = [farm.submit(abs, -number) for number in range(10)]
    futures[0].add_done_callback(lambda _: farm.shutdown())
    assert [future.result(timeout=10) for future in futures] == list(range(10))
    eventually(lambda: "closed" in repr(farm), "it ends by itself")


def test_a_log_handler_may_ask_the_farm(caplog: pytest.LogCaptureFixture) -> None:
    answered: list[bool] = []

    class Asks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "joined" in record.msg:
                asker = threading.Thread(target=farm.statistics)
                asker.start()
                asker.join(5)
                answered.append(not asker.is_alive())

    farm = Farm("test", local_slaves=0)
    handler = Asks()
    logger = logging.getLogger("masterslave")
    logger.addHandler(handler)
    try:
        with farm, caplog.at_level(logging.INFO, "masterslave"):
            farm.add_local_slaves(1)
            eventually(lambda: answered, "the slave joins")
    finally:
        logger.removeHandler(handler)
    assert answered == [True], "a lock of the farm's was held while the log was written"


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class CannotLeave:
    def __reduce__(self) -> NoReturn:
        raise NoText


class IsNoError(Exception):
    def __reduce__(self) -> Any:
        return str, ("made again, it is a text",)


class EndsProcess(Exception):
    def __reduce__(self) -> Any:
        return sys.exit, (3,)


class CannotArrive:
    """Its unpickling fails, in the script."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return _raise, (self.error,)


def _raise(error: type[BaseException]) -> NoReturn:
    raise error


def raise_it(kind: type[BaseException]) -> NoReturn:
    raise kind("from the task")


@pytest.mark.parametrize("kind", [IsNoError, EndsProcess, NoText])
def test_any_exception_reaches_its_caller(farm: Farm, kind: type[Exception]) -> None:
    error = farm.submit(raise_it, kind).exception(timeout=10)
    assert isinstance(error, TaskFailed | kind)
    assert "raise_it" in str(error.__cause__)
    if isinstance(error, TaskFailed):
        assert error.type_name.endswith(kind.__name__)
    assert farm.submit(abs, -1).result(timeout=10) == 1


@pytest.mark.parametrize("error", [ValueError, NoText, SystemExit])
def test_a_result_that_cannot_be_rebuilt_fails_its_own_task_only(
    farm: Farm, error: type[BaseException]
) -> None:
    bad = farm.submit(CannotArrive, error)
    with pytest.raises(
        NotPicklable, match=r"result of CannotArrive\(\) from slave .* rebuilt here"
    ):
        bad.result(timeout=10)
    assert farm.submit(abs, -1).result(timeout=10) == 1


def test_what_cannot_leave_is_named_even_if_its_error_has_no_text(farm: Farm) -> None:
    with pytest.raises(NotPicklable, match=r"argument 1 of id\(\).*NoText"):
        farm.submit(id, CannotLeave()).result(timeout=10)
    with pytest.raises(NotPicklable, match=r"argument 1 of list\(\).*generator"):
        farm.submit(list, (number for number in range(3))).result(timeout=10)
    with pytest.raises(NotPicklable, match=r"function id\(\) cannot be sent"):
        farm.submit(functools.partial(id, CannotLeave()))


def test_a_module_that_a_slave_lacks_is_named_with_the_slave(farm: Farm) -> None:
    ghost = type(sys)("ghost")
    exec("def walk(): pass", ghost.__dict__)
    sys.modules["ghost"] = ghost
    try:
        with pytest.raises(ModuleNotFoundError, match="ghost") as caught:
            farm.submit(ghost.walk).result(timeout=10)
    finally:
        del sys.modules["ghost"]
    assert any(slave.name in str(caught.value.__cause__) for slave in farm.slaves)


def test_a_stream_may_be_collected_under_the_lock_of_the_farm() -> None:
    """A destructor runs wherever memory is taken; there, too, what is under way is dropped."""
    with Farm("test", local_slaves=0) as farm:
        stream = farm.imap_unordered(abs, range(10))
        stream._refill()
        assert farm.statistics().waiting == 10
        cycle: list[object] = [stream]
        cycle.append(cycle)
        del stream, cycle
        seen: list[int] = []

        def look(decisions: Any) -> None:
            gc.collect()
            seen.append(decisions.scheduler.state.waiting)

        farm._master.view(look)
        assert seen == [10], "the scheduler is not entered while it is busy"
        eventually(lambda: farm.statistics().cancelled == 10, "what was under way is dropped")
