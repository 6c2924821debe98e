"""The farm as a script uses it, with real slaves."""

from __future__ import annotations

import logging
import math
import operator
import os
import socket
import threading
from concurrent.futures import CancelledError, Executor, Future
from itertools import count, islice
from pathlib import Path

import pytest

from masterslave import (
    BadLabel,
    CodeRefused,
    Farm,
    FarmClosed,
    NotPicklable,
    SlaveTraceback,
    TaskFailed,
    TaskLost,
    as_completed,
    wait,
)
from nameserver import Directory
from remoteobj import BadURI
from tests.conftest import eventually
from tests.masterslave.gates import wait_at

LIMIT = 10


class OutOfStock(Exception):
    def __init__(self, item: str, missing: int) -> None:
        super().__init__(f"{missing} x {item}")
        self.item = item
        self.missing = missing


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def raise_out_of_stock() -> None:
    raise OutOfStock("bolt", 3)


def raise_unpicklable() -> None:
    raise Unpicklable


def wait_for_file(path: str) -> str:
    wait_at(path)
    return path


def touch_and_hang(path: str) -> None:
    with open(path, "w"):
        pass
    threading.Event().wait()


def test_is_an_executor(farm: Farm) -> None:
    assert isinstance(farm, Executor)
    future = farm.submit(pow, 2, 10)
    assert isinstance(future, Future)
    assert future.result() == 1024
    assert farm.submit(int, "ff", base=16).result() == 255
    assert list(farm.map(operator.add, range(5), range(5))) == [0, 2, 4, 6, 8]


def meet(mine: str, other: str) -> int:
    with open(mine, "w"):
        pass
    wait_for_file(other)
    return os.getpid()


def test_runs_in_other_processes_at_the_same_time(farm: Farm, tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    pids = {*farm.map(meet, [one, other], [other, one], timeout=30)}
    assert os.getpid() not in pids
    assert len(pids) == 2
    assert {slave.host for slave in farm.slaves} == {socket.gethostname()}
    assert {slave.slots for slave in farm.slaves} == {1}
    assert not pids & {slave.pid for slave in farm.slaves}, "tasks run beside the agent, not in it"


def test_a_function_takes_along_what_its_globals_are_now(farm: Farm) -> None:
    namespace: dict[str, object] = {"__name__": "__main__", "LIMIT": 1}
    exec("def limit():\n    return LIMIT", namespace)
    function = namespace["limit"]
    assert callable(function)
    assert farm.submit(function).result() == 1
    namespace["LIMIT"] = 2
    assert farm.submit(function).result() == 2


def test_an_exception_arrives_as_itself_with_slave_and_traceback(farm: Farm) -> None:
    with pytest.raises(OutOfStock) as caught:
        farm.submit(raise_out_of_stock).result()
    assert (caught.value.item, caught.value.missing) == ("bolt", 3)
    cause = caught.value.__cause__
    assert isinstance(cause, SlaveTraceback)
    assert cause.slave in {slave.name for slave in farm.slaves}
    assert "in raise_out_of_stock" in str(cause)
    assert "child.py" not in str(cause), "our own frames are no news to the user"


def test_an_exception_that_cannot_travel_is_told_in_words(farm: Farm) -> None:
    with pytest.raises(TaskFailed, match="holds a lock") as caught:
        farm.submit(raise_unpicklable).result()
    assert caught.value.type_name.endswith("Unpicklable")
    assert "raise_unpicklable" in str(caught.value.__cause__)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_task_cannot_end_the_script(farm: Farm, kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind(3)

    with pytest.raises(TaskFailed, match=rf"^{kind.__name__}: .*3") as caught:
        farm.submit(leave).result()
    assert (kind is SystemExit) == ("the task called sys.exit(3)" in str(caught.value))
    assert farm.submit(abs, -1).result() == 1


def test_a_function_that_cannot_be_pickled_is_named_at_once(farm: Farm) -> None:
    lock = threading.Lock()
    with pytest.raises(NotPicklable, match=r"uses_lock\(\) cannot be sent.*lock.*inside"):
        farm.submit(_make_uses_lock(lock))
    with pytest.raises(NotPicklable, match="a task is a function, not 12"):
        farm.submit(12)
    assert farm.submit(abs, -1).result() == 1


def _make_uses_lock(lock: object) -> object:
    def uses_lock() -> object:
        return lock

    return uses_lock


def test_an_argument_that_cannot_be_pickled_fails_its_own_task_only(farm: Farm) -> None:
    good = farm.submit(abs, -1)
    bad = farm.submit(max, 1, threading.Lock())
    with pytest.raises(NotPicklable, match=r"argument 2 of max\(\) cannot be sent"):
        bad.result()
    named = farm.submit(sorted, [1], key=threading.Lock())
    with pytest.raises(NotPicklable, match=r"argument 'key' of sorted\(\) cannot be sent"):
        named.result()
    assert good.result() == 1


def test_a_result_that_cannot_be_pickled_fails_its_own_task_only(farm: Farm) -> None:
    bad = farm.submit(threading.Lock)
    with pytest.raises(NotPicklable, match=r"result of .*lock.* cannot be sent back.*plain data"):
        bad.result()
    assert farm.submit(abs, -1).result() == 1


def test_what_is_too_large_is_refused_in_words(farm: Farm) -> None:
    with pytest.raises(NotPicklable, match=r"arguments of len\(\) take 140 MiB, at most 128"):
        farm.submit(len, bytes(140 * 2**20)).result()
    with pytest.raises(NotPicklable, match=r"result takes 140 MiB, at most 128.*file"):
        farm.submit(bytes, 140 * 2**20).result()
    assert len(farm.submit(bytes, 50 * 2**20).result()) == 50 * 2**20


def test_imap_unordered_pairs_items_with_results(farm: Farm) -> None:
    assert dict(farm.imap_unordered(math.sqrt, [1, 4, 9])) == {1: 1.0, 4: 2.0, 9: 3.0}


def test_imap_unordered_takes_endless_items_within_its_limit(farm: Farm) -> None:
    taken = count()
    stream = farm.imap_unordered(abs, (next(taken) for _ in count()), limit=10)
    assert len(list(islice(stream, 50))) == 50
    assert next(taken) <= 61
    stream.close()
    eventually(lambda: farm.statistics().waiting == 0, "what was under way is dropped")


def test_imap_unordered_goes_on_after_a_task_that_raised(farm: Farm) -> None:
    stream = farm.imap_unordered(math.sqrt, [4, -1, 9])
    results, errors = [], []
    while True:
        try:
            results.append(next(stream)[1])
        except StopIteration:
            break
        except ValueError as error:
            errors.append(error)
    assert sorted(results) == [2.0, 3.0]
    assert [error.__notes__ for error in errors] == [["in the task for item -1"]]


def test_a_waiting_task_can_be_cancelled(tmp_path: object) -> None:
    with Farm("test", local_slaves=0) as farm:
        future = farm.submit(abs, -1)
        assert future.cancel()
        with pytest.raises(CancelledError):
            future.result(timeout=5)
        assert wait([future], timeout=5).done == {future}
        assert farm.statistics().cancelled == 1


def test_a_running_task_can_be_cancelled(farm: Farm, tmp_path: object) -> None:
    path = f"{tmp_path}/started"
    future = farm.submit(touch_and_hang, path)
    eventually(lambda: os.path.exists(path), "the task runs")
    assert future.cancel()
    assert list(farm.map(abs, range(20))) == list(range(20))
    eventually(lambda: all(slave.held == 0 for slave in farm.slaves), "nothing runs any more")


def test_as_completed_and_callbacks(farm: Farm) -> None:
    called: list[int] = []
    futures = [farm.submit(abs, -number) for number in range(20)]
    for future in futures:
        future.add_done_callback(lambda f: called.append(f.result()))
    assert {f.result() for f in as_completed(futures, timeout=10)} == set(range(20))
    eventually(lambda: sorted(called) == list(range(20)), "every callback ran once")


def test_shutdown_waits_for_what_was_submitted() -> None:
    farm = Farm("test", local_slaves=2)
    futures = [farm.submit(abs, -number) for number in range(100)]
    farm.shutdown()
    assert [future.result(timeout=0) for future in futures] == list(range(100))
    with pytest.raises(FarmClosed, match="'test' was shut down"):
        farm.submit(abs, 1)
    assert "closed" in repr(farm)
    farm.shutdown()


def test_shutdown_can_drop_what_waits() -> None:
    farm = Farm("test", local_slaves=0)
    futures = [farm.submit(abs, -number) for number in range(10)]
    farm.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)


def test_shutdown_that_drops_what_waits_lets_what_runs_finish(tmp_path: Path) -> None:
    farm = Farm("test", local_slaves=1)
    running = farm.submit(report_and_wait, tmp_path / "started", tmp_path / "go")
    eventually((tmp_path / "started").exists, "the task runs")
    waiting = [farm.submit(abs, -number) for number in range(10)]
    farm.shutdown(wait=False, cancel_futures=True)
    assert wait(waiting, timeout=5).done == set(waiting)
    assert all(future.cancelled() for future in waiting)
    (tmp_path / "go").touch()
    assert running.result(timeout=10) == "finished"


def report_and_wait(started: Path, go: Path) -> str:
    started.touch()
    while not go.exists():
        threading.Event().wait(0.01)
    return "finished"


def test_shutdown_without_waiting_still_answers() -> None:
    farm = Farm("test", local_slaves=1)
    futures = [farm.submit(abs, -number) for number in range(10)]
    farm.shutdown(wait=False)
    assert [future.result(timeout=10) for future in futures] == list(range(10))
    eventually(lambda: "closed" in repr(farm), "it ends by itself")


def test_many_threads_may_submit(farm: Farm) -> None:
    results: dict[int, list[int]] = {}

    def use(number: int) -> None:
        results[number] = list(farm.map(abs, range(number, number + 50)))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: list(range(number, number + 50)) for number in range(8)}


def test_a_task_that_kills_its_process_is_given_up_with_its_story(farm: Farm) -> None:
    healthy = [farm.submit(abs, -number) for number in range(20)]
    with pytest.raises(TaskLost, match=r"given up after 3 hand-outs") as caught:
        farm.submit(os._exit, 7).result()
    assert len(caught.value.story) == 3
    assert all("exit code 7" in line for line in caught.value.story)
    with pytest.raises(TaskLost, match="SIGSEGV"):
        farm.submit(_segfault).result()
    assert [future.result() for future in healthy] == list(range(20))
    assert len(farm.slaves) == 2, "the slaves live on, with new children"


def _segfault() -> None:
    os.kill(os.getpid(), 11)


def test_a_task_may_print_and_read_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    def talk() -> str:
        import sys

        print("hello from the task")
        os.write(1, b"raw bytes on standard output\n")
        return sys.stdin.read()

    with Farm("test", local_slaves=1) as farm:
        assert farm.submit(talk).result() == ""
    lines = capfd.readouterr().err.splitlines()
    assert [line.rpartition("] ")[2] for line in lines] == [
        "hello from the task",
        "raw bytes on standard output",
    ]


@pytest.mark.parametrize("label", ["two words", "", "a.b", "ä", "-x", "x" * 64, "*"])
def test_a_bad_label_is_named(label: str) -> None:
    with pytest.raises(BadLabel, match="cannot be a farm's label"):
        Farm(label)


def test_other_bad_input_is_named(farm: Farm) -> None:
    with pytest.raises(ValueError, match="local_slaves is"):
        Farm("test", local_slaves=-1)
    with pytest.raises(ValueError, match="limit"):
        farm.imap_unordered(abs, [1], limit=0)
    with pytest.raises(CodeRefused, match="does not cross plain TCP"):
        Farm("test", host="127.0.0.1")


def test_a_farm_that_cannot_start_leaves_nothing_behind() -> None:
    with pytest.raises(BadURI):
        Farm("test", local_slaves=0, nameserver="nonsense")
    assert Directory().list("masterslave.") == ()
    assert not {thread.name for thread in threading.enumerate()} & {"farm carrier", "farm clock"}


def test_two_farms_of_one_label_live_side_by_side() -> None:
    with Farm("test", local_slaves=1) as one, Farm("test", local_slaves=1) as other:
        assert one.submit(abs, -1).result() == other.submit(abs, -1).result() == 1


def test_ctrl_c_drops_what_waits_and_says_what_is_kept(
    caplog: pytest.LogCaptureFixture, tmp_path: object
) -> None:
    path = f"{tmp_path}/started"
    with (
        caplog.at_level(logging.WARNING, "masterslave"),
        pytest.raises(KeyboardInterrupt),
        Farm("test", local_slaves=1) as farm,
    ):
        done = farm.submit(abs, -1)
        done.result()
        hanging = farm.submit(touch_and_hang, path)
        eventually(lambda: os.path.exists(path), "the task runs")
        raise KeyboardInterrupt
    assert done.result(timeout=0) == 1
    assert hanging.cancelled()
    assert (
        "interrupted: 1 tasks are done and their results kept, 1 under way are dropped"
        in caplog.text
    )


def test_an_error_in_the_block_drops_what_is_open_and_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "masterslave"):
        with pytest.raises(ZeroDivisionError), Farm("test", local_slaves=0) as farm:
            future = farm.submit(abs, -1)
            1 / 0  # noqa: B018
        assert future.cancelled()
        assert "stopped by ZeroDivisionError: 0 tasks are done" in caplog.text
        caplog.clear()
        with pytest.raises(NotPicklable), Farm("test", local_slaves=0) as farm:
            farm.submit(_make_uses_lock(threading.Lock()))
    assert not caplog.text, "nothing was dropped, so nothing is said"


def test_repr_speaks_state(farm: Farm) -> None:
    eventually(lambda: len(farm.slaves) == 2, "both slaves join")
    farm.submit(abs, -1).result()
    assert repr(farm) == "<Farm 'test': 1 of 1 tasks done, 2 slaves (2 slots)>"
