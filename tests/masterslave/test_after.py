"""Tasks that follow others: ``farm.options(after=...)``."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.errors import DependencyFailed
from tests.masterslave.shared import farm, own_machine, wait_for_file

__all__ = ["farm", "own_machine"]


def write(path: Path, text: str) -> str:
    with path.open("a") as file:
        file.write(text)
    return path.read_text()


def fail(text: str, gate: Path) -> None:
    wait_for_file(gate)
    raise ValueError(text)


def test_tasks_run_after_those_that_they_follow(farm: Farm, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    first = farm.submit(wait_for_file, gate)
    second = farm.options(after=[first]).submit(write, log, "b")
    third = farm.options(after=[first, second], priority=9).map(write, [log], ["c"])
    assert farm.submit(write, log, "a").result() == "a"
    assert "waits for wait_for_file(), task " in farm.explain(second)
    gate.touch()
    assert second.result() == "ab"
    assert list(third) == ["abc"]
    assert farm.options(after=first).submit(abs, -1).result() == 1  # which has ended long ago
    assert farm.options(after=[]).submit(abs, -1).result() == 1


def test_what_follows_a_failure_says_which(farm: Farm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = farm.submit(fail, "no luck", gate)
    second = farm.options(after=[first]).submit(abs, 1)
    third = farm.options(after=[second, farm.submit(abs, 1)])
    gate.touch()  # the scheduler knows who follows
    with pytest.raises(
        DependencyFailed, match=r"fail\(\), task \d+, which raised.*no luck"
    ) as error:
        second.result()
    assert isinstance(error.value.__cause__, ValueError)
    for _ in range(2):  # at once, and again when all is over
        with pytest.raises(DependencyFailed, match=r"not run either: fail.*no luck") as error:
            third.submit(abs, 1).result()
        assert isinstance(error.value.__cause__, ValueError)
    with pytest.raises(DependencyFailed, match="not run either"):
        list(third.map(abs, [1, 2]))
    assert farm.statistics().given_up >= 1


def test_what_follows_what_was_cancelled_fails(farm: Farm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = farm.submit(wait_for_file, gate)
    second = farm.options(after=[first]).submit(abs, 1)
    third = farm.options(after=[second]).submit(abs, 1)
    other = farm.options(after=[first]).submit(abs, 1)
    assert other.cancel()
    assert second.cancel()
    with pytest.raises(DependencyFailed, match=r"abs\(\), task \d+, which was cancelled") as error:
        third.result()
    assert isinstance(error.value.__cause__, CancelledError)
    gate.touch()
    first.result()


def test_a_chain_of_ten_thousand(farm: Farm, tmp_path: Path) -> None:
    last = farm.submit(abs, -1)
    for number in range(500):
        last = farm.options(after=[last]).submit(abs, number)
    gate = tmp_path / "gate"
    bad = first = farm.submit(wait_for_file, gate)
    for number in range(10_000):
        bad = farm.options(after=[bad]).submit(abs, number)
    assert last.result() == 499
    assert first.cancel()
    with pytest.raises(DependencyFailed, match="which was not run either: wait_for_file"):
        bad.result()


def test_a_farm_that_ends_waits_for_what_follows(own_machine: Path, tmp_path: Path) -> None:
    with Farm("ends", local_slaves=1) as farm:
        last = farm.submit(abs, 1)
        for _ in range(5):
            last = farm.options(after=[last]).submit(abs, 2)
    assert last.result() == 2
    with Farm("ends", local_slaves=1) as farm:
        gate = tmp_path / "gate"
        first = farm.submit(wait_for_file, gate)
        rest = [farm.options(after=[first]).submit(abs, 1)]
        rest.append(farm.options(after=rest).submit(abs, 1))
        while not first.running():
            threading.Event().wait(0.001)
        farm.shutdown(wait=False, cancel_futures=True)
        assert all(future.cancelled() for future in rest)
        gate.touch()


def test_only_futures_of_the_farm_can_be_followed(farm: Farm) -> None:
    with pytest.raises(TypeError, match="is none: wait for it"):
        farm.options(after=[Future()])
    with pytest.raises(TypeError, match="is none: wait for it"):
        farm.options(after=[3])
    with Farm("other", local_slaves=0, nameserver=False) as other:
        stranger = other.submit(abs, 1)
        with pytest.raises(TypeError, match="of another farm"):
            farm.options(after=[stranger])
        stranger.cancel()
