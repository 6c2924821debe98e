"""Values as bytes: data by the codec, or by msgspec where that writes the same."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import fractions
import pathlib
import subprocess
import sys
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave import packed
from masterslave.packed import NotData, pack_value, unpack_value
from remoteobj import RemoteObjError, codec
from tests.masterslave.slave.acts import Level, Reading

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
)
hashable = scalars | st.tuples(scalars, scalars) | st.frozensets(scalars)
data = st.recursive(
    scalars | st.datetimes() | st.decimals(allow_nan=False) | st.uuids() | st.timedeltas(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner)
        | st.sets(hashable)
    ),
    max_leaves=30,
)


@given(data)
def test_data_arrives_as_it_was_without_pickle(value: Any) -> None:
    payload = pack_value(value)
    assert payload[:1] in (b"D", b"B")
    again = unpack_value(payload, data_only=True)
    assert again == value
    assert type(again) is type(value)
    assert unpack_value(memoryview(payload)) == value


@given(scalars | st.lists(scalars) | st.tuples(scalars, scalars) | st.tuples())
def test_what_msgspec_writes_straight_is_what_the_codec_writes(value: Any) -> None:
    assert pack_value(value) == b"D" + codec.encode(value)


@pytest.mark.parametrize(
    "value",
    [
        b"x" * 5000,
        bytearray(b"y" * 5000),
        [b"x" * 5000, "between", b"z" * 10_000],
        range(3),
        1j,
        fractions.Fraction(1, 3),
        decimal.Decimal("1.10"),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        pathlib.PurePosixPath("/tmp"),
        uuid.UUID(int=5),
        float("inf"),
    ],
)
def test_standard_and_large_values_are_data(value: Any) -> None:
    again = unpack_value(pack_value(value, data_only=True), data_only=True)
    assert again == value
    assert type(again) is type(value)


class Count(int):
    pass


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def doubled(times: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(times):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value",
    [Count(3), [Count(3)], Level.HIGH, Reading(1.5), nested(300), doubled(60), object, print],
    ids=["subclass", "inside", "enum", "dataclass", "deep", "doubled", "class", "function"],
)
def test_what_names_a_class_or_is_not_a_tree_is_pickled(value: Any) -> None:
    payload = pack_value(value)
    assert payload[:1] == b"P"
    again = unpack_value(payload)
    assert type(again) is type(value)
    with pytest.raises(NotData):
        unpack_value(payload, data_only=True)


def test_where_only_data_is_taken_classes_travel_by_name() -> None:
    payload = pack_value([Reading(1.5), Level.HIGH], data_only=True)
    assert unpack_value(payload, data_only=True) == [Reading(1.5), Level.HIGH]
    with pytest.raises(NotData, match=r"Count"):
        pack_value([1, Count(3)], data_only=True)


@given(st.binary())
def test_any_bytes_are_a_value_or_an_error(payload: bytes) -> None:
    with contextlib.suppress(NotData, RemoteObjError, ValueError, msgspec.DecodeError):
        unpack_value(payload, data_only=True)


def test_a_child_imports_the_codec_alone() -> None:
    program = (
        "import sys, types\n"
        "package = types.ModuleType('_masterslave')\n"
        f"package.__path__ = [{str(pathlib.Path(packed.__file__).parent)!r}]\n"
        "sys.modules['_masterslave'] = package\n"
        "from _masterslave.packed import pack_value, unpack_value\n"
        "assert 'remoteobj' not in sys.modules\n"
        "value = {(1, 2): 3}\n"
        "assert unpack_value(pack_value(value)) == value\n"
        "assert 'remoteobj.proxy' not in sys.modules\n"
        "import remoteobj\n"
        "from remoteobj import Proxy, codec\n"
        "assert remoteobj.Daemon and remoteobj.__doc__\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
