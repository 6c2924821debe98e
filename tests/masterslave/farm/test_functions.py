"""A function travels as it is now, however often it has been sent before."""

from __future__ import annotations

import pickle
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import pytest

from masterslave import NotPicklable
from masterslave.farm.functions import FunctionPacker

SOURCE = """
LIMIT = 1
NAMES = ["a"]
class Scale:
    by = 10
    def of(self, x): return x * self.by
def limit(x=0): return LIMIT
def names(): return list(NAMES)
def scaled(x=1): return Scale().of(x)
def indirect(): return limit()
def nested(): return (lambda: LIMIT)()
def made(n):
    def inner(): return n
    return inner
def counting():
    n = 0
    def inner(): return n
    def step():
        nonlocal n
        n += 1
    return inner, step
TABLE = {"a": 1}
get = TABLE.get
def looked_up(): return get("a")
def tuned(): return getattr(tuned, "by", 1)
def helper(x=1): return x
def with_helper(): return helper()
class Config: pass
def configured(): return getattr(Config, "mode", "a")
def recursive(n=3): return n if n < 1 else recursive(n - 1)
"""


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A script, as ``__main__``."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(SOURCE, vars(module))
    return module


def run(packer: FunctionPacker, fn: Callable[..., Any]) -> Any:
    return pickle.loads(packer.pack(fn).packed)()


def test_what_has_not_changed_is_pickled_once(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    for fn in (main.limit, main.scaled, main.indirect, main.nested, main.recursive, main.made(3)):
        assert packer.pack(fn) is packer.pack(fn)


def test_a_global_that_is_set_anew_travels(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    for fn in (main.limit, main.indirect, main.nested):
        main.LIMIT = 1
        assert run(packer, fn) == 1
        main.LIMIT = 2
        assert run(packer, fn) == 2


def test_a_list_that_is_changed_in_place_travels(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    assert run(packer, main.names) == ["a"]
    main.NAMES.append("b")
    assert run(packer, main.names) == ["a", "b"]


def test_an_attribute_of_a_class_of_the_script_travels(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    assert run(packer, main.scaled) == 10
    main.Scale.by = 20
    assert run(packer, main.scaled) == 20
    main.Scale.of = lambda self, x: -x
    assert run(packer, main.scaled) == -1


def test_defaults_and_code_that_are_replaced_travel(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    assert run(packer, main.scaled) == 10
    main.scaled.__defaults__ = (2,)
    assert run(packer, main.scaled) == 20
    main.limit.__code__ = main.nested.__code__
    main.LIMIT = 7
    assert run(packer, main.limit) == 7


def test_a_variable_of_the_enclosing_function_travels(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    inner, step = main.counting()
    assert run(packer, inner) == 0
    step()
    assert run(packer, inner) == 1


def test_closures_of_one_function_are_not_mixed_up(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    assert [run(packer, main.made(n)) for n in range(3)] == [0, 1, 2]


def test_functions_of_one_name_are_of_one_kind(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    assert packer.pack(main.made(1)).kind == packer.pack(main.made(2)).kind
    assert packer.pack(main.made(1)).kind != packer.pack(main.limit).kind


def test_what_cannot_be_sent_is_named(main: types.ModuleType) -> None:
    main.LIMIT = threading.Lock()
    with pytest.raises(NotPicklable, match=r"function limit\(\) cannot be sent"):
        FunctionPacker().pack(main.limit)
    with pytest.raises(NotPicklable, match="a task is a function, not 3"):
        FunctionPacker().pack(3)


def test_what_changes_and_stays_the_same_object_is_noticed(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    fns = main.looked_up, main.tuned, main.with_helper, main.configured
    assert [run(packer, fn) for fn in fns] == [1, 1, 1, "a"]
    main.TABLE["a"] = 2
    main.tuned.by = 2
    main.helper.__defaults__ = (2,)
    main.Config.mode = "b"
    assert [run(packer, fn) for fn in fns] == [2, 2, 2, "b"]
    main.helper.__code__ = (lambda x: -x).__code__
    assert run(packer, main.with_helper) == -2


def test_a_module_that_travels_as_a_whole_is_looked_at_each_time(main: types.ModuleType) -> None:
    packer = FunctionPacker()
    main.made_up = types.ModuleType("made_up")
    main.made_up.x = 1
    exec("def of_module(): return made_up.x", vars(main))
    assert run(packer, main.of_module) == 1
    main.made_up.x = 2
    assert run(packer, main.of_module) == 2
