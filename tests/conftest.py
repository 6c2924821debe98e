"""Every test has a user's directories of its own, stays on loopback, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from remoteobj import Identity
from tests.bombs import Bomb
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


_HANGS_S = 300.0  # pytest-timeout ends a test before, but not what it leaves to its fixtures


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real stderr, which no test captures."""
    _stderr.append(os.dup(2))


_stderr: list[int] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """End the run with the stacks of all threads where a test, or its fixtures, hang."""
    faulthandler.dump_traceback_later(_HANGS_S, exit=True, file=_stderr[0])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started; none if it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def processes_of(folder: Path) -> dict[int, str]:
    """Return the command lines of processes whose runtime directory is *folder*."""
    mark = f"XDG_RUNTIME_DIR={folder}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command and entry.name != str(os.getpid()):  # a zombie has none
                    found[int(entry.name)] = command
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return found


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Set directories of the test's own; check that no thread and no process outlives it."""
    short = Path(tempfile.mkdtemp(prefix="ro-"))  # tmp_path is too long for a Unix socket
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(short / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(short / "cache"))
    monkeypatch.setenv("REMOTEOBJ_INTERFACES", "127.0.0.1")
    for name in (
        "REMOTEOBJ_CLUSTER",
        "REMOTEOBJ_FARM_HANDLERS",
        "REMOTEOBJ_FARM_HERE",
        "REMOTEOBJ_FARM_KEEP_GOING",
        "REMOTEOBJ_FARM_TRACE",
        "REMOTEOBJ_IDENTITY",
        "REMOTEOBJ_INSECURE",
        "REMOTEOBJ_NAMESERVER",
    ):
        monkeypatch.delenv(name, raising=False)
    before = set(threading.enumerate())
    yield short
    leases = sys.modules.get("nameserver.leases")
    if leases is not None:
        leases.keeper.close()  # what a process registers it keeps until it ends
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
def bomb(tmp_path: Path) -> Iterator[Bomb]:
    """It may not go off in a test that has it."""
    bomb = Bomb(tmp_path / "owned")
    yield bomb
    assert not bomb.has_gone_off()


@pytest.fixture
def start_script(own_machine: Path) -> Iterator[StartScript]:
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
        try:
            process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:  # a child of its own lives on, and holds its output
            left = processes_of(own_machine)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            process.communicate()
            pytest.fail(f"a script was killed, and did not take along {left}")
