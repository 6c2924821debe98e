"""What becomes of a value on its way to stock Pyro5 and back, in each of its serializers.

The table is that of ``test_stock_formats.py``. There it is checked against the bytes alone; here by
calls of a stock daemon, in a process of its own, which says what it got, and sends it back.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import math
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from servants import Connect, calm
from test_codec import nested, same
from test_stock_formats import CASES, OURS, PLAIN, SENT_HERE_ONLY, Refused, Unknown
from test_stock_formats import LITERALS as LITERAL_TREES
from test_stock_servers import serving_stock

from remoteobj import URI, NotSendable, Settings, batch
from remoteobj.stock import FORMATS

pytestmark = pytest.mark.filterwarnings("ignore::remoteobj.InsecureWarning")

NAMES = {number: each.name for number, each in FORMATS.items()}
each_serializer = pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
LITERALS = (type(None), bool, int, float, complex, str, bytes, list, tuple, set, dict)


@pytest.fixture(scope="module")
def stock() -> Iterator[dict[str, Any]]:
    with serving_stock() as uris:
        yield uris


@pytest.fixture
def shop_of(stock: dict[str, Any], connect: Connect) -> Any:
    """Make a proxy that speaks the serializer of this number."""

    def make(number: int) -> Any:
        name: Any = NAMES[number]
        return connect(stock["tcp"]["shop"], settings=Settings(stock_serializer=name))

    return make


def is_like(one: Any, other: Any) -> bool:
    if isinstance(other, list) and len(other) == 1 and other[0] != other[0]:
        return isinstance(one, list) and math.isnan(one[0])
    return same(one, other)


@pytest.mark.parametrize(("name", "number", "sent", "arrives"), CASES)
def test_what_a_stock_daemon_gets_and_sends_back(
    name: str, number: int, sent: Any, arrives: Any, shop_of: Any
) -> None:
    shop = shop_of(number)
    if isinstance(arrives, Refused):
        calls = batch(shop)
        calls.echo(1)
        calls.echo(sent)
        for send in (lambda: shop.echo(sent), lambda: shop.echo(value=sent), calls):
            with pytest.raises(NotSendable) as caught:
                send()
            assert arrives in str(caught.value)
        assert shop.echo(1) == 1
        return
    if isinstance(arrives, Unknown):
        with pytest.raises(Exception, match=arrives):
            shop.echo(sent)
        return
    if (name, number) in SENT_HERE_ONLY:
        got = shop.show(sent) if "surrogate" not in name else None
        assert got is None or got == shop.show(arrives)
        return
    assert is_like(shop.echo(sent), arrives)
    assert is_like(shop.echo(value=sent), arrives)
    calls = batch(shop)
    calls.echo(sent)
    calls.echo(value=[sent])
    one, [two] = calls()
    assert is_like(one, arrives)
    assert is_like(two, arrives)
    if isinstance(arrives, LITERALS) and "nan" not in repr(arrives) and "inf" not in repr(arrives):
        kind, _, literal = shop.show(sent).partition(" ")
        if isinstance(arrives, list | dict | tuple) and "URI" in literal:
            return
        assert kind == type(arrives).__name__
        if "<" not in literal and "datetime" not in literal:
            assert same(ast.literal_eval(literal) if literal != "set()" else set(), arrives)


@pytest.mark.parametrize(("name", "number", "sent", "arrives"), CASES)
def test_what_a_stock_daemon_gives(
    name: str, number: int, sent: Any, arrives: Any, shop_of: Any
) -> None:
    """Values that stock Pyro5 itself has written, as results."""
    shop = shop_of(number)
    try:
        pickled = pickle.dumps(sent)
    except Exception:
        return  # it cannot be brought there
    if name in OURS or b"test_stock_formats" in pickled or b"test_codec" in pickled:
        return
    give = base64.b64encode(pickled).decode()
    if (name, number) in SENT_HERE_ONLY or isinstance(arrives, Unknown | Refused):
        with contextlib.suppress(Exception):  # stock Pyro5 refuses it, or is the laxer one
            assert type(shop.give(give)) in LITERALS
    else:
        assert is_like(shop.give(give), arrives)
    again = shop_of(number)
    assert again.add(1) == 2


@each_serializer
def test_two_hundred_levels_travel_and_one_more_does_not(number: int, shop_of: Any) -> None:
    shop = shop_of(number)
    deep = nested(150, lambda value: [value])
    assert shop.echo(deep) == deep
    for wrap in (lambda value: [value], lambda value: {"a": value}):
        with pytest.raises(NotSendable, match="nested too deeply"):
            shop.echo(nested(201, wrap))
    assert shop.echo(1) == 1


@each_serializer
def test_what_cannot_travel_is_named_with_its_place(number: int, shop_of: Any) -> None:
    shop = shop_of(number)
    bad = {"items": [1, 2, {"lock": threading.Lock()}]}
    place = r"\['items'\]\[2\]\['lock'\]: a lock cannot be sent as " + NAMES[number]
    with pytest.raises(TypeError, match=r"^echo\(\) arguments: \[0\]" + place):
        shop.echo(bad)
    with pytest.raises(TypeError, match=r"^echo\(\) arguments: \['value'\]" + place):
        shop.echo(value=bad)
    with pytest.raises(TypeError, match=place):
        shop.shelf = bad
    calls = batch(shop)
    calls.echo(1)
    calls.echo(bad)
    with pytest.raises(TypeError, match=place):
        calls()
    with pytest.raises(TypeError, match="ndarray cannot be sent"):
        shop.echo(np.zeros(10**6))
    assert shop.echo(1) == 1


@each_serializer
def test_an_attribute_and_a_stream_change_as_arguments_do(number: int, shop_of: Any) -> None:
    shop = shop_of(number)
    shop.shelf = (1, (2, "a"))
    assert shop.shelf == ((1, (2, "a")) if NAMES[number] == "serpent" else [1, [2, "a"]])
    shop.shelf = 0
    assert shop.shelf == 0
    uri = URI("PYRO:a@./u:/s")
    shop.shelf = [uri]
    assert shop.shelf == [uri]


@each_serializer
def test_any_plain_data_comes_back(number: int, shop_of: Any) -> None:
    shop = shop_of(number)
    calls = batch(shop)

    @settings(calm, max_examples=50)
    @given(PLAIN)
    def send(value: Any) -> None:
        assert same(shop.echo(value), value)
        calls.echo([value])
        calls.echo(value={"a": value})
        assert same(list(calls()), [[value], {"a": value}])

    send()


def test_any_literal_comes_back_as_serpent(shop_of: Any) -> None:
    shop = shop_of(1)

    @settings(calm, max_examples=50)
    @given(LITERAL_TREES)
    def send(value: Any) -> None:
        # What stock Pyro5 itself cannot write, though it reads it, stays out.
        assume(not has_bytes_or_none_as_key(value) and "\\ud" not in repr(value))
        assert shop.echo(value) == value

    send()


def has_bytes_or_none_as_key(value: Any) -> bool:
    if isinstance(value, dict):
        return any(
            isinstance(key, bytes) or key is None or has_bytes_or_none_as_key(item)
            for key, item in value.items()
        )
    return isinstance(value, list | tuple) and any(map(has_bytes_or_none_as_key, value))
