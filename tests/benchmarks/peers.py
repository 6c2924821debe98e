"""The systems that are measured: how each serves an echo, and how a client calls it.

A system's libraries are imported when it is used, so that one which is not installed is a line in
the table that says so. What a system cannot carry itself is packed by hand, with pickle: records
where it carries bytes only, arrays where it knows no arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.bytes_only import GrpcClient, ZmqClient, serve_grpc, serve_zmq
from tests.benchmarks.echo import Client
from tests.benchmarks.encrypted import (
    OurTlsClient,
    RawTlsClient,
    serve_ours_tls,
    serve_raw_tls,
)
from tests.benchmarks.objects import (
    ManagerClient,
    PyroClient,
    RpycClient,
    SerpentClient,
    serve_manager,
    serve_pyro,
    serve_rpyc,
)
from tests.benchmarks.ours import OurClient, serve_ours
from tests.benchmarks.raw import serve_raw

__all__ = ["RAW", "REMOTEOBJ", "SYSTEMS", "TLS", "System"]


@dataclass(frozen=True, slots=True)
class System:
    """One way to call another process."""

    name: str
    distribution: str  # whose version is named; "" is Python's own
    modules: tuple[str, ...]  # that must be there
    serve: Callable[[str, Path], AbstractContextManager[str]]
    connect: Callable[[str], Client]


RAW = System("raw socket", "", (), serve_raw, lambda _: Client())
REMOTEOBJ = System("remoteobj", "remoteobj-farm", (), serve_ours, OurClient)
SYSTEMS = (
    REMOTEOBJ,
    System("managers", "", (), serve_manager, ManagerClient),
    System("Pyro5 msgpack", "Pyro5", ("Pyro5", "msgpack"), serve_pyro, PyroClient),
    System("Pyro5 serpent", "serpent", ("Pyro5",), serve_pyro, SerpentClient),
    System("RPyC", "rpyc", ("rpyc",), serve_rpyc, RpycClient),
    System("pyzmq", "pyzmq", ("zmq",), serve_zmq, ZmqClient),
    System("grpcio", "grpcio", ("grpc",), serve_grpc, GrpcClient),
)
TLS = (
    System("remoteobj TLS", "", ("cryptography",), serve_ours_tls, OurTlsClient),
    System("raw TLS", "", ("cryptography",), serve_raw_tls, RawTlsClient),
    System(
        "remoteobj Unix socket", "", (), lambda _, folder: serve_ours("unix", folder), OurClient
    ),
)
"""The ways that are safe; only beside each other, and beside plain TCP."""
