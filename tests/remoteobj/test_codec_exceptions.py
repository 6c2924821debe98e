"""Exceptions arrive with all that they say, of their own class where that is known."""

from __future__ import annotations

import errno
from typing import Any

import codec_classes as classes
import pytest

from remoteobj import ConnectionLost, RemoteError
from remoteobj.codec import decode, encode

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
    error.own = (1, {2})  # type: ignore[attr-defined]
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
    error.handle = test_notes_cause_and_context_come_with_it  # type: ignore[attr-defined]
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


def test_a_class_that_is_not_known_arrives_as_a_remote_error() -> None:
    local: Any = type("Local", (Exception,), {"__module__": "elsewhere"})
    arrived = decode(encode(local("why")))
    assert type(arrived) is RemoteError
    assert (arrived.type_name, arrived.message) == ("elsewhere.Local", "why")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_no_peer_ends_a_program(error: BaseException) -> None:
    arrived = decode(encode(error))
    assert type(arrived) is RemoteError
    assert arrived.type_name == type(error).__name__


def test_an_error_about_a_place_outside_of_its_text_is_not_made() -> None:
    arrived = decode(encode(UnicodeEncodeError("utf-8", "abc", -5, 90, "reason")))
    assert type(arrived) is RemoteError
