"""Every test has a user's directories of its own, stays on loopback, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remoteobj import Identity
from tests.certificates import Files, make_cluster

PATIENCE_S = 10.0

StartScript = Callable[..., subprocess.Popen[str]]


def eventually(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds, and fail with *what* if it does not in time."""
    tick = threading.Event()
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        tick.wait(0.01)


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes whose runtime directory is *folder*."""
    mark = f"XDG_RUNTIME_DIR={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0") and entry.name != str(
                os.getpid()
            ):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return [command for command in found if command]  # a zombie has none


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Set directories of the test's own; check that no thread and no process outlives it."""
    short = Path(tempfile.mkdtemp(prefix="ro-"))  # tmp_path is too long for a Unix socket
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(short / "config"))
    monkeypatch.setenv("REMOTEOBJ_INTERFACES", "127.0.0.1")
    for name in ("REMOTEOBJ_NAMESERVER", "REMOTEOBJ_INSECURE", "REMOTEOBJ_IDENTITY"):
        monkeypatch.delenv(name, raising=False)
    before = set(threading.enumerate())
    yield short
    eventually(
        lambda: not set(threading.enumerate()) - before,
        f"threads end: {set(threading.enumerate()) - before}",
    )
    if sys.platform == "linux":
        eventually(lambda: not processes_of(short), f"processes end: {processes_of(short)}")
    shutil.rmtree(short)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """The files of two nodes of one cluster, "master" and "slave"."""
    return make_cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="session")
def identity(cluster: dict[str, Files]) -> Identity:
    """Who the tests' own process is."""
    return Identity.from_files(*cluster["master"])


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of a node of another cluster."""
    return make_cluster(tmp_path_factory.mktemp("other"), ["stranger"])["stranger"]


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
