"""Calls, batches, replies and errors: they arrive, and what cannot is told or refused."""

from __future__ import annotations

import contextlib
import random
import threading
import traceback
from typing import Any

import codec_classes as classes
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm
from test_codec import NOON, TREES, VALUES, same

from remoteobj import Identity, NotSendable, Proxy, RemoteError, WireError, payload
from remoteobj.codec import decode
from remoteobj.codec.calls import (
    decode_batch,
    decode_call,
    decode_error,
    decode_reply,
    decode_results,
    encode_batch,
    encode_call,
    encode_error,
    encode_reply,
    encode_results,
)

LOCK = threading.Lock()
REFUSED = f"a lock cannot be sent{classes.INSTEAD}"
LARGE = bytes(5000)


def through(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Send a call, and the same in a batch; return the arguments that arrived."""
    buffers: list[Any] = []
    data = encode_call("shop", "sell", args, kwargs, 7, buffers)
    object_id, method, *arrived, session = decode_call(data, list(map(bytes, buffers)))
    assert (object_id, method, session) == ("shop", "sell", 7)
    buffers = []
    data = encode_batch("shop", [("sell", args, kwargs)] * 2, 7, buffers)
    object_id, calls, session = decode_batch(data, list(map(bytes, buffers)))
    assert (object_id, session, len(calls)) == ("shop", 7, 2)
    for call in calls:
        assert call[0] == "sell"
        assert same(list(call[1:]), arrived)
    return arrived[0], arrived[1]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_arguments_and_results_arrive_as_they_left(value: Any) -> None:
    args, kwargs = through((value, 1), {"item": value})
    assert same(args, [value, 1])
    assert same(kwargs, {"item": value})
    assert same(through((1,), {})[0], [1])
    assert same(decode_reply(encode_reply(value, []), []), value)
    for many in ([value], [1, value, 2]):
        assert same(list(decode_results(encode_results(many, None, []), [])), [many, None])


@calm
@given(st.lists(TREES, max_size=3), st.dictionaries(st.text(), TREES, max_size=3))
def test_any_arguments_arrive(args: list[Any], kwargs: dict[str, Any]) -> None:
    kwargs = {key.encode(errors="replace").decode(): value for key, value in kwargs.items()}
    assert same(list(through(tuple(args), kwargs)), [args, kwargs])


def test_a_plain_call_is_as_small_as_it_can_be() -> None:
    data = encode_call("obj", "echo", (7,), {}, 1, [])
    assert msgspec.msgpack.decode(data) == ["obj", "echo", [7], None, 1]
    assert encode_reply(7, []) == b"\x07"


def test_large_data_goes_beside_the_message() -> None:
    for args, kwargs in (((LARGE, [LARGE]), {}), ((), {"a": LARGE, "b": (LARGE,)})):
        buffers: list[Any] = []
        data = encode_call("o", "m", args, kwargs, 0, buffers)
        assert len(data) < 100
        assert all(buffer.obj is LARGE for buffer in buffers)
        assert decode_call(data, [LARGE, LARGE])[2:4] == ([*args], kwargs) or args
        with pytest.raises(WireError):
            decode_call(data, [LARGE])
        with pytest.raises(WireError):
            decode_call(data, [LARGE] * 3)
    buffers = []
    data = encode_results([1, LARGE, bytearray(LARGE)], None, buffers)
    assert len(data) < 100
    assert decode_results(data, [LARGE, bytearray(LARGE)])[0] == [1, LARGE, bytearray(LARGE)]
    plain = [
        (decode_call, encode_call("o", "m", (1,), {}, 0, [])),
        (decode_batch, encode_batch("o", [("m", (1,), {})], 0, [])),
        (decode_reply, encode_reply(1, [])),
        (decode_results, encode_results([1], None, [])),
    ]
    for function, data in plain:
        with pytest.raises(WireError, match="1 buffers came with a payload that uses 0"):
            function(data, [LARGE])


def test_small_bytes_stay_in_the_message() -> None:
    buffers: list[Any] = []
    assert decode_call(encode_call("o", "m", (bytes(4095),), {}, 0, buffers))[2] == [bytes(4095)]
    assert buffers == []


def refusal(function: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(NotSendable) as caught:
        function(*args, **options)
    return str(caught.value)


def test_what_cannot_travel_is_named_with_its_argument() -> None:
    def call(*args: Any, **kwargs: Any) -> str:
        buffers: list[Any] = []
        told = refusal(encode_call, "o", "add", (LARGE, *args), kwargs, 0, buffers, ["a", "item"])
        assert buffers == []
        return told

    held = classes.Point(1, LOCK)
    assert call([0, held]) == f"add() argument 'item': [1].y: {REFUSED}"
    assert call(1, LOCK) == f"add() argument 3: {REFUSED}"
    assert call(1, item={"a": LOCK}) == f"add() argument 'item': ['a']: {REFUSED}"
    calls: list[Any] = [("put", (1,), {}), ("add", (1, LOCK), {})]
    assert refusal(encode_batch, "o", calls, 0, [], {"add": ["a", "item"]}) == (
        f"call 2 of the batch: add() argument 'item': {REFUSED}"
    )
    assert refusal(encode_batch, "o", calls, 0, []).startswith(
        "call 2 of the batch: add() argument 2: a lock"
    )


def test_a_result_that_cannot_travel_says_that_the_method_has_run() -> None:
    assert refusal(encode_reply, {"a": [LOCK]}, [], "add") == (
        f"add() has run, but its result stays here: ['a'][0]: {REFUSED}"
    )
    assert refusal(encode_reply, LOCK, []) == f"the result: {REFUSED}"
    deep: Any = 1
    for _ in range(6):
        deep = [deep]
    assert "nested more than 5 levels deep" in refusal(encode_reply, deep, [], max_depth=5)
    assert "nested more than 5 levels deep" in refusal(
        encode_call, "o", "m", (deep,), {}, 0, [], max_depth=5
    )
    data = encode_call("o", "m", (deep,), {}, 0, [], max_depth=6)
    assert decode_call(data, (), 6)[2] == [deep]
    with pytest.raises(WireError, match="more than 5 levels"):
        decode_call(data, (), 5)


def test_the_results_up_to_the_first_that_cannot_travel_are_sent() -> None:
    buffers: list[Any] = []
    data = encode_results([1, LARGE, [LOCK], LARGE], ValueError("later"), buffers)
    assert len(buffers) == 1
    values, error = decode_results(data, [LARGE])
    assert values == [1, LARGE]
    assert type(error) is NotSendable
    assert str(error) == (f"call 3 of the batch has run, but its result stays here: [0]: {REFUSED}")
    assert error.__notes__ == ["calls of the batch that have run after it: 2"]
    error = decode_results(encode_results([LOCK], None, []))[1]
    assert not hasattr(error, "__notes__")


def test_the_error_that_ended_a_batch_follows_its_results() -> None:
    values, error = decode_results(encode_results([1, (2,)], KeyError("k"), []))
    assert values == [1, (2,)]
    assert repr(error) == "KeyError('k')"
    assert error is not None
    assert error._pyroTraceback == ["KeyError: 'k'\n"]


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_an_error_arrives_with_its_traceback_notes_and_cause() -> None:
    error = raised(classes.OutOfStock("bolt", left=3), ValueError("why"))
    error.add_note("a note")
    arrived: Any = decode_error(encode_error(error))
    assert type(arrived) is classes.OutOfStock
    assert (arrived.args, arrived.left) == (("bolt",), 3)
    assert arrived.__notes__ == ["a note"]
    assert repr(arrived.__cause__) == "ValueError('why')"
    assert arrived._pyroTraceback == traceback.format_exception(error)
    assert "raise error from cause" in "".join(arrived._pyroTraceback)


def test_an_error_of_an_unknown_class_keeps_its_traceback_when_it_travels_on() -> None:
    local = type("Local", (Exception,), {"__module__": "elsewhere"})
    first: Any = decode_error(encode_error(raised(local("why"))))
    assert type(first) is RemoteError
    assert "raise error from cause" in first.remote_traceback
    assert first.args == ("elsewhere.Local", "why", first.remote_traceback)
    second: Any = decode_error(encode_error(raised(first)))
    assert second.remote_traceback == first.remote_traceback
    assert second._pyroTraceback[-1] == "remoteobj.errors.RemoteError: elsewhere.Local: why\n"


class Broken(Exception):
    def __init__(self, breaks: BaseException) -> None:
        self.breaks = breaks

    def __str__(self) -> str:
        raise self.breaks

    @property
    def args(self) -> Any:
        raise self.breaks


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)


class Anonymous(Exception, metaclass=Nameless):
    pass


@pytest.mark.parametrize("breaks", [RuntimeError("x"), SystemExit(), KeyboardInterrupt()])
def test_an_exception_that_breaks_whoever_looks_is_written(
    breaks: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    arrived = decode_error(encode_error(Broken(breaks)))
    assert type(arrived) is NotSendable
    assert str(arrived) == f"Broken was raised, but cannot be shown: {type(breaks).__name__}"
    assert "cannot be described" in caplog.text


def test_an_exception_that_hides_its_name_or_has_an_odd_one_is_written() -> None:
    assert "Anonymous was raised" in str(decode_error(encode_error(Anonymous())))
    odd = type("Odd", (Exception,), {"__module__": "\ud800"})
    assert "Odd was raised" in str(decode_error(encode_error(odd())))
    assert decode_error(encode_error(ValueError("\ud800", 10**40))).args == ("\ud800", 10**40)
    held = ValueError(LARGE, LOCK)
    assert decode_error(encode_error(held)).args[0] == LARGE


GOOD = [
    (decode_call, encode_call("o", "m", (1, (2,), NOON), {"a": {3}}, 5, [])),
    (decode_call, encode_call("o", "m", (1,), {}, 5, [])),
    (decode_batch, encode_batch("o", [("m", (1, [NOON]), {"b": 1})] * 3, 5, [])),
    (decode_results, encode_results([1, (2,), [NOON] * 9], ValueError(1, "x"), [])),
    (decode_error, encode_error(raised(OSError(5, "why"), KeyError("k")))),
]


def test_mutated_messages_are_read_or_refused() -> None:
    chance = random.Random(5)
    for _ in range(20_000):
        function, good = chance.choice(GOOD)
        mutated = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(mutated) + 1)
            if chance.random() < 0.5:
                mutated[place : place + 1] = chance.randbytes(chance.randrange(3))
            elif place < len(mutated):
                mutated[place] ^= 1 << chance.randrange(8)
        try:
            read: Any = function(bytes(mutated))
        except (WireError, NotSendable):
            continue
        if function is decode_call:
            assert list(map(type, read)) == [str, str, list, dict, int]
            assert all(type(key) is str for key in read[3])
        if function is decode_batch:
            assert list(map(type, read)) == [str, list, int]
            assert all(list(map(type, call)) == [str, list, dict] for call in read[1])


@calm
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for function in (decode_call, decode_batch, decode_reply, decode_results, decode_error):
        with contextlib.suppress(WireError, NotSendable):
            function(data)


@pytest.mark.parametrize(
    "call",
    [
        *(None, [], 5, {}, ["o", "m", [], None], ["o", "m", [], None, 1, 2]),
        *([b"o", "m", [], None, 1], ["o", 5, [], None, 1], ["o", "m", {}, None, 1]),
        *(["o", "m", [], [], 1], ["o", "m", [], {1: 2}, 1], ["o", "m", [], {}, 1.5]),
        *(["o", "m", [], {}, True], ["o", "m", [], {}, None], ["o", "m", [], {}, "1"]),
    ],
    ids=repr,
)
def test_what_is_no_call_is_refused(call: Any) -> None:
    with pytest.raises(WireError):
        decode_call(msgspec.msgpack.encode(call))
    with pytest.raises(WireError):
        decode_batch(msgspec.msgpack.encode(call))


def test_what_is_no_exception_is_refused() -> None:
    for told in (5, [[], 5], [["line"], {"a": 1}], [[1], None]):
        with pytest.raises(WireError):
            decode_error(msgspec.msgpack.encode(told))
    assert decode(encode_reply(ValueError(1), [])).args == (1,)  # as a value, it may travel, too


def test_proxies_that_arrive_are_the_receivers(identity: Identity) -> None:
    proxy = Proxy("PYRO:a@127.0.0.1:1", identity=identity)
    own, other = payload.binary(200, identity), payload.binary(200)
    call = encode_call("o", "m", (proxy,), {"a": [proxy]}, 0, [])
    calls: list[Any] = [("m", (proxy,), {}), ("m", ([proxy],), {})]
    error = ValueError(proxy)
    for form, whose in ((own, identity), (other, "auto"), (own, identity)):
        _, _, args, kwargs, _ = form.loads_call(call, [])
        _, made, _ = form.loads_batch(encode_batch("o", calls, 0, []), [])
        arrived = [args[0], kwargs["a"][0], made[0][1][0], made[1][1][0][0]]
        arrived += [form.loads_reply(encode_reply((proxy,), []), [])[0]]
        arrived += form.loads_results(encode_results([proxy], None, []), [])[0]
        arrived += form.loads_error(encode_error(error)).args
        assert arrived == [proxy] * 7
        assert [each._channel.identity for each in arrived] == [whose] * 7
    with pytest.raises(WireError, match="leaf of number 14"):
        payload.read_call(encode_call("o", "m", (proxy,), {}, 0, []))  # it knows no receiver
