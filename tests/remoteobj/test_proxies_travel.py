"""A proxy that travels keeps its address, and gets the rights of who receives it, no others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from servants import Connect

from remoteobj import Daemon, Identity, InsecureRefused, Proxy, batch, expose
from tests.certificates import Files


def name_of(proxy: Any) -> str:
    with proxy:  # which releases it: tests leave no connection behind
        name: str = proxy.name()
        return name


@expose
class Hub:
    """Calls the proxies that it gets, and hands out those that it keeps."""

    def __init__(self) -> None:
        self._kept: Any = None

    def call(self, proxy: Any, *, again: Any = None) -> list[str]:
        self._kept = proxy
        return [name_of(each) for each in (proxy, again) if each is not None]

    def call_in(self, value: Any) -> str:
        return name_of(value["proxies"][0])

    def call_kept(self) -> str:
        names: list[str] = []
        thread = threading.Thread(target=lambda: names.append(name_of(self._kept)))
        thread.start()
        thread.join()
        return names[0]

    async def call_later(self, proxy: Any) -> str:
        return name_of(proxy)

    @property
    def kept(self) -> Any:
        return self._kept

    @kept.setter
    def kept(self, proxy: Any) -> None:
        self._kept = proxy

    def give(self) -> Any:
        return {"kept": (self._kept,)}

    def items(self) -> Iterator[Any]:
        yield self._kept

    def fail(self) -> None:
        raise LookupError(self._kept)


@expose
class Worker:
    def name(self) -> str:
        return "worker"


@pytest.fixture
def theirs(cluster: dict[str, Files]) -> Identity:
    """Another node of the cluster."""
    return Identity.from_files(*cluster["slave"])


@pytest.fixture
def hub(identity: Identity, theirs: Identity) -> Iterator[Any]:
    with Daemon("127.0.0.1", identity=identity) as daemon:
        uri = daemon.register(Hub())
        daemon.start()
        with Proxy(uri, identity=theirs) as proxy:
            yield proxy


@pytest.fixture
def worker(theirs: Identity) -> Iterator[Any]:
    with Daemon("127.0.0.1", identity=theirs) as daemon:
        uri = daemon.register(Worker())
        daemon.start()
        with Proxy(uri, identity=theirs) as proxy:
            yield proxy


def test_a_proxy_that_is_passed_gets_the_daemons_identity(hub: Any, worker: Any) -> None:
    assert hub.call(worker) == ["worker"]
    assert hub.call(worker, again=worker) == ["worker", "worker"]
    assert hub.call_in({"proxies": (worker,)}) == "worker"
    assert hub.call_kept() == "worker"
    assert hub.call_later(worker) == "worker"
    hub.kept = worker
    assert hub.call_kept() == "worker"
    calls = batch(hub)
    calls.call(worker)
    calls.call_in({"proxies": [worker]})
    assert list(calls()) == [["worker"], "worker"]


def test_a_proxy_that_is_returned_gets_the_callers_identity(
    hub: Any, worker: Any, theirs: Identity
) -> None:
    hub.call(worker)
    calls = batch(hub)
    calls.give()
    with pytest.raises(LookupError) as caught:
        hub.fail()
    arrived = [
        hub.kept,
        hub.give()["kept"][0],
        next(hub.items()),
        next(calls())["kept"][0],
        caught.value.args[0],
    ]
    for proxy in arrived:
        assert proxy == worker
        assert proxy._channel.identity is theirs
        assert name_of(proxy) == "worker"


def test_without_an_identity_a_proxy_gets_none(
    worker: Any, daemon: Daemon, tcp_daemon: Daemon, connect: Connect
) -> None:
    for publisher in (daemon, tcp_daemon):
        hub = connect(publisher.register(Hub()))
        with pytest.raises(InsecureRefused, match="needs an identity: "):
            hub.call(worker)
        with pytest.raises(InsecureRefused, match="needs an identity: "):
            hub.kept.name()
        local = connect(daemon.register(Worker()))
        assert hub.call_in({"proxies": [local]}) == "worker"
