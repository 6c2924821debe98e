"""An exception arrives as itself where its class is known, and always with its traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from servants import Connect, MissingPart, OutOfStock

from remoteobj import (
    ConnectionLost,
    Daemon,
    NotSendable,
    RemoteError,
    expose,
)


class Raiser:
    def __init__(self) -> None:
        self.make: Callable[[], Any] = ValueError

    @expose
    def fail(self) -> None:
        raise self.make()

    @expose
    def give(self) -> Any:
        return self.make()


@pytest.fixture
def raiser() -> Raiser:
    return Raiser()


@pytest.fixture
def fail(daemon: Daemon, raiser: Raiser, connect: Connect) -> Callable[..., BaseException]:
    """Call a method that raises what *make* makes, and return what the client sees."""
    proxy = connect(daemon.register(raiser))

    def call(make: Callable[[], BaseException]) -> BaseException:
        raiser.make = make
        with pytest.raises(Exception) as caught:
            proxy.fail()
        printed = "".join(traceback.format_exception(caught.value))
        assert "Remote traceback:" in printed
        assert "raise self.make()" in printed
        assert printed.count("in fail") == 1
        return caught.value

    return call


def file_missing() -> Exception:
    try:
        os.stat("/no/such/file")
    except OSError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError("no", 3),
        lambda: KeyError("bolt"),
        ZeroDivisionError,
        lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"),
        lambda: OSError(5, "trouble"),
        lambda: ImportError("nothing"),
        lambda: StopIteration(3),
        lambda: ExceptionGroup("two", [ValueError(1), KeyError("k")]),
        lambda: SyntaxError("bad"),
        file_missing,
    ],
)
def test_a_builtin_arrives_as_itself(
    fail: Callable[..., BaseException], make: Callable[[], BaseException]
) -> None:
    error = fail(make)
    assert type(error) is type(make())
    assert str(error) == str(make())
    assert error.args[:1] == make().args[:1] or isinstance(error, ExceptionGroup)


def test_a_missing_file_keeps_its_name(fail: Callable[..., BaseException]) -> None:
    error = fail(file_missing)
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.filename) == (2, "/no/such/file")


def test_a_class_known_here_arrives_as_itself(fail: Callable[..., BaseException]) -> None:
    def make() -> Exception:
        error = OutOfStock("bolt", left=3)
        error.add_note("ask again on Monday")
        return error

    error = fail(make)
    assert type(error) is OutOfStock
    assert (error.item, error.left, str(error)) == ("bolt", 3, "bolt: 3 left")
    assert error.__notes__[0] == "ask again on Monday"


def test_an_oserror_of_ones_own_arrives_as_itself(fail: Callable[..., BaseException]) -> None:
    error = fail(lambda: MissingPart(7))
    assert type(error) is MissingPart
    assert (error.part, str(error)) == (7, "part 7 is missing")


def test_a_class_unknown_here_arrives_in_words(fail: Callable[..., BaseException]) -> None:
    class Local(Exception):
        pass

    Local.__module__ = "shop"
    error = fail(lambda: Local("no bolts", 3))
    assert type(error) is RemoteError
    assert error.type_name.startswith("shop.")
    assert error.type_name.endswith("Local")
    assert error.message == "no bolts, 3"
    assert "raise self.make()" in error.remote_traceback
    assert str(error) == f"{error.type_name}: no bolts, 3"


def test_a_namesake_is_not_mistaken_for_it(fail: Callable[..., BaseException]) -> None:
    def scope() -> type[Exception]:
        class OutOfStock(Exception):
            pass

        return OutOfStock

    cls = scope()
    cls.__module__ = "servants"
    assert type(fail(lambda: cls("other"))) is RemoteError


def test_no_module_is_imported_and_no_code_is_run(
    fail: Callable[..., BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trap(name: str) -> Any:
        raise AssertionError(f"the module's __getattr__ was asked for {name}")

    class Odd(Exception):
        pass

    Odd.__module__, Odd.__qualname__ = "xml.dom.minidom", "Odd"
    before = set(sys.modules)
    assert type(fail(lambda: Odd("x"))) is RemoteError
    assert not {name for name in set(sys.modules) - before if name.startswith("xml")}
    monkeypatch.setattr(sys.modules["servants"], "__getattr__", trap, raising=False)
    Odd.__module__ = "servants"
    assert type(fail(lambda: Odd("x"))) is RemoteError


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_a_process_does_not(
    fail: Callable[..., BaseException], ending: BaseException
) -> None:
    error = fail(lambda: ending)
    assert type(error) is RemoteError
    assert error.type_name == f"builtins.{type(ending).__name__}"


class Plain:
    pass


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("value", "words"),
    [(object(), "object"), (Unshowable(), "Unshowable"), (len, "built-in")],
)
def test_what_cannot_be_sent_arrives_in_words(
    fail: Callable[..., BaseException], value: Any, words: str
) -> None:
    def make() -> Exception:
        error = ValueError(value, 3)
        error.kept, error.dropped = 5, value
        return error

    error = fail(make)
    assert type(error) is ValueError
    assert words in error.args[0]
    assert error.kept == 5


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("broken")

    @property
    def args(self) -> Any:
        raise RuntimeError("broken, too")


def test_an_exception_that_breaks_whoever_looks_is_answered(
    daemon: Daemon, raiser: Raiser, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = connect(daemon.register(raiser))
    raiser.make = Broken
    with pytest.raises(NotSendable, match="Broken was raised, but cannot be shown: RuntimeError"):
        proxy.fail()
    raiser.make = lambda: 5
    assert proxy.give() == 5
    assert "cannot be described" in caplog.text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ["a", (n for n in "ab")], r"give\(\) has run.*\[1\]: a generator"),
        (Plain, r"give\(\) has run, but its result stays here: a Plain cannot be sent"),
    ],
)
def test_a_result_that_cannot_travel_is_named(
    daemon: Daemon, raiser: Raiser, connect: Connect, make: Callable[[], Any], words: str
) -> None:
    proxy = connect(daemon.register(raiser))
    raiser.make = make
    with pytest.raises(NotSendable, match=words):
        proxy.give()


def test_a_result_nested_too_deeply_is_named(
    daemon: Daemon, raiser: Raiser, connect: Connect
) -> None:
    def make() -> Any:
        value: Any = 5
        for _ in range(5000):
            value = [value]
        return value

    raiser.make = make
    with pytest.raises(NotSendable, match="nested more than 200 levels deep"):
        connect(daemon.register(raiser)).give()


def test_a_lost_peer_of_the_method_does_not_say_that_it_did_not_run(
    fail: Callable[..., BaseException],
) -> None:
    error = fail(lambda: ConnectionLost("the warehouse's own supplier is gone", executed="no"))
    assert type(error) is ConnectionLost
    assert error.executed == "maybe"


def test_two_hops_show_both_tracebacks(daemon: Daemon, raiser: Raiser, connect: Connect) -> None:
    inner = connect(daemon.register(raiser))

    class Middle:
        @expose
        def pass_on(self) -> None:
            inner.fail()

    proxy = connect(daemon.register(Middle()))
    with pytest.raises(ValueError) as caught:
        proxy.pass_on()
    printed = "".join(traceback.format_exception(caught.value))
    assert "in pass_on" in printed
    assert "in fail" in printed
