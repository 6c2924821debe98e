"""Keys: equal calls, and those that are counted as more than one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.journal.canonical import NoIdentity
from masterslave.journal.keys import (
    KEY_BYTES,
    NO_KEY,
    Occurrences,
    explicit_key,
    keys_of_items,
    numbered,
    pair_of,
    task_key,
)

ONE, OTHER = bytes(32), bytes(31) + b"1"

arguments = st.lists(
    st.integers(-2, 2)
    | st.booleans()
    | st.sampled_from(["a", 2**70, (1, 2), [1], {"b": 1, "a": 2}]),
    max_size=3,
)
named = st.dictionaries(st.sampled_from("abc"), st.integers(0, 1), max_size=2)


def cut(keys: bytes) -> list[bytes]:
    return [keys[place : place + KEY_BYTES] for place in range(0, len(keys), KEY_BYTES)]


@given(arguments, named, arguments, named)
def test_calls_have_one_key_if_they_are_the_same(
    args: list[Any], kwargs: dict[str, Any], others: list[Any], more: dict[str, Any]
) -> None:
    are_same = repr(args) == repr(others) and kwargs == more
    assert (task_key(ONE, args, kwargs) == task_key(ONE, others, more)) == are_same
    turned = dict(reversed(kwargs.items()))
    assert task_key(ONE, tuple(args), turned) == task_key(ONE, args, kwargs)
    assert task_key(ONE, args, kwargs) != task_key(OTHER, args, kwargs)


def test_an_argument_by_name_is_another_one() -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((1,), {}), ((), {"a": 1}), ((), {"b": 1}), (("a", 1), {}), (({"a": 1},), {}),
    ]  # fmt: skip
    assert len({task_key(ONE, *call) for call in calls}) == len(calls)


@given(st.lists(arguments, max_size=20))
def test_equal_tasks_are_as_many_as_they_are(calls: list[list[Any]]) -> None:
    occurrences, others = Occurrences(), Occurrences()
    keys = [occurrences.key(pair_of(ONE, args)) for args in calls]
    assert len(set(keys)) == len(keys)
    met: Counter[bytes] = Counter()
    for args, key in zip(calls, keys, strict=True):
        pair = pair_of(ONE, args)
        assert key == task_key(ONE, args, {}, met[pair]) == numbered(pair, met[pair])
        assert others.next(pair) == met[pair]
        met[pair] += 1


@given(st.lists(arguments, max_size=20), st.integers(0, 20))
def test_items_have_the_keys_of_calls_with_one_argument(items: list[Any], cut_at: int) -> None:
    one_by_one, together = Occurrences(), Occurrences()
    alone = b"".join(one_by_one.key(pair_of(ONE, (item,))) for item in items)
    spans = items[:cut_at], items[cut_at:]
    assert b"".join(keys_of_items(ONE, span, together) for span in spans) == alone
    starred = [one_by_one.key(pair_of(ONE, item)) for item in items]
    assert cut(keys_of_items(ONE, items, together, starred=True)) == starred


@given(st.permutations(["a", "b", "a", "a", "c", "b"]))
def test_what_comes_in_another_order_has_the_same_keys(items: list[str]) -> None:
    keys = keys_of_items(ONE, items, Occurrences())
    in_order = keys_of_items(ONE, ["a", "b", "a", "a", "c", "b"], Occurrences())
    assert sorted(cut(keys)) == sorted(cut(in_order))


def test_an_item_without_identity_costs_no_other_its_key() -> None:
    told: list[tuple[int, str]] = []
    keys = cut(
        keys_of_items(
            ONE,
            [1, object(), object(), 2],
            Occurrences(),
            on_none=lambda place, none: told.append((place, str(none))),
        )
    )
    assert keys == [task_key(ONE, [1]), NO_KEY, NO_KEY, task_key(ONE, [2])]
    assert told == [(place, "argument 1: a object is no plain data") for place in (1, 2)]


def test_what_is_nested_too_deeply_has_none() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NoIdentity, match=r"^argument 2: it is nested too deeply$"):
        task_key(ONE, (1, deep))


def test_a_key_may_be_given() -> None:
    given_keys: list[Any] = ["a", b"a", 1, ("a", 1), ("a", 2), ["a", 1]]
    assert len({explicit_key(each) for each in given_keys}) == len(given_keys)
    assert explicit_key("a") == explicit_key("a")
    with pytest.raises(NoIdentity, match=r"^key: a object is no plain data$"):
        explicit_key(object())


def test_keys_stay_what_they_are() -> None:
    """A journal of an earlier release has them: who changes one of these, loses its results."""
    assert task_key(ONE, (1, "a")).hex() == "9bc6e8cb622254d4368924b29fee26e3"
    assert task_key(ONE, ([1, (2,)],), {"b": {3, 4}}, 2).hex() == "6ea7e24bf4d40585da8e77d374544173"
    assert explicit_key(("frame", 7)).hex() == "507dc6e71ecf8a0eda605e07310eb7cf"
