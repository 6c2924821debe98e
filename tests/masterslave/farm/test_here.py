"""``Farm(here=True)``: tasks in threads of the script's own process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joblib import Parallel, delayed

from masterslave import (
    Farm,
    FarmBroken,
    FarmError,
    FarmSettings,
    NotPicklable,
    RetryPolicy,
    SlaveTraceback,
    TaskFailed,
    TaskUnknown,
)
from masterslave.cli import main_group
from masterslave.patterns import joblib_backend
from masterslave.pool import Pool
from remoteobj.cli import run_command
from tests.conftest import StartScript, eventually, processes_of

arrived, may_go = threading.Event(), threading.Event()
"""Of this very module, which the threads see as the tests do."""

prepared = threading.local()


@pytest.fixture
def here() -> Iterator[Farm]:
    arrived.clear()
    may_go.clear()
    with Farm("here", here=True) as farm:
        yield farm
        may_go.set()


def wait_to_go() -> str:
    arrived.set()
    assert may_go.wait(30)
    return "gone"


def let_go() -> None:
    may_go.set()


def sum_of(shared: dict[str, Any]) -> float:
    return float(shared["weights"].sum())


def where() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


def raise_for(number: int) -> None:
    held = [number]
    raise LookupError(held)


def raise_from(number: int) -> None:
    try:
        raise_for(number)
    except LookupError as error:
        raise OSError("no such shelf") from error


def empty(items: list[int]) -> int:
    while items:
        items.pop()
    return len(items)


def tell(rounds: int) -> Iterator[int]:
    for number in range(rounds):
        Farm.progress(number + 1, rounds)
        yield number


def prepare(value: int) -> None:
    prepared.value = value


def see_prepared(_: int = 0) -> int:
    found: int = prepared.value
    return found


def test_tasks_run_in_a_thread_of_this_process(here: Farm, own_machine: Path) -> None:
    pid, thread = here.submit(where).result()
    assert (pid, thread) == (os.getpid(), "farm here 1")
    assert [here.submit(where).result() for _ in range(3)] == [(pid, thread)] * 3
    assert list(here.map(pow, range(5), range(5))) == [1, 1, 4, 27, 256]
    assert list(here.imap(abs, range(-3, 0))) == [3, 2, 1]
    assert sorted(here.imap_unordered(abs, range(500))) == [(n, n) for n in range(500)]
    (slave,) = here.slaves
    assert (slave.name, slave.pid, slave.slots) == ("here", os.getpid(), 1)
    counts = here.statistics()
    assert counts.done == counts.submitted == 512
    here.add_local_slaves(1)
    assert not processes_of(own_machine)
    assert not list(own_machine.rglob("*"))  # no socket, no name
    with pytest.raises(FarmError, match="has no address"):
        _ = here.uri


def test_two_tasks_run_at_a_time_in_two_threads() -> None:
    arrived.clear()
    may_go.clear()
    with Farm(here=2) as farm:
        waiting = farm.submit(wait_to_go)
        assert farm.submit(let_go).result(30) is None
        assert waiting.result(30) == "gone"
        assert farm.slaves[0].slots == 2


def test_an_exception_has_the_frames_of_its_task(here: Farm) -> None:
    with pytest.raises(LookupError) as raised:
        here.submit(raise_for, 7).result()
    assert raised.traceback[-1].locals["held"] == [7]  # a debugger stands in the task
    assert Path(raised.traceback[-1].path) == Path(__file__)
    assert raised.value.__cause__ is None
    with pytest.raises(OSError, match="no such shelf") as raised_from:
        list(here.map(raise_from, [8]))
    assert isinstance(raised_from.value.__cause__, LookupError)
    with pytest.raises(TaskFailed, match=r"the task called sys\.exit\(3\)"):
        here.submit(exit, 3).result()
    again = here.options(retries=RetryPolicy(1, on=LookupError))
    with pytest.raises(LookupError) as retried:
        again.submit(raise_for, 9).result()
    assert retried.traceback[-1].locals["held"] == [9]
    assert here.statistics().retried == 1


def test_frames_of_exceptions_that_nobody_takes_are_kept_for_the_last_ones(here: Farm) -> None:
    stream = here.imap(raise_for, range(100))
    causes = []
    for number in range(100):
        with pytest.raises(LookupError) as raised:
            next(stream)
        causes.append(type(raised.value.__cause__))
        if number == 0:
            eventually(lambda: here.statistics().done == 100, "all have raised")
    assert causes[1:] == [SlaveTraceback] * 67 + [type(None)] * 32


def test_what_travels_is_a_copy_as_anywhere_else(here: Farm) -> None:
    items = [1, 2, 3]
    assert here.submit(empty, items).result() == 0
    assert items == [1, 2, 3]
    with pytest.raises(NotPicklable, match="argument 1"):
        here.submit(empty, threading.Lock()).result()
    with pytest.raises(NotPicklable, match="the result of allocate_lock"):
        here.submit(threading.Lock).result()


def test_a_task_that_waits_is_cancelled_and_one_that_runs_is_not(here: Farm) -> None:
    running = here.submit(wait_to_go)
    assert arrived.wait(30)
    waiting = [here.submit(see_prepared) for _ in range(3)]
    assert [future.cancel() for future in waiting] == [True] * 3
    assert not running.cancel()
    assert running.running()
    assert here.explain(running).startswith("wait_to_go() has been running on slave here")
    assert here.submit(abs, -1).cancel()
    may_go.set()
    assert running.result(30) == "gone"
    assert not running.cancel()
    assert here.statistics().cancelled == 4


def test_priorities_parts_progress_and_await(here: Farm) -> None:
    order: list[int] = []
    running = here.submit(wait_to_go)
    assert arrived.wait(30)
    futures = [here.options(priority=p).submit(int, p) for p in (1, 3, 2)]
    for future in futures:
        future.add_done_callback(lambda done: order.append(done.result()))
    may_go.set()
    assert running.result(30) == "gone"
    told = here.submit(tell, 3)
    assert list(told.parts()) == [0, 1, 2]
    eventually(lambda: told.progress == (3.0, 3.0), "the last progress comes")
    eventually(lambda: sorted(order) == [1, 2, 3], "the callbacks, which come after the answers")

    async def count() -> list[Any]:
        return [await here.submit(pow, 2, 5), *[item async for item in here.imap(abs, [-1, -2])]]

    assert asyncio.run(count()) == [32, 1, 2]


def test_each_thread_is_initialized_as_a_process_is() -> None:
    with Farm(here=3, initializer=prepare, initargs=(5,)) as farm:
        assert list(farm.map(see_prepared, range(100))) == [5] * 100
    with (
        Farm(here=True, initializer=prepare) as broken,
        pytest.raises(FarmBroken, match="TypeError"),
    ):
        broken.submit(abs, 1).result()


def test_what_threads_cannot_keep_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with Farm(here=True, max_tasks_per_child=1) as farm:
        assert "max_tasks_per_child is for processes" in caplog.text
        limited = farm.options(timeout_s=0.001)
        assert [limited.submit(where).result()[0] for _ in range(2)] == [os.getpid()] * 2
        assert caplog.text.count("timeout_s is not kept") == 1


def test_what_is_demanded_of_slaves_is_not_looked_at(here: Farm) -> None:
    elsewhere = here.options(needs={"gpu": 2}, on="no-such-host", priority=3)
    assert elsewhere.submit(abs, -1).result(30) == 1
    assert list(elsewhere.map(abs, [-1, -2])) == [1, 2]
    first = here.submit(int, 1)
    assert here.options(after=first).submit(abs, -2).result(30) == 2
    with pytest.raises(TaskUnknown, match="--handlers"):
        here.submit("frame", 12).result(30)


def test_shared_objects_are_the_tasks_own(here: Farm) -> None:
    array = here.empty(1000)
    array[:] = 2.0
    handle = here.share({"weights": array})
    assert here.submit(sum_of, handle).result(30) == 2000.0
    assert list(here.map(lambda item: handle["weights"][item], [1, 2])) == [2.0, 2.0]


def test_a_block_left_by_an_exception_drops_what_waits(caplog: pytest.LogCaptureFixture) -> None:
    arrived.clear()
    may_go.clear()
    begun: list[int] = []
    with pytest.raises(ZeroDivisionError), Farm("left", here=True) as farm:
        running, waiting = farm.submit(wait_to_go), farm.submit(begun.append, 1)
        assert arrived.wait(30)
        raise ZeroDivisionError
    assert running.cancelled()
    assert waiting.cancelled()
    assert "1 task runs in a thread of this process, which cannot be stopped" in caplog.text
    may_go.set()
    assert not begun


begun_items: list[int] = []


def begin_and_wait(item: int) -> None:
    begun_items.append(item)
    wait_to_go()


def test_of_items_that_travel_together_no_further_one_is_begun() -> None:
    arrived.clear()
    may_go.clear()
    begun_items.clear()
    with pytest.raises(ZeroDivisionError), Farm("left", here=True) as farm:
        results = farm.map(begin_and_wait, range(50), chunksize=50)
        assert arrived.wait(30)
        raise ZeroDivisionError
    may_go.set()
    eventually(
        lambda: "farm here 1" not in [thread.name for thread in threading.enumerate()], "it ends"
    )
    assert begun_items == [0]
    del results


def test_pools_and_joblib_run_on_it(here: Farm) -> None:
    with Pool(farm=here) as pool:
        assert pool.map(abs, range(-5, 0)) == [5, 4, 3, 2, 1]
        assert pool.apply(where)[0] == os.getpid()
    with joblib_backend(here):
        assert Parallel(n_jobs=-1)(delayed(pow)(n, 2) for n in range(20)) == [
            n**2 for n in range(20)
        ]


def test_the_environment_decides_where_the_script_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REMOTEOBJ_FARM_HERE", "2")
    with Farm(local_slaves=4, nameserver="no.such.host:9") as farm:
        assert [(slave.name, slave.slots) for slave in farm.slaves] == [("here", 2)]
    with Farm(here=False, local_slaves=0) as farm:
        assert farm.slaves == ()
    monkeypatch.setenv("REMOTEOBJ_FARM_HERE", "0")
    with Farm(local_slaves=0) as farm:
        assert farm.slaves == ()
    monkeypatch.setenv("REMOTEOBJ_FARM_HERE", "yes")
    with pytest.raises(ValueError, match="REMOTEOBJ_FARM_HERE is a number of threads"):
        Farm()


@pytest.mark.parametrize(("bad", "error"), [("1", TypeError), (1.5, TypeError), (-1, ValueError)])
def test_here_is_a_number_of_threads(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="number of threads"):
        Farm(here=bad)


SCRIPT = """
import os, sys
from masterslave import Farm

FACTOR = 3
total = 0

def scale(number):
    global total
    total += number
    return number * FACTOR

def look(number):
    found = number * FACTOR
    breakpoint()
    return found

with Farm("same", local_slaves=2) as farm:
    print(farm.submit(scale, 4).result(), list(farm.map(scale, range(5))), total)
    try:
        farm.submit(int, "twelve").result()
    except ValueError as error:
        print(error)
    if sys.argv[1:]:
        print(farm.submit(look, 5).result(), [slave.name for slave in farm.slaves])
"""

SAME = "12 [0, 3, 6, 9, 12] 0\ninvalid literal for int() with base 10: 'twelve'\n"


def test_the_same_script_runs_here_and_with_slaves(
    start_script: StartScript, tmp_path: Path
) -> None:
    script = tmp_path / "same.py"
    script.write_text(SCRIPT)
    run = ("-m", "masterslave", "run", str(script))
    with_slaves = start_script(*run, "--slaves", "0")
    here = start_script(*run, "--here")
    in_debugger = start_script(*run, "look", "--here", "--threads", "2")
    assert with_slaves.communicate(timeout=30) == (SAME, "")
    assert here.communicate(timeout=30) == (SAME, "")
    output, errors = in_debugger.communicate("p found\nwhere\nfound = 16\nc\n", timeout=30)
    assert not errors
    assert output.startswith(SAME)
    assert "(Pdb) 15\n" in output
    assert "16 ['here']" in output
    assert f"{script}(16)look()" in output


def test_what_does_not_fit_together_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--here", "--slaves", "2"], ["--threads", "2"]):
        assert run_command(main_group, ["run", __file__, *options]) == 2
        assert "--here" in capsys.readouterr().err


def test_threads_are_never_taken_for_silent() -> None:
    arrived.clear()
    may_go.clear()
    impatient = FarmSettings(heartbeat_s=60.0, silence_s=0.02)  # as a debugger that stops them all
    with Farm(here=True, settings=impatient) as farm:
        running = farm.submit(wait_to_go)
        with pytest.raises(TimeoutError):
            running.result(0.2)
        may_go.set()
        assert running.result(30) == "gone"
        assert farm.statistics().slaves_lost == 0
