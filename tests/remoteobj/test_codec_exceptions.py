"""Exceptions arrive with all that they say, of their own class where that is known."""

from __future__ import annotations

import errno
import time
from typing import Any

import codec_classes as classes
import msgspec
import pytest

from remoteobj import ConnectionLost, NotSendable, RemoteError
from remoteobj.codec import decode, encode, tags
from remoteobj.codec.calls import TRACEBACK_ATTRIBUTE, decode_error, encode_error

ERRORS: list[Exception] = [
    ValueError("a", 1, (2,)),
    KeyError("k"),
    Exception(),
    OSError(errno.ENOENT, "no such file", "/tmp/x"),
    PermissionError(errno.EACCES, "no", "a", None, "b"),
    OSError("only text"),
    ImportError("no", name="mod", path="/p"),
    StopIteration(5),
    SyntaxError("bad", ("file.py", 1, 2, "text", 1, 3)),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    AttributeError("no", name="x"),
    ConnectionLost("gone", executed="no"),
    ExceptionGroup("two", [ValueError(1), ExceptionGroup("one", [KeyError(2)])]),
    classes.OutOfStock("bolt", left=3),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_exception_arrives_as_it_left(error: Exception) -> None:
    classes.ran.clear()
    arrived = decode(encode([error]))[0]
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert repr(arrived) == repr(error)
    assert vars(arrived) == vars(error)
    for name in ("errno", "filename", "filename2", "name", "path", "value", "lineno", "executed"):
        assert getattr(arrived, name, None) == getattr(error, name, None)
    assert classes.ran == []


def test_notes_cause_and_context_come_with_it() -> None:
    error = ValueError("outer")
    error.add_note("a note")
    error.own = (1, {2})
    error.__cause__ = KeyError("cause")
    error.__context__ = OSError(errno.EPIPE, "context")
    error.__suppress_context__ = True
    arrived = decode(encode(error))
    assert arrived.__notes__ == ["a note"]
    assert arrived.own == (1, {2})
    assert repr(arrived.__cause__) == "KeyError('cause')"
    assert repr(arrived.__context__) == repr(error.__context__)
    assert arrived.__suppress_context__
    error.__suppress_context__ = False
    assert not decode(encode(error)).__suppress_context__


def test_what_an_exception_holds_that_cannot_be_sent_is_text() -> None:
    error = ValueError(object, [bytes(5000), object])
    error.handle = test_notes_cause_and_context_come_with_it
    buffers: list[Any] = []
    arrived = decode(encode([error, bytes(6000)], buffers), buffers)
    assert arrived[0].args[0] == "<class 'object'>"
    assert arrived[0].handle.startswith("<function")
    assert arrived[1] == bytes(6000)
    assert len(buffers) == 1


def test_a_long_chain_is_cut_where_it_gets_too_deep() -> None:
    error: Exception = ValueError(0)
    for number in range(500):
        outer = ValueError(number)
        outer.__cause__ = error
        error = outer
    arrived, length = decode(encode(error)), 0
    while arrived is not None:
        arrived, length = arrived.__cause__, length + 1
    assert 150 < length <= 200


def failing(depth: int) -> None:
    if depth == 0:
        raise ValueError("first")
    try:
        failing(depth - 1)
    except Exception as error:
        try:
            raise KeyError(depth)
        except KeyError as other:
            raise OSError(depth) from (error if depth % 2 else other)


def test_a_chain_that_meets_itself_again_and_again_is_sent_once() -> None:
    before = time.perf_counter()
    with pytest.raises(OSError) as caught:
        failing(40)
    data = encode(caught.value)
    assert time.perf_counter() - before < 1.0
    assert len(data) < 10_000
    arrived, sent = decode(data), caught.value
    while sent is not None:
        assert repr(arrived) == repr(sent)
        arrived, sent = arrived.__cause__ or arrived.__context__, sent.__cause__ or sent.__context__
    error = ValueError("outer")
    error.__cause__ = error.__context__ = KeyError("inner")
    arrived = decode(encode(error))
    assert arrived.__context__ is arrived.__cause__
    assert repr(arrived.__cause__) == "KeyError('inner')"


def unknown(**attributes: Any) -> type[Exception]:
    return type("Local", (Exception,), {"__module__": "elsewhere", **attributes})


def as_raised(error: BaseException) -> Any:
    return decode_error(encode_error(error))


def test_a_class_that_is_not_known_arrives_as_a_remote_error_where_it_was_raised() -> None:
    arrived = as_raised(unknown()("why", 3))
    assert type(arrived) is RemoteError
    assert (arrived.type_name, arrived.message) == ("elsewhere.Local", "why, 3")
    arrived = as_raised(unknown(__str__=lambda error: "in words")("why", 3))
    assert arrived.message == "in words"


def test_a_class_that_is_not_known_is_refused_where_it_is_a_value() -> None:
    words = r"class elsewhere\.Local arrived, which is not known here: import the module"
    local = unknown()("why", 3)
    for value in (local, [{"error": local}], ExceptionGroup("all", [local]), ValueError(local)):
        with pytest.raises(NotSendable, match=words):
            decode(encode(value))


def test_of_what_led_to_a_value_something_always_arrives() -> None:
    error = ValueError("outer")
    error.__cause__, error.__context__ = unknown()("why"), KeyboardInterrupt()
    arrived = decode(encode([error]))[0]
    assert repr(arrived) == "ValueError('outer')"
    assert (str(arrived.__cause__), str(arrived.__context__)) == (
        "elsewhere.Local: why",
        "builtins.KeyboardInterrupt",
    )


def test_what_was_raised_arrives_though_it_holds_what_is_not_known_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ValueError(classes.Point(1, 2), [unknown()("why")], 3)
    error.spot = classes.Point(3)
    data = encode_error(error)
    monkeypatch.delattr(classes, "Point")
    arrived: Any = decode_error(data)
    assert type(arrived) is ValueError
    for words in (arrived.args[0], arrived.spot):
        assert "an object of class codec_classes.Point arrived, which is not known here" in words
    assert str(arrived.args[1][0]) == "elsewhere.Local: why"
    assert arrived.args[2] == 3


def test_a_remote_error_takes_notes_and_nothing_else_of_what_it_stands_for() -> None:
    error: Any = unknown()("why")
    error.type_name, error.message, error.remote_traceback, error.more = 1, 2, 3, 4
    error.add_note("a note")
    assert vars(as_raised(error)) == {
        "type_name": "elsewhere.Local",
        "message": "why",
        "remote_traceback": "elsewhere.Local: why\na note\n",
        TRACEBACK_ATTRIBUTE: ["elsewhere.Local: why\n", "a note\n"],
        "__notes__": ["a note"],
    }


def told(name: str, args: list[Any], state: list[Any]) -> Any:
    parts = [name, "why", args, state, [], None, None, False]
    return decode_error(msgspec.msgpack.encode([[], {tags.EXCEPTION: parts}]))


def test_a_remote_error_that_was_sent_by_name_can_be_shown() -> None:
    again = decode(encode(RemoteError("shop.Sold", "out", "lines")))
    assert (again.type_name, again.message, again.remote_traceback) == ("shop.Sold", "out", "lines")
    for args in ([], [1], [1, 2, 3], ["a", "b", None]):
        arrived = told("remoteobj.errors:RemoteError", args, [])
        assert str(arrived) == "remoteobj.errors.RemoteError: why"


@pytest.mark.parametrize("name", ["builtins:ValueError", "elsewhere:Local"])
@pytest.mark.parametrize("notes", ["text", None, 5, {"a": 1}])
def test_notes_that_are_no_list_are_dropped(name: str, notes: Any) -> None:
    arrived = told(name, ["a"], ["__notes__", notes])
    arrived.add_note("one can be added")
    assert arrived.__notes__ == ["one can be added"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_no_peer_ends_a_program(error: BaseException) -> None:
    arrived = as_raised(error)
    assert type(arrived) is RemoteError
    assert arrived.type_name == f"builtins.{type(error).__name__}"
    with pytest.raises(NotSendable, match=r"\[0\]: a \w+ cannot be sent as a value.*send its text"):
        encode([error])
    name = f"builtins:{type(error).__name__}"
    sent = {tags.EXCEPTION: [name, "why", [], [], [], None, None, False]}
    with pytest.raises(NotSendable, match=r"builtins\.\w+ is no exception here"):
        decode(msgspec.msgpack.encode(sent))


def test_an_error_about_a_place_outside_of_its_text_is_not_made() -> None:
    wrong = UnicodeEncodeError("utf-8", "abc", -5, 90, "reason")
    assert type(as_raised(wrong)) is RemoteError
    with pytest.raises(NotSendable, match=r"UnicodeEncodeError is no exception here"):
        decode(encode(wrong))
