"""Scripts that attach to `masterslave master`: real services, slaves and scripts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError, as_completed
from pathlib import Path
from typing import Any

import pytest

from masterslave import (
    CannotAttach,
    DependencyFailed,
    Detached,
    Farm,
    FarmClosed,
    FarmError,
    NotPicklable,
    RetryPolicy,
)
from tests.conftest import StartScript, eventually
from tests.masterslave.attached.conftest import StartService
from tests.masterslave.conftest import StartSlave
from tests.masterslave.gates import wait_at


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def noted(number: int, folder: Path) -> int:
    with (folder / "ran").open("a") as file:
        file.write(f"{number}\n")
    time.sleep(0.002)  # so long it takes
    return number * number


def wait_and_note(name: str, folder: Path) -> str:
    wait_at(folder / "gate")
    with (folder / "order").open("a") as file:
        file.write(f"{name}\n")
    return name


def steps(count: int) -> Iterator[int]:
    for step in range(count):
        Farm.progress(step + 1, count)
        yield step


def ran_in(folder: Path) -> Counter[int]:
    return Counter(map(int, (folder / "ran").read_text().split()))


def test_a_farm_that_is_attached_to_is_used_as_any_other(start_service: StartService) -> None:
    start_service("--local-slaves", "2")
    with Farm.attach("lab") as farm:
        future = farm.submit(square, 12)
        assert future.result(timeout=30) == 144
        assert list(farm.map(square, range(500))) == [n * n for n in range(500)]
        assert list(farm.map(pow, [2, 3], [5, 2])) == [32, 9]
        results = farm.imap(refuse, range(6))
        assert [next(results), next(results), next(results)] == [0, 1, 2]
        with pytest.raises(ValueError, match="three") as raised:
            next(results)
        assert raised.value.__notes__ == ["in the task for item 3"]
        assert list(results) == [4, 5]
        assert sorted(farm.imap_unordered(square, [1, 2])) == [(1, 1), (2, 4)]
        bad = farm.submit(refuse, 3)
        after = farm.options(after=[bad]).submit(square, 2)
        with pytest.raises(DependencyFailed, match="refuse"):
            after.result(timeout=30)
        assert farm.options(after=[future, farm.submit(square, 5)]).submit(abs, -1).result(30) == 1
        yielding = farm.submit(steps, 3)
        assert list(yielding.parts()) == [0, 1, 2]
        assert yielding.progress == (3.0, 3.0)
        never = farm.submit(time.sleep, 3600)
        assert never.cancel()
        with pytest.raises(CancelledError):
            never.result()
        unsent = list(farm.imap_unordered(type, [1]))
        assert unsent == [(1, int)]
        with pytest.raises(NotPicklable):
            list(farm.map(square, [1, (each for each in ())]))
        done = farm.statistics()
        assert (done.open, done.cancelled, done.reconnected) == (0, 1, 0)
        assert farm.submit(square, 7).result(30) == 49
    with pytest.raises(FarmClosed):
        farm.submit(square, 1)
    assert jobs() == []


def test_priorities_of_attached_scripts(start_service: StartService, tmp_path: Path) -> None:
    start_service("--local-slaves", "1")
    with Farm.attach("lab") as farm:
        first = farm.submit(wait_and_note, "first", tmp_path)
        eventually(first.running, "the farm has it")
        futures = [farm.submit(wait_and_note, "low", tmp_path)]
        futures.append(farm.options(priority=5).submit(wait_and_note, "high", tmp_path))
        eventually(lambda: farm.statistics().on_disk == 3, "all is on its disk")
        (tmp_path / "gate").touch()
        assert {one.result(30) for one in as_completed([first, *futures])}
    order = (tmp_path / "order").read_text().split()
    assert order.index("high") < order.index("low")


LEAVES = """
import sys
from masterslave import Detached, Farm

class Point:
    def __init__(self, x):
        self.x = x

def make(number):
    if number == 3:
        raise ValueError("three")
    return Point(number)

farm = Farm.attach("lab")
farm.submit(make, 3)
futures = [farm.submit(make, number) for number in (10, 11)]
results = farm.map(make, range(100, 103))
ticket = farm.detach()
assert ticket == farm.ticket
print(ticket, flush=True)
"""
RETURNS = """
import sys
from masterslave import Farm

class Point:
    def __init__(self, x):
        self.x = x

with Farm.attach("lab", ticket=sys.argv[1]) as farm:
    bad, *others = farm.futures
    assert type(bad.exception(30)) is ValueError, bad
    for future in others:
        assert type(future.result(30)) is Point, future
    assert {future.function.name for future in farm.futures} == {"make"}
    print(*(future.result().x for future in others))
    print(farm.submit(abs, -5).result(30))
"""


def test_a_script_leaves_and_another_one_comes_back_with_its_ticket(
    start_service: StartService, start_slave: StartSlave, start_script: StartScript, tmp_path: Path
) -> None:
    start_service()
    (tmp_path / "leaves.py").write_text(LEAVES)
    (tmp_path / "returns.py").write_text(RETURNS)
    ticket, errors = start_script(str(tmp_path / "leaves.py")).communicate(timeout=30)
    assert not errors, errors
    (job,) = jobs()
    assert (job["ticket"], job["state"], job["tasks"]) == (ticket.strip(), "detached", 6)
    start_slave("lab", "--slots", "1")
    said, errors = start_script(str(tmp_path / "returns.py"), ticket.strip()).communicate(
        timeout=30
    )
    assert said.splitlines() == ["10 11 100 101 102", "5"], errors
    assert jobs() == []  # it has left for good


def test_futures_of_who_has_left_say_where_they_are(start_service: StartService) -> None:
    start_service()
    farm = Farm.attach("lab")
    future, results = farm.submit(square, 2), farm.map(square, [1, 2])
    ticket = farm.detach()
    for ask in (future.result, lambda: next(results)):
        with pytest.raises(Detached, match=ticket):
            ask()
    assert farm.detach() == ticket
    with pytest.raises(FarmClosed):
        farm.submit(square, 3)


def test_a_service_that_is_killed_in_the_middle_costs_no_result(
    start_service: StartService, start_slave: StartSlave, tmp_path: Path
) -> None:
    service = start_service()
    start_slave("lab", "--slots", "2")
    answered: Counter[int] = Counter()
    with Farm.attach("lab") as farm:
        futures = [farm.submit(noted, number, tmp_path) for number in range(1000)]
        for future in futures:
            future.add_done_callback(lambda one: answered.update([one.number]))
        results = farm.map(noted, range(1000, 2000), [tmp_path] * 1000)
        for future in futures[:300]:
            future.result(timeout=60)
        service.kill()
        service.wait()
        done = {number for number, future in enumerate(futures) if future.done()}
        late = farm.submit(square, 9)
        start_service()
        assert [future.result(timeout=60) for future in futures] == [n * n for n in range(1000)]
        assert list(results) == [n * n for n in range(1000, 2000)]
        assert late.result(timeout=60) == 81
        assert farm.statistics().reconnected >= 1
    assert answered == dict.fromkeys(range(1000), 1)
    ran = ran_in(tmp_path)
    assert set(ran) == set(range(2000))
    assert not [number for number in done if ran[number] != 1]
    assert sum(ran.values()) - 2000 <= 100, (
        "slaves have kept what they had, but for the last moment"
    )


DIES = """
import os, sys, pathlib
from masterslave import Farm
sys.path.insert(0, sys.argv[1])

def wait_for(number, gate):
    import os, threading
    while not os.path.exists(gate):
        threading.Event().wait(0.005)
    return number + 0.5

farm = Farm.attach("lab")
first = farm.submit(abs, -1)
futures = [farm.submit(wait_for, number, sys.argv[1] + "/gate") for number in range(20)]
first.result()
while farm.statistics().on_disk < 21:
    pass
print(farm.ticket, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_script_that_is_killed_leaves_its_ticket(
    start_service: StartService, start_script: StartScript, tmp_path: Path
) -> None:
    start_service("--local-slaves", "1")
    (tmp_path / "dies.py").write_text(DIES)
    ticket = start_script(str(tmp_path / "dies.py"), str(tmp_path)).communicate(timeout=30)[0]
    eventually(lambda: [job["state"] for job in jobs()] == ["detached"], "the script is gone")
    (job,) = jobs()
    assert (job["ticket"], job["script"], job["done"]) == (ticket.strip(), "dies.py", 1)
    (tmp_path / "gate").touch()
    with Farm.attach("lab", ticket=job["ticket"]) as farm:
        assert [one.result(30) for one in farm.futures] == [1, *(n + 0.5 for n in range(20))]


def test_two_scripts_at_once(start_service: StartService) -> None:
    start_service("--local-slaves", "2")
    with Farm.attach("lab") as one, Farm.attach("lab") as other:
        assert one.ticket != other.ticket
        ours = one.map(square, range(500))
        theirs = other.map(refuse, range(100, 600))
        assert list(ours) == [n * n for n in range(500)]
        assert list(theirs) == list(range(100, 600))
        assert {job["state"] for job in jobs()} == {"attached"}


def test_a_block_that_is_left_by_an_error_drops_what_is_open(start_service: StartService) -> None:
    start_service()
    with pytest.raises(KeyError), Farm.attach("lab") as farm:
        future = farm.submit(square, 1)
        raise KeyError("stop")
    assert future.cancelled()
    assert jobs() == []


def test_who_cannot_attach_is_told_why(start_service: StartService) -> None:
    with pytest.raises(CannotAttach, match=r"no farm 'lab' is found.*masterslave master lab"):
        Farm.attach("lab", timeout_s=0)
    with Farm("lab", local_slaves=0), pytest.raises(CannotAttach, match="a farm of its own"):
        Farm.attach("lab", timeout_s=0)
    start_service()
    with pytest.raises(CannotAttach, match=r"no ticket 'lab-0'.*masterslave jobs"):
        Farm.attach("lab", ticket="lab-0")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"python": (3, 1)}, "3.1, and this farm"), ({"version": 77}, "install the same release")],
)
def test_a_script_of_another_python_or_release_is_told(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    from masterslave.farm.attached import farm as attaching

    start_service()
    real = attaching.greeting
    monkeypatch.setattr(attaching, "greeting", lambda ticket: replaced(real(ticket), change))
    with pytest.raises(CannotAttach, match=words):
        Farm.attach("lab")


def replaced(greeting: Any, change: dict[str, Any]) -> Any:
    import msgspec

    return msgspec.structs.replace(greeting, **change)


def test_what_an_attached_farm_cannot_do_it_says(start_service: StartService) -> None:
    start_service()
    with Farm.attach("lab") as farm:
        for refused, words in (
            (lambda: farm.options(retries=RetryPolicy(2, on=KeyError)), "whatever is raised"),
            (lambda: farm.options(priority=1).options(key="a"), "farm.ticket"),
            (lambda: farm.map(square, [1], cache=True), "cache="),
            (lambda: farm.each_slave(square, 1), "slaves of which it knows nothing"),
        ):
            with pytest.raises(FarmError, match=words):
                refused()
        with pytest.raises(AttributeError, match="masterslave show"):
            farm.slaves  # noqa: B018
        farm.options(retries=RetryPolicy(2, delay_s=0.1))


def jobs() -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "masterslave", "jobs", "lab", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found
