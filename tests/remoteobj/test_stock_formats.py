"""What stock Pyro5 peers write is read here, and the other way round, in each of their formats."""

from __future__ import annotations

import array
import ast
import collections
import contextlib
import datetime as dt
import decimal
import enum
import fractions
import importlib.util
import math
import pathlib
import random
import sys
import threading
import time
import tracemalloc
import uuid
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import Pyro5.client
import Pyro5.core
import Pyro5.errors
import Pyro5.serializers
import pytest
import serpent
from hypothesis import given
from hypothesis import strategies as st
from servants import MissingPart, OutOfStock, StartScript, calm
from test_codec import same

from remoteobj import (
    URI,
    ConnectionLost,
    DeadlinePassed,
    NotSendable,
    ObjectUnknown,
    Proxy,
    RemoteError,
    RemoteObjError,
    WireError,
)
from remoteobj.stock import FORMATS, Format, decompress, parse_batch
from remoteobj.stock.exceptions import find_class
from remoteobj.stock.literals import read_literal

SERPENT, JSON, MSGPACK = 1, 3, 4
theirs: dict[int, Any] = Pyro5.serializers.serializers_by_id
each_format = pytest.mark.parametrize(
    "ours", FORMATS.values(), ids=[each.name for each in FORMATS.values()]
)


class Colour(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    SMALL = 1


class Word(enum.StrEnum):
    YES = "yes"


class Pair(NamedTuple):
    left: int
    right: int


@dataclass
class Part:
    name: str


@dataclass(frozen=True, slots=True)
class Point:
    x: int


class Stated:
    def __getstate__(self) -> dict[str, int]:
        return {"kept": 1}


class Text(str):
    __slots__ = ()


class Words(list[str]):
    pass


class Refused(str):
    """Whoever would send it is told why not; the words are in the message."""

    __slots__ = ()


class Unknown(str):
    """It is sent, and refused by who has not told Pyro5 how to rebuild this class."""

    __slots__ = ()


SAME = object()
NOON = dt.datetime(2024, 2, 29, 12, 30, 5, 123456)
ID = uuid.UUID(int=5)
KEY = Refused("as a key, or in a set")

# What is sent, and how it arrives in serpent, JSON and MessagePack.
TABLE: list[tuple[str, Any, Any, Any, Any]] = [
    ("None", None, SAME, SAME, SAME),
    ("bool", [True, False], SAME, SAME, SAME),
    ("int", [0, -1, 2**63, -(2**63), 2**64 - 1], SAME, SAME, SAME),
    ("int, large", [2**70, -(2**70), 10**400, 2**64], SAME, SAME, SAME),
    ("int, 5000 digits", 10**5000, Refused("4300"), Refused("4300"), Refused("4300")),
    ("float", [0.0, -0.0, 1.5, 1e300, 5e-324, 1e16], SAME, SAME, SAME),
    ("float, inf", [math.inf, -math.inf], SAME, SAME, SAME),
    ("float, nan", [math.nan], SAME, SAME, SAME),
    ("complex", [1 + 2j, -1j, complex(math.inf, -math.inf)], SAME, Refused("complex"), SAME),
    ("str", ["", "text", "a\0b\n'\"\\", "ä € 😀", "\x7f\x85\u2028"], SAME, SAME, SAME),
    ("str, lone surrogate", ["\ud800", "a\udfff"], SAME, SAME, Refused("lone surrogate")),
    ("bytes", b"\0a'\\\xff", SAME, Refused("bytes"), SAME),
    ("bytearray", bytearray(b"a\xff"), b"a\xff", Refused("bytearray"), b"a\xff"),
    ("memoryview", memoryview(b"a\xff"), b"a\xff", Refused("memoryview"), b"a\xff"),
    ("list", [1, [], [2, [3]]], SAME, SAME, SAME),
    ("tuple", [(), (1,), (1, (2, "a"))], SAME, [[], [1], [1, [2, "a"]]], [[], [1], [1, [2, "a"]]]),
    ("set", {1}, SAME, [1], [1]),
    ("set, empty", set(), (), [], []),
    ("frozenset", frozenset({1}), {1}, Refused("frozenset"), Refused("frozenset")),
    ("dict", {"a": 1, "": {"b": []}}, SAME, SAME, SAME),
    ("dict, int keys", {1: "a"}, SAME, {"1": "a"}, KEY),
    ("dict, float keys", {1.5: "a"}, SAME, {"1.5": "a"}, KEY),
    ("dict, None as key", {None: 1}, SAME, {"null": 1}, KEY),
    ("dict, bool as key", {True: 1}, SAME, {"true": 1}, KEY),
    ("dict, bytes keys", {b"a": 1}, SAME, KEY, SAME),
    ("dict, tuple keys", {(1, "a"): 1}, SAME, KEY, KEY),
    ("dict, date keys", {NOON.date(): 1}, KEY, KEY, KEY),
    ("dict, nan as key", {math.nan: 1}, KEY, {"NaN": 1}, KEY),
    ("OrderedDict", collections.OrderedDict(b=1, a=2), *[{"b": 1, "a": 2}] * 3),
    ("Counter", collections.Counter("a"), *[{"a": 1}] * 3),
    ("deque", collections.deque([1]), [1], Refused("deque"), Refused("deque")),
    ("dict view", {"a": 1}.keys(), ["a"], Refused("dict_keys"), Refused("dict_keys")),
    ("range", range(3), *[Refused("range")] * 3),
    ("array", array.array("i", [1]), *[[1]] * 3),
    ("datetime", NOON, NOON.isoformat(), NOON.isoformat(), SAME),
    (
        "datetime, time zone",
        NOON.replace(tzinfo=dt.UTC),
        *["2024-02-29T12:30:05.123456+00:00"] * 2,
        Refused("datetime with a time zone"),
    ),
    ("date", NOON.date(), "2024-02-29", "2024-02-29", SAME),
    ("time", NOON.time(), "12:30:05.123456", Refused("time"), Refused("time")),
    ("timedelta", dt.timedelta(1, 2, 3), 86402.000003, *[Refused("timedelta")] * 2),
    ("Decimal", decimal.Decimal("1.10"), *["1.10"] * 3),
    ("Fraction", fractions.Fraction(1, 3), *[Refused("Fraction")] * 3),
    ("UUID", ID, *[str(ID)] * 3),
    ("Path", pathlib.Path("/a"), *[Refused("Path")] * 3),
    ("Enum", Colour.RED, 1, Refused("Colour"), Refused("Colour")),
    ("Enum as key", {Colour.RED: 1}, {1: 1}, KEY, KEY),
    ("IntEnum", Size.SMALL, *[1] * 3),
    ("StrEnum", [Word.YES, {Word.YES: 1}], *[["yes", {"yes": 1}]] * 3),
    ("named tuple", Pair(1, 2), (1, 2), [1, 2], [1, 2]),
    ("dataclass", Part("bolt"), *[Unknown("test_stock_formats.Part")] * 3),
    ("dataclass with frozen slots", Point(1), [1], *[Unknown("test_stock_formats.Point")] * 2),
    ("object", object(), *[Refused("object")] * 3),
    ("object, __getstate__", Stated(), Unknown(".Stated"), {"kept": 1}, {"kept": 1}),
    ("str of a derived class", [Text("a"), np.str_("b")], *[["a", "b"]] * 3),
    ("list of a derived class", Words(["a"]), *[["a"]] * 3),
    ("class", Part, *[Refused("type")] * 3),
    ("function", same, *[Refused("function")] * 3),
    ("lock", [{"held": threading.Lock()}], *[Refused("[0]['held']: a lock cannot")] * 3),
    ("numpy float64", np.float64(1.5), *[1.5] * 3),
    ("numpy float32", np.float32(1.5), *[Refused("float32")] * 3),
    ("numpy int64", np.int64(3), *[3] * 3),
    ("numpy bool", np.True_, *[Refused("bool")] * 3),
    ("numpy array", np.arange(3), *[Refused("ndarray")] * 3),
    ("URI", URI("PYRO:a@h:1"), SAME, SAME, SAME),
    ("URI, socket", URI("PYRO:a@./u:/s"), SAME, SAME, SAME),
    ("URI, name", [URI("PYRONAME:a"), URI("PYRONAME:a@[::1]:2")], SAME, SAME, SAME),
    ("Proxy", Proxy("PYRO:a@./u:/s"), *[URI("PYRO:a@./u:/s")] * 3),
]
if sys.version_info < (3, 13):  # where Python begins to warn of it
    TABLE.append(("array of text", array.array("u", "ab"), *["ab"] * 3))
# What stock Pyro5 does not send, or sends so that nobody can read it, and what is sent here.
SENT_HERE_ONLY = {
    ("dict, None as key", SERPENT),
    ("dict, bytes keys", SERPENT),
    ("OrderedDict", SERPENT),
    ("str of a derived class", SERPENT),
    ("numpy float64", SERPENT),
    ("numpy int64", SERPENT),
    ("numpy int64", JSON),
    ("str, lone surrogate", JSON),
}
OURS = {"URI", "URI, socket", "URI, name", "Proxy"}
CASES = [
    pytest.param(name, number, sent, sent if cell is SAME else cell, id=f"{name} {number}")
    for name, sent, *cells in TABLE
    for number, cell in zip(FORMATS, cells, strict=True)
]
each_case = pytest.mark.parametrize(("name", "number", "sent", "arrives"), CASES)


def as_ours(value: Any) -> Any:
    """The same with our URIs for Pyro5's."""
    if isinstance(value, list):
        return [as_ours(item) for item in value]
    if isinstance(value, Pyro5.client.Proxy):
        return URI(str(value._pyroUri))
    return URI(str(value)) if isinstance(value, Pyro5.core.URI) else value


@each_case
def test_what_we_send_arrives_so(name: str, number: int, sent: Any, arrives: Any) -> None:
    ours = FORMATS[number]
    if isinstance(arrives, Refused):
        with pytest.raises(NotSendable) as caught:
            ours.dumps(sent)
        assert arrives in str(caught.value)
        return
    data = ours.dumps(sent)
    if isinstance(arrives, Unknown):
        with pytest.raises(NotSendable, match=f"{arrives}'.*plain values"):
            ours.loads(data)
        with pytest.raises(Pyro5.errors.PyroError, match=arrives):
            theirs[number].loads(data)
        return
    for received in (ours.loads(data), as_ours(theirs[number].loads(data))):
        assert same(received, arrives) or (name == "float, nan" and math.isnan(received[0]))
    for view in (bytearray(data), memoryview(data)):
        assert repr(ours.loads(view)) == repr(ours.loads(data))


@each_case
def test_what_stock_pyro_sends_arrives_so(name: str, number: int, sent: Any, arrives: Any) -> None:
    if name in OURS:
        return
    if (name, number) in SENT_HERE_ONLY:
        with pytest.raises(Exception):  # noqa: B017
            theirs[number].loads(theirs[number].dumps(sent))
        return
    try:
        data = theirs[number].dumps(sent)
    except Exception:
        assert isinstance(arrives, Refused)
        return
    if isinstance(arrives, Unknown | Refused):
        if (arrives, number) == (KEY, MSGPACK):  # it is written, but only we read it
            assert len(FORMATS[number].loads(data)) == 1
            return
        with pytest.raises(RemoteObjError):
            FORMATS[number].loads(data)
        return
    received = FORMATS[number].loads(data)
    assert same(received, arrives) or (name == "float, nan" and math.isnan(received[0]))


@each_format
def test_what_pyro_was_told_of_a_class_is_done(ours: Format) -> None:
    base = Pyro5.serializers.SerializerBase
    base.register_class_to_dict(Part, lambda part: {"__class__": "Bolt", "is": part.name})
    base.register_dict_to_class("Bolt", lambda name, data: Part(f"{name} {data['is']}"))
    base.register_dict_to_class("Nut", lambda name, data: 1 / 0)
    try:
        data = ours.dumps([Part("m4")])
        base.register_class_to_dict(Pair, lambda pair: {"__class__": "Bolt", "is": pair.left})
        assert ours.loads(ours.dumps(Part("m4"))) == Part("Bolt m4")
        base.register_class_to_dict(OutOfStock, lambda error: {"__class__": "Bolt", "is": 1})
        for sent in (Pair(1, 2), OutOfStock("a", left=1)):
            assert ours.loads(theirs[ours.number].dumps(sent)) == ours.loads(ours.dumps(sent))
        assert ours.loads(data) == [Part("Bolt m4")] == theirs[ours.number].loads(data)
        assert ours.loads(theirs[ours.number].dumps([Part("m4")])) == [Part("Bolt m4")]
        with pytest.raises(NotSendable, match="'Nut'"):
            ours.loads(ours.dumps({"__class__": "Nut"}))
    finally:
        base.unregister_class_to_dict(Part)
        base.unregister_class_to_dict(Pair)
        base.unregister_class_to_dict(OutOfStock)
        base.unregister_dict_to_class("Bolt")
        base.unregister_dict_to_class("Nut")


@each_format
def test_objects_and_proxies_of_pyro_itself(ours: Format) -> None:
    stock = Pyro5.client.Proxy("PYRO:a@h:1")
    for proxy in (stock, Proxy("PYRO:a@./u:/s")):
        data = ours.dumps({"shop": proxy})
        received = theirs[ours.number].loads(data)["shop"]
        assert type(received) is Pyro5.client.Proxy
        # It asks the daemon for what may be called when it is used.
        assert (received._pyroMethods, received._pyroHandshake) == (set(), "hello")
        assert type(ours.loads(data)["shop"]) is URI
    assert ours.loads(theirs[ours.number].dumps(stock)) == URI("PYRO:a@h:1")
    with pytest.raises(NotSendable, match=r"Pyro5\.server\.Daemon"):
        ours.loads(ours.dumps({"__class__": "Pyro5.server.Daemon", "state": ()}))
    with pytest.raises(NotSendable, match="_ExceptionWrapper"):
        ours.loads(theirs[ours.number].dumps(Pyro5.core._ExceptionWrapper(ValueError())))


@each_format
def test_what_is_refused_is_named_with_its_place(ours: Format) -> None:
    looped: list[Any] = []
    looped.append({"again": looped})
    with pytest.raises(NotSendable, match="nested too deeply"):
        ours.dumps(looped)
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert ours.loads(ours.dumps(deep)) == deep
    with pytest.raises(NotSendable, match="nested too deeply"):
        ours.dumps([deep])

    with pytest.raises(NotSendable, match=r"add\(\) arguments: \[0\]"):
        ours.dumps_call("shop", "add", (len,), {})
    with pytest.raises(NotSendable, match=r"^add\(\) has run: \['b'\]: a lock cannot be sent as "):
        ours.dumps({"b": threading.Lock()}, where="add() has run")


def raised(error: BaseException, *, of: BaseException | None = None) -> BaseException:
    try:
        raise error from of
    except BaseException as caught:
        return caught


def lines_of(error: BaseException) -> str:
    return "".join(error._pyroTraceback)


@each_format
def test_an_error_of_ours_reaches_stock_pyro_and_us(ours: Format) -> None:
    error = raised(KeyError("bolt", 3), of=ValueError("inner"))
    error.add_note("ask on Monday")
    error.shelf = {"a": [1.5]}
    data = ours.dumps_error(error)
    for received in (ours.loads(data), theirs[ours.number].loads(data)):
        assert type(received) is KeyError
        assert received.args == ("bolt", 3)
        assert received.shelf == {"a": [1.5]}
        assert received.__notes__[0] == "ask on Monday"
        # The cause arrives in words.
        assert received.__cause__ is None
        assert "ValueError: inner" in lines_of(received)
        assert "raise error from of" in lines_of(received)


@each_format
def test_an_error_of_stock_pyro_reaches_us(ours: Format) -> None:
    error = raised(KeyError("bolt", 3))
    error.add_note("ask on Monday")
    error._pyroTraceback = Pyro5.errors.format_traceback(KeyError, error, error.__traceback__)
    received = ours.loads(theirs[ours.number].dumps(error))
    assert type(received) is KeyError
    assert (received.args, received.__notes__) == (("bolt", 3), ["ask on Monday"])
    assert "raise error from of" in lines_of(received)
    error.args, error.shelf = (Part("a"),), Part("b")
    received = ours.loads(theirs[ours.number].dumps(error))
    assert type(received) is KeyError
    assert "'__class__': 'test_stock_formats.Part'" in received.args[0]
    assert not hasattr(received, "shelf")
    told = ours.loads(theirs[ours.number].dumps(Pyro5.errors.NamingError("no name")))
    assert type(told) is Pyro5.errors.NamingError
    unknown = ours.loads(theirs[ours.number].dumps(Pyro5.errors.DaemonError("unknown object")))
    assert type(unknown) is ObjectUnknown


@each_format
@pytest.mark.parametrize(
    ("error", "stock"),
    [
        (NotSendable("a lock stays here"), TypeError),
        (ObjectUnknown("there is no object 'a'"), Pyro5.errors.DaemonError),
        (ConnectionLost("its own supplier is gone", executed="no"), ConnectionError),
        (DeadlinePassed("too late"), TimeoutError),
        (WireError("junk"), Pyro5.errors.PyroError),
        (RemoteError("shop.Empty", "no bolts", "lines"), Pyro5.errors.PyroError),
    ],
)
def test_our_own_errors_keep_their_words_at_a_stock_peer(
    ours: Format, error: RemoteObjError, stock: type[Exception]
) -> None:
    data = ours.dumps_error(raised(error))
    received = theirs[ours.number].loads(data)
    assert type(received) is stock
    assert received.args == (str(error),)
    again = ours.loads(data)
    assert (type(again), again.args, str(again)) == (type(error), error.args, str(error))
    assert getattr(again, "executed", None) == getattr(error, "executed", None)
    assert not hasattr(again, "_remoteobjError")
    assert "Traceback" in lines_of(again)


@each_format
def test_no_error_ends_the_program_of_who_reads_it(ours: Format) -> None:
    data = ours.dumps_error(raised(SystemExit(3)))
    received = theirs[ours.number].loads(data)
    assert (type(received), received.args) == (Pyro5.errors.PyroError, ("SystemExit: 3",))
    again = ours.loads_error(data)
    assert (type(again), str(again)) == (RemoteError, "builtins.SystemExit: 3")
    assert type(ours.loads_error(theirs[ours.number].dumps(KeyboardInterrupt()))) is RemoteError


@each_format
def test_a_class_of_the_users_goes_under_its_name(ours: Format) -> None:
    data = ours.dumps_error(raised(OutOfStock("bolt", left=3)))
    with pytest.raises(Pyro5.errors.SerializeError, match=r"class: servants\.OutOfStock"):
        theirs[ours.number].loads(data)
    received = ours.loads(data)
    assert type(received) is OutOfStock
    assert (received.item, received.left, str(received)) == ("bolt", 3, "bolt: 3 left")
    data = ours.dumps_error(raised(MissingPart(7)))
    assert (ours.loads(data).part, str(ours.loads(data))) == (7, "part 7 is missing")
    missing = FileNotFoundError(2, "no such file", "/a")
    for each in (ours, theirs[ours.number]):
        assert each.loads(ours.dumps_error(missing)).filename == "/a"


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("broken")

    __repr__ = __str__

    @property
    def args(self) -> Any:
        raise RuntimeError("broken, too")


@each_format
def test_to_write_an_error_never_fails(ours: Format, caplog: pytest.LogCaptureFixture) -> None:
    shown = ours.loads(ours.dumps_error(Broken()))
    assert type(shown) is NotSendable
    assert "Broken was raised, but cannot be shown" in str(shown)
    shown = ours.loads(ours.dumps_error(ValueError(10**5000)))
    assert "cannot be" in str(shown)
    odd = ValueError(len, "\ud800", Part("a"), 2**70, [Broken()])
    odd.kept, odd.dropped, odd.none = 5, len, None
    data = ours.dumps_error(odd)
    assert type(theirs[ours.number].loads(data)) is ValueError
    received = ours.loads(data)
    assert received.args[:4:3] == ("<built-in function len>", 2**70)
    assert received.args[1] in ("\ud800", r"'\ud800'")
    assert received.args[2] == "Part(name='a')"
    assert "cannot be shown" in received.args[4]
    assert (received.kept, received.none) == (5, None)
    assert not hasattr(received, "dropped")
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert type(ours.loads(ours.dumps_error(ValueError(deep)))) in (ValueError, NotSendable)
    chain = ValueError("end")
    for _ in range(300):
        chain = ValueError(chain)
    assert type(ours.loads(ours.dumps_error(chain))) is ValueError


@each_format
def test_an_error_among_values(ours: Format) -> None:
    group = ExceptionGroup("two", [ValueError(1), KeyError("k")])
    data = ours.dumps([group, {"why": OutOfStock("nut", left=1)}])
    received = ours.loads(data)
    assert type(received[0]) is ExceptionGroup
    assert [type(each) for each in received[0].exceptions] == [ValueError, KeyError]
    assert type(received[1]["why"]) is OutOfStock
    stock = theirs[ours.number].dumps([ValueError(1), {"why": KeyError("k")}])
    assert [type(each) for each in ours.loads(stock)] == [ValueError, dict]
    assert type(ours.loads(stock)[1]["why"]) is KeyError


@each_format
def test_an_error_that_would_read_outside_of_its_text_is_not_made(ours: Format) -> None:
    right = ours.dumps_error(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"))
    if ours.number != JSON:  # which has no bytes
        assert str(ours.loads(right)) == str(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"))
    for start, end in ((0, 10**9), (-(10**9), 1), (5, 5)):
        args = ["ascii", "ä", start, end, "why"]
        error = {"__class__": "builtins.UnicodeEncodeError", "__exception__": True, "args": args}
        assert type(ours.loads_error(ours.dumps(error))) is RemoteError
        with pytest.raises(NotSendable, match="UnicodeEncodeError"):
            ours.loads(ours.dumps(error))


def test_no_module_is_imported_and_no_code_is_run_for_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "this" not in sys.modules
    for name in (
        "this.Zen",
        "servants",
        "servants.nothing",
        "servants.StartScript.x",
        ".",
        "",
        "a",
    ):
        assert find_class(name) is None
    assert find_class("servants.OutOfStock") is OutOfStock
    assert find_class("ValueError") is find_class("builtins.ValueError") is ValueError
    assert "this" not in sys.modules

    spec = importlib.util.find_spec("this")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "this", lazy)
    spec.loader.exec_module(lazy)
    assert find_class("this.s") is None
    assert "s" not in object.__getattribute__(lazy, "__dict__")

    class Trap(type):
        def __getattribute__(cls, name: str) -> Any:
            raise AssertionError(f"the class was asked for {name}")

    monkeypatch.setattr(sys.modules["servants"], "Trap", Trap("Trap", (), {}), raising=False)
    assert find_class("servants.Trap.more") is None
    before = time.perf_counter()
    assert find_class("." * 10**6) is find_class("a." * 10**6) is None
    assert time.perf_counter() - before < 0.5


@each_format
def test_only_exceptions_are_made(ours: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    def trap(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a class was called")

    monkeypatch.setattr(OutOfStock, "__init__", trap)
    monkeypatch.setattr(Part, "__init__", trap)
    for name in ("test_stock_formats.Part", "subprocess.Popen", "remoteobj.uri.URI", "type", "len"):
        asked = {"__class__": name, "args": ["a"], "state": ["a"]}
        with pytest.raises(NotSendable, match="cannot be rebuilt here"):
            ours.loads(ours.dumps(asked))
        data = ours.dumps({**asked, "__exception__": True})
        error = ours.loads_error(data)
        assert (type(error), str(error)) == (RemoteError, f"{name}: a")
        with pytest.raises(NotSendable, match=f"exception of class '{name}' arrived, which is not"):
            ours.loads(data)
    sent = {"__class__": "servants.OutOfStock", "__exception__": True, "args": ["a"]}
    assert ours.loads(ours.dumps(sent)).args == ("a",)
    sent["__class__"] = "remoteobj.errors.RemoteError"
    assert str(ours.loads_error(ours.dumps(sent))) == "remoteobj.errors.RemoteError: a"
    sent = {"__class__": "Pyro5.core.URI", "state": ["PYRO", "a", None, "h", 1]}
    assert ours.loads_plain(ours.dumps(sent)) == sent
    with pytest.raises(WireError):
        ours.loads_plain(b"\xc1")


CALLS: list[tuple[str, str, Any, Any]] = [
    ("shop", "add", (1, "a"), {"times": [2]}),
    ("shop", "add", (), {}),
    ("shop", "__getattr__", ("shelf",), None),
]


@each_format
@pytest.mark.parametrize("call", CALLS)
def test_a_call_goes_both_ways(ours: Format, call: tuple[str, str, Any, Any]) -> None:
    object_id, method, args, kwargs = call
    read = ours.loads_call(theirs[ours.number].dumpsCall(*call))
    assert (*read[:2], list(read[2]), read[3]) == (object_id, method, list(args), kwargs or {})
    stock = theirs[ours.number].loadsCall(ours.dumps_call(*call))
    assert (*stock[:2], list(stock[2]), stock[3]) == (object_id, method, list(args), kwargs)


@each_format
@pytest.mark.parametrize(
    "value",
    [
        *(None, 5, "text", [], {}, ["shop", "add", [1]], ["shop", "add", [1], {}, 5]),
        *([5, "add", [], {}], ["shop", None, [], {}], ["shop", "add", "args", {}]),
        *(["shop", "add", [], []], ["shop", "add", [], 5]),
        *({"object": "shop"}, {"object": "shop", "method": "add", "params": 5, "kwargs": {}}),
        {"object": "shop", "method": "add", "params": [], "kwargs": []},
    ],
)
def test_what_is_no_call_is_refused(ours: Format, value: Any) -> None:
    with pytest.raises(WireError, match=r"is not a call|is a call, but"):
        ours.loads_call(ours.dumps(value))


@each_format
def test_batches_go_both_ways(ours: Format) -> None:
    calls: Any = [("add", (1,), {}), ("tell", (), {"times": 2})]
    stock = theirs[ours.number].dumpsCall("shop", "<batch>", calls, None)
    for data in (stock, ours.dumps_batch("shop", calls)):
        object_id, method, args, _ = ours.loads_call(data)
        assert (object_id, method) == ("shop", "<batch>")
        parsed = parse_batch(args)
        assert [(name, tuple(own), kwargs) for name, own, kwargs in parsed] == calls
        assert [list(map(list, call[2])) for call in [theirs[ours.number].loadsCall(data)]]
    assert parse_batch([("add", [], None)]) == [("add", [], {})]
    for wrong in ([5], [["add"]], [[1, [], {}]], [["add", 5, {}]], [["add", [], {1: 2}]], ["add"]):
        with pytest.raises(WireError, match=r"batch|keyword"):
            parse_batch(wrong)
    with pytest.raises(NotSendable, match=r"\[0\]\[1\]\[0\]: a lock cannot be sent"):
        ours.dumps_batch("shop", [("add", (threading.Lock(),), {})])


@each_format
def test_the_answer_to_a_batch_goes_both_ways(ours: Format) -> None:
    error = raised(KeyError("bolt"))
    stock = theirs[ours.number]
    data = ours.dumps_batch_results([1, "two"], error)
    one, two, wrapper = stock.loads(data)
    assert (one, two) == (1, "two")
    with pytest.raises(KeyError) as caught:
        wrapper.raiseIt()
    assert "raise error from of" in lines_of(caught.value)
    error._pyroTraceback = ["line"]
    for answer in (data, stock.dumps([1, "two", Pyro5.core._ExceptionWrapper(error)])):
        results, received = ours.loads_batch_results(answer)
        assert results == [1, "two"]
        assert (type(received), received.args) == (KeyError, ("bolt",))
    assert ours.loads_batch_results(stock.dumps([1, [2]])) == ([1, [2]], None)
    assert ours.loads_batch_results(ours.dumps_batch_results([], None)) == ([], None)
    data = ours.dumps_batch_results([1, threading.Lock(), 3], error)
    values, refused = ours.loads_batch_results(data)
    assert (values, type(refused)) == ([1], NotSendable)
    assert "call 2 of the batch has run, but its result stays here: a lock cannot" in str(refused)
    assert refused.__notes__ == ["calls of the batch that have run after it: 2"]
    one, wrapper = stock.loads(data)
    assert one == 1
    with pytest.raises(TypeError, match="call 2 of the batch has run, but"):
        wrapper.raiseIt()
    broken = ours.loads_batch_results(ours.dumps_batch_results([1], ValueError(10**5000)))
    assert "cannot be" in str(broken[1])
    wrong = {"__class__": "Pyro5.core._ExceptionWrapper", "exception": 5}
    for answer in (ours.dumps(5), ours.dumps({"a": 1}), ours.dumps([wrong])):
        with pytest.raises(WireError):
            ours.loads_batch_results(answer)


KEYS = st.text(st.characters(codec="utf-8"), max_size=5).filter(lambda key: key != "__class__")
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)
HASHABLE = st.recursive(
    st.integers() | st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
LITERALS = st.recursive(
    HASHABLE | st.none() | st.booleans() | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, min_size=1, max_size=4)
    ),
    max_leaves=20,
)


@calm
@given(PLAIN)
def test_any_plain_data_goes_both_ways(value: Any) -> None:
    for number, ours in FORMATS.items():
        assert same(ours.loads(ours.dumps(value)), value)
        assert same(theirs[number].loads(ours.dumps(value)), value)
        assert same(ours.loads(theirs[number].dumps(value)), value)


@calm
@given(LITERALS)
def test_any_literal_goes_both_ways_as_serpent(value: Any) -> None:
    ours = FORMATS[SERPENT]
    if "__class__" in repr(value):
        return
    assert ours.loads(ours.dumps(value)) == value
    assert theirs[SERPENT].loads(ours.dumps(value)) == value
    for form in ({"bytes_repr": True}, {"bytes_repr": True, "indent": True}, {}):
        assert ours.loads(serpent.dumps(value, **form)) == value


RIGHT = r"""
1 -1 +1 1. -.5 1e5 1e30000 -1e30000 (1.0+2.0j) 2j (1e30000-1e30000j) 'a' "b'c" 'ä€😀\n' b'a\xff'
'\x41\n\\\u20ac\U0001f600\'\"\101\0' b'\0\'' () (1,) (1) (1,2) (1,2,) [] [1,] {} {1} {1,2,}
{1:2} {1:2,'a':[3,(4,)],} None [True,False] (((1))) {(1,2):3} '\ud800' 007.5 "" b"" ("a")
"""
WRONG = r"""
    [ ] [1 1] [,] (,) {,} {1:} {:1} {1:2,3} {1:2,3,4} {1,2:3} {1:2:3} {1:2,:3} [1:2] (1:2) 1,
    1:2 1+2 f(1) nan inf 1_0 0x1 'a '\d' '\x1' b'\u1234' b'ä' [1) {1] --1 Nonex 1if [1,,2] [1],
    'a'b 1jx {[]} {[]:1} {{}} '\N{BULLET} u'a' rb'a' r'a' '''a''' 1..real ... 1e 1.5.2 '\U00110000'
    [1]] {}} a _ [}
"""
WRONG_WITH_SPACES = [
    *(
        "",
        " ",
        "# only a comment",
        "[1 2]",
        "1 2",
        "'a' 'b'",
        "'a\nb'",
        "\0",
        "1 # a,\n2",
        "1" * 5000,
    ),
]


@pytest.mark.parametrize("text", [*RIGHT.split(), "# c\n[ 1 , # x,\n\t2 ] # end", " 1 \r\n"])
def test_literals_are_read_as_python_reads_them(text: str) -> None:
    assert repr(read_literal(text.encode(), 9)) == repr(ast.literal_eval(text.strip()))


@pytest.mark.parametrize("text", [*WRONG.split(), *WRONG_WITH_SPACES])
def test_what_is_no_literal_of_serpent_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="is not serpent"):
        FORMATS[SERPENT].loads(text.encode())


def load_or_refuse(ours: Format, data: bytes) -> None:
    for load in (ours.loads, ours.loads_plain, ours.loads_call, ours.loads_batch_results):
        with contextlib.suppress(WireError, NotSendable):
            load(data)


def seeds(ours: Format) -> list[bytes]:
    """Valid payloads, of every kind."""
    errors = [ValueError("a", 1), OutOfStock("a", left=1), OSError(2, "a", "b"), SystemExit(1)]
    errors += [ExceptionGroup("a", [KeyError(1)]), UnicodeDecodeError("utf-8", b"a", 0, 1, "b")]
    made = [ours.dumps_error(error) for error in errors]
    made += [ours.dumps_call(*call) for call in CALLS]
    made += [ours.dumps_batch("a", [("b", (1,), {"c": 2})])]
    made += [ours.dumps_batch_results([1], KeyError("a"))]
    for _, value, *_ in TABLE:
        for each in (ours, theirs[ours.number]):
            with contextlib.suppress(Exception):
                made.append(each.dumps(value))
    return [data for data in made if len(data) < 3000]


@each_format
def test_random_and_mutated_bytes_are_a_value_or_refused(ours: Format) -> None:
    chance, good = random.Random(5), seeds(ours)
    modules = set(sys.modules)
    slowest = 0.0
    tracemalloc.start()
    for number in range(15_000):
        if number % 8 == 0:
            data = chance.randbytes(chance.randrange(40))
        else:
            mutated = bytearray(chance.choice(good))
            for _ in range(chance.randint(1, 3)):
                place = chance.randrange(len(mutated) + 1)
                if number % 2:
                    mutated[place : place + 1] = chance.choice(good)[:6] if number % 3 else b""
                elif place < len(mutated):
                    mutated[place] ^= 1 << chance.randrange(8)
            data = bytes(mutated)
        before = time.perf_counter()
        load_or_refuse(ours, data)
        slowest = max(slowest, time.perf_counter() - before)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert slowest < 1.0
    assert peak < 20_000_000
    assert {name.partition(".")[0] for name in set(sys.modules) - modules} <= {"encodings"}


@calm
@given(st.binary(max_size=60), st.text("()[]{}'\"\\,:#bnxu01e+-.j \n", max_size=40))
def test_any_bytes_are_a_value_or_refused(data: bytes, text: str) -> None:
    for ours in FORMATS.values():
        load_or_refuse(ours, data)
        load_or_refuse(ours, text.encode())


NAMES = st.sampled_from(
    [
        *("Pyro5.core.URI", "Pyro5.client.Proxy", "Pyro5.server.Daemon", "Pyro5.util.Serializer"),
        *("Pyro5.core._ExceptionWrapper", "Pyro5.errors.DaemonError", "builtins.OSError"),
        *("builtins.UnicodeDecodeError", "float", "complex", "servants.OutOfStock", "os.system"),
        *(
            "builtins.ExceptionGroup",
            "subprocess.Popen",
            "remoteobj.errors.RemoteError",
            "struct.error",
        ),
    ]
)
STATES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=3) | NAMES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=8,
)
PARTS = {"args": STATES, "attributes": STATES, "state": STATES}
PARTS |= {"exception": STATES, "value": STATES, "real": STATES, "imag": STATES}
OBJECTS = st.fixed_dictionaries(
    {"__class__": NAMES | STATES}, optional={**PARTS, "__exception__": st.just(True)}
)


@calm
@given(st.recursive(OBJECTS | STATES, lambda inner: st.lists(inner) | OBJECTS, max_leaves=4))
def test_any_object_that_is_asked_for_is_made_or_refused(tree: Any) -> None:
    for ours in FORMATS.values():
        load_or_refuse(ours, ours.dumps(tree))


MANY = 100_000
BOMBS = {
    SERPENT: [
        *("[" * MANY, "(" * MANY, "{1:" * MANY, "-" * MANY, "1+" * MANY),
        *("[0" + ",0" * MANY + "]", "[" + "[]," * MANY + "]", "'" + r"\n" * MANY),
        *("{0" + ",0" * MANY + "}", "'a' " * MANY, "#" * MANY, "#\n" * MANY),
        *("9" * MANY, "." * MANY, "1." * MANY, "[" + "{0}," * MANY + "]"),
    ],
    JSON: [
        *("[" * MANY, '{"a":' * MANY, "9" * MANY, "[" + "[]," * MANY + "0]"),
        *("[0" + ",0" * MANY + "]", '"' + r"\n" * MANY, " " * MANY, "-" * MANY),
    ],
    MSGPACK: [
        *(b"\x91" * MANY, b"\x81\xa1a" * MANY, b"\xdd\x7f\xff\xff\xff" * MANY),
        *(b"\x81" * MANY, b"\xdb\x7f\xff\xff\xff" * MANY, b"\xc9\x7f\xff\xff\xff\x30"),
        b"\xdd" + MANY.to_bytes(4, "big") + b"\x90" * MANY,
        b"\xc9" + MANY.to_bytes(4, "big") + b"\x31" + b"9" * MANY,
    ],
}


@pytest.mark.parametrize(
    ("ours", "bomb"), [(FORMATS[number], bomb) for number in BOMBS for bomb in BOMBS[number]]
)
def test_what_is_deep_or_long_takes_little(ours: Format, bomb: str | bytes) -> None:
    data = bomb.encode() if isinstance(bomb, str) else bomb
    before = time.process_time()
    with calm_memory(100 * len(data) + 100_000), contextlib.suppress(WireError):
        ours.loads(data)
    assert time.process_time() - before < 5.0


@contextlib.contextmanager
def calm_memory(most_bytes: int) -> Any:
    tracemalloc.start()
    try:
        yield
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most_bytes


@each_format
def test_what_is_deep_is_refused(ours: Format) -> None:
    for levels in (201, 900, 5000):
        deep = {SERPENT: b"[" * levels + b"]" * levels, JSON: b"[" * levels + b"]" * levels}
        with pytest.raises(WireError, match="nested"):
            ours.loads(deep.get(ours.number) or b"\x91" * levels + b"\x90")
    error = b"{'__class__': 'ValueError', '__exception__': True, 'args': ["
    with pytest.raises(WireError, match="nested"):
        FORMATS[SERPENT].loads(error * 150 + b"]}" * 150)


def test_extensions_of_messagepack() -> None:
    ours = FORMATS[MSGPACK]

    def read(code: int, data: bytes) -> Any:
        return ours.loads(msgspec.msgpack.encode(msgspec.msgpack.Ext(code, data)))

    day = dt.date(2024, 2, 29).toordinal()
    assert read(0x33, day.to_bytes(8, "little")) == read(0x33, day.to_bytes(4, "little"))
    for code in range(-128, 128):
        for data in (b"", b"\xff" * 4, b"\xff" * 8, b"\x7f" * 8, b"\xff" * 16, b"9" * 5000):
            with contextlib.suppress(WireError):
                read(code, data)
    with pytest.raises(WireError):
        read(0x34, b"")
    ours.loads(b"\xd6\xff\0\0\0\0")  # MessagePack's own form of a time


def test_messagepack_needs_no_library_of_its_name(start_script: StartScript) -> None:
    code = """
import sys
sys.modules["msgpack"] = None
from remoteobj.stock import FORMATS
print(FORMATS[4].loads(FORMATS[4].dumps({"a": (1, 2**70, 1j)})))
"""
    assert start_script("-c", code).communicate(timeout=20)[0] == f"{{'a': [1, {2**70}, 1j]}}\n"


def test_there_is_no_marshal() -> None:
    assert [(number, each.number, each.name) for number, each in FORMATS.items()] == [
        (1, 1, "serpent"),
        (3, 3, "json"),
        (4, 4, "msgpack"),
    ]


def test_many_threads_read_and_write() -> None:
    value = {"rows": [(number, str(number), {"key": [number]}) for number in range(60)]}
    right = []

    def work() -> None:
        for _ in range(20):
            right.append(FORMATS[SERPENT].loads(FORMATS[SERPENT].dumps(value)) == value)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(right), all(right)) == (120, True)


def test_what_is_compressed_is_unpacked_within_bounds() -> None:
    data = zlib.compress(b"x" * 1000, 4)
    for given_as in (data, bytearray(data), memoryview(data)):
        assert decompress(given_as, 1000) == b"x" * 1000
    with pytest.raises(WireError, match="more than 999 bytes"):
        decompress(data, 999)
    for wrong in (b"", b"junk", data[:-1], data + b"x"):
        with pytest.raises(WireError, match="cannot be decompressed"):
            decompress(wrong, 1000)
    bomb = zlib.compress(bytes(300 * 10**6))
    with pytest.raises(WireError, match="more than"), calm_memory(5 * 10**6):
        decompress(bomb, 10**6)
    assert decompress(zlib.compress(b""), 0) == b""
