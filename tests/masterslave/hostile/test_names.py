"""Of what name servers, farms and slaves serve, nothing is called that is not exposed.

Every attribute of each object is tried, and dotted and dunder names, by who may do all: an
operator, or this user.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from masterslave import Farm
from masterslave.master.door import Door
from masterslave.slave.agent import Agent
from masterslave.slave.desk import Desk
from masterslave.slave.giving import Giver
from nameserver import NameServer
from nameserver.pairing.authority import AuthorityService
from nameserver.pairing.presence import AUTHORITY
from nameserver.record import NAME_SERVER
from nameserver.service import NameService
from remoteobj import Daemon, Identity, Proxy
from remoteobj.identity.office import found_cluster
from remoteobj.published import _DaemonObject

Served = tuple[type, str, Identity | None]


@contextlib.contextmanager
def of_a_name_server() -> Iterator[list[Served]]:
    found_cluster("lab", name="hall", now=time.time())
    identity = Identity.stored("lab")
    with NameServer("127.0.0.1", identity=identity, announce=False, join_port=0) as server:
        yield [
            (NameService, f"PYRO:{NAME_SERVER}@{server.address}", identity),
            (AuthorityService, f"PYRO:{AUTHORITY}@{server.address}", identity),
        ]


@contextlib.contextmanager
def of_a_farm() -> Iterator[list[Served]]:
    with Farm("test", local_slaves=0, identity=None) as farm:
        yield [(Door, str(farm.uri), None)]


@contextlib.contextmanager
def of_a_slave() -> Iterator[list[Served]]:
    giver = Giver(None, identity=None)
    agent = Agent(slots=1, report=print)
    desk = Desk(agent, lambda: None, print)
    desk.open()
    try:
        assert desk._daemon is not None
        yield [
            (Giver, str(giver.uri), None),
            (Desk, str(desk._daemon.uri_of("masterslave.slave")), None),
        ]
    finally:
        desk.close()
        giver.close()
        agent.close()


@contextlib.contextmanager
def of_a_daemon() -> Iterator[list[Served]]:
    with Daemon() as daemon:
        daemon.start()
        yield [(_DaemonObject, f"PYRO:Pyro.Daemon@{daemon.location}", None)]


Serve = Callable[[], "contextlib.AbstractContextManager[list[Served]]"]


def names_of(kind: type, exposed: set[str]) -> set[str]:
    """Return what nobody may call: each attribute, and ways to something through what one may."""
    names = {*dir(kind), *vars(object), "__dict__", "__globals__", "__code__", "__call__"}
    for name in (*sorted(exposed), *sorted(set(dir(kind)) - exposed)[:20]):
        for inner in (
            "__globals__",
            "__func__",
            "__self__",
            "__call__",
            "__class__",
            "_pyroExposed",
        ):
            names |= {f"{name}.{inner}", f"{inner}.{name}", f"self.{name}", f"{name}."}
    names |= {"", ".", "..", "_", "__", " ping", "ping ", "ping\0", "Ping", "PING", "é" * 99}
    names |= {f"_{name}" for name in exposed}
    return names - exposed


@pytest.mark.parametrize(
    "serve", [of_a_name_server, of_a_farm, of_a_slave, of_a_daemon], ids=lambda each: each.__name__
)
def test_only_what_is_exposed_is_called(serve: Serve) -> None:
    with serve() as served:
        for kind, uri, identity in served:
            with Proxy(uri, identity=identity) as proxy:
                exposed = set(dir(proxy))
                assert exposed
                assert {name for name in exposed if name.startswith("_") or "." in name} == set()
                assert exposed == public_of(kind)
                tried = 0
                for name in names_of(kind, exposed):
                    for method, args in ways_to(name):
                        with pytest.raises(AttributeError):
                            proxy._channel.call(method, args, {}, 5.0)
                        tried += 1
                assert tried > 500


def ways_to(name: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Return calls of it, and of what reads and sets attributes for callers."""
    return [
        (name, ()),
        (name, ("x",)),
        ("__getattr__", (name,)),
        ("__setattr__", (name, 1)),
        ("__delattr__", (name,)),
        ("__getattribute__", (name,)),
    ]


def public_of(kind: type) -> set[str]:
    """Return what is meant to be called: public methods that are marked, or whose class is."""
    whole = getattr(kind, "_pyroExposed", False)
    return {
        name
        for name, value in vars(kind).items()
        if not name.startswith("_")
        and callable(value)
        and (whole or getattr(value, "_pyroExposed", False))
    }
