"""Proxies: any thread, any daemon that comes back, and errors that say whether the call ran."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from servants import Connect, StartScript, Warehouse

from remoteobj import (
    BadURI,
    ConnectionLost,
    Daemon,
    DeadlinePassed,
    InsecureWarning,
    NotSendable,
    Proxy,
    Settings,
    options,
    release,
)
from tests.conftest import eventually


@pytest.fixture
def proxy(daemon: Daemon, warehouse: Warehouse, connect: Connect) -> Proxy:
    made: Proxy = connect(daemon.register(warehouse, "warehouse"))
    return made


def test_fifty_threads_share_one_proxy(proxy: Proxy) -> None:
    start = threading.Barrier(50)

    def work(number: int) -> bool:
        start.wait(10.0)
        return all(proxy.echo([number, n]) == [number, n] for n in range(20))

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(work, range(50)))


def test_methods_attributes_and_keywords(proxy: Proxy) -> None:
    assert proxy.add(1, right=2, times=3) == 9
    proxy.shelf = 4
    assert proxy.shelf == 4
    assert dir(proxy) == ["add", "echo", "grow", "shelf", "tell", "wait"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        proxy.add(1, colour="red")


def test_what_is_not_exposed_is_named(proxy: Proxy) -> None:
    with pytest.raises(AttributeError, match=r"warehouse@.*exposes no method or attribute 'sell'"):
        proxy.sell()
    with pytest.raises(AttributeError, match="exposes no attribute 'add'"):
        proxy.add = 3
    for name in ("_hidden", "__len__", "__deepcopy__"):
        with pytest.raises(AttributeError, match=f"{name!r} is private"):
            getattr(proxy, name)
    with pytest.raises(AttributeError, match="'_hidden' is private"):
        proxy._hidden = 3


def test_odd_use_asks_nobody(connect: Connect) -> None:
    nobody = connect("PYRO:warehouse@./u:/no/such.sock")
    assert bool(nobody)
    assert not hasattr(nobody, "__len__")
    assert repr(nobody) == "<Proxy PYRO:warehouse@./u:/no/such.sock>"
    assert nobody == connect("PYRO:warehouse@./u:/no/such.sock")
    assert nobody != 3
    assert {nobody: 1}[connect("PYRO:warehouse@./u:/no/such.sock")] == 1
    with pytest.raises(TypeError, match="not iterable"):
        iter(nobody)
    with pytest.raises(TypeError, match="not callable"):
        nobody()
    release(nobody)


def test_a_copy_has_connections_of_its_own(proxy: Proxy) -> None:
    limited = options(proxy, timeout_s=9.0)
    for other in (
        copy.copy(proxy),
        copy.deepcopy(proxy),
        pickle.loads(pickle.dumps(proxy)),
        pickle.loads(pickle.dumps(limited)),
    ):
        with other:
            assert other == proxy
            assert other.add(1) == 2
            assert other._channel is not proxy._channel
            assert other._timeout_s == (9.0 if other._timeout_s else None)


def test_a_proxy_on_tcp_warns_where_it_is_unpickled(connect: Connect) -> None:
    data = pickle.dumps(connect("PYRO:x@127.0.0.1:1"))
    with pytest.warns(InsecureWarning):
        pickle.loads(data)


def test_a_proxy_that_is_dropped_closes_its_connections(
    daemon: Daemon, warehouse: Warehouse
) -> None:
    proxy = Proxy(daemon.register(warehouse))
    assert proxy.add(1) == 2
    assert daemon.statistics().connections == 1
    del proxy
    eventually(lambda: daemon.statistics().connections == 0, "the daemon to see it go")


def test_a_released_proxy_connects_anew(daemon: Daemon, proxy: Proxy) -> None:
    assert proxy.add(1) == 2
    release(proxy)
    release(proxy)
    assert proxy.add(1) == 2


def test_it_reconnects_when_the_daemon_is_back(connect: Connect, warehouse: Warehouse) -> None:
    with pytest.warns(InsecureWarning):
        first = Daemon("127.0.0.1", insecure=True)
    with first:
        first.start()
        proxy = connect(first.register(warehouse, "warehouse"))
        assert proxy.add(1) == 2
    with pytest.raises(ConnectionLost, match=f"nobody answers at {first.location}") as caught:
        proxy.add(1)
    assert caught.value.executed == "no"
    with pytest.warns(InsecureWarning):
        second = Daemon("127.0.0.1", first.port or 0, insecure=True)
    with second:
        second.register(warehouse, "warehouse")
        second.start()
        assert proxy.add(1) == 2


DIE = """
import os, sys
from remoteobj import Daemon, expose
@expose
class Shop:
    def die(self):
        os._exit(3)
daemon = Daemon()
print(daemon.register(Shop()), flush=True)
daemon.serve_forever()
"""


def test_a_server_that_dies_in_mid_call_may_have_run_it(
    start_script: StartScript, connect: Connect
) -> None:
    process = start_script("-c", DIE)
    assert process.stdout is not None
    proxy = connect(process.stdout.readline().strip())
    with pytest.raises(ConnectionLost, match=r"during die\(\).*it may have run") as caught:
        proxy.die()
    assert caught.value.executed == "maybe"
    process.wait()
    with Daemon():
        pass  # sweeps what it left behind


def test_a_deadline_passes_and_the_next_call_is_right(proxy: Proxy, warehouse: Warehouse) -> None:
    with pytest.raises(DeadlinePassed, match=r"wait\(\) of .* within 0.05 s; it may") as caught:
        options(proxy, timeout_s=0.05).wait()
    assert caught.value.executed == "maybe"
    warehouse.gate.set()
    assert proxy.add(1) == 2


def test_a_deadline_of_the_settings_holds_for_every_call(
    daemon: Daemon, warehouse: Warehouse, connect: Connect
) -> None:
    proxy = connect(daemon.register(warehouse), settings=Settings(call_timeout_s=0.05))
    with pytest.raises(DeadlinePassed):
        proxy.wait()
    assert options(proxy, timeout_s=None).add(1) == 2


@pytest.mark.parametrize("timeout_s", [0, 0.0, -1.0])
def test_no_time_at_all_has_passed_at_once(proxy: Proxy, timeout_s: float) -> None:
    for _ in range(2):
        with pytest.raises(DeadlinePassed) as caught:
            options(proxy, timeout_s=timeout_s).add(1)
        assert caught.value.executed == "no"
        assert proxy.add(1) == 2  # and with a connection that is open already


def test_options_share_connections(proxy: Proxy, daemon: Daemon) -> None:
    assert options(proxy, timeout_s=5).add(1) == 2
    assert proxy.add(1) == 2
    assert daemon.statistics().connections == 1


def test_an_argument_that_cannot_be_sent_is_named_and_nothing_is_lost(
    proxy: Proxy, daemon: Daemon
) -> None:
    assert proxy.add(1) == 2
    with pytest.raises(NotSendable, match="lock"):
        proxy.echo(threading.Lock())
    with pytest.raises(NotSendable, match=r"echo\(\) argument 'value': a Plain cannot be sent"):
        proxy.echo(Plain())
    assert proxy.echo(proxy) == proxy
    assert proxy.add(1) == 2
    assert daemon.statistics().connections == 1


class Plain:
    pass


def test_a_name_needs_the_name_server(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    monkeypatch.setattr("remoteobj.client.session.resolvers", [])
    with pytest.raises(BadURI, match="PYRONAME:warehouse is a name: import nameserver"):
        connect("PYRONAME:warehouse").add(1)
    with pytest.raises(BadURI, match="'warehouse'"):
        Proxy("warehouse")


def test_many_calls_take_little_time(proxy: Proxy) -> None:
    started = time.perf_counter()
    for number in range(200):
        proxy.add(number)
    assert time.perf_counter() - started < 2.0
