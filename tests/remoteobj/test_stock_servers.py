"""We call a stock Pyro5 daemon, in a process of its own: in each serializer, on both transports."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import codec_classes
import Pyro5.errors
import pytest
from servants import Connect, OutOfStock, StartScript

from remoteobj import (
    URI,
    ConnectionLost,
    DeadlinePassed,
    NotSendable,
    ObjectUnknown,
    Proxy,
    RemoteError,
    Settings,
    batch,
    expose,
    oneway,
    options,
    release,
)

pytestmark = pytest.mark.filterwarnings("ignore::remoteobj.InsecureWarning")

SERVER = """
import base64, json, pickle, sys, threading
sys.path.insert(0, sys.argv[1])
import codec_classes
import Pyro5.api, Pyro5.errors

context = Pyro5.api.current_context

class OutOfBolts(Exception):
    pass

class Thing:
    def __init__(self):
        self.size = 3

def counter_of(mode):
    @Pyro5.api.behavior(instance_mode=mode)
    @Pyro5.api.expose
    class Counter:
        def __init__(self):
            self._count = 0
        def count(self):
            self._count += 1
            return self._count
    return Counter

@Pyro5.api.expose
class Spare:
    def add(self, left):
        return left + 1

@Pyro5.api.expose
class Shop:
    def __init__(self):
        self._shelf = 0
        self._gate, self._told = threading.Event(), threading.Event()
        self._closed = threading.Event()
    def add(self, left, right=1, *, times=1):
        return (left + right) * times
    def echo(self, value):
        return value
    def show(self, value):
        return f"{type(value).__name__} {value!r}"
    def give(self, pickled):
        return pickle.loads(base64.b64decode(pickled))
    def grow(self, size):
        return "x" * size
    def wait(self):
        self._told.set()
        return self._gate.wait(10)
    @Pyro5.api.oneway
    def tell(self):
        self.wait()
    @Pyro5.api.oneway
    def tell_wrong(self):
        raise ValueError("nobody hears this")
    def let(self):
        self._gate.set()
    def has_been_told(self):
        return self._told.wait(10)
    def again(self):
        self._gate.clear()
        self._told.clear()
        self._closed.clear()
    @property
    def shelf(self):
        return self._shelf
    @shelf.setter
    def shelf(self, value):
        self._shelf = value
    @property
    def stock(self):
        return iter(["bolt", "nut"])
    def numbers(self, count, then_fail=False):
        try:
            yield from range(count)
            if then_fail:
                raise ValueError("no more")
        finally:
            self._closed.set()
    def is_closed(self):
        return self._closed.wait(10)
    def streams(self):
        return len(self._pyroDaemon.streaming_responses)
    def fail(self, how):
        if how == "builtin":
            raise KeyError("bolt", 3)
        if how == "ours":
            raise codec_classes.OutOfStock("bolt", left=3)
        if how == "unknown":
            raise OutOfBolts("m4", 3)
        if how == "thing":
            raise ValueError(Thing())
        if how == "oserror":
            open("/no/such/file")
        if how == "exit":
            sys.exit(4)
        if how == "chained":
            try:
                {}["inner"]
            except KeyError as error:
                raise ValueError("outer") from error
    def where(self):
        return self._pyroDaemon.uriFor("spare")
    def me(self):
        return self
    def proxy(self):
        return Pyro5.api.Proxy(self._pyroDaemon.uriFor("spare"))
    def call_back(self, target, method, args, serializer):
        Pyro5.config.SERIALIZER = serializer
        with target if isinstance(target, Pyro5.api.Proxy) else Pyro5.api.Proxy(target) as proxy:
            proxy._pyroClaimOwnership()
            return getattr(proxy, method)(*args)
    def hang_up(self):
        context.client.close()
    def hang_up_on_others(self):
        for other in list(connections):
            if other is not context.client:
                connections.discard(other)
                other.close()
    def annotate(self):
        context.response_annotations = {"RESP": b"x" * 300, "MORE": b""}
        return "annotated"
    def correlated(self):
        return str(context.correlation_id)
    def stream(self, on):
        Pyro5.config.ITER_STREAMING = on
    def forget(self, name):
        self._pyroDaemon.unregister(name)
    def learn(self, name):
        self._pyroDaemon.register(Spare(), name)

connections = set()

class Daemon(Pyro5.api.Daemon):
    def annotations(self):
        return {"EACH": b"of the daemon"}
    def validateHandshake(self, connection, data):
        connections.add(connection)
        return "hello"
    def clientDisconnect(self, connection):
        connections.discard(connection)

daemons = [Daemon(host="127.0.0.1"), Daemon(unixsocket=sys.argv[2])]
uris = []
for daemon in daemons:
    uris.append({
        "shop": str(daemon.register(Shop(), "shop")),
        "spare": str(daemon.register(Spare(), "spare")),
        **{mode: str(daemon.register(counter_of(mode), mode))
           for mode in ("single", "session", "percall")},
    })
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
print(json.dumps(dict(zip(("tcp", "unix"), uris))), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def serving_stock(*, environment: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """Run a stock server; gives its URIs, by transport and by name."""
    folder = tempfile.mkdtemp(prefix="ro-")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(Path(__file__).parent), f"{folder}/stock.sock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stock() -> Iterator[dict[str, Any]]:
    with serving_stock() as uris:
        yield uris


@pytest.fixture(params=["unix", "tcp"])
def uris(request: pytest.FixtureRequest, stock: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = stock[request.param]
    return found


@pytest.fixture(params=["serpent", "json", "msgpack"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(stock_serializer=request.param)


@pytest.fixture
def shop(uris: dict[str, str], settings: Settings, connect: Connect) -> Any:
    proxy = connect(uris["shop"], settings=settings)
    proxy.again()
    return proxy


def test_calls_with_keywords_and_attributes(shop: Any) -> None:
    assert {"add", "echo", "shelf", "stock", "wait"} <= set(dir(shop))
    assert (shop.add(1), shop.add(1, 5), shop.add(1, right=2, times=3)) == (2, 6, 9)
    assert shop.add(left=2, times=2) == 6
    shop.shelf = 4
    assert shop.shelf == 4
    value = {"a": [1, 2.5, None, True, "ä€😀", {"b": []}], "": -(2**40)}
    assert shop.echo(value) == value
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        shop.add(1, colour=2)
    with pytest.raises(AttributeError, match="exposes no method or attribute 'sell'"):
        shop.sell()
    with pytest.raises(AttributeError, match="private"):
        shop._gate  # noqa: B018
    with pytest.raises(AttributeError, match="exposes no attribute 'add'"):
        shop.add = 5
    assert shop.add(1) == 2


def test_a_oneway_call_does_not_wait(shop: Any) -> None:
    assert shop.tell() is None
    assert shop.has_been_told()
    assert shop.tell_wrong() is None
    assert shop.add(1) == 2
    shop.let()


def test_batches(shop: Any) -> None:
    calls = batch(shop)
    assert list(calls()) == []
    calls.add(1)
    calls.add(1, right=4, times=2)
    calls.echo({"a": [None]})
    assert list(calls()) == [2, 10, {"a": [None]}]
    calls.add(1)
    calls.fail("builtin")
    calls.let()
    results = calls()
    assert next(results) == 2
    with pytest.raises(KeyError) as caught:
        next(results)
    assert caught.value.args == ("bolt", 3)
    assert "in fail" in "".join(traceback.format_exception(caught.value))
    calls.add(1)
    calls.fail("unknown")
    with pytest.raises(RemoteError, match="OutOfBolts"):
        list(calls())
    calls.add(1)
    calls.let()
    assert list(calls(oneway=True)) == []
    assert shop.wait() is True
    calls.add(1)
    calls.echo(threading.Lock())
    with pytest.raises(NotSendable, match="a lock cannot be sent"):
        calls()
    assert shop.add(1) == 2


def test_a_batch_of_what_is_not_there(shop: Any) -> None:
    calls = batch(shop)
    calls.add(1)
    calls.sell()
    with pytest.raises(AttributeError, match="sell"):
        list(calls())
    assert shop.add(1) == 2


def test_items_come_one_by_one(shop: Any) -> None:
    items = shop.numbers(300)
    assert list(items) == list(range(300))
    assert list(items) == []
    pairs = list(zip(shop.numbers(3), shop.numbers(4), strict=False))
    assert pairs == [(0, 0), (1, 1), (2, 2)]
    assert list(shop.stock) == ["bolt", "nut"]
    assert list(shop.numbers(0)) == []


def test_items_that_are_not_wanted_any_more(shop: Any) -> None:
    items = shop.numbers(10**9)
    assert [next(items), next(items)] == [0, 1]
    items.close()
    assert shop.is_closed()
    assert list(items) == []


def test_items_that_are_dropped_are_closed(shop: Any) -> None:
    before = shop.streams()
    items = shop.numbers(10**9)
    assert next(items) == 0
    assert shop.streams() == before + 1
    del items
    gc.collect()
    assert shop.add(1) == 2  # the farewell goes with it
    assert shop.streams() == before


def test_items_end_with_an_exception(shop: Any) -> None:
    items = shop.numbers(2, then_fail=True)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="no more"):
        next(items)
    with pytest.raises(Exception, match="item stream terminated"):
        next(items)
    items = shop.numbers(5)
    assert next(items) == 0
    release(shop)
    with contextlib.suppress(ConnectionLost):
        assert list(items) == [1, 2, 3, 4]
    assert shop.add(1) == 2


def test_a_daemon_that_streams_nothing_says_so(shop: Any) -> None:
    shop.stream(False)
    try:
        with pytest.raises(Pyro5.errors.ProtocolError, match="result of call is an iterator"):
            shop.numbers(3)
    finally:
        shop.stream(True)
    assert list(shop.numbers(2)) == [0, 1]


@expose
class Receiver:
    def __init__(self) -> None:
        self.got: list[Any] = []
        self.told = threading.Event()

    def take(self, value: Any) -> Any:
        self.got.append(value)
        return ["took", value]

    @oneway
    def tell(self, value: Any) -> None:
        self.got.append(value)
        self.told.set()

    def fail(self, how: str) -> None:
        raise ValueError("full", 3) if how == "builtin" else OutOfStock("bolt", left=3)


def test_a_stock_daemon_calls_an_object_of_ours(
    shop: Any, settings: Settings, request: pytest.FixtureRequest
) -> None:
    daemon = request.getfixturevalue(
        "daemon" if shop._channel.uri.sockname is not None else "tcp_daemon"
    )
    receiver = Receiver()
    uri = daemon.register(receiver)
    name = settings.stock_serializer
    for target in (str(uri), uri, Proxy(uri, insecure=True)):
        assert shop.call_back(target, "take", [5], name) == ["took", 5]
    with pytest.raises(ValueError) as caught:
        shop.call_back(uri, "fail", ["builtin"], name)
    assert caught.value.args == ("full", 3)
    told = "".join(traceback.format_exception(caught.value))
    assert "in call_back" in told
    assert "Remote traceback" in told
    assert shop.call_back(uri, "tell", [6], name) is None
    assert receiver.told.wait(10.0)
    assert receiver.got == [5, 5, 5, 6]
    with pytest.raises(AttributeError, match="sell"):
        shop.call_back(uri, "sell", [], name)
    # It hears of a class that it does not know, tells us, and closes the connection.
    with pytest.raises(Exception, match=r"servants\.OutOfStock"):
        shop.call_back(uri, "fail", ["custom"], name)
    release(shop)
    assert shop.add(1) == 2


def test_exceptions(shop: Any) -> None:
    codec_classes.ran.clear()
    with pytest.raises(KeyError) as caught:
        shop.fail("builtin")
    assert caught.value.args == ("bolt", 3)
    assert "in fail" in "".join(traceback.format_exception(caught.value))
    with pytest.raises(codec_classes.OutOfStock) as ours:
        shop.fail("ours")
    assert (ours.value.args, ours.value.left) == (("bolt",), 3)
    assert codec_classes.ran == []
    with pytest.raises(RemoteError) as unknown:
        shop.fail("unknown")
    assert (unknown.value.type_name, unknown.value.message) == ("__main__.OutOfBolts", "m4, 3")
    assert "in fail" in unknown.value.remote_traceback
    with pytest.raises(FileNotFoundError) as missing:
        shop.fail("oserror")
    assert missing.value.errno == 2
    with pytest.raises(ValueError) as thing:
        shop.fail("thing")
    assert "Thing" in str(thing.value)
    with pytest.raises(ValueError) as chained:
        shop.fail("chained")
    told = "".join(traceback.format_exception(chained.value))
    assert "KeyError: 'inner'" in told
    assert shop.add(1) == 2


def test_a_method_that_ends_its_process_is_a_lost_connection(shop: Any) -> None:
    with pytest.raises(ConnectionLost) as caught:  # it ends the thread that serves us
        shop.fail("exit")
    assert caught.value.executed == "maybe"
    assert shop.add(1) == 2


def test_uris_and_proxies_are_values(shop: Any, uris: dict[str, str], connect: Connect) -> None:
    spare = URI(uris["spare"])
    for value in (shop.where(), shop.proxy()):
        assert type(value) is URI
        assert value == spare
    assert shop.me() == URI(uris["shop"])
    assert shop.echo([spare, {"a": spare}]) == [spare, {"a": spare}]
    assert shop.echo(connect(spare)) == spare
    assert shop.show(spare).startswith("URI <Pyro5.core.URI")
    assert shop.show(connect(spare)).startswith("Proxy <Pyro5.client.Proxy")
    assert connect(shop.where()).add(1) == 2


@pytest.mark.parametrize(
    ("mode", "counts"),
    [("single", [1, 2, 3, 4, 5]), ("session", [1, 2, 1, 3, 1]), ("percall", [1] * 5)],
)
def test_a_proxy_is_a_session(
    mode: str, counts: list[int], uris: dict[str, str], connect: Connect
) -> None:
    one, other = connect(uris[mode]), connect(uris[mode])
    got = [one.count(), one.count(), other.count(), one.count()]
    release(one)
    got.append(one.count())
    first = got[0] - 1 if mode == "single" else 0  # a single one counts for other tests, too
    assert [number - first for number in got] == counts


def test_annotations_and_correlation_ids(shop: Any) -> None:
    assert shop.annotate() == "annotated"
    assert shop.add(1) == 2
    assert shop.correlated() != shop.correlated()


def test_a_deadline_passes_and_the_next_call_is_right(shop: Any) -> None:
    with pytest.raises(DeadlinePassed) as caught:
        options(shop, timeout_s=0.1).wait()
    assert caught.value.executed == "maybe"
    shop.let()
    assert shop.wait() is True
    with pytest.raises(DeadlinePassed) as early:
        options(shop, timeout_s=0.0).add(1)
    assert early.value.executed == "no"


def test_it_reconnects(shop: Any, uris: dict[str, str], connect: Connect) -> None:
    with pytest.raises(ConnectionLost) as caught:
        shop.hang_up()
    assert caught.value.executed == "maybe"
    assert shop.add(1) == 2
    connect(uris["shop"]).hang_up_on_others()
    assert shop.add(1) == 2  # the connection was seen to be closed, and nothing is lost
    release(shop)
    assert shop.add(1) == 2


def test_large_values(shop: Any, settings: Settings) -> None:
    size = 10 * 2**20
    text = settings.stock_serializer == "json"
    data: Any = "ä" + "x" * size if text else bytes(range(256)) * (size // 256)
    assert shop.echo(data) == data
    assert len(shop.grow(size)) == size
    assert shop.add(1) == 2


def test_what_is_too_large_is_refused(uris: dict[str, str], connect: Connect) -> None:
    small = connect(uris["shop"], settings=Settings(max_message_bytes=100_000))
    with pytest.raises(NotSendable, match=r"Settings\.max_message_bytes"):
        small.echo("x" * 100_001)
    assert small.add(1) == 2
    with pytest.raises(Exception, match="100000"):
        small.grow(100_001)
    assert small.add(1) == 2


def test_an_object_that_is_not_there(shop: Any, settings: Settings, connect: Connect) -> None:
    uri = str(shop._channel.uri)
    with pytest.raises(ObjectUnknown, match="'other'"):
        connect(uri.replace("PYRO:shop@", "PYRO:other@"), settings=settings).add(1)
    shop.learn("passing")
    passing = connect(uri.replace("PYRO:shop@", "PYRO:passing@"), settings=settings)
    assert passing.add(1) == 2
    shop.forget("passing")
    with pytest.raises(ObjectUnknown):
        passing.add(1)
    assert "spare" in connect(uri.replace("PYRO:shop@", "PYRO:Pyro.Daemon@")).registered()


def test_threads_share_a_proxy_or_have_their_own(
    shop: Any, uris: dict[str, str], connect: Connect, settings: Settings
) -> None:
    def work(proxy: Any, number: int) -> None:
        for each in range(25):
            assert proxy.add(number, each) == number + each
            assert proxy.echo([number, each]) == [number, each]

    proxies = [shop, shop, *(connect(uris["shop"], settings=settings) for _ in range(2))]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, proxies, range(4)))


def test_a_daemon_that_compresses_is_understood(settings: Settings, connect: Connect) -> None:
    with serving_stock(environment={**os.environ, "PYRO_COMPRESSION": "true"}) as stock:
        shop = connect(stock["tcp"]["shop"], settings=settings)
        assert shop.add(1) == 2
        assert shop.echo("x" * 1000) == "x" * 1000
        with pytest.raises(KeyError):
            shop.fail("builtin")
        calls = batch(shop)
        calls.echo("x" * 1000)
        assert list(calls()) == ["x" * 1000]
        assert list(shop.numbers(3)) == [0, 1, 2]


def test_a_daemon_of_one_thread(settings: Settings, connect: Connect) -> None:
    with serving_stock(environment={**os.environ, "PYRO_SERVERTYPE": "multiplex"}) as stock:
        shop = connect(stock["unix"]["shop"], settings=settings)
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(shop.add, range(40))) == list(range(1, 41))
        assert list(shop.numbers(3)) == [0, 1, 2]
        assert shop.tell_wrong() is None
        with pytest.raises(KeyError):
            shop.fail("builtin")


def test_a_daemon_without_the_library_of_messagepack(
    start_script: StartScript, connect: Connect
) -> None:
    code = """
import sys
sys.modules["msgpack"] = None
import Pyro5.api
@Pyro5.api.expose
class Shop:
    def add(self, left):
        return left + 1
daemon = Pyro5.api.Daemon(host="127.0.0.1")
print(daemon.register(Shop()), flush=True)
daemon.requestLoop()
"""
    process = start_script("-c", code)
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    with pytest.raises(ConnectionLost):
        connect(uri, settings=Settings(stock_serializer="msgpack")).add(1)
    assert connect(uri, settings=Settings(stock_serializer="json")).add(1) == 2


def test_marshal_is_not_read(
    start_script: StartScript, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stock daemon without free workers says so in marshal, whatever it was asked in."""
    import marshal

    code = """
import Pyro5.api, sys, threading
Pyro5.config.THREADPOOL_SIZE = Pyro5.config.THREADPOOL_SIZE_MIN = 1
@Pyro5.api.expose
class Shop:
    def add(self, left):
        return left + 1
daemon = Pyro5.api.Daemon(host="127.0.0.1")
print(daemon.register(Shop()), flush=True)
daemon.requestLoop()
"""
    process = start_script("-c", code)
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    first, second = connect(uri), connect(uri)
    assert first.add(1) == 2

    def trap(*_: Any) -> None:
        raise AssertionError("marshal was asked to read")

    monkeypatch.setattr(marshal, "loads", trap)
    with pytest.raises(ConnectionLost, match="refused the connection") as caught:
        second.add(1)
    assert caught.value.executed == "no"
    release(first)


def test_there_is_no_setting_for_marshal(uris: dict[str, str], connect: Connect) -> None:
    wrong: Any = "marshal"
    with pytest.raises(Exception, match="marshal") as caught:
        connect(uris["shop"], settings=Settings(stock_serializer=wrong)).add(1)
    assert type(caught.value) is not KeyError
