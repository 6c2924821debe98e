"""What is written together arrives as if it had been written one by one."""

from __future__ import annotations

import datetime as dt
import threading
import time
import tracemalloc
import zoneinfo
from typing import Any

import codec_classes as classes
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm
from test_codec import LEAVES, NOON, TREES, same

from remoteobj import NotSendable, WireError
from remoteobj.codec import decode, encode, tags
from remoteobj.codec.calls import decode_error

UTC_NOON = NOON.replace(tzinfo=dt.UTC)
BERLIN_NOON = NOON.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
OWN_UTC = dt.timezone(dt.timedelta(0), "mine")


def records(number: int = 20) -> list[dict[str, Any]]:
    return [
        {"id": n, "name": f"sample {n}", "when": NOON + dt.timedelta(seconds=n), "ok": n % 2 == 0}
        for n in range(number)
    ]


def stored(data: bytes) -> set[int]:
    """Return the numbers of the containers that stand in the bytes."""
    found = set()

    def look(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                look(item)
        if isinstance(value, dict):
            found.update(key for key in value if type(key) is int)
            for item in value.values():
                look(item)

    look(msgspec.msgpack.decode(data))
    return found


COLUMNS: list[list[Any]] = [
    *(
        [1, 2.5, "a", None, True],
        [NOON, None],
        [UTC_NOON, None],
        [NOON, UTC_NOON],
        [None, UTC_NOON],
    ),
    *([BERLIN_NOON], [NOON.replace(fold=1)], [UTC_NOON.replace(fold=1)], [dt.datetime.min]),
    *([dt.datetime.max], [dt.datetime.max.replace(tzinfo=dt.UTC)], [NOON.replace(tzinfo=OWN_UTC)]),
    *([dt.datetime.min.replace(tzinfo=dt.UTC)], [NOON, 5], [NOON, "2024-01-01T00:00:00"]),
    *([b"raw", b""], [b"", None], [bytearray(b"x")], [2**70, 1], ["\ud800", "b"], [2**64 - 1]),
    *([(1, 2.0)], [(1,), (2, 3)], [()], [(NOON, 1)], [(1,), [1]], [[1], [NOON]], [{}, []], [{}]),
    *([{"a": 1}], [{"a": 1}, {"b": NOON}], [{"a": 1}, {1: 2}], [{1: 2}], [{"a": {"a": (1,)}}]),
    *([{"a": 1, "b": 2}, {"b": 2, "a": 1}], [{"a": NOON}, {}], [{"a": None}, {"a": {2}}]),
    *([{classes.Word.YES: 1}], [{"yes": 1}, {classes.Word.YES: 1}], [{"a": classes.Word.YES}]),
    *([classes.Point(1.0)], [classes.Point(NOON, {})], [classes.Point(1), None], [classes.Pair(1)]),
    *([classes.Bolt("b", [1])], [classes.Nut((1,))], [classes.Washer(1)], [classes.Empty()]),
    *([classes.Pin(size=1)], [classes.Screw(1, "x")], [classes.Screw(1), classes.Pin(size=2)]),
    *([classes.Colour.RED], [classes.Point(1.0), classes.Pair(1)], [classes.Part("a"), {"a": 1}]),
    *([{1}], [frozenset()], [1, [1]], [classes.Size.SMALL, 1], [1.0, 1], [True, 1], [0.0, -0.0]),
]


@pytest.mark.parametrize("column", COLUMNS, ids=repr)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda column: column,
        tuple,
        lambda column: [{"n": n, "value": value, "z": "z"} for n, value in enumerate(column)],
        lambda column: [{"n": n, **({"value": v} if n % 3 else {})} for n, v in enumerate(column)],
        lambda column: [{"value": None}, *({"value": value} for value in column)],
        lambda column: [(value, n) for n, value in enumerate(column)],
        lambda column: [classes.Point(0.5, value) for value in column],
        lambda column: [classes.Pair(value, 1) for value in column],
        lambda column: [classes.Screw(value, "k") for value in column],
        lambda column: {f"key {n}": value for n, value in enumerate(column)},
        lambda column: {n: [value] for n, value in enumerate(column)},
        lambda column: [{"deep": [{"value": value} for value in column]}] * 9,
    ],
)
def test_many_arrive_as_they_left(column: list[Any], wrap: Any) -> None:
    value = wrap((column * 10)[:11])
    before = repr(value)
    for buffers in (None, []):
        arrived = decode(encode(value, buffers), buffers or ())
        assert same(arrived, value)
        assert repr(arrived) == repr(value) == before


def test_what_is_alike_is_written_together() -> None:
    assert stored(encode(records())) == {tags.ROWS, tags.DATETIMES}
    assert stored(encode([(1, NOON)] * 9)) == {tags.TUPLES, tags.DATETIMES}
    for value in (classes.Point(1), classes.Pair(1), classes.Washer(1), classes.Screw(1)):
        assert stored(encode([value] * 9)) == {tags.RECORDS}
    assert stored(encode(dict(enumerate(records())))) == {*(tags.DICT, tags.ROWS, tags.DATETIMES)}
    assert stored(encode([*range(100)])) == stored(encode({str(n): n for n in range(100)})) == set()
    assert len(encode(records(100))) < 7000


def test_what_is_large_goes_beside_what_is_written_together() -> None:
    value = [{"n": n, "data": bytes([n]) * 5000, "more": np.arange(n * 700.0)} for n in range(9)]
    buffers: list[Any] = []
    data = encode(value, buffers)
    assert len(buffers) == 17  # the first array is small
    arrived = decode(data, list(map(bytes, buffers)))
    assert all(row["data"] == bytes([n]) * 5000 for n, row in enumerate(arrived))
    assert all(len(row["more"]) == n * 700 for n, row in enumerate(arrived))


MANY_TREES = st.one_of(
    st.lists(st.fixed_dictionaries({"a": TREES}, optional={"b": TREES}), min_size=8, max_size=9),
    st.lists(st.tuples(LEAVES, TREES), min_size=8, max_size=9),
    st.lists(st.builds(classes.Point, LEAVES, TREES), min_size=8, max_size=9),
    st.dictionaries(st.text() | LEAVES, st.tuples(LEAVES), min_size=8, max_size=9),
    st.lists(st.none() | st.datetimes(timezones=st.just(dt.UTC) | st.none()), min_size=8),
)


@calm
@given(MANY_TREES)
def test_any_of_them_arrive(value: Any) -> None:
    assert same(decode(encode(value)), value)


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda bad: [{"a": 1, "b": [bad]}], "[5]['b'][0]"),
        (lambda bad: [(1, {2: bad})], "[5][1][2]"),
        (lambda bad: [classes.Point(1, bad)], "[5].y"),
        (lambda bad: [classes.Pair(1, bad)], "[5].right"),
        (lambda bad: [{"rows": [{"a": bad}] * 9}], "[5]['rows'][0]['a']"),
    ],
)
def test_the_place_of_what_cannot_travel_is_told_as_ever(make: Any, place: str) -> None:
    value = make(1) * 5 + make(LOCK) + make(1) * 5
    buffers: list[Any] = []
    for sent, told in ((value, place), (dict(enumerate(value)), place)):
        with pytest.raises(NotSendable) as caught:
            encode([bytes(5000), sent], buffers)
        assert str(caught.value) == f"value: [1]{told}: a lock cannot be sent{classes.INSTEAD}"
        assert buffers == []


def test_a_refusal_deep_down_takes_no_longer_than_two_walks() -> None:
    value: Any = [{"a": LOCK}] * 9
    for _ in range(40):
        value = [{"a": value}, *[{"a": [1]}] * 8]
    before = time.perf_counter()
    with pytest.raises(NotSendable, match="a lock cannot be sent"):
        encode(value)
    assert time.perf_counter() - before < 1.0


def test_rows_that_have_nothing_in_common_take_no_longer() -> None:
    value = [{f"key {n}": (n,), "also": [n]} for n in range(5000)]
    before = time.perf_counter()
    assert decode(encode(value)) == value
    assert time.perf_counter() - before < 2.0


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [{"a": value}, *[{"a": 1}] * 8],
        lambda value: [(value,), *[(1,)] * 8],
        lambda value: [classes.Point(value), *[classes.Point(1.0)] * 8],
        lambda value: {n: [value] if n == 3 else [] for n in range(9)},
    ],
)
def test_two_hundred_levels_of_many_travel_and_one_more_does_not(wrap: Any) -> None:
    value: Any = 1
    for _ in range(100):
        value = wrap(value)
    assert repr(decode(encode(value))) == repr(value)
    for deeper in ([value], [[*value] if isinstance(value, list) else value] * 9):
        with pytest.raises(NotSendable, match="nested more than 200 levels"):
            encode(deeper)
        with pytest.raises(WireError, match="nested more than 200 levels"):
            decode(encode(deeper, max_depth=201))


def rows(*columns: Any, plain: Any = ({"a": 1}, {"a": 2})) -> bytes:
    packed = msgspec.msgpack.encode(plain)
    return msgspec.msgpack.encode({tags.ROWS: [packed, *columns]})


def test_columns_that_do_not_fit_are_refused() -> None:
    assert decode(rows("b", None, [3, 4])) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    assert decode(rows("b", [1], [3])) == [{"a": 1}, {"a": 2, "b": 3}]
    point = "codec_classes:Point"
    wrong: list[Any] = [
        *(rows("b"), rows("b", None), rows("b", None, [1]), rows("b", None, [1, 2, 3])),
        *(
            rows("b", [2], [1]),
            rows("b", ["x"], [1]),
            rows("b", [0, 1], [1]),
            rows(1, None, [1, 2]),
        ),
        *(rows("b", None, 5), rows("b", None, {tags.TUPLE: [1, 2]}), rows(plain=5)),
        *(rows(plain=[{"a": []}]), rows(plain=[{"a": {}}]), rows(plain=[{1: 1}]), rows(plain=[[]])),
        *(rows(plain=[{"a": msgspec.msgpack.Ext(6, b"")}]), rows(plain=[{"a": b""}])),
        *({tags.ROWS: value} for value in ([], 5, [5], [[]], [{}], None, {}, [b""], ["x"])),
        *({tags.TUPLES: value} for value in ([], 5, [5], [[1], []], [[1], {}], None, {}, [{4: 4}])),
        *({tags.RECORDS: [point, ["x", "y"], *value]} for value in ([[1]], [[1], []], [1, 2], [])),
        *({tags.DATETIMES: value} for value in ([], 5, b"", b"\x91\x05", b"\x91\xa1x", None, "x")),
        *({tags.TUPLE: {tags.TUPLE: []}}, {tags.SET: {tags.DICT: [[], []]}}),
    ]
    for value in wrong:
        with pytest.raises((WireError, NotSendable)):
            decode(value if isinstance(value, bytes) else msgspec.msgpack.encode(value))
    assert decode(msgspec.msgpack.encode({tags.TUPLES: [[], []]})) == []
    assert decode(msgspec.msgpack.encode({tags.RECORDS: [point, ["x", "y"], [], []]})) == []


def packed_many(value: Any, number: int = 3000) -> bytes:
    return msgspec.msgpack.encode([value] * number)


NILS = [None] * 3000
BOMBS = [
    *(
        packed_many([]),
        packed_many({}),
        packed_many({"": None}),
        packed_many(msgspec.Raw(b"\xc4\0")),
    ),
    *(packed_many({number: []}) for number in (tags.TUPLE, tags.SET, tags.FROZENSET)),
    *(packed_many({tags.DICT: [[], []]}), packed_many({tags.DEQUE: [None, []]})),
    packed_many({tags.ARRAY: ["f8", [0], "C", True, b""]}),
    packed_many({tags.MEMORYVIEW: ["B", [0], True, b""]}),
    packed_many({tags.EXCEPTION: ["builtins:OSError", "", [], [], [], None, None, False]}),
    packed_many({tags.RECORD: ["codec_classes:Empty", []]}),
    packed_many(msgspec.msgpack.Ext(tags.PATH, b"P")),
    packed_many(msgspec.msgpack.Ext(tags.DECIMAL, b"1")),
    packed_many(msgspec.msgpack.Ext(tags.TIMEDELTA, b"\x93\0\0\0")),
    packed_many(msgspec.msgpack.Ext(tags.URI, b"PYRO:a@b:1")),
    packed_many(msgspec.msgpack.Ext(tags.PROXY, b"PYRO:a@./u:b")),
    msgspec.msgpack.encode({tags.ROWS: [msgspec.msgpack.encode([{}] * 3000)]}),
    msgspec.msgpack.encode({tags.ROWS: [msgspec.msgpack.encode([{}] * 3000), "a", None, NILS]}),
    msgspec.msgpack.encode({tags.TUPLES: [NILS]}),
    msgspec.msgpack.encode({tags.RECORDS: ["codec_classes:Trap", ["value"], NILS]}),
    msgspec.msgpack.encode({tags.RECORDS: ["codec_classes:Washer", ["size"], NILS]}),
    msgspec.msgpack.encode({tags.RECORDS: ["codec_classes:Pin", ["size"], NILS]}),
    msgspec.msgpack.encode({tags.DATETIMES: msgspec.msgpack.encode(NILS)}),
    msgspec.msgpack.encode("a" * 3000 + "😀"),
]


def packed_error(value: Any) -> bytes:
    sent = {tags.EXCEPTION: ["", "", [value] * 3000, [], [], None, None, False]}
    return msgspec.msgpack.encode([[], sent])


ERRORS = [
    packed_error({tags.EXCEPTION: ["", "", [], [], [], None, None, False]}),
    packed_error({tags.RECORD: [":", []]}),
]
MADE = [*((decode, data) for data in BOMBS), *((decode_error, data) for data in ERRORS)]


@pytest.mark.parametrize(("read", "data"), MADE, ids=range(len(MADE)))
def test_a_message_makes_at_most_two_hundred_times_its_size(read: Any, data: bytes) -> None:
    read(data)  # what is imported when it is first needed
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    read(data)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 200 * len(data)
