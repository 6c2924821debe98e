"""Between our own peers a value arrives as it left, whichever way it goes: the whole way, on wires.

Each value goes as an argument, by position and by name, comes back as a result, in a batch, as an
item of a stream, as an attribute that is set and read, and with an exception; to a daemon in
another process, on a Unix socket and on TCP.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import codec_classes as classes
import numpy as np
import pytest
from hypothesis import given, settings
from segments_link import mapped_segments, needs_segments
from servants import Connect, OutOfStock, calm
from test_codec import TREES, VALUES, WRAPS, nested, same
from test_codec_arrays import DTYPES, filled
from test_codec_arrays import same as same_array

from remoteobj import URI, Daemon, NotSendable, Proxy, Settings, batch, expose, release

pytestmark = pytest.mark.filterwarnings("ignore::remoteobj.InsecureWarning")

LARGE = 300 * 1024


class Told(Exception):
    """Brings a value along."""

    value: Any


@dataclass
class Item:
    handle: Any


@dataclass
class Box:
    items: list[Any] = field(default_factory=list)


@expose
class Echo:
    def __init__(self) -> None:
        self._held: Any = None

    def echo(self, value: Any = None, other: Any = None) -> Any:
        return value if other is None else (value, other)

    def give(self, levels: int) -> Any:
        return nested(levels, lambda v: [v])

    def fail(self, value: Any, cause: Any = None) -> None:
        error = Told(value, [value])
        error.value = value
        try:
            raise error from cause
        finally:
            del error

    def fail_with_a_lock(self) -> None:
        error = Told(threading.Lock(), 5)
        error.value = threading.Lock()
        try:
            raise error
        finally:
            del error

    def each(self, values: list[Any]) -> Iterator[Any]:
        return iter(values)

    @property
    def held(self) -> Any:
        return self._held

    @held.setter
    def held(self, value: Any) -> None:
        self._held = value

    def fill(self, number: int) -> None:
        self._held[...] = number

    def total(self) -> float:
        return float(self._held.sum())

    def wrong(self, large: int = 0) -> Box:
        return Box([np.zeros(large), 1, 2, Item(threading.Lock())])


OTHER = """
import sys
sys.path.insert(0, sys.argv[1])
import json, warnings
warnings.simplefilter("ignore")
from test_fidelity import Echo
from remoteobj import Daemon
with Daemon() as local, Daemon("127.0.0.1", insecure=True) as remote:
    local.start()
    remote.start()
    uris = {"unix": str(local.register(Echo())), "tcp": str(remote.register(Echo()))}
    print(json.dumps(uris), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def other_process() -> Iterator[dict[str, str]]:
    """URIs of an Echo in a process of its own, by the transport."""
    folder = tempfile.mkdtemp(prefix="ro-")
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": folder},
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.communicate(timeout=20)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def _few_objects() -> Iterator[None]:
    """Have the garbage collector look only at what this module makes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def let_go(own_machine: Path, _few_objects: None) -> Iterator[None]:
    """What an exception was in a circle with may hold shared memory, and descriptors with it."""
    yield
    gc.collect()


lets_go = pytest.mark.usefixtures("let_go")


@pytest.fixture(params=["unix", "tcp"])
def far(request: pytest.FixtureRequest, other_process: dict[str, str], connect: Connect) -> Any:
    """An Echo in another process."""
    return connect(other_process[request.param])


def echo_here(request: pytest.FixtureRequest, transport: str, connect: Connect) -> Any:
    daemon = request.getfixturevalue("daemon" if transport == "unix" else "tcp_daemon")
    return connect(daemon.register(Echo()))


@pytest.fixture(params=["unix", "tcp"])
def near(request: pytest.FixtureRequest, connect: Connect) -> Any:
    """An Echo in this process."""
    return echo_here(request, request.param, connect)


@pytest.fixture(params=["near unix", "near tcp", "far unix", "far tcp"])
def echo(request: pytest.FixtureRequest, other_process: dict[str, str], connect: Connect) -> Any:
    """An Echo anywhere."""
    place, transport = request.param.split()
    if place == "far":
        return connect(other_process[transport])
    return echo_here(request, transport, connect)


def all_ways(proxy: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """Send a value each way that there is; give what arrives."""
    yield "position", proxy.echo(value)
    yield "name", proxy.echo(value=value)
    yield "among others", proxy.echo([value], other={"k": (value,)})[1]["k"][0]
    calls = batch(proxy)
    calls.echo(value)
    calls.echo(other=5, value=value)
    one, (two, five) = calls()
    assert five == 5
    yield "batch", one
    yield "batch, by name", two
    (item,) = proxy.each([value])
    yield "stream", item
    proxy.held = value
    yield "attribute", proxy.held
    told = told_by(lambda: proxy.fail(value))
    yield "attribute of an error", told.value
    yield "argument of an error", told.args[0]
    yield "in an argument of an error", told.args[1][0]
    calls.fail(value)
    yield "error of a batch", told_by(lambda: list(calls())).value


def told_by(call: Callable[[], Any]) -> Told:
    """Return what is raised, in no circle with its traceback: it may bring shared memory along."""
    try:
        call()
    except Told as told:
        return told.with_traceback(None)
    raise AssertionError("nothing was raised")


def named(value: Any) -> str:
    return re.sub(r"\W+", " ", repr(value))[:40]


@pytest.mark.parametrize("value", VALUES, ids=named)
def test_values_arrive_as_they_left(far: Any, value: Any) -> None:
    classes.ran.clear()
    for way, arrived in all_ways(far, value):
        assert same(arrived, value), way
    assert classes.ran == []


NESTED_VALUES = [
    {"rows": [(number, value) for number, value in enumerate(VALUES)]},
    [classes.Part("a", [classes.Nut(classes.Screw(classes.Pin(size={(1, frozenset({2})): 3})))])],
    {"b": {1: {None: {(): [set()]}}}},
]


@pytest.mark.parametrize("value", NESTED_VALUES, ids=["all", "records", "keys"])
def test_all_of_them_in_one_another(near: Any, value: Any) -> None:
    for way, arrived in all_ways(near, value):
        assert same(arrived, value), way


@lets_go
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_arrays_of_every_dtype(far: Any, dtype: Any) -> None:
    small, large = filled((4, 5), dtype), filled((200, 150), dtype)
    fixed = filled((3,), dtype)
    fixed.flags.writeable = False
    sent = [
        *(small, np.asfortranarray(small), small[..., None][::2], small.T, filled((), dtype)),
        *(filled((0, 3), dtype), filled((3,), dtype)[0], fixed),
        *(large, np.asfortranarray(large), large[::3, 1::2], large.T),
    ]
    for way, arrived in all_ways(far, sent):
        assert len(arrived) == len(sent)
        for one, other in zip(arrived, sent, strict=True):
            assert same_array(one, other), way
            if isinstance(other, np.ndarray) and other.size:
                assert one.flags.writeable == other.flags.writeable, way
            if isinstance(other, np.ndarray) and other.flags.forc:
                assert one.flags.f_contiguous == other.flags.f_contiguous, way


def test_exceptions_as_values(far: Any) -> None:
    error = OutOfStock("bolt", left=3)
    error.add_note("ask on Monday")
    error.__cause__ = KeyError("inner", 5)
    group = ExceptionGroup("two", [ValueError(1), error])
    for sent in (
        error,
        group,
        OSError(2, "no such file", "/a"),
        UnicodeDecodeError("a", b"b", 0, 1, "c"),
    ):
        for way, arrived in all_ways(far, sent):
            assert type(arrived) is type(sent), way
            assert str(arrived) == str(sent), way
    arrived = far.echo([error])[0]
    assert (arrived.item, arrived.left, arrived.__notes__) == ("bolt", 3, ["ask on Monday"])
    assert type(arrived.__cause__) is KeyError
    assert arrived.__cause__.args == ("inner", 5)
    assert arrived.__suppress_context__ is True
    inner = far.echo(group).exceptions[1]
    assert (inner.left, inner.__cause__.args) == (3, ("inner", 5))
    with pytest.raises(Told) as caught:
        far.fail(1, error)
    cause = caught.value.__cause__
    assert isinstance(cause, OutOfStock)
    assert (cause.left, cause.__notes__) == (3, ["ask on Monday"])
    assert isinstance(cause.__cause__, KeyError)


def test_proxies_and_uris(far: Any, other_process: dict[str, str]) -> None:
    for _, arrived in all_ways(far, far):
        assert type(arrived) is Proxy
        assert arrived == far
    for _, arrived in all_ways(far, URI(other_process["unix"])):
        assert arrived == URI(other_process["unix"])
    if far._channel.uri.sockname is not None:
        with far.echo(far) as again:
            assert again.echo(5) == 5


@pytest.mark.parametrize("wrap", WRAPS)
def test_two_hundred_levels_travel_and_one_more_does_not(near: Any, wrap: Any) -> None:
    deep, deeper = nested(200, wrap), nested(201, wrap)
    told = r"is nested more than 200 levels deep"
    assert repr(near.echo(deep)) == repr(deep)
    assert repr(near.echo(value=deep)) == repr(deep)
    calls = batch(near)
    calls.echo(deep)
    calls.echo(value=deep)
    assert [repr(each) for each in calls()] == [repr(deep)] * 2
    near.held = deep
    assert repr(near.held) == repr(deep)
    with pytest.raises(NotSendable, match=rf"^echo\(\) argument 'value': .*{told}"):
        near.echo(deeper)
    with pytest.raises(NotSendable, match=rf"^echo\(\) argument 'other': .*{told}"):
        near.echo(1, other=deeper)
    calls.echo(1)
    calls.echo(deeper)
    with pytest.raises(
        NotSendable, match=rf"^call 2 of the batch: echo\(\) argument 'value'.*{told}"
    ):
        calls()
    with pytest.raises(NotSendable, match=told):
        near.held = deeper
    assert near.echo(1) == 1


def test_a_result_that_is_too_deep(far: Any) -> None:
    assert far.give(200) == nested(200, lambda v: [v])
    with pytest.raises(
        NotSendable, match=r"give\(\) has run, but its result stays here: \[0\]\[0\]"
    ):
        far.give(201)
    calls = batch(far)
    for levels in (1, 201, 2):
        calls.give(levels)
    results = calls()
    assert next(results) == [1]
    with pytest.raises(NotSendable, match="call 2 of the batch has run") as caught:
        next(results)
    assert "calls of the batch that have run after it: 1" in caught.value.__notes__
    assert far.echo(1) == 1


def test_what_is_deeper_than_the_daemon_takes(connect: Connect, near: Any) -> None:
    deeper = connect(near._channel.uri, settings=Settings(max_depth=300))
    assert deeper.echo(nested(200, lambda v: [v])) == nested(200, lambda v: [v])
    with pytest.raises(Exception, match="more than 200 levels"):
        deeper.echo(nested(250, lambda v: [v]))
    assert deeper.echo(1) == 1


def test_any_tree_arrives_as_it_left(near: Any) -> None:
    calls = batch(near)

    @settings(calm, max_examples=60)
    @given(TREES, TREES)
    def send(one: Any, two: Any) -> None:
        assert same(near.echo(one, [two]), (one, [two]))
        assert same(near.echo(other=(two,), value=one), (one, (two,)))
        calls.echo(one)
        calls.echo(value=two)
        assert same(list(calls()), [one, two])
        with pytest.raises(Told) as caught:
            near.fail([one, two])
        assert same(caught.value.value, [one, two])

    send()


def some_large() -> list[Any]:
    chance = np.random.default_rng(5)
    array = chance.integers(0, 255, LARGE, np.uint8)
    fixed = array[::-1].copy()
    fixed.flags.writeable = False
    return [
        array,
        np.asfortranarray(chance.random((400, 300))),
        array.tobytes(),
        bytearray(array),
        memoryview(array.tobytes()),
        memoryview(bytearray(array)),
        fixed,
        array[: 2 * 90_000].view(np.int16)[::2],
        np.zeros(LARGE, [("a", "u1"), ("b", ">f4")]),
    ]


def alike(one: Any, other: Any) -> bool:
    if isinstance(other, np.ndarray):
        return same_array(one, other)
    if isinstance(other, memoryview):
        return type(one) is memoryview and one == other and one.format == other.format
    return same(one, other)


@lets_go
@pytest.mark.parametrize("index", range(len(some_large())))
def test_large_ones_go_every_way(echo: Any, index: int) -> None:
    value = some_large()[index]
    for way, arrived in all_ways(echo, value):
        assert alike(arrived, value), way


@lets_go
@pytest.mark.parametrize("size", [5, 5000, LARGE])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_memoryview_may_be_written_into_if_it_might(echo: Any, size: int, kind: type) -> None:
    view = memoryview(kind(size))
    arrived = [echo.echo(view), *echo.echo([view, view]), echo.echo([np.ones(LARGE), view])[1]]
    assert all(each == view for each in arrived)
    assert [each.readonly for each in arrived] == [view.readonly] * 4


@lets_go
def test_several_in_one_call_and_the_same_one_twice(echo: Any) -> None:
    sent = some_large()
    array = sent[0]
    sent += [array, {"again": array, "part": array[1000:]}, LARGE * "ä"]
    arrived = echo.echo(sent)
    assert all(map(alike, arrived[:-2], sent[:-2]))
    assert (arrived[-2]["part"] == array[1000:]).all()
    assert arrived[-1] == LARGE * "ä"
    arrived[0][:] = 0  # nobody else's
    assert alike(arrived[-3], array)
    assert alike(arrived[-2]["again"], array)


@lets_go
def test_results_that_are_kept_stay_as_they_are(echo: Any) -> None:
    kept: list[tuple[int, Any]] = []
    for number in range(60):
        array = np.full(LARGE // 8 + 1000 * (number % 7), number, np.float64)
        kept.append((number, echo.echo(array)))
        if number % 3 == 0:
            kept.pop(len(kept) // 2)
        array[:] = -1
        (item,) = echo.each([np.full(LARGE, number, np.uint8)])
        kept.append((number, item))
    for number, array in kept:
        assert (array == number).all()
    for number, (expected, array) in enumerate(kept):
        array[:] = 200 + number % 3
        assert all((other == what).all() for what, other in kept[number + 1 : number + 2])
        assert expected < 60


@lets_go
def test_what_was_received_is_nobody_elses(echo: Any) -> None:
    sent = np.ones(LARGE)
    echo.held = sent
    echo.fill(3)
    assert (sent == 1).all()
    sent[:] = 5
    assert echo.total() == 3 * LARGE
    received, again = echo.held, echo.held
    received[:] = 7
    assert echo.total() == 3 * LARGE
    echo.fill(4)
    assert (received == 7).all()
    assert (again == 3).all()
    assert (echo.held == 4).all()


@needs_segments
def test_on_one_host_they_are_in_shared_memory(
    other_process: dict[str, str], connect: Connect
) -> None:
    near, remote = connect(other_process["unix"]), connect(other_process["tcp"])
    before = mapped_segments()
    by_tcp = [remote.echo(np.full(LARGE, number)) for number in range(3)]
    assert mapped_segments() <= before
    by_unix = [near.echo(np.full(LARGE, number)) for number in range(3)]
    assert mapped_segments() > before
    assert all((one == two).all() for one, two in zip(by_tcp, by_unix, strict=True))


@lets_go
def test_threads_send_large_ones_at_a_time(echo: Any) -> None:
    def work(number: int) -> None:
        kept = []
        for each in range(8):
            array = np.full(LARGE, 16 * number + each, np.uint8)
            kept.append(echo.echo(array, [array.tobytes()]))
        for each, (array, [raw]) in enumerate(kept):
            assert (array == 16 * number + each).all()
            assert raw == bytes([16 * number + each]) * LARGE

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


@pytest.fixture
def box() -> Iterator[Box]:
    with socket.socket() as handle:
        yield Box([1, np.zeros(LARGE), 2, Item(handle)])


@lets_go
def test_what_cannot_travel_is_named_and_nothing_is_lost(echo: Any, box: Box) -> None:
    calls = batch(echo)

    def in_a_batch() -> None:
        calls.echo(1)
        calls.echo(value=box)
        calls()

    def set_it() -> None:
        echo.held = box

    told: dict[str, Callable[[], Any]] = {
        "echo() argument 'value': items[3].handle": lambda: echo.echo(box),
        "echo() argument 'other': ['a'][0].items[3].handle": lambda: echo.echo(1, {"a": (box,)}),
        "echo() argument 'other': items[3].handle": lambda: echo.echo(1, other=box),
        "call 2 of the batch: echo() argument 'value': items[3].handle": in_a_batch,
    }
    for _ in range(3):
        for place, send in told.items():
            with pytest.raises(TypeError) as caught:
                send()
            assert str(caught.value) == f"{place}: a socket cannot be sent{classes.INSTEAD}"
            assert (echo.echo(np.ones(LARGE)) == 1).all()
        with pytest.raises(TypeError, match=r": items\[3\]\.handle: a socket cannot be sent"):
            set_it()
    assert echo.echo(1) == 1


@lets_go
def test_a_result_that_cannot_travel_is_named_and_nothing_is_lost(echo: Any) -> None:
    place = r"items\[3\]\.handle: a lock cannot be sent"
    calls = batch(echo)
    for large in (0, LARGE):
        with pytest.raises(
            TypeError, match=rf"^wrong\(\) has run, but its result stays here: {place}"
        ):
            echo.wrong(large)
        calls.echo(np.ones(LARGE))
        calls.wrong(large)
        calls.echo(2)
        results = calls()
        assert (next(results) == 1).all()
        with pytest.raises(TypeError, match=rf"^call 2 of the batch has run, .*: {place}"):
            next(results)
        assert (echo.echo(np.ones(LARGE)) == 1).all()


def test_what_was_refused_cost_no_connection(daemon: Daemon, connect: Connect, box: Box) -> None:
    echo = connect(daemon.register(Echo()))
    assert echo.echo(1) == 1
    for _ in range(5):
        for send in (lambda: echo.echo(box), lambda: echo.wrong(LARGE), lambda: echo.give(201)):
            with pytest.raises(TypeError):
                send()
    assert echo.echo(1) == 1
    assert daemon.statistics().connections == 1


def test_what_an_exception_cannot_bring_along_is_told_in_words(echo: Any) -> None:
    with pytest.raises(Told) as caught:
        echo.fail_with_a_lock()
    assert "lock" in caught.value.value
    assert "lock" in caught.value.args[0]
    assert caught.value.args[1] == 5
    calls = batch(echo)
    calls.echo(1)
    calls.fail_with_a_lock()
    results = calls()
    assert next(results) == 1
    with pytest.raises(Told, match="lock"):
        next(results)
    assert echo.echo(1) == 1


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@lets_go
@pytest.mark.parametrize("way", ["call", "batch"])
def test_a_call_that_failed_holds_nothing(far: Any, way: str) -> None:
    def fail() -> weakref.ref[Any]:
        large = np.zeros(LARGE)
        calls = batch(far)
        calls.fail(large)
        with contextlib.suppress(Told):
            far.fail(large) if way == "call" else list(calls())
        return weakref.ref(large)

    assert far.echo(1) == 1
    with no_collector():
        assert fail()() is None


@lets_go
def test_a_stream_that_ended_holds_nothing(other_process: dict[str, str], connect: Connect) -> None:
    echo = connect(other_process["unix"])
    assert echo.echo(1) == 1
    with no_collector():
        items = list(echo.each([np.ones(LARGE), np.ones(LARGE)]))
        assert all((item == 1).all() for item in items)
        del items
        before = mapped_segments()
        release(echo)
        assert mapped_segments() == 0, before
