"""A runtime directory of its own for every test, loopback only, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from nameserver import NameServer, NameServerClient
from remoteobj import InsecureWarning

OURS = ("nameserver", "remoteobj", "zeroconf")

StartScript = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def _own_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    short = tempfile.mkdtemp(prefix="ro-")  # tmp_path is too long for a Unix socket
    monkeypatch.setenv("XDG_RUNTIME_DIR", short)
    monkeypatch.setenv("REMOTEOBJ_INTERFACES", "127.0.0.1")
    for name in ("REMOTEOBJ_NAMESERVER", "REMOTEOBJ_INSECURE"):
        monkeypatch.delenv(name, raising=False)
    before = set(threading.enumerate())
    yield
    shutil.rmtree(short)
    deadline = time.monotonic() + 3.0  # longer than a thread waits that proves an announcement
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), f"left behind: {thread.name}"


@pytest.fixture
def start_script() -> Iterator[StartScript]:
    """Start Python code, or ``-m module`` with arguments, in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server on loopback that is not announced."""
    with pytest.warns(InsecureWarning):
        running = NameServer("127.0.0.1", insecure=True, announce=False)
    with running:
        yield running


@pytest.fixture
def client(server: NameServer) -> Iterator[NameServerClient]:
    with closing(NameServerClient(server.address, insecure=True, quiet=True)) as client:
        yield client
