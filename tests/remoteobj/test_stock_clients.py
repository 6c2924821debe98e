"""A stock Pyro5 client, in a process of its own, calls us: in each serializer, on both transports.

What the client does stands in each test as text, because none of ours may be in its process. It
finds ``shop``, a stock proxy of what is published here, and the names that ``CLIENT`` imports.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import Pyro5.api
import pytest
from servants import MissingPart, OutOfStock, StartScript, Warehouse

from remoteobj import (
    URI,
    Daemon,
    InsecureWarning,
    Proxy,
    Settings,
    behavior,
    current_peer,
    expose,
    on_disconnect,
)

pytestmark = pytest.mark.filterwarnings("ignore::remoteobj.InsecureWarning")

PATIENCE_S = 20.0

CLIENT = """
import contextlib, json, linecache, socket, sys, threading, traceback, uuid
import Pyro5.api, Pyro5.client, Pyro5.core, Pyro5.errors, Pyro5.protocol
import Pyro5.serializers, Pyro5.socketutil
from Pyro5.errors import get_pyro_traceback
from Pyro5.protocol import SendingMessage

context = Pyro5.api.current_context
kept = {}

@contextlib.contextmanager
def raises(kind, *words):
    caught = []
    try:
        yield caught
    except kind as error:
        assert type(error) is kind or kind is Exception, repr(error)
        for word in words:
            assert word in str(error), error
        caught.append(error)
    else:
        raise AssertionError(f"{kind} was not raised")

def exchange(connection, kind, serializer, data, flags=0):
    connection.send(SendingMessage(kind, flags, 7, serializer, data).data)
    reply = Pyro5.protocol.recv_stub(connection)
    read = Pyro5.serializers.serializers_by_id[reply.serializer_id].loads
    return reply, read(reply.data)

def dial(uri):
    uri = Pyro5.core.URI(uri)
    sock = Pyro5.socketutil.create_socket(connect=uri.sockname or (uri.host, uri.port), timeout=9)
    return Pyro5.socketutil.SocketConnection(sock, uri.object)

@Pyro5.api.expose
class Receiver:
    def __init__(self):
        self.got = []
        self.told = threading.Event()
    def take(self, value):
        self.got.append(value)
        return ["took", value]
    @Pyro5.api.oneway
    def tell(self, value):
        self.got.append(value)
        self.told.set()
    def fail(self):
        raise ValueError("the receiver is full", 3)

@contextlib.contextmanager
def serving(target, path=None):
    with Pyro5.api.Daemon(**{"unixsocket": path} if path else {"host": "127.0.0.1"}) as daemon:
        uri = daemon.register(target)
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            yield uri
        finally:
            daemon.shutdown()
            thread.join()

lines = socket.socket(fileno=0).makefile("rw")
for line in lines:
    job = json.loads(line)
    Pyro5.config.reset(use_environment=False)
    Pyro5.config.SERIALIZER = job["serializer"]
    context.correlation_id, context.annotations = None, {}
    linecache.cache["<job>"] = (1, None, job["code"].splitlines(True), "<job>")
    shop = Pyro5.api.Proxy(job["uri"])
    names = {**globals(), **job, "shop": shop, **job["names"]}
    answer = ""
    try:
        exec(compile(job["code"], "<job>", "exec"), names)
    except BaseException:
        answer = traceback.format_exc()
    shop._pyroRelease()
    lines.write(json.dumps(answer) + "\\n")
    lines.flush()
"""


class StockClient:
    """The process; it runs one job after another, so that it is started only once."""

    def __init__(self) -> None:
        self._sock, theirs = socket.socketpair()
        self._sock.settimeout(PATIENCE_S)
        self._lines = self._sock.makefile("rw")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", CLIENT], stdin=theirs, env={**os.environ, "PYRO_LOGFILE": ""}
            )

    def run(self, uri: URI, serializer: str, code: str, **names: Any) -> None:
        __tracebackhide__ = True
        job = {"uri": str(uri), "serializer": serializer, "code": code, "names": names}
        self._lines.write(json.dumps(job) + "\n")
        self._lines.flush()
        failure = json.loads(self._lines.readline())
        if failure:
            pytest.fail(f"in the process of stock Pyro5:\n{failure}", pytrace=False)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._lines.close()
        self._sock.close()


@pytest.fixture(scope="module")
def client() -> Iterator[StockClient]:
    with contextlib.closing(StockClient()) as running:
        yield running


class Vault:
    def __init__(self) -> None:
        self.owner = "anna"
        self._password = "hunter2"


class Slotted:
    __slots__ = ("_password", "owner")

    def __init__(self) -> None:
        self.owner, self._password = "anna", "hunter2"


class Pickled(Vault):
    def __getstate__(self) -> Any:
        return vars(self)


class Listed(Vault):
    def __getstate__(self) -> Any:
        return [self.owner, self._password]


@dataclass
class Card:
    owner: str = "anna"


class CardWithMore(Card):
    pass


def card_with_more() -> Card:
    card = Card()
    card._password = "hunter2"
    return card


class Denied(PermissionError):
    def __init__(self, name: str, password: str) -> None:
        super().__init__(f"{name} may not")
        self.name, self._password = name, password


GIFTS: dict[str, Callable[[], Any]] = {
    "Vault": Vault,
    "Slotted": Slotted,
    "Pickled": Pickled,
    "Listed": Listed,
    "CardWithMore": CardWithMore,
    "Card with": card_with_more,
}


class Shop(Warehouse):
    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()
        self.gone = threading.Event()
        self.promised: list[tuple[Future[Any], Any]] = []
        self.self_uri: URI | None = None

    @expose
    def grow_text(self, size: int) -> str:
        return "x" * size

    @expose
    def let(self) -> None:
        self.gate.set()

    @expose
    def has_been_told(self) -> bool:
        return self.told.wait(10.0)

    @expose
    def fail(self, how: str) -> None:
        match how:
            case "builtin":
                raise KeyError("bolt", 3)
            case "custom":
                raise OutOfStock("bolt", left=3)
            case "oserror":
                raise MissingPart(7)
            case "exit":
                sys.exit(4)
            case "chained":
                try:
                    {}["inner"]
                except KeyError as error:
                    raise ValueError("outer") from error

    @expose
    def numbers(self, count: int, *, then_fail: bool = False) -> Iterator[int]:
        try:
            yield from range(count)
            if then_fail:
                raise ValueError("no more")
        finally:
            self.closed.set()

    @expose
    @property
    def stock(self) -> Iterator[str]:
        return iter(["bolt", "nut"])

    @expose
    def is_closed(self) -> bool:
        return self.closed.wait(10.0)

    @expose
    def __len__(self) -> int:
        return 3

    @expose
    def __getitem__(self, index: int) -> str:
        return ["bolt", "nut", "pin"][index]

    @expose
    def me(self) -> Proxy:
        assert self.self_uri is not None
        return Proxy(self.self_uri, insecure=True)

    @expose
    def where(self) -> URI | None:
        return self.self_uri

    @expose
    async def later(self, value: Any) -> Any:
        await asyncio.to_thread(self.gate.wait, 10.0)
        if value == "fail":
            raise KeyError("bolt", 3)
        return value

    @expose
    def as_a_future(self, value: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.promised.append((future, value))
        return future

    @expose
    def keep_promises(self) -> int:
        promised, self.promised = self.promised, []
        for future, value in promised:
            future.set_result(value)
        return len(promised)

    @expose
    def watch(self) -> str:
        on_disconnect(self.gone.set)
        return current_peer()

    @expose
    def is_gone(self) -> bool:
        return self.gone.wait(10.0)

    @expose
    def kind_of(self, value: Any) -> str:
        return f"{type(value).__module__}.{type(value).__name__}"

    @expose
    def give(self, name: str) -> Any:
        return [{"gift": GIFTS[name]()}]

    @expose
    def card(self) -> Card:
        return Card()

    @expose
    def deny(self) -> None:
        raise Denied("anna", "hunter2")

    @expose
    def lock(self) -> Any:
        return [1, {"lock": threading.Lock()}]

    @expose
    def call_back(self, receiver: URI, method: str, value: Any, serializer: Any) -> Any:
        settings = Settings(stock_serializer=serializer)
        with Proxy(receiver, insecure=True, settings=settings) as proxy:
            return getattr(proxy, method)(*value)


@pytest.fixture
def shop() -> Iterator[Shop]:
    target = Shop()
    yield target
    target.gate.set()


@pytest.fixture(params=["unix", "tcp"])
def served(request: pytest.FixtureRequest) -> Daemon:
    daemon: Daemon = request.getfixturevalue("daemon" if request.param == "unix" else "tcp_daemon")
    return daemon


@pytest.fixture(params=["serpent", "json", "msgpack"])
def serializer(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


Run = Callable[..., None]


@pytest.fixture
def run(client: StockClient, served: Daemon, serializer: str, shop: Shop) -> Run:
    shop.self_uri = uri = served.register(shop)

    def run_job(code: str, **names: Any) -> None:
        __tracebackhide__ = True
        client.run(uri, serializer, code, **names)

    return run_job


def test_calls_with_keywords_and_attributes(run: Run) -> None:
    run("""
assert shop.add(1) == 2 and shop.add(1, 5) == 6 and shop.add(1, right=2, times=3) == 9
assert shop.add(left=2, times=2) == 6
shop.shelf = 4
assert shop.shelf == 4
value = {"a": [1, 2.5, None, True, "ä€😀", {"b": []}], "": -2**40}
assert shop.echo(value) == value
with raises(TypeError, "unexpected keyword argument 'colour'"):
    shop.add(1, colour=2)
with raises(TypeError, "missing 1 required positional argument: 'left'"):
    shop.add()
""")


def test_what_may_be_called_is_told_when_it_connects(run: Run) -> None:
    run("""
assert shop._pyroMethods == set() and shop._pyroBind() is True
assert shop._pyroBind() is False
assert {"add", "echo", "tell", "numbers", "__len__"} <= shop._pyroMethods
assert shop._pyroOneway == {"tell"}
assert shop._pyroAttrs == {"shelf", "stock"}
asked = shop._pyroInvoke("get_metadata", [shop._pyroUri.object], {}, objectId="Pyro.Daemon")
assert set(asked["methods"]) == shop._pyroMethods and set(asked["attrs"]) == shop._pyroAttrs
assert shop._pyroInvoke("ping", [], {}, objectId="Pyro.Daemon") is None
assert shop._pyroUri.object in shop._pyroInvoke("registered", [], {}, objectId="Pyro.Daemon")
SendingMessage.ping(shop._pyroConnection)
assert shop.add(1) == 2
""")


def test_what_is_not_there_is_named(run: Run) -> None:
    run("""
for name in ("sell", "_hidden", "__class__", "shelf.x", "__dict__"):
    with raises(AttributeError, "exposes no method"):
        shop._pyroInvoke(name, (), {})
for name in ("sell", "_shelf", "add", "gate"):
    with raises(AttributeError, "exposes no attribute"):
        shop._pyroInvoke("__getattr__", (name,), None)
    with raises(AttributeError, "exposes no attribute"):
        shop._pyroInvoke("__setattr__", (name, 5), None)
with raises(AttributeError, "no exposed attribute or method 'sell'"):
    shop.sell()
with raises(AttributeError):
    shop.add.more()
assert shop.add(1) == 2
with raises(Pyro5.errors.DaemonError, "there is no object 'other'"):
    shop._pyroInvoke("add", (1,), {}, objectId="other")
assert shop.add(1) == 2
with raises(Pyro5.errors.CommunicationError, "rejected", "there is no object 'other'"):
    Pyro5.api.Proxy(uri.replace(shop._pyroUri.object, "other")).add(1)
""")


def test_special_methods(run: Run) -> None:
    run("""
assert len(shop) == 3 and shop[1] == "nut"
with raises(IndexError):
    shop[5]
assert list(shop) == ["bolt", "nut", "pin"]
""")


def test_a_oneway_call_does_not_wait(run: Run, shop: Shop) -> None:
    run("""
assert shop.tell() is None
assert shop.has_been_told()
assert shop.add(1) == 2      # on the same connection, while it runs
""")
    assert not shop.gate.is_set()
    shop.gate.set()


def test_a_oneway_call_that_fails_is_not_answered(run: Run, caplog: Any) -> None:
    run("""
shop._pyroBind()
shop._pyroOneway.update(["fail", "nothing"])
assert shop._pyroInvoke("fail", ("builtin",), {}) is None
assert shop._pyroInvoke("nothing", (), {}) is None
assert shop.add(1) == 2
""")


def test_batches(run: Run, shop: Shop) -> None:
    run("""
batch = Pyro5.api.BatchProxy(shop)
assert list(batch()) == []
batch.add(1)
batch.add(1, right=4, times=2)
batch.echo({"a": [None]})
results = batch()
assert next(results) == 2 and list(results) == [10, {"a": [None]}]
assert list(batch()) == []           # it is empty now
batch.add(1)
batch.fail("builtin")
batch.let()
results = batch()
assert next(results) == 2
with raises(KeyError) as caught:
    next(results)
assert caught[0].args == ("bolt", 3)
assert "in fail" in "".join(caught[0]._pyroTraceback)
batch.add(1)
batch._hidden()
results = batch()
assert next(results) == 2
with raises(AttributeError, "_hidden"):
    next(results)
""")
    assert not shop.gate.is_set()
    run("""
batch = Pyro5.api.BatchProxy(shop)
batch.wait()                         # it would wait for ever
batch.echo(1)
assert batch(oneway=True) is None
assert shop.has_been_told() and shop.add(1) == 2
""")
    shop.gate.set()


def test_a_result_of_a_batch_that_cannot_be_sent_is_named(run: Run) -> None:
    run("""
batch = Pyro5.api.BatchProxy(shop)
batch.add(1)
batch.lock()
batch.let()
results = batch()
assert next(results) == 2            # what came before it arrives
words = "call 2 of the batch has run", "[1]['lock']: a lock cannot be sent"
with raises(TypeError, *words) as caught:
    next(results)
assert "batch that have run after it: 1" in caught[0]._pyroTraceback[-1], caught
assert list(results) == []
with raises(TypeError, "[1]['lock']: a lock cannot be sent"):
    shop.lock()
batch.numbers(3)                     # items are not for batches
with raises(TypeError, "call 1 of the batch has run", "a generator cannot be sent"):
    list(batch())
assert shop.add(1) == 2
""")


def test_what_nobody_has_declared_stays_here(run: Run) -> None:
    """Stock Pyro5 would send all attributes of any object, private ones among them."""
    run(
        """
Pyro5.api.register_dict_to_class("test_stock_clients.Card", lambda name, data: data["owner"])
for name in gifts:
    with raises(TypeError, "result stays here: [0]['gift']", name, "cannot be sent") as caught:
        shop.give(name)
    assert "hunter2" not in "".join(caught[0]._pyroTraceback) + str(caught[0]), caught
    if "with" not in name:
        assert "Pyro5.api.register_class_to_dict" in str(caught[0]), caught
assert shop.card() == "anna"           # a dataclass says what it is made of
Pyro5.api.register_dict_to_class("test_stock_clients.Denied", lambda name, data: KeyError(data))
with raises(KeyError) as caught:
    shop.deny()
[told] = caught[0].args
assert told["attributes"].pop("_pyroTraceback")
assert told["attributes"] == {"name": "anna"}, told
""",
        gifts=list(GIFTS),
    )


def test_what_pyro_was_told_of_a_class_is_sent(run: Run) -> None:
    def describe(vault: Vault) -> dict[str, Any]:
        return {"__class__": "Vault", "of": vault.owner}

    def describe_error(error: Denied) -> dict[str, Any]:
        return {"__class__": "builtins.LookupError", "__exception__": True, "args": [error.name]}

    Pyro5.api.register_class_to_dict(Vault, describe)
    Pyro5.api.register_class_to_dict(Denied, describe_error)
    try:
        run("""
Pyro5.api.register_dict_to_class("Vault", lambda name, data: data["of"])
assert shop.give("Vault") == [{"gift": "anna"}]
with raises(LookupError) as caught:
    shop.deny()
assert caught[0].args == ("anna",) and "in deny" in "".join(caught[0]._pyroTraceback)
""")
    finally:
        Pyro5.api.unregister_class_to_dict(Vault)
        Pyro5.api.unregister_class_to_dict(Denied)


SCRIPT = """
import sys, warnings
from remoteobj import Daemon, expose

class Empty(Exception):
    pass

class Sold(LookupError):
    def __init__(self, item, *, left):
        super().__init__(item, left)
        self.left = left

class Torn(UnicodeDecodeError):
    pass

@expose
class Shop:
    def fail(self, how):
        if how == "empty":
            raise Empty("no bolts", 3)
        if how == "sold":
            raise Sold("bolt", left=2)
        if how == "torn":
            raise Torn("utf-8", b"a", 0, 1, "why")
        class Inner(Exception): pass
        raise Inner()

warnings.simplefilter("ignore")
with Daemon("127.0.0.1", insecure=True) as daemon:
    print(daemon.register(Shop()), flush=True)
    daemon.start()
    sys.stdin.read()
"""


def test_an_exception_of_a_script_arrives_in_words(
    client: StockClient, serializer: str, start_script: StartScript
) -> None:
    """Stock Pyro5 refuses names with two underscores: all that was told would be lost on it."""
    process = start_script("-c", SCRIPT)
    assert process.stdout is not None
    uri = URI(process.stdout.readline().strip())
    code = """
for how, kind, words, name, args in (
    ("empty", Pyro5.errors.PyroError, "('no bolts', 3)", "__main__.Empty", ["no bolts", 3]),
    ("sold", LookupError, "('bolt', 2)", "__main__.Sold", ["bolt", 2]),
    ("torn", UnicodeError, "'utf-8' codec can't decode", "__main__.Torn", None),
    ("inner", Pyro5.errors.PyroError, "", "__main__.Shop.fail.<locals>.Inner", []),
):
    with raises(kind, f"{name}: {words}" if words else name) as caught:
        shop.fail(how)
    told = "".join(caught[0]._pyroTraceback)
    assert "in fail" in told and how.title() in told, told
    original, its_args = caught[0]._remoteobjError
    assert original == name and (args is None or list(its_args) == args), caught
    assert getattr(caught[0], "left", 2) == 2
assert shop._pyroBind() is False           # the connection goes on
"""
    client.run(uri, serializer, code)


def test_an_exception_among_arguments_is_itself_or_refused(run: Run) -> None:
    run("""
class Torn(Exception):
    pass
for send in (lambda: shop.kind_of(Torn("a")), lambda: shop.kind_of([{"why": Torn("a")}])):
    words = "exception of class '__main__.Torn' arrived", "defined in the script", "send its text"
    with raises(TypeError, *words):
        send()
batch = Pyro5.api.BatchProxy(shop)
batch.kind_of(Torn("a"))
with raises(TypeError, "exception of class '__main__.Torn' arrived"):
    list(batch())
assert shop.kind_of(KeyError("a")) == "builtins.KeyError"
""")


def test_items_come_one_by_one(run: Run) -> None:
    run("""
items = shop.numbers(300)
assert type(items) is Pyro5.client._StreamResultIterator
assert list(items) == list(range(300)) and list(items) == []
one, two = shop.numbers(3), shop.numbers(4)
assert list(zip(one, two)) == [(0, 0), (1, 1), (2, 2)]
assert list(shop.stock) == ["bolt", "nut"]
with raises(StopIteration):
    next(shop.numbers(0))
""")


def test_items_that_are_not_wanted_any_more(run: Run) -> None:
    run("""
items = shop.numbers(10**9)
assert [next(items), next(items)] == [0, 1]
items.close()
assert shop.is_closed()               # the generator ended in its finally
assert next(items, None) is None
""")


def test_items_end_with_their_caller(run: Run) -> None:
    run("""
items = shop.numbers(10**9)
assert next(items) == 0
shop._pyroRelease()
with raises(Pyro5.errors.ConnectionClosedError):
    next(items)
assert shop.is_closed()
""")


def test_items_end_with_an_exception(run: Run) -> None:
    run("""
items = shop.numbers(2, then_fail=True)
assert [next(items), next(items)] == [0, 1]
with raises(ValueError, "no more"):
    next(items)
with raises(Exception, "item stream terminated"):
    next(items)
with raises(Exception, "item stream terminated"):
    shop._pyroInvoke("get_next_stream_item", ["no such stream"], {}, objectId="Pyro.Daemon")
assert shop.add(1) == 2
""")


def test_we_call_an_object_of_the_stock_client(run: Run, served: Daemon, own_machine: Path) -> None:
    path = str(own_machine / "back.sock") if served.port is None else None
    run(
        """
receiver = Receiver()
with serving(receiver, path) as back:
    # Its URI, a proxy of it, and itself, which Pyro5 makes a proxy of.
    for target in (back, Pyro5.api.Proxy(back), receiver):
        assert shop.call_back(target, "take", [5], serializer) == ["took", 5]
    with raises(ValueError, "the receiver is full") as caught:
        shop.call_back(back, "fail", [], serializer)
    assert caught[0].args == ("the receiver is full", 3)
    told = "".join(caught[0]._pyroTraceback)
    assert "in call_back" in told and "in fail" in told, told
    assert shop.call_back(back, "tell", [6], serializer) is None
    assert receiver.told.wait(9)
    assert receiver.got == [5, 5, 5, 6]
    with raises(AttributeError, "exposes no method or attribute 'sell'"):
        shop.call_back(back, "sell", [], serializer)
with raises(ConnectionError):
    shop.call_back(back, "take", [5], serializer)
""",
        path=path,
    )


def test_exceptions(run: Run) -> None:
    run("""
with raises(KeyError) as caught:
    shop.fail("builtin")
assert caught[0].args == ("bolt", 3)
try:
    shop.fail("chained")
except ValueError as error:
    assert error.args == ("outer",)
    told = "".join(get_pyro_traceback())
    assert "KeyError: 'inner'" in told and "in fail" in told, told
with raises(Pyro5.errors.PyroError, "SystemExit: 4"):
    shop.fail("exit")
with raises(Pyro5.errors.SerializeError, "servants.OutOfStock"):   # as from a stock daemon
    shop.fail("custom")
make = lambda name, data: LookupError(name, *data["args"])
Pyro5.api.register_dict_to_class("servants.OutOfStock", make)
try:
    with raises(LookupError) as caught:
        shop.fail("custom")
    assert caught[0].args == ("servants.OutOfStock", "bolt: 3 left")
finally:
    Pyro5.api.unregister_dict_to_class("servants.OutOfStock")
assert shop.add(1) == 2
""")


def test_uris_and_proxies_are_values(run: Run) -> None:
    run("""
where = shop.where()
assert type(where) is Pyro5.core.URI and str(where) == uri
assert shop.kind_of(where) == shop.kind_of(shop) == "remoteobj.uri.URI"
assert shop.echo([where, {"a": shop}]) == [where, {"a": where}]
me = shop.me()
assert type(me) is Pyro5.client.Proxy and me == shop
with me:
    assert me.add(1) == 2 and me.shelf == 0
""")


def counter_of(mode: Any) -> type:
    @behavior(instance_mode=mode)
    class Counter:
        def __init__(self) -> None:
            self._count = 0

        @expose
        def count(self) -> int:
            self._count += 1
            return self._count

    return Counter


@pytest.mark.parametrize(
    ("mode", "counts"),
    [("single", [1, 2, 3, 4, 5]), ("session", [1, 2, 1, 3, 1]), ("percall", [1] * 5)],
)
def test_a_connection_is_a_session(
    client: StockClient, served: Daemon, mode: str, counts: list[int]
) -> None:
    code = """
with Pyro5.api.Proxy(uri) as other:
    counts = [shop.count(), shop.count(), other.count(), shop.count()]
shop._pyroRelease()
assert counts + [shop.count()] == expected, counts
"""
    uri = served.register(counter_of(mode))
    client.run(uri, "serpent", code, expected=counts)


def test_annotations_and_correlation_ids(run: Run) -> None:
    run("""
context.annotations = {"ABCD": b"x" * 300, "EFGH": b""}
assert shop.add(1) == 2
shop._pyroRelease()
number = context.correlation_id = uuid.UUID(int=5)
assert shop.add(1) == 2 and list(shop.numbers(2)) == [0, 1]
with raises(KeyError):
    shop.fail("builtin")
shop._pyroRawWireResponse = True
batch = Pyro5.api.BatchProxy(shop)
batch.add(1)
for ask in (
    lambda: shop.add(1),
    lambda: shop.fail("builtin"),
    lambda: shop._pyroInvoke("sell", (), {}),
    lambda: shop.numbers(1),
    lambda: shop.lock(),
    lambda: shop.echo("x" * 10**6),
    lambda: shop._pyroInvokeBatch([("add", (1,), {})]),
):
    reply = ask()
    assert reply.flags & Pyro5.protocol.FLAGS_CORR_ID, reply
    assert bytes(reply.corr_id) == number.bytes
context.correlation_id = None
reply = shop.add(1)
assert bytes(reply.corr_id) == bytes(16) and not reply.flags & Pyro5.protocol.FLAGS_CORR_ID
""")


def test_a_deadline_passes_and_the_next_call_is_right(run: Run) -> None:
    run("""
shop._pyroTimeout = 0.1
with raises(Pyro5.errors.TimeoutError):
    shop.wait()
assert shop._pyroConnection is None
shop._pyroTimeout = None
assert shop.let() is None and shop.wait() is True
shop._pyroReconnect(1)
assert shop.add(1) == 2
""")


def test_large_values(run: Run) -> None:
    run("""
size = 10 * 2**20
data = "ä" + "x" * size if serializer == "json" else bytes(range(256)) * (size // 256)
assert shop.echo(data) == data
assert shop.add(1) == 2
""")


def test_what_is_too_large_is_told(client: StockClient, serializer: str, shop: Shop) -> None:
    with pytest.warns(InsecureWarning):
        daemon = Daemon("127.0.0.1", insecure=True, settings=Settings(max_message_bytes=100_000))
    with daemon:
        daemon.start()
        code = """
with raises(TypeError, "its result of", "Settings.max_message_bytes of the daemon"):
    shop.grow_text(100_001)
assert shop.add(1) == 2
Pyro5.config.COMPRESSION = True
with raises(Pyro5.errors.PyroError, "more than 100000 bytes when it is decompressed"):
    shop.echo("x" * 100_001)
assert shop.add(1) == 2
Pyro5.config.COMPRESSION = False
with raises(Pyro5.errors.ConnectionClosedError):
    shop.echo("x" * 100_001)
assert shop.add(1) == 2
"""
        uri = daemon.register(shop)
        client.run(uri, serializer, code)


def test_answers_that_come_later(run: Run) -> None:
    run("""
shop.let()
assert shop.later({"a": [1]}) == {"a": [1]}
with raises(KeyError) as caught:
    shop.later("fail")
assert caught[0].args == ("bolt", 3) and "in later" in "".join(caught[0]._pyroTraceback)
batch = Pyro5.api.BatchProxy(shop)
batch.later(1)
batch.add(1)
batch.later("fail")
results = batch()
assert [next(results), next(results)] == [1, 2]
with raises(KeyError):
    next(results)

def ask():
    with Pyro5.api.Proxy(uri) as own:
        answers.append(own.as_a_future(5))

answers = []
threads = [threading.Thread(target=ask) for _ in range(3)]
for thread in threads:
    thread.start()
kept = 0
while kept < 3:
    kept += shop.keep_promises()
for thread in threads:
    thread.join()
assert answers == [5, 5, 5]
""")


def test_a_caller_that_goes_away_is_noticed(run: Run) -> None:
    run("""
with Pyro5.api.Proxy(uri) as other:
    assert other.watch()
assert shop.is_gone()
""")


def test_many_oneway_calls(run: Run) -> None:
    run("""
shop.let()
for _ in range(600):
    shop.tell()
assert shop.add(1) == 2
""")


def test_threads_with_a_proxy_each(run: Run) -> None:
    run("""
failures = []
def work(number):
    try:
        with Pyro5.api.Proxy(uri) as own:
            for each in range(50):
                assert own.add(number, each) == number + each
                assert own.echo([number, each]) == [number, each]
    except BaseException as error:
        failures.append(error)
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
""")


def test_marshal_is_refused_before_a_byte_of_it_is_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import marshal

    def trap(*_: Any) -> None:
        raise AssertionError("marshal was asked to read")

    monkeypatch.setattr(marshal, "loads", trap)
    run("""
import marshal
P = Pyro5.protocol
words = "serializer 'marshal' is refused here: use serpent"
right = marshal.dumps({"handshake": "hello", "object": shop._pyroUri.object})
for data in (right, b"junk", b""):
    connection = dial(uri)
    reply, told = exchange(connection, P.MSG_CONNECT, 2, data)
    assert reply.type == P.MSG_CONNECTFAIL and told == words, told
    connection.close()
other = Pyro5.api.Proxy(uri)
other._pyroSerializer = "marshal"
with raises(Pyro5.errors.CommunicationError, "rejected", words):
    other.add(1)

shop._pyroBind()
call = marshal.dumps((shop._pyroUri.object, "add", (1,), {}))
for data in (call, b"junk", b""):
    for flags in (0, P.FLAGS_BATCH):
        reply, told = exchange(shop._pyroConnection, P.MSG_INVOKE, 2, data, flags)
        assert reply.flags & P.FLAGS_EXCEPTION and reply.seq == 7
        assert type(told) is Pyro5.errors.PyroError and str(told) == words, told
shop._pyroSerializer = "marshal"
with raises(Pyro5.errors.SerializeError, "invalid serializer in response: 1"):
    shop.add(1)
shop._pyroSerializer = None
assert shop.add(1) == 2            # the connection goes on
for number in (0, 5, 82, 255):     # 82 is our own codec, which this peer has not agreed on
    reply, told = exchange(shop._pyroConnection, P.MSG_INVOKE, number, b"junk")
    assert f"serializer '{number}' is refused here" in str(told), told
assert shop.add(1) == 2
""")


def test_what_is_compressed_is_unpacked(run: Run) -> None:
    run("""
Pyro5.config.COMPRESSION = True
assert shop.echo("x" * 1000) == "x" * 1000 and shop.add(1) == 2
assert shop.echo(["ä", {"a": list(range(500))}])[1]["a"][499] == 499
batch = Pyro5.api.BatchProxy(shop)
for number in range(50):
    batch.add(number)
assert list(batch()) == list(range(1, 51))
with raises(TypeError, "unexpected keyword argument"):
    shop.add(1, **{"colour" * 50: 2})

P = Pyro5.protocol
codec = Pyro5.serializers.serializers[serializer]
hello = {"handshake": "x" * 200, "object": shop._pyroUri.object}
connection = dial(uri)
reply, _ = exchange(connection, P.MSG_CONNECT, codec.serializer_id, codec.dumps(hello))
assert reply.type == P.MSG_CONNECTOK
connection.close()
hello["handshake"] = "x" * 5000        # more than a stranger may say
connection = dial(uri)
reply, told = exchange(connection, P.MSG_CONNECT, codec.serializer_id, codec.dumps(hello))
assert reply.type == P.MSG_CONNECTFAIL and "more than 4096 bytes" in told, told
connection.close()
""")


def test_what_cannot_be_unpacked_is_refused_in_words(run: Run) -> None:
    run("""
import zlib
P = Pyro5.protocol
codec = Pyro5.serializers.serializers[serializer]
call = codec.dumpsCall(shop._pyroUri.object, "echo", ("x",), {})
shop._pyroBind()

def send(payload, flags):
    message = SendingMessage(P.MSG_INVOKE, flags, 7, codec.serializer_id, payload)
    data = bytearray(message.data)
    data[8:10] = flags.to_bytes(2, "big")     # Pyro5 takes COMPRESSED away
    shop._pyroConnection.send(bytes(data))
    reply = P.recv_stub(shop._pyroConnection)
    assert reply.seq == 7
    return reply.flags & P.FLAGS_EXCEPTION, codec.loads(reply.data)

assert send(zlib.compress(call), P.FLAGS_COMPRESSED) == (0, "x")
for wrong in (b"", b"junk", call, zlib.compress(call)[:-1], zlib.compress(call) + b"x"):
    failed, told = send(wrong, P.FLAGS_COMPRESSED)
    assert failed and "cannot be decompressed" in str(told), told
failed, told = send(call, P.FLAGS_KEEPSERIALIZED)
assert failed and "the flag KEEP_SERIALIZED is refused here" in str(told), told
with raises(Pyro5.errors.PyroError, "the flag KEEP_SERIALIZED is refused here"):
    shop.echo(Pyro5.api.SerializedBlob("info", 5))
context.annotations = {}
assert shop.add(1) == 2
""")


def test_it_reconnects_when_the_daemon_is_back(client: StockClient, serializer: str) -> None:
    with pytest.warns(InsecureWarning):
        first = Daemon("127.0.0.1", insecure=True)
    with first:
        first.start()
        uri = first.register(Warehouse(), "shop")
        code = "kept['shop'] = Pyro5.api.Proxy(uri)\nassert kept['shop'].add(1) == 2"
        client.run(uri, serializer, code)
    code = """
lost = kept["shop"]
with raises(Pyro5.errors.ConnectionClosedError):
    lost.add(1)
with raises(Pyro5.errors.CommunicationError, "cannot connect"):
    lost.add(1)
"""
    client.run(uri, serializer, code)
    with pytest.warns(InsecureWarning):
        again = Daemon("127.0.0.1", first.port, insecure=True)
    with again:
        again.start()
        again.register(Warehouse(), "shop")
        client.run(
            uri, serializer, "assert kept['shop'].add(1) == 2\nkept.pop('shop')._pyroRelease()"
        )
