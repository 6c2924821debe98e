"""Daemons, proxies and raw sockets for the tests of remoteobj; a test cleans up what it made."""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import raw_peers
from servants import Connect, Desk, Dial, Warehouse

from remoteobj import URI, Daemon, InsecureWarning, Proxy, release, runtime


@pytest.fixture(autouse=True)
def _runtime_dir_is_empty_after(own_machine: Path) -> Iterator[None]:
    """No socket, lock or file descriptor of a daemon outlives the test."""
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    yield
    left = [path.name for path in own_machine.glob("remoteobj/*")]
    assert not left, f"left in the runtime directory: {left}"
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before, "a file descriptor was left open"


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    target = Warehouse()
    yield target
    target.gate.set()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon on a Unix socket, serving."""
    with Daemon() as running:
        running.start()
        yield running


@pytest.fixture
def tcp_daemon() -> Iterator[Daemon]:
    """A daemon on plain TCP of loopback, serving."""
    with pytest.warns(InsecureWarning):
        running = Daemon("127.0.0.1", insecure=True)
    with running:
        running.start()
        yield running


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make a proxy, on plain TCP too, that is released when the test ends."""
    made: list[Proxy] = []

    def make(uri: URI | str, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureWarning)
            proxy = Proxy(uri, insecure=True, **options)
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        release(proxy)


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Open a bare socket to a daemon."""
    with contextlib.ExitStack() as stack:

        def open_socket(daemon: Daemon) -> socket.socket:
            return stack.enter_context(raw_peers.dial(daemon.location))

        yield open_socket


@pytest.fixture
def no_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process finds no Unix sockets, as on Windows; see ``tests.loopback`` for others."""
    monkeypatch.setattr(runtime, "host_has_unix_sockets", lambda: False)


@pytest.fixture
def place(no_unix_sockets: None, daemon: Daemon) -> Path:
    """The file of a daemon on loopback; "desk" is published there."""
    daemon.register(Desk(), "desk")
    return Path(daemon.location.removeprefix("./u:"))
