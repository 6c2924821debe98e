"""Values arrive as they left: equal, of the same type, at any depth; what cannot is refused."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import math
import pathlib
import socket
import threading
import time
import uuid
import zoneinfo
from typing import Any

import codec_classes as classes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm

from remoteobj import URI, InsecureWarning, NotSendable, Proxy, WireError
from remoteobj.codec import decode, encode

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 10, 27, 2, 30, 5, 123456)

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 2**63, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**400),
    *(0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, 1 + 2j, complex(-0.0, math.inf)),
    *("", "text", "\0 ä € 😀", "\ud800", "a\udfffb", b"", b"\x00\xff", bytearray(b"grows")),
    *([], [1, [2, []]], (), (1,), ([],), set(), {1, "a"}, frozenset(), frozenset({(1, 2)})),
    *({}, {"a": 1}, {1: "a"}, {None: 1, (1, 2): 2, frozenset({3}): 3, 4.5: 4, b"5": 5, True: 6}),
    *({"\ud800": 1}, {dt.date(2024, 1, 1): 1, uuid.UUID(int=5): 2, classes.Colour.RED: 3}),
    *({14: [0, 5000, 1]}, {"b": 1, "a": 2}, {1: 2, "z": 3}, {"": {"": {"": ()}}}),
    *(NOON, NOON.replace(fold=1), NOON.replace(tzinfo=dt.UTC), dt.datetime.min, dt.datetime.max),
    *(NOON.replace(tzinfo=BERLIN), NOON.replace(tzinfo=BERLIN, fold=1)),
    NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=-3, microseconds=7))),
    NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2), "summer")),
    *(dt.date.min, dt.date(2024, 2, 29), dt.date.max, dt.time(1, 2, 3, 4), dt.time(5, fold=1)),
    *(dt.time(23, 59, 59, 999999, dt.UTC), dt.time(1, tzinfo=BERLIN)),
    *(dt.timedelta(0), dt.timedelta.min, dt.timedelta.max, dt.timedelta(-1, 2, 3)),
    *map(decimal.Decimal, ["0", "-0", "1.10", "1E+400", "Infinity", "-1E-400"]),
    *(fractions.Fraction(1, 3), fractions.Fraction(-(10**40), 7), uuid.UUID(int=2**127)),
    *(pathlib.Path(), pathlib.Path("/a/b"), pathlib.Path("\udcff")),
    *(pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("c:/a")),
    *(classes.Colour.RED, classes.Colour.BLUE, classes.Size.SMALL, classes.Word.YES),
    *(classes.Right.READ, classes.Right.READ | classes.Right.WRITE, classes.Right(0)),
    *(classes.Pair(1), classes.Pair((1,), [2]), classes.Triple(1, 2, 3)),
    *(collections.deque([1, (2,)]), collections.deque(maxlen=3), collections.deque([1], 0)),
    *(range(0), range(10), range(5, -(10**30), -3)),
    *(classes.Part("a", [(1,)]), classes.Point(1.5), classes.Bolt("b"), {classes.Point(1.0): 1}),
    *(classes.Nut((1,)), classes.Washer({2}), classes.Screw((1,)), classes.Pin(size=NOON)),
    *(classes.Trap((1,)), URI("PYRO:id@host:1"), URI("PYRONAME:shop"), memoryview(b"view")),
    *(memoryview(b""), memoryview(bytes(16)).cast("d"), memoryview(b"abcdef").cast("B", (2, 3))),
]


def same(one: Any, other: Any) -> bool:
    """Equal and of the same type, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, list | tuple | collections.deque):
        return len(one) == len(other) and all(map(same, one, other))
    if fields := getattr(one, "__match_args__", ()):
        return all(same(getattr(one, name), getattr(other, name)) for name in fields)
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    return bool(one == other)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"k": (v,)}])
def test_values_arrive_as_they_left(value: Any, wrap: Any) -> None:
    classes.ran.clear()
    for buffers in (None, []):
        sent = wrap(value)
        arrived = decode(encode(sent, buffers), buffers or ())
        assert same(arrived, sent)
        if not isinstance(value, memoryview | set | frozenset):
            assert repr(arrived) == repr(sent)
    assert classes.ran == []


def test_what_no_repr_and_no_equality_show() -> None:
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode(decimal.Decimal("sNaN12"))).is_snan()
    assert decode(encode(NOON.replace(fold=1))).fold == 1
    assert decode(encode(dt.time(5, fold=1))).fold == 1
    assert decode(encode(NOON.replace(tzinfo=BERLIN))).tzinfo is BERLIN
    assert decode(encode(collections.deque([1], 7))).maxlen == 7
    assert list(decode(encode({"b": 1, 2: 2, "a": 3}))) == ["b", 2, "a"]


def test_the_value_that_was_sent_is_not_changed() -> None:
    value = [{"a": (1, {2}), "b": [bytearray(b"x"), NOON]}, (3,)]
    encode(value)
    assert value == [{"a": (1, {2}), "b": [bytearray(b"x"), NOON]}, (3,)]


def test_a_proxy_arrives_without_the_permission_to_talk_plain_tcp() -> None:
    with pytest.warns(InsecureWarning):
        sent = Proxy("PYRO:id@127.0.0.1:1", insecure=True)
    arrived = decode(encode([sent]))[0]
    assert type(arrived) is Proxy
    assert arrived == sent
    assert not arrived._channel.insecure


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.complex_numbers(allow_nan=False),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.sampled_from([classes.Colour.RED, classes.Size.SMALL, classes.Word.YES, range(3)]),
)
KEYS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(collections.deque),
        st.dictionaries(st.text() | KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
        st.builds(classes.Pair, inner, inner),
        st.builds(classes.Point, inner, inner),
        st.builds(classes.Nut, inner),
        st.builds(classes.Screw, inner),
    ),
    max_leaves=12,
)


@calm
@given(TREES)
def test_any_tree_arrives_as_it_left(value: Any) -> None:
    assert same(decode(encode(value)), value)


def nested(levels: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


WRAPS = [
    lambda v: [v],
    lambda v: (v,),
    lambda v: {"a": v},
    lambda v: {1: v},
    classes.Pair,
    classes.Point,
    classes.Screw,
    lambda v: collections.deque([v]),
]


@pytest.mark.parametrize("wrap", WRAPS)
def test_two_hundred_levels_travel_and_one_more_does_not(wrap: Any) -> None:
    value = nested(200, wrap)
    data = encode(value)
    arrived = decode(data)
    for _ in range(200):
        assert type(arrived) is type(value)
        if isinstance(value, classes.Point):
            value, arrived = value.x, arrived.x
        elif isinstance(value, classes.Screw):
            value, arrived = value.size, arrived.size
        else:
            pick = list(value.values()) if isinstance(value, dict) else value
            got = list(arrived.values()) if isinstance(value, dict) else arrived
            value, arrived = pick[0], got[0]
    assert arrived == value == 1
    deeper = nested(201, wrap)
    with pytest.raises(NotSendable, match=r"value: .*: it is nested more than 200 levels deep"):
        encode(deeper)
    with pytest.raises(WireError, match="more than 200 levels"):
        decode(encode(deeper, max_depth=201))
    with pytest.raises(NotSendable, match="nested too deeply"):
        encode(nested(5000, wrap), max_depth=10**6)


def test_a_circle_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotSendable, match="nested"):
        encode(circle)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (threading.Lock(), "value: a lock cannot be sent"),
        ([1, {"a": ({2: object()},)}], "value: [1]['a'][0][2]: an object cannot be sent"),
        ({"items": [classes.Point(0, object())]}, "value: ['items'][0].y: an object cannot be"),
        (classes.Pair(1, {(1, object): 2}), "value: right key (1, <class 'object'>)[1]: a type"),
        (classes.MyList([1]), "value: a MyList cannot be sent"),
        (classes.Eager(1), "value: an Eager cannot be sent"),
        ([classes.a_function], "value: [0]: a function cannot be sent"),
        (NOON.replace(tzinfo=type("Own", (dt.tzinfo,), {})()), "value: an Own as a time zone"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_travel_is_named_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(NotSendable) as caught:
        encode(value)
    assert str(caught.value).startswith(told)
    assert isinstance(caught.value, TypeError)


class Plain:
    pass


class Undecorated(classes.Part):
    pass


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (Plain(), "a Plain cannot be sent: make its class a dataclass, send plain values, or"),
        (Undecorated("a"), "an Undecorated cannot be sent: a class that is derived from a datacl"),
        (classes.MyList([1]), "a MyList cannot be sent: send it as a plain list"),
        (classes.a_function, "a function cannot be sent: no code travels; send the URI of an"),
        (Plain, "a type cannot be sent: no code travels"),
        ((n for n in "ab"), "a generator cannot be sent: send a list of its items"),
        (object(), "an object cannot be sent: leave it out, or send plain values in its place"),
        (classes.Eager(1), "an Eager cannot be sent: leave it out, or send plain values"),
        (memoryview(bytes(8)).cast("P"), "a memoryview of format 'P' cannot be sent: send bytes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_travel_is_told_what_to_do_instead(value: Any, advice: str) -> None:
    with pytest.raises(NotSendable) as caught:
        encode([value])
    assert str(caught.value).startswith(f"value: [0]: {advice}")


def test_keys_of_all_kinds_at_every_level_are_walked_once() -> None:
    value: Any = {}
    for _ in range(60):
        value = {"a": value, 1: 2}
    before = time.perf_counter()
    assert decode(encode(value)) == value
    assert time.perf_counter() - before < 1.0


def test_a_class_that_cannot_be_hashed_cannot_be_sent() -> None:
    odd = type("Odd", (type,), {"__eq__": lambda *_: True, "__hash__": None})
    with pytest.raises(NotSendable, match="value: it cannot be written: unhashable"):
        encode([odd("Unhashable", (), {})()])


def test_the_place_is_told_within_what_the_caller_calls_it() -> None:
    part = classes.Part("a", [0, 1, 2])
    with socket.socket() as handle:
        part.tags.append(classes.Point(0, handle))
        with pytest.raises(NotSendable) as caught:
            encode(part, where="add() argument 'item'")
    place = "add() argument 'item': tags[3].y"
    assert str(caught.value) == f"{place}: a socket cannot be sent{classes.INSTEAD}"
