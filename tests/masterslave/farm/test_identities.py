"""Identities in one process: what changes while a script runs, and what a key costs."""

from __future__ import annotations

import logging
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from masterslave import Farm, Slave
from masterslave.farm.functions import FunctionPacker
from masterslave.farm.recognising.identifying import Identities
from masterslave.farm.travelling import LocalCode
from masterslave.journal.canonical import NoIdentity
from masterslave.journal.keys import KEY_BYTES, NO_KEY, Occurrences, pair_of, task_key

SOURCE = """
import sys
LIMIT = 1
NAMES = ["a"]
class Scale:
    by = 10
    def of(self, x): return x * self.by
def null(): pass
def one(x): return x
def limit(x=0): return LIMIT
def names(): return list(NAMES)
def scaled(x=1): return Scale().of(x)
def indirect(): return limit()
def tuned(): return getattr(tuned, "by", 1)
def writes(): return OUT
OUT = sys.__stderr__
def counting():
    n = 0
    def inner(): return n
    def step():
        nonlocal n
        n += 1
    return inner, step
class Node:
    def __init__(self): self.around = []
def chain_0(): return 0
"""


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A script, as ``__main__``."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(SOURCE, vars(module))
    return module


@pytest.fixture
def identities(main: types.ModuleType) -> Identities:
    return Identities(LocalCode())


def test_a_function_is_what_it_is_now(main: types.ModuleType, identities: Identities) -> None:
    """Also where its identity was kept, under what it was packed as."""
    packer = FunctionPacker()

    def identity(fn: Callable[..., Any]) -> bytes:
        kept, found = identities.of(fn, packer.pack(fn).digest), identities.of(fn)
        assert kept == found is not None
        return found

    inner, step = main.counting()
    functions = [main.limit, main.indirect, main.names, main.scaled, main.tuned, inner]

    def changes() -> list[Callable[..., Any]]:
        before = [identity(fn) for fn in functions]
        yield_to()
        return [fn for fn, was in zip(functions, before, strict=True) if identity(fn) != was]

    yield_to: Callable[[], object] = partial(setattr, main, "LIMIT", 2)
    assert changes() == [main.limit, main.indirect]
    yield_to = partial(main.NAMES.append, "b")
    assert changes() == [main.names]
    yield_to = partial(setattr, main.Scale, "by", 11)
    assert changes() == [main.scaled]
    yield_to = partial(setattr, main.tuned, "by", 2)
    assert changes() == [main.tuned]
    yield_to = partial(setattr, main.limit, "__defaults__", (1,))
    assert changes() == [main.limit, main.indirect]
    yield_to = step
    assert changes() == [inner]
    yield_to = partial(setattr, main, "OTHER", 2)
    assert changes() == []


def test_what_has_no_identity_is_told_once_and_has_no_keys(
    main: types.ModuleType, identities: Identities, caplog: pytest.LogCaptureFixture
) -> None:
    occurrences = Occurrences()
    with caplog.at_level(logging.WARNING, "masterslave"):
        for _ in range(3):
            identity = identities.of(main.writes, b"digest")
            assert identity is None
            assert identities.key(main.writes, identity, (), {}, occurrences) == NO_KEY
        assert identities.keys(main.writes, None, [1, 2], occurrences) == NO_KEY * 2
        whole = identities.of(main.one)
        assert identities.key(main.one, whole, (object,), {}, occurrences) != NO_KEY
        assert identities.key(main.one, whole, (sys.__stderr__,), {}, occurrences) == NO_KEY
        keys = identities.keys(main.one, whole, [sys.__stderr__, 1], occurrences)
    assert keys == NO_KEY + task_key(whole or b"", (1,))
    why = identities.why_not(main.writes)
    assert why.startswith(
        "writes() uses OUT, a TextIOWrapper: it cannot be looked at: cannot pickle"
    )
    again = "have no identity, so they run again when the script is started again"
    other = f"argument 1, {why.partition(', ')[2]}"
    hint = "give them a key (key=) of your own"
    assert caplog.messages == [
        f"calls of writes() {again}: {why}; {hint}",
        f"calls of one() {again}: {other}; {hint}",
    ]


def test_objects_that_hold_each_other_have_one(
    main: types.ModuleType, identities: Identities
) -> None:
    def ring(count: int) -> Any:
        nodes = [main.Node() for _ in range(count)]
        for place, each in enumerate(nodes):
            each.around += [nodes[place - 1], main.one]
        return nodes[0]

    def key(value: Any) -> bytes:
        return pair_of(bytes(32), (value,), walk=identities.walk)

    assert key(ring(3)) == key(ring(3)) != key(ring(4))


def test_a_long_row_of_functions_has_one(main: types.ModuleType, identities: Identities) -> None:
    """A project's functions call each other deeper than the stack is."""
    for number in range(1, 5000):
        exec(f"def chain_{number}(): return chain_{number - 1}()", vars(main))
    before = identities.of(main.chain_4999)
    exec("def chain_0(): return 1", vars(main))
    assert None is not before != identities.of(main.chain_4999)


class _Render(Slave):
    def do_frame(self, number: int) -> int:
        return number


class _Other(Slave):
    def do_frame(self, number: int) -> int:
        return -number


def test_a_named_task_changes_with_its_class_where_that_is_known(main: types.ModuleType) -> None:
    plain, one, other = (
        Identities(LocalCode(), handlers=handlers).of("frame")
        for handlers in ({}, {"frame": _Render}, {"frame": _Other})
    )
    assert None not in (plain, one, other)
    assert len({plain, one, other}) == 3


def test_what_is_shared_is_known_by_its_content(main: types.ModuleType) -> None:
    identities = Identities(LocalCode())

    def key(value: Any) -> bytes:
        return pair_of(bytes(32), (value,), walk=identities.walk)

    with Farm("identities", local_slaves=0) as farm:
        one, same, other = (
            farm.share({"a": np.arange(size), "b": {"x", "y"}}) for size in (9, 9, 8)
        )
        assert key(one) == key(one) == key(same) != key(other)
        one.release()
        with pytest.raises(NoIdentity, match="a handle of what is not here, or was released"):
            key(one)


def test_what_stands_for_a_task_is_known_by_its_key(main: types.ModuleType) -> None:
    known = {"future": b"k" * KEY_BYTES, "another": b"l" * KEY_BYTES, "unknown": NO_KEY}

    def key_of(value: Any) -> bytes | None:
        return known[value.name] if isinstance(value, types.SimpleNamespace) else None

    identities = Identities(LocalCode(), key_of=key_of)

    def key(name: str) -> bytes:
        value = types.SimpleNamespace(name=name)
        return pair_of(bytes(32), ([value],), walk=identities.walk)

    assert key("future") == key("future") != key("another")
    with pytest.raises(NoIdentity, match="the result of a task that has no identity"):
        key("unknown")


def test_a_key_costs_little(main: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing else runs, a null task's costs 1.5 us; the limits are for busy machines."""
    packer, identities, occurrences = FunctionPacker(), Identities(LocalCode()), Occurrences()
    null, one = packer.pack(main.null), packer.pack(main.one)
    count = 20_000

    def single() -> None:
        for number in range(count):
            identity = identities.of(main.one, one.digest)
            identities.key(main.one, identity, (number,), {}, occurrences)

    def equal() -> None:
        for _ in range(count):
            identity = identities.of(main.null, null.digest)
            identities.key(main.null, identity, (), {}, occurrences)

    def span() -> None:
        identity = identities.of(main.one, one.digest)
        identities.keys(main.one, identity, range(count, 2 * count), occurrences)

    def rows() -> None:
        identity = identities.of(main.one, one.digest)
        items = [(number, "a") for number in range(count)]
        identities.keys(main.one, identity, items, occurrences)

    def first() -> None:
        for _ in range(count // 100):
            identities.of(main.scaled)

    costs = {}
    for what in (single, equal, span, rows, first):
        times = count // 100 if what is first else count
        best = 1e9
        for _ in range(3):
            began = time.thread_time()
            what()
            best = min(best, time.thread_time() - began)
        costs[what.__name__] = best / times * 1e6
    with capsys.disabled():
        print(
            f"\na key: {costs['single']:.2f} us for a task of its own, {costs['equal']:.2f} for an "
            f"equal one, {costs['span']:.2f} for an item, {costs['rows']:.2f} for an item that is "
            f"a tuple; an identity, looked at anew: {costs['first']:.0f} us"
        )
    assert costs["single"] < 30
    assert costs["span"] < 20
