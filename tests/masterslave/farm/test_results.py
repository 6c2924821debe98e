"""Futures as arguments: a task is given the result of another one."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm, NotPicklable
from masterslave.errors import DependencyFailed
from tests.masterslave.shared import farm, own_machine, wait_for_file

__all__ = ["farm", "own_machine"]


def after(path: Path, value: Any) -> Any:
    wait_for_file(path)
    return value


def make_after(go: Path, make: Callable[[], Any]) -> Any:
    return after(go, make())


absolute: Any = abs  # whose argument may be a future, too
length: Any = len
total: Any = sum


class Unreadable:
    """Something that the script cannot unpickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _only_in_tasks, ()


def _only_in_tasks() -> str:
    import sys

    if not hasattr(sys.modules.get("_masterslave"), "report_progress"):
        raise ValueError("not here")
    return "read in a task"


def change(given: Any) -> Any:
    given["changed"] = given.get("changed", 0) + 1
    return given


def test_a_task_is_given_the_result_of_another(farm: Farm, tmp_path: Path) -> None:
    first = farm.submit(after, tmp_path / "go", 20)
    second = farm.submit(operator.add, first, 1)
    third = farm.submit(dict, a=first, b=second, c=3)
    assert "waits for" in farm.explain(second)
    (tmp_path / "go").touch()
    assert third.result(timeout=15) == {"a": 20, "b": 21, "c": 3}
    assert farm.submit(operator.add, third.result()["a"], first).result() == 40
    assert farm.options(retries=1, priority=3).submit(operator.mul, second, first).result() == 420


def test_large_results_and_those_of_any_type(farm: Farm, tmp_path: Path) -> None:
    text = "x" * 3_000_000
    for go in (tmp_path / "go", tmp_path):  # given before it is there, and after
        large = farm.submit(after, go, text)
        if go.name == "go":
            sizes = [farm.submit(length, large) for _ in range(4)]
            go.touch()
        else:
            large.result(timeout=15)
            sizes = [farm.submit(length, large) for _ in range(4)]
        assert [size.result(timeout=15) for size in sizes] == [len(text)] * 4
    unreadable = farm.submit(make_after, tmp_path / "later", Unreadable)
    read = farm.submit(str, unreadable)  # given before it is there: the script does not read it
    (tmp_path / "later").touch()
    assert read.result(timeout=15) == "read in a task"


def test_each_task_has_a_result_of_its_own(farm: Farm, tmp_path: Path) -> None:
    first = farm.submit(after, tmp_path / "go", {"a": 1})
    changed = [farm.submit(change, first) for _ in range(4)]
    (tmp_path / "go").touch()
    assert [one.result(timeout=15) for one in changed] == [{"a": 1, "changed": 1}] * 4


def test_a_task_fails_with_the_one_whose_result_it_was_to_have(farm: Farm) -> None:
    failed = farm.submit(operator.truediv, 1, 0)
    for _ in range(2):
        with pytest.raises(DependencyFailed, match="ZeroDivisionError"):
            farm.submit(absolute, failed).result(timeout=15)
    with pytest.raises(NotPicklable, match=r"inside of an argument.*give its result\(\) instead"):
        farm.submit(total, [failed]).result(timeout=15)
    with Farm("other", local_slaves=0) as other:
        strange = other.submit(absolute, 1)
        with pytest.raises(NotPicklable, match=r"of another farm: give the task its result\(\)"):
            farm.submit(absolute, strange).result(timeout=15)
        strange.cancel()


def test_results_of_tasks_that_were_cancelled_are_not_waited_for(
    farm: Farm, tmp_path: Path
) -> None:
    first = farm.submit(after, tmp_path / "go", 1)
    second, third = farm.submit(absolute, first), farm.submit(absolute, first)
    assert third.cancel()
    (tmp_path / "go").touch()
    assert second.result(timeout=15) == 1
    alone = farm.submit(after, tmp_path / "never", 1)
    follower = farm.submit(absolute, alone)
    assert alone.cancel()
    with pytest.raises(DependencyFailed, match="cancelled"):
        follower.result(timeout=15)
    assert not farm._submitter.results.wanted
