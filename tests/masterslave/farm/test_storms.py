"""What comes in floods, at the wrong time, or makes no sense: the farm stands it, and says so."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masterslave import Farm, FarmSettings, NotPicklable, OnlyInScript
from masterslave.scheduler import Feeding
from tests.conftest import StartScript, eventually, processes_of
from tests.masterslave.conftest import StartSlave


@pytest.mark.parametrize(
    "ask",
    [
        lambda farm: farm.map(abs, range(9), chunksize=9 / 6),  # killed slaves, and the farm
        lambda farm: farm.imap(abs, range(9), limit=1.5),
        lambda farm: farm.imap_unordered(abs, range(9), limit=None),
        lambda farm: farm.options(priority="high"),
        lambda farm: farm.options(max_attempts=2.5),
        lambda farm: farm.add_local_slaves("2"),
    ],
)
def test_what_is_no_whole_number_is_refused(ask: Callable[[Farm], Any]) -> None:
    with Farm("test", local_slaves=0) as farm, pytest.raises(TypeError, match="whole number"):
        ask(farm)


@pytest.mark.parametrize(
    "settings",
    [
        {"heartbeat_s": -1},  # ended the farm's clock
        {"heartbeat_s": float("nan")},
        {"silence_s": "5"},
        {"patience_s": None},
        {"explain_after_s": -1},
        {"max_attempts": None},
        {"max_attempts": 1.5},
        {"max_open_tasks": -1},
        {"feeding": 3},
        {"feeding": Feeding(max_ahead=-1)},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
        FarmSettings(**settings)


def test_other_things_that_make_no_sense_are_refused(farm: Farm) -> None:
    with pytest.raises(TypeError, match="settings is a FarmSettings"):
        Farm("test", settings={"heartbeat_s": 3})
    with pytest.raises(ValueError, match="number of slaves"):
        farm.add_local_slaves(-1)
    with (
        Farm("other", local_slaves=0) as other,
        pytest.raises(TypeError, match="a future of this farm"),
    ):
        other.explain(farm.submit(abs, -1))


@pytest.mark.parametrize(
    "given",
    [
        {"initargs": 3, "initializer": print},
        {"initargs": "ab", "initializer": print},
        {"initializer": 3},
        {"nameserver": 3},
    ],
    ids=str,
)
def test_arguments_of_a_farm_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(given))):
        Farm("test", local_slaves=0, **given)


def test_a_task_that_names_a_view_of_its_farm_is_told_what_it_may(farm: Farm) -> None:
    urgent = farm.options(priority=5)

    def submit_more() -> object:
        return urgent.submit(abs, -1).result()

    with pytest.raises(OnlyInScript):
        farm.submit(submit_more).result(timeout=10)


CLOSED = """
import os
import random
import signal
import sys
import threading
for descriptor in 0, 1, 2:
    os.close(descriptor)
from masterslave import Farm

def shout(number):
    for stream in 1, 2:
        os.write(stream, b"loud " * 1000)
    return number

with Farm("test", local_slaves=2) as farm:
    assert list(farm.map(shout, range(100))) == list(range(100))
    assert farm.statistics().slaves_lost == 0
    os._exit(42)
"""


def test_a_script_without_standard_streams_has_slaves_all_the_same(
    start_script: StartScript,
) -> None:
    """What tasks printed went into the sockets of their slave, which then had these numbers."""
    assert start_script("-c", CLOSED).wait(timeout=20) == 42


def test_a_slave_whose_output_nobody_reads_any_more_works_on(start_slave: StartSlave) -> None:
    slave = start_slave("--slots", "1")
    assert slave.stdout is not None
    assert "looks for" in slave.stdout.readline()
    slave.stdout.close()
    with Farm("test", local_slaves=0) as farm:
        assert farm.submit(abs, -1).result(timeout=10) == 1
    slave.stdout = None


FORKING = """
import os, time
from masterslave import Farm, FarmClosed

with Farm("test", local_slaves=2) as farm:
    runs, waits = farm.submit(time.sleep, 0.5), [farm.submit(abs, -n) for n in range(100)]
    while not runs.running():
        time.sleep(0.01)
    child = os.fork()
    if not child:
        refused = 0
        for ask in (
            lambda: farm.submit(abs, -1),
            lambda: farm.map(abs, [-1]),
            lambda: farm.imap(abs, [-1]),
            lambda: farm.add_local_slaves(1),
        ):
            try:
                ask()
            except FarmClosed as error:
                refused += "fork" in str(error)
        os._exit(refused + 10 * runs.cancel())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(runs.result(timeout=10), [one.result(timeout=10) for one in waits] == list(range(100)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_of_the_script_is_told_that_the_farm_is_not_its_own(
    start_script: StartScript,
) -> None:
    """It had no answer, for ever; and started slaves for its parent."""
    output, errors = start_script("-c", FORKING).communicate(timeout=20)
    assert output.split() == ["4", "None", "True"], errors


def test_a_farm_is_made_where_the_directory_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend("")
    here.rmdir()
    with Farm("test", local_slaves=1) as farm:
        assert farm.submit(abs, -1).result(timeout=10) == 1


@pytest.mark.parametrize("most", [1, 3])
def test_a_process_runs_no_more_items_than_it_may(most: int) -> None:
    def pid_of(_: object) -> int:  # travels by value: this module is slow to import
        return os.getpid()

    with Farm("test", local_slaves=2, max_tasks_per_child=most) as farm:
        for pids, asked in (
            (farm.map(pid_of, range(20)), False),
            (farm.imap(pid_of, range(20)), False),
            (farm.map(pid_of, range(20), chunksize=2), True),  # what travels together stays so
        ):
            times = Counter(pids)
            assert sum(times.values()) == 20
            assert max(times.values()) <= max(most, 2 if asked else 0), times


def test_progress_is_told_in_any_numbers(farm: Farm) -> None:
    def tell(done: Any, total: Any) -> None:
        Farm.progress(done, total)

    for done, total in ((1, 10**30), (Fraction(1, 2), np.int64(3)), (True, np.float32(2))):
        future = farm.submit(tell, done, total)
        future.result(timeout=10)
        assert future.progress == (float(done), float(total))
    with pytest.raises((TypeError, ValueError)):
        farm.submit(tell, "half", 1).result(timeout=10)


def test_items_whose_results_are_large_together_cost_no_other(farm: Farm) -> None:
    results = farm.map(bytes, [70_000_000, 70_000_000, 1], chunksize=3)
    assert len(next(results)) == 70_000_000
    with pytest.raises(NotPicklable, match="smaller chunksize"):
        next(results)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_slaves_end_with_the_farm_while_a_callback_still_runs() -> None:
    go_on = threading.Event()
    farm = Farm("test", local_slaves=0)
    future = farm.submit(abs, -1)
    future.add_done_callback(lambda _: go_on.wait(30))
    farm.add_local_slaves(1)
    assert future.result(timeout=10) == 1
    (slave,) = farm.slaves
    ending = threading.Thread(target=farm.shutdown)
    ending.start()
    try:
        eventually(lambda: not Path(f"/proc/{slave.pid}/stat").exists(), "it is gone")
        assert ending.is_alive()
    finally:
        go_on.set()
        ending.join()


def test_a_storm_of_cancels_from_many_threads_leaves_each_task_settled(farm: Farm) -> None:
    def storm(seed: int) -> None:
        chance = random.Random(seed)
        mine = []
        for number in range(300):
            mine.append(farm.submit(abs, -number))
            if chance.random() < 0.5:
                chance.choice(mine).cancel()
        answers = [None if one.cancelled() else one.result(timeout=20) for one in mine]
        assert all(answer in (None, number) for number, answer in enumerate(answers))
        calm.append(seed)

    calm: list[int] = []
    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(calm) == list(range(16))
    counts = farm.statistics()
    assert counts.done + counts.cancelled == counts.submitted == 16 * 300


def test_ten_thousand_parts_come_once_though_the_child_is_killed_half_way(
    farm: Farm, tmp_path: Path
) -> None:
    def count_up(limit: int, died: str) -> Iterator[int]:
        for number in range(limit):
            if number == limit // 2 and not os.path.exists(died):
                os.close(os.open(died, os.O_CREAT))
                os._exit(9)
            yield number

    parts = farm.submit(count_up, 10_000, str(tmp_path / "died")).parts()
    assert list(parts) == list(range(10_000))
    half = farm.submit(count_up, 10**9, str(tmp_path / "died"))
    assert [next(half.parts()) for _ in range(5_000)] == list(range(5_000))
    assert half.cancel()
    assert farm.submit(abs, -1).result(timeout=10) == 1


HANGING = """
import time
from masterslave import Farm

with Farm("test", local_slaves=2, initializer=time.sleep, initargs=(3600,)) as farm:
    future = farm.submit(abs, -1)
    while not future.running():
        time.sleep(0.01)
    print("hangs", flush=True)
    future.result()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, -15)])
def test_an_initializer_that_hangs_ends_with_its_script(
    start_script: StartScript, own_machine: Path, sent: signal.Signals, code: int
) -> None:
    script = start_script("-c", HANGING)
    assert script.stdout is not None
    assert script.stdout.readline() == "hangs\n"
    script.send_signal(sent)
    assert script.wait(timeout=10) == code
    eventually(lambda: not processes_of(own_machine), "slaves end, too")


def test_farms_that_come_and_go_leave_nothing_behind() -> None:
    def come_and_go() -> None:
        farms = [Farm("test", local_slaves=1) for _ in range(4)]
        answers = [farm.map(abs, range(100)) for farm in farms]
        assert [list(each) for each in answers] == [list(range(100))] * 4
        for farm in farms:
            farm.shutdown()

    come_and_go()
    threads = threading.active_count()
    descriptors = count_descriptors()
    for _ in range(4):
        come_and_go()
    assert threading.active_count() <= threads
    assert count_descriptors() <= descriptors


def count_descriptors() -> int:
    folder = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
