"""Values have the same canonical bytes if, and only if, they are the same values."""

from __future__ import annotations

import datetime
import decimal
import struct
import uuid
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.journal import canonical
from masterslave.journal.canonical import NoIdentity, Walk

few_numbers = st.sampled_from(
    [0, 1, -1, True, False, 0.0, -0.0, 1.0, 2**64, float("nan"), 1j, None]
)
few_texts = st.sampled_from(["", "a", b"", b"a", "\ud800", "1", "a" * 2000, b"a" * 2000])
hashable = st.recursive(
    few_numbers | few_texts,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
    ),
    max_leaves=6,
)


def told(value: Any) -> Any:
    """Return what tells values apart: by another way than the walk."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack("d", value)
    if kind in (list, tuple):
        return kind, tuple(map(told, value))
    if kind in (set, frozenset):
        return kind, frozenset(map(told, value))
    if kind is dict:
        return kind, frozenset((told(key), told(each)) for key, each in value.items())
    return kind, value


def turned(value: Any) -> Any:
    """Return an equal value, with its dicts and sets built in the other order."""
    kind = type(value)
    if kind in (list, tuple):
        return kind(map(turned, value))
    if kind in (set, frozenset):
        return kind(reversed([turned(each) for each in value]))
    if kind is dict:
        return {turned(key): turned(each) for key, each in reversed(value.items())}
    return value


def packed(value: Any) -> bytes:
    return Walk().whole(value)


@given(values, values)
def test_two_values_have_the_same_bytes_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (packed(one) == packed(other)) == (told(one) == told(other))


@given(values)
def test_the_order_of_dicts_and_sets_does_not_count(value: Any) -> None:
    assert packed(value) == packed(turned(value))


@given(st.lists(values, max_size=3), st.lists(values, max_size=3))
def test_nodes_in_a_row_cannot_be_read_in_another_way(one: list[Any], other: list[Any]) -> None:
    rows = [b"".join(map(packed, each)) for each in (one, other)]
    assert (rows[0] == rows[1]) == (told(one) == told(other))


ONE_OF_EACH: list[Any] = [
    np.arange(4), np.arange(4.0), np.arange(4, dtype=">i8"), np.arange(4).reshape(2, 2),
    np.arange(4, dtype=np.int32), np.int64(1), np.float64(1), np.float32(1), 1, np.zeros(0),
    np.zeros((0, 2)), np.arange(20_000), np.arange(20_001), np.array([1, 2]).view(dtype="i4,i4"),
    np.array("a"), np.datetime64(1, "s"), np.datetime64(1, "ms"), range(3), range(0, 3, 2),
    bytearray(b"a"), b"a", memoryview(b"a"), "a", ..., NotImplemented, 2**70, -(2**70),
    datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2), datetime.timedelta(1),
    datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), decimal.Decimal("1.0"),
    decimal.Decimal("1.00"), uuid.UUID(int=1), PurePosixPath("a"), complex(0.0, -0.0), 0j,
    [1], (1,), {1}, frozenset({1}), {1: None}, [[1]], [(1,)], ([1],), {"a": 1}, [("a", 1)],
    [1, [2]], [[1], 2], [], (), {}, set(), frozenset(), None,
]  # fmt: skip


def test_values_of_every_kind_differ() -> None:
    assert len({packed(value) for value in ONE_OF_EACH}) == len(ONE_OF_EACH)


def test_arrays_are_known_by_what_is_in_them() -> None:
    big = np.arange(100_000)
    assert packed(big[::2]) == packed(big[::2].copy())
    assert packed({"a": big}) != packed({"a": big[::-1]})


def test_circles_end() -> None:
    one: list[Any] = [1]
    one.append(one)
    two: list[Any] = [1]
    two.append(two)
    deeper: list[Any] = [1]
    deeper.append([1, deeper])
    assert packed(one) == packed(two) != packed(deeper)


def test_what_is_no_data_says_where_it_is() -> None:
    with pytest.raises(NoIdentity, match=r"^\[2\]\['a'\]: a object is no plain data$"):
        packed([1, 2, {"a": object()}])


def test_what_is_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "_MAX_PARTS", 1000)
    many: list[Any] = [()]
    for _ in range(30):
        many = [many, many]
    with pytest.raises(NoIdentity, match="more than 1000 parts"):
        packed(many)
