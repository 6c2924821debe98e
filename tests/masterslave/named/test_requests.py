"""``farm.request`` and ``farm.retrieve``, as ScientificPython had them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm, SlaveTraceback
from tests.masterslave.shared import wait_for_file


@pytest.fixture(scope="module")
def farm(own_machine: Path) -> Iterator[Farm]:
    with Farm("requests", local_slaves=1) as running:
        yield running


def half(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def test_ids_are_names_and_numbers(studio: Farm) -> None:
    assert [studio.request("frame", n) for n in (1, 2)] == ["frame_1", "frame_2"]
    assert studio.request("kind_of", 1.5) == "kind_of_1"
    assert studio.retrieve("kind_of") == ("kind_of_1", "kind_of", "float")
    results = [studio.retrieve() for _ in range(2)]
    assert sorted(results) == [("frame_1", "frame", 1), ("frame_2", "frame", 2)]
    assert {one.task_id: one.result for one in results} == {"frame_1": 1, "frame_2": 2}


def test_the_one_that_was_finished_first_comes_first(farm: Farm, tmp_path: Path) -> None:
    farm.add_local_slaves(1)
    late = farm.request(wait_for_file, tmp_path / "go")
    early = farm.request(half, 4)
    assert farm.retrieve(timeout_s=10) == (early, "half", 2)
    with pytest.raises(TimeoutError, match="none of 1 requests of task is finished"):
        farm.retrieve(timeout_s=0.01)
    (tmp_path / "go").touch()
    assert farm.retrieve(timeout_s=10).task_id == late


def test_an_exception_says_of_which_task(farm: Farm) -> None:
    task_id = farm.options(priority=1).request(half, 3)
    with pytest.raises(ValueError, match="3 is odd") as raised:
        farm.retrieve("half", timeout_s=10)
    error = raised.value
    assert (error.task_id, error.task_name) == (task_id, "half")
    assert error.__notes__ == [f"This was raised by the requested task {task_id}."]
    assert isinstance(error.__cause__, SlaveTraceback)


def test_who_waits_is_woken_by_a_request_of_another_thread(farm: Farm, tmp_path: Path) -> None:
    held = farm.request(wait_for_file, tmp_path / "go")
    results: list[object] = []
    waiting = threading.Thread(target=lambda: results.append(farm.retrieve()))
    waiting.start()
    (tmp_path / "go").touch()
    waiting.join(10)
    assert results == [(held, "wait_for_file", tmp_path / "go")]


def test_nothing_is_waited_for_in_vain(farm: Farm) -> None:
    with pytest.raises(LookupError, match="no task is under way"):
        farm.retrieve()
    with pytest.raises(LookupError, match="no task 'half' is under way"):
        farm.options(retries=1).retrieve("half", timeout_s=10)
