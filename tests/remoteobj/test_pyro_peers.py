"""Stock Pyro5, in a process of its own: it calls us, and we call it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servants import Connect, OutOfStock, StartScript, Warehouse

from remoteobj import URI, Daemon, ObjectUnknown, RemoteError, expose

CLIENT = """
import sys, traceback
import Pyro5.api
import Pyro5.errors
shop = Pyro5.api.Proxy(sys.argv[1])
"""


class Shop(Warehouse):
    def __init__(self, uri: URI) -> None:
        super().__init__()
        self._uri = uri

    @expose
    def fail(self, how: str) -> None:
        if how == "builtin":
            raise ValueError("no", 3)
        raise OutOfStock("bolt", left=3)

    @expose
    def where(self) -> URI:
        return self._uri


RunClient = Callable[[Daemon, str], str]


@pytest.fixture
def run_client(start_script: StartScript) -> RunClient:
    """Run a stock client against a Shop; return what it prints. An assert in it fails the test."""

    def run(daemon: Daemon, code: str) -> str:
        shop = Shop(daemon.uri_of("elsewhere"))
        shop.gate.set()
        uri = daemon.register(shop)
        process = start_script("-c", CLIENT + code, str(uri))
        output, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors
        return output

    return run


def test_a_stock_client_calls_us_on_tcp(tcp_daemon: Daemon, run_client: RunClient) -> None:
    code = """
import Pyro5.client
assert shop.add(1) == 2 and shop.add(1, right=2, times=3) == 9
shop.shelf = 4
assert shop.shelf == 4
assert shop.tell() is None            # oneway: the call still runs
value = {"a": [1, 2.5, None, True], (1, 2): {3}}
assert shop.echo(value) == value
data = shop.echo(bytes(range(256)))
assert data == bytes(range(256)), data
assert shop.grow(1000) == b"x" * 1000
where = shop.where()
assert type(where) is Pyro5.api.URI and where.object == "elsewhere", where
assert shop.echo(where) == where
for name in ("_hidden", "sell"):
    try:
        getattr(shop, name)()
    except AttributeError as error:
        pass
    else:
        raise AssertionError(name)
try:
    shop.fail("builtin")
except ValueError as error:
    assert error.args == ("no", 3)
    assert "in fail" in "".join(Pyro5.errors.get_pyro_traceback())
shop._pyroRelease()
assert shop.add(1) == 2
print("right")
"""
    assert run_client(tcp_daemon, code) == "right\n"


def test_a_stock_client_sees_our_custom_exception(
    tcp_daemon: Daemon, run_client: RunClient
) -> None:
    code = """
try:
    shop.fail("custom")
except Pyro5.errors.PyroError as error:   # as from a stock daemon: it does not know the class
    assert "servants.OutOfStock" in str(error), error
def make(name, data):
    return LookupError(*data["args"])
Pyro5.api.register_dict_to_class("servants.OutOfStock", make)
try:
    shop.fail("custom")
except LookupError as error:
    assert error.args == ("bolt: 3 left",)
    print("right")
"""
    assert run_client(tcp_daemon, code) == "right\n"


def test_a_stock_client_calls_us_on_a_unix_socket(daemon: Daemon, run_client: RunClient) -> None:
    assert run_client(daemon, "print(shop.add(20, 3))") == "23\n"


@pytest.mark.parametrize("serializer", ["marshal"])
def test_a_stock_client_with_another_serializer_reads_why_not(
    tcp_daemon: Daemon, run_client: RunClient, serializer: str
) -> None:
    code = f"""
Pyro5.config.SERIALIZER = {serializer!r}
try:
    shop.add(1)
except Pyro5.errors.CommunicationError as error:
    print(error)
"""
    assert f"serializer '{serializer}' is refused here: use serpent" in run_client(tcp_daemon, code)


def test_a_stock_client_asks_for_what_is_not_there(
    tcp_daemon: Daemon, run_client: RunClient
) -> None:
    code = """
shop = Pyro5.api.Proxy(sys.argv[1].replace(":obj_", ":no_"))
try:
    shop.add(1)
except Pyro5.errors.CommunicationError as error:
    print(error)
"""
    assert "there is no object 'no_" in run_client(tcp_daemon, code)


SERVER = """
import sys, threading
import Pyro5.api

class OutOfBolts(Exception):
    def __init__(self, left):
        super().__init__(f"{left} left")
        self.left = left

@Pyro5.api.expose
class Shop:
    def __init__(self):
        self._shelf = 0
    def add(self, left, right=1, *, times=1):
        return (left + right) * times
    def echo(self, value):
        return value
    @Pyro5.api.oneway
    def tell(self):
        pass
    @property
    def shelf(self):
        return self._shelf
    @shelf.setter
    def shelf(self, value):
        self._shelf = value
    def fail(self, how):
        if how == "builtin":
            raise KeyError("bolt")
        raise OutOfBolts(3)
    def where(self):
        return self._pyroDaemon.uriFor("elsewhere")
    def me(self):
        return self

daemon = Pyro5.api.Daemon(**eval(sys.argv[1]))
print(daemon.register(Shop(), "shop"), flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), daemon.shutdown()), daemon=True).start()
daemon.requestLoop()
"""


@pytest.fixture
def stock_daemon(start_script: StartScript) -> str:
    """The URI of a Shop that a stock daemon serves."""
    process = start_script("-c", SERVER, "{'host': '127.0.0.1'}")
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_we_call_a_stock_daemon(stock_daemon: str, connect: Connect) -> None:
    shop = connect(stock_daemon)
    assert dir(shop) == ["add", "echo", "fail", "me", "shelf", "tell", "where"]
    assert shop.add(1) == 2
    assert shop.add(1, right=2, times=3) == 9
    shop.shelf = 4
    assert shop.shelf == 4
    assert shop.tell() is None
    assert shop.echo({"a": [1, 2.5, None], (1, 2): {3}}) == {"a": [1, 2.5, None], (1, 2): {3}}
    where = shop.where()
    assert type(where) is URI
    assert where.object == "elsewhere"
    assert shop.echo(where) == where
    assert shop.me() == URI(stock_daemon)  # a proxy of Pyro5's arrives as its URI
    with pytest.raises(AttributeError, match="exposes no method or attribute 'sell'"):
        shop.sell()


def test_bytes_come_back_from_a_stock_daemon(stock_daemon: str, connect: Connect) -> None:
    value = connect(stock_daemon).echo(bytes(range(256)))
    assert value == bytes(range(256))


def test_exceptions_of_a_stock_daemon(stock_daemon: str, connect: Connect) -> None:
    shop = connect(stock_daemon)
    with pytest.raises(KeyError) as caught:
        shop.fail("builtin")
    assert caught.value.args == ("bolt",)
    assert "in fail" in "".join(traceback.format_exception(caught.value))
    with pytest.raises(RemoteError) as unknown:
        shop.fail("custom")
    assert (unknown.value.type_name, unknown.value.message) == ("__main__.OutOfBolts", "3 left")
    assert "OutOfBolts: 3 left" in "".join(traceback.format_exception(unknown.value))


def test_an_object_that_a_stock_daemon_has_not(stock_daemon: str, connect: Connect) -> None:
    with pytest.raises(ObjectUnknown, match="'other'"):
        connect(stock_daemon.replace(":shop@", ":other@")).add(1)


def test_many_threads_call_a_stock_daemon(stock_daemon: str, connect: Connect) -> None:
    shop = connect(stock_daemon)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shop.add, range(80))) == list(range(1, 81))


def test_a_stock_daemon_on_a_unix_socket(
    start_script: StartScript, connect: Connect, own_machine: Path
) -> None:
    path = str(own_machine / "stock.sock")
    process = start_script("-c", SERVER, repr({"unixsocket": path}))
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    assert uri == f"PYRO:shop@./u:{path}"
    assert connect(uri).add(1) == 2


def test_a_class_marked_by_pyro5_itself_is_exposed_here(daemon: Daemon, connect: Connect) -> None:
    import Pyro5.api

    @Pyro5.api.behavior(instance_mode="single")
    class Marked:
        @Pyro5.api.expose
        def add(self, left: int) -> int:
            return left + 1

        @Pyro5.api.expose
        @Pyro5.api.oneway
        def tell(self) -> None:
            pass

        def hidden(self) -> None:
            pass

    proxy = connect(daemon.register(Marked))
    assert dir(proxy) == ["add", "tell"]
    assert proxy.add(1) == 2
    assert proxy.tell() is None
