"""Scripts that attach to `masterslave master`: real services, slaves and scripts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import msgspec
import pytest

from masterslave import (
    CannotAttach,
    DependencyFailed,
    Detached,
    Farm,
    FarmClosed,
    FarmError,
    NoResult,
    NotPicklable,
    RetryPolicy,
)
from masterslave.farm.attached.finding import Around, NotFound, Refused, find, greeting
from masterslave.journal import HandedOut, Journal, Submitted
from masterslave.journal.facts import KEY_BYTES
from masterslave.journal.tickets import key_of
from masterslave.naming import PREFIX
from masterslave.protocol.attaching import reception_at
from nameserver import Directory
from remoteobj import Proxy
from tests.conftest import StartScript, eventually
from tests.masterslave.attached.conftest import StartService
from tests.masterslave.conftest import StartSlave


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


def note(name: str, folder: Path) -> str:
    with (folder / "order").open("a") as file:
        file.write(f"{name}\n")
    return name


def steps(count: int) -> Iterator[int]:
    for step in range(count):
        Farm.progress(step + 1, count)
        yield step


def ran_in(folder: Path) -> Counter[int]:
    return Counter(map(int, (folder / "ran").read_text().split()))


def handed_out_in(journal: Path, ticket: str) -> set[int]:
    """Return the serials of a ticket's tasks that slaves were given, as a journal says."""
    serials = {key_of(ticket, serial): serial for serial in range(2000)}
    known: dict[int, int] = {}
    found = set()
    with Journal.read_only(journal) as reader:
        for fact in reader.facts():
            match fact:
                case Submitted(first=first, keys=keys):
                    for at in range(len(keys) // KEY_BYTES):
                        known[first + at] = serials[keys[KEY_BYTES * at : KEY_BYTES * (at + 1)]]
                case HandedOut(hand_outs=hand_outs):
                    for task, _, count in hand_outs:
                        found.update(known[one] for one in range(task, task + count))
    return found


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
    with Farm.attach("lab") as one, Farm.attach("lab") as other:  # two scripts at once
        assert {job["ticket"] for job in jobs()} == {one.ticket, other.ticket}
        ours = [one.submit(time.sleep, 0.01) for _ in range(2000)]  # for ten seconds
        assert list(other.map(refuse, range(100, 150))) == list(range(100, 150))
        assert not all(future.done() for future in ours), "each has its turn"
        assert ours[-1].cancel()
        for future in ours:
            future.cancel()
    with pytest.raises(KeyError), Farm.attach("lab") as farm:
        future = farm.submit(time.sleep, 3600)
        raise KeyError("stop")
    assert future.cancelled()
    assert jobs() == []


LEAVES = """
import sys
from masterslave import Detached, Farm

class Point:
    def __init__(self, x):
        self.x = x

class Odd(ValueError):
    pass

def make(number):
    if number == 3:
        raise Odd("three")
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

class Odd(ValueError):
    pass

with Farm.attach("lab", ticket=sys.argv[1]) as farm:
    bad, *others = farm.futures
    assert type(bad.exception(30)) is Odd, bad
    for future in others:
        assert type(future.result(30)) is Point, future
    assert {future.function.name for future in farm.futures} == {"make"}
    print(*(future.result().x for future in others))
    print(farm.submit(abs, -5).result(30))
"""
DIES = """
import os, sys, threading
from masterslave import Farm
sys.path.insert(0, sys.argv[1])

def wait_for(number, gate):
    import os, threading
    while not os.path.exists(gate):
        threading.Event().wait(0.005)
    return number + 0.5

farm = Farm.attach("lab")
futures = [farm.submit(wait_for, number, sys.argv[1] + "/gate") for number in range(20)]
while farm.statistics().on_disk < 20:
    threading.Event().wait(0.005)
print(farm.ticket, flush=True)
os.kill(os.getpid(), 9)
"""


def test_tickets_of_scripts_that_have_left_and_of_one_that_was_killed(
    start_service: StartService, start_slave: StartSlave, start_script: StartScript, tmp_path: Path
) -> None:
    start_service()
    for name, script in (("leaves.py", LEAVES), ("dies.py", DIES), ("returns.py", RETURNS)):
        (tmp_path / name).write_text(script)
    left, errors = start_script(str(tmp_path / "leaves.py")).communicate(timeout=30)
    assert not errors, errors
    (job,) = jobs()
    assert (job["ticket"], job["state"], job["tasks"]) == (left.strip(), "detached", 6)
    start_slave("lab", "--slots", "1")
    returns = start_script(str(tmp_path / "returns.py"), left.strip())
    said, errors = returns.communicate(timeout=30)
    assert said.splitlines() == ["10 11 100 101 102", "5"], errors
    assert jobs() == []  # it has left for good
    dies = start_script(str(tmp_path / "dies.py"), str(tmp_path))
    killed = dies.communicate(timeout=30)[0]
    eventually(lambda: [job["state"] for job in jobs()] == ["detached"], "it is gone")
    (job,) = jobs()
    assert (job["ticket"], job["script"], job["tasks"]) == (killed.strip(), "dies.py", 20)
    with Farm.attach("lab", ticket=killed.strip()) as farm:
        first, second = farm.futures[:2]
        eventually(first.running, "the farm has it")
        low = farm.options(after=[second]).submit(note, "low", tmp_path)
        high = farm.options(priority=5).submit(note, "high", tmp_path)
        eventually(lambda: farm.statistics().on_disk >= 21, "the farm has them")
        (tmp_path / "gate").touch()
        assert [one.result(30) for one in farm.futures] == [n + 0.5 for n in range(20)]
        assert (low.result(30), high.result(30)) == ("low", "high")
    assert (tmp_path / "order").read_text().split() == ["high", "low"]


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
        known = handed_out_in(tmp_path / "lab.db", farm.ticket)
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
    again = {number for number, times in ran.items() if times > 1}
    assert not again & known, "slaves have kept what they had; what they had is in the journal"


def test_who_cannot_attach_is_told_why(start_service: StartService) -> None:
    with pytest.raises(CannotAttach, match=r"no farm 'lab' is found.*masterslave master lab"):
        Farm.attach("lab", timeout_s=0)
    with Farm("lab", local_slaves=0), pytest.raises(CannotAttach, match="a farm of its own"):
        Farm.attach("lab", timeout_s=0)
    start_service()
    with pytest.raises(CannotAttach, match=r"no ticket 'lab-0'.*masterslave jobs"):
        Farm.attach("lab", ticket="lab-0")
    around = Around("lab", None, asks=False, nameserver=None, insecure=False, cluster=None)
    for change, words in (
        ({"python": (3, 1)}, r"3\.1, and this farm"),
        ({"version": 77}, "install the same release"),
    ):
        changed = msgspec.structs.replace(greeting("", "somebody"), **change)
        with pytest.raises(Refused, match=words):
            find(around, changed, suits=lambda _: "")
    for other, words in (  # which may be found later, or elsewhere
        (greeting("", "somebody", epoch=9), "a later master"),
        (greeting("", "somebody", farm_id="another"), None),
    ):
        with pytest.raises(NotFound, match=words):
            find(around, other, suits=lambda _: "")


def test_who_has_left_and_what_cannot_be_had_is_said(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    start_service()
    farm = Farm.attach("lab")
    future, results = farm.submit(square, 2), farm.map(square, [1, 2])
    eventually(farm.why_waiting, "the farm says what for")
    assert "no slave" in farm.why_waiting(), farm
    assert "'masterslave master' --local-slaves 2" in farm.why_waiting()
    eventually(lambda: "no slave" in caplog.text, "and the log, without being asked")
    ticket = farm.detach()
    for ask in (future.result, lambda: next(results)):
        with pytest.raises(Detached, match=ticket):
            ask()
    assert farm.detach() == ticket
    with pytest.raises(FarmClosed):
        farm.submit(square, 3)
    with Farm.attach("lab", ticket=ticket) as old, Farm.attach("lab", ticket=ticket) as farm:
        for of_old in old.futures:
            with pytest.raises(CannotAttach, match="somebody else has come"):
                of_old.result(timeout=30)
        assert [one.cancel() for one in farm.futures] == [True] * 3
        for refused, words in (
            (lambda: farm.options(retries=RetryPolicy(2, on=KeyError)), "whatever is raised"),
            (lambda: farm.options(priority=1).options(key="a"), "farm.ticket"),
            (lambda: farm.map(square, [1], cache=True), "cache="),
            (lambda: farm.each_slave(square, 1), "slaves of which it knows nothing"),
        ):
            with pytest.raises(FarmError, match=words):
                refused()
        with pytest.raises(AttributeError, match="masterslave show"):
            list(farm.slaves)
        farm.options(retries=RetryPolicy(2, delay_s=0.1))
        with pytest.raises(ValueError, match="priority is"):
            farm.options(priority=2**70).submit(square, 1)
        goes_on = farm.submit(square, 1)
        eventually(lambda: farm.statistics().on_disk == 4, "the farm takes tasks")
        assert goes_on.cancel()


def jobs() -> list[dict[str, Any]]:
    with Directory() as directory:
        (record,) = directory.list(PREFIX)
    with Proxy(reception_at(record.uri)) as reception:
        found: list[dict[str, Any]] = reception.jobs()
        return found


def test_a_task_that_fails_costs_no_other_if_that_is_asked_for(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start_service("--local-slaves", "1")
    monkeypatch.setenv("REMOTEOBJ_FARM_KEEP_GOING", "1")
    with Farm.attach("lab") as farm:
        passed = list(farm.map(refuse, range(5)))
        assert passed[:3] + passed[4:] == [0, 1, 2, 4]
        assert isinstance(passed[3], NoResult)
        assert sorted(farm.imap_unordered(refuse, range(5))) == [(n, n) for n in (0, 1, 2, 4)]
    assert "2 tasks failed:\n  refuse(3): ValueError: three" in caplog.text
