"""Proxies: shared connections, daemons that come and go, deadlines, forks, and killed processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from raw_peers import RawCaller, call
from servants import Connect, StartScript

from remoteobj import (
    ConnectionLost,
    Daemon,
    DeadlinePassed,
    Proxy,
    Settings,
    batch,
    expose,
    options,
    release,
)
from tests.conftest import eventually

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


class Till:
    def __init__(self) -> None:
        self.calls = 0
        self.gate = threading.Event()
        self.running = threading.Event()

    @expose
    def null(self) -> int:
        return 0

    @expose
    def echo(self, value: Any) -> Any:
        return value

    @expose
    def count(self) -> int:
        self.calls += 1
        return self.calls

    @expose
    def wait(self) -> int:
        self.running.set()
        self.gate.wait(10.0)
        return 1

    @expose
    def slow(self, size: int) -> bytes:
        self.running.set()
        self.gate.wait(10.0)
        return bytes(size)


@pytest.fixture
def till() -> Iterator[Till]:
    made = Till()
    yield made
    made.gate.set()


@pytest.fixture(params=["daemon", "tcp_daemon"])
def served(request: pytest.FixtureRequest, till: Till) -> Iterator[Daemon]:
    running: Daemon = request.getfixturevalue(request.param)
    running.register(till, "it")
    yield running
    till.gate.set()


# Connections that proxies share.


def test_proxies_to_one_daemon_share_their_connections(
    served: Daemon, till: Till, connect: Connect
) -> None:
    other_id = served.register(Till(), "other")
    proxies = [connect(served.uri_of("it")) for _ in range(20)] + [connect(other_id)]
    for proxy in proxies:
        assert proxy.null() == 0
    assert served.statistics().connections == 1
    apart = connect(served.uri_of("it"), settings=Settings(call_timeout_s=9.0))
    assert apart.null() == 0
    assert served.statistics().connections == 2
    for proxy in proxies[1:]:
        release(proxy)
    assert proxies[0].null() == 0
    assert served.statistics().connections == 2
    release(proxies[0])
    eventually(lambda: served.statistics().connections == 1, "they are closed with the last")


def test_a_hundred_threads_have_a_connection_each_at_most(
    served: Daemon, till: Till, connect: Connect
) -> None:
    proxy, start = connect(served.uri_of("it")), threading.Barrier(100)

    def work(number: int) -> int:
        start.wait(10.0)
        return sum(proxy.echo(number) for _ in range(5))

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(work, range(100))) == [5 * number for number in range(100)]
    assert served.statistics().connections <= 100
    release(proxy)
    eventually(lambda: served.statistics().connections == 0, "none is kept")


# Daemons that come back.

SERVE = """
import sys, warnings
warnings.simplefilter("ignore")
from remoteobj import Daemon, expose
class Till:
    def __init__(self):
        self.calls = 0
    @expose
    def null(self):
        return 0
    @expose
    def echo(self, value):
        return value
    @expose
    def count(self, path):
        with open(path, "a") as file:
            file.write("x")
        import time
        time.sleep(30)
    @expose
    def grow(self, size):
        return bytes(size)
    @expose
    def text(self, size):
        return "x" * size
"""
AT_PORT = """
daemon = Daemon("127.0.0.1", int(sys.argv[1]), insecure=True)
"""
AT_PATH = """
from remoteobj.transport import sockets
from remoteobj import runtime
from pathlib import Path
if sys.argv[1] != "0":  # a daemon has a new path each time; this one comes back where it was
    def listen():
        path = Path(sys.argv[1])
        path.unlink(missing_ok=True)
        return sockets.PrivateListener(sockets._listen_unix(str(path)), str(path), None, None)
    sockets.listen_privately = listen
daemon = Daemon()
"""
GO = """
daemon.register(Till(), "it")
print(daemon.location, flush=True)
daemon.serve_forever()
"""


class Elsewhere:
    """A daemon in a process of its own that can be killed and started again where it was."""

    def __init__(self, start: Callable[..., Any], kind: str) -> None:
        self._start = start
        self._kind = kind
        self.location = self._run("0")
        self.uri = f"PYRO:it@{self.location}"

    def _run(self, where: str) -> str:
        code = SERVE + (AT_PORT if self._kind == "tcp" else AT_PATH) + GO
        self.process = self._start("-c", code, where)
        location: str = self.process.stdout.readline().strip()
        assert location, self.process.communicate()[1]
        return location

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        where = self.location
        again = self._run(where[4:] if self._kind == "unix" else where.rpartition(":")[2])
        assert again == where


@pytest.fixture(params=["unix", "tcp"])
def elsewhere(request: pytest.FixtureRequest, start_script: StartScript) -> Iterator[Elsewhere]:
    made = Elsewhere(start_script, request.param)
    yield made
    made.kill()
    if request.param == "unix":
        Path(made.location[4:]).unlink(missing_ok=True)
        with Daemon():
            pass  # sweeps what it left behind


@pytest.mark.parametrize("count", [1, 10])
def test_the_next_call_works_after_a_restart(
    elsewhere: Elsewhere, connect: Connect, count: int
) -> None:
    proxy = connect(elsewhere.uri)
    for _ in range(2):
        spread(proxy, count)
        elsewhere.restart()
        assert proxy.echo("one") == "one"
        assert [proxy.echo(number) for number in range(count)] == list(range(count))
        spread(proxy, count)
    spread(proxy, count)
    elsewhere.restart()
    with ThreadPoolExecutor(count) as pool:  # all broken connections at once
        assert list(pool.map(proxy.echo, range(count))) == list(range(count))


def spread(proxy: Any, count: int) -> None:
    """Make so many calls at once that there are as many connections."""
    start = threading.Barrier(count)

    def work(_: int) -> int:
        start.wait(10.0)
        return len(proxy.text(60_000))

    with ThreadPoolExecutor(count) as pool:
        assert list(pool.map(work, range(count))) == [60_000] * count


def test_other_kinds_of_calls_work_after_a_restart(elsewhere: Elsewhere, connect: Connect) -> None:
    for use in (
        lambda proxy: proxy.echo(value="by name") == "by name",
        lambda proxy: proxy.echo(b"x" * 300_000) == b"x" * 300_000,
        lambda proxy: options(proxy, timeout_s=5.0).echo(1) == 1,
        lambda proxy: batch_of_one(batch(proxy)) == [1],
    ):
        proxy = connect(elsewhere.uri)
        assert proxy.null() == 0
        elsewhere.restart()
        assert use(proxy)


def batch_of_one(calls: Any) -> list[Any]:
    calls.echo(1)
    return list(calls())


def test_a_call_that_may_have_run_is_not_made_again(
    elsewhere: Elsewhere, connect: Connect, own_machine: Path
) -> None:
    proxy, ran = connect(elsewhere.uri), own_machine / "ran"
    for _ in range(2):  # with a new connection, and with one that was there
        caught: list[BaseException] = []
        caller = threading.Thread(target=note, args=(caught, proxy.count, str(ran)))
        caller.start()
        eventually(lambda: ran.exists() and ran.read_text(), "it runs")
        elsewhere.restart()
        caller.join()
        assert [type(error) for error in caught] == [ConnectionLost]
        assert caught[0].executed == "maybe"
        assert ran.read_text() == "x"
        assert proxy.null() == 0
        assert ran.read_text() == "x"
        ran.unlink()


def note(caught: list[BaseException], act: Callable[..., object], *args: Any) -> None:
    try:
        act(*args)
    except BaseException as error:
        caught.append(error)


def test_a_call_of_nobody_did_not_run(elsewhere: Elsewhere, connect: Connect) -> None:
    proxy = connect(elsewhere.uri)
    assert proxy.null() == 0
    elsewhere.kill()
    for _ in range(3):
        with pytest.raises(ConnectionLost, match="nobody answers") as caught:
            proxy.null()
        assert caught.value.executed == "no"


@pytest.mark.parametrize("method", ["grow", "text"])
def test_a_server_killed_in_the_middle_of_a_large_answer(
    elsewhere: Elsewhere, connect: Connect, method: str
) -> None:
    proxy = connect(elsewhere.uri)
    assert proxy.null() == 0
    with RawCaller(elsewhere.location) as raw:
        raw.send(call(method, 40 << 20))
        raw.skim(1 << 20)
        caught: list[BaseException] = []
        caller = threading.Thread(target=note, args=(caught, getattr(proxy, method), 150 << 20))
        caller.start()
        raw.skim(1 << 20)
        elsewhere.kill()
        caller.join()
    if caught:  # it may have been quicker
        assert isinstance(caught[0], ConnectionLost)
        assert caught[0].executed == "maybe"


# Deadlines.


def test_a_deadline_is_one_calls_or_one_proxys(
    served: Daemon, till: Till, connect: Connect
) -> None:
    proxy = connect(served.uri_of("it"), settings=Settings(call_timeout_s=0.2))
    for use in (proxy.wait, options(proxy, timeout_s=0.1).wait, options(proxy, timeout_s=0.3).wait):
        started = time.perf_counter()
        with pytest.raises(DeadlinePassed) as caught:
            use()
        assert 0.05 < time.perf_counter() - started < 1.5
        assert caught.value.executed == "maybe"
        assert proxy.null() == 0
    timer = threading.Timer(0.3, till.gate.set)
    timer.start()
    assert options(proxy, timeout_s=None).wait() == 1
    timer.join()


@pytest.mark.parametrize("timeout_s", [1e-9, 1e-6, 1e5, 1e9, 1e15, float("inf")])
def test_deadlines_of_every_size(served: Daemon, connect: Connect, timeout_s: float) -> None:
    proxy = options(connect(served.uri_of("it")), timeout_s=timeout_s)
    for _ in range(3):
        with contextlib.nullcontext() if timeout_s > 1 else pytest.raises(DeadlinePassed):
            assert proxy.null() == 0


def test_a_stopped_daemon_passes_the_deadline_of_whatever_is_done(
    elsewhere: Elsewhere, connect: Connect
) -> None:
    proxy, fresh = connect(elsewhere.uri), connect(elsewhere.uri)
    assert proxy.null() == 0
    known, unknown = options(proxy, timeout_s=0.3), options(fresh, timeout_s=0.3)
    elsewhere.process.send_signal(signal.SIGSTOP)
    for proxy, arguments in ((known, ()), (unknown, ()), (known, (b"x" * (30 << 20),))):
        started = time.perf_counter()
        with pytest.raises(DeadlinePassed):
            proxy.echo(*arguments)
        assert time.perf_counter() - started < 1.5
    elsewhere.process.send_signal(signal.SIGCONT)
    assert options(known, timeout_s=5.0).null() == 0
    assert options(unknown, timeout_s=5.0).null() == 0


# Ctrl-C.

INTERRUPTED = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore")
from remoteobj import Proxy
proxy = Proxy(sys.argv[1], insecure=True)
for method, size in (("wait", None), ("slow", 30_000_000), ("slow", 30_000)):
    proxy.null()
    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        getattr(proxy, method)(*[size] if size else [])
    except KeyboardInterrupt as error:
        assert error.__cause__ is not error
        print("interrupted", proxy.null(), proxy.echo("next"), flush=True)
    timer.join()
"""


def test_ctrl_c_during_a_call_leaves_the_proxy_usable(
    served: Daemon, till: Till, start_script: StartScript
) -> None:
    process = start_script("-c", INTERRUPTED, str(served.uri_of("it")))
    output, errors = process.communicate(timeout=20)
    assert output.splitlines() == ["interrupted 0 next"] * 3, errors


# Fork.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_connections_and_a_session_of_its_own(
    served: Daemon, till: Till, connect: Connect, start_script: StartScript
) -> None:
    process = start_script("-c", FORKING, str(served.uri_of("it")))
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert output.splitlines() == ["child 200", "parent 200", "again 0"], errors
    assert served.statistics().connections_refused == 0


FORKING = """
import os, sys, warnings
warnings.simplefilter("ignore")
from remoteobj import Proxy
proxy = Proxy(sys.argv[1], insecure=True)
other = Proxy(sys.argv[1], insecure=True)
assert proxy.null() == 0 and other.null() == 0 and proxy.echo(bytes(2 << 20)) == bytes(2 << 20)
child = os.fork()
who = "parent" if child else "child"
right = 0
for number in range(100):  # at the same time
    right += proxy.echo((who, number)) == (who, number)
    right += other.echo((number, who)) == (number, who)
if not child:
    print(who, right, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(who, right, flush=True)
print("again", proxy.null(), flush=True)
"""


# Clients that die.


@pytest.mark.parametrize("size", [100, 60_000, 5_000_000])
def test_a_client_killed_in_the_middle_of_a_message_harms_nobody(
    served: Daemon,
    till: Till,
    connect: Connect,
    size: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy = connect(served.uri_of("it"))
    assert proxy.null() == 0
    message = call("echo", b"x" * size)
    for number in range(30):
        raw = RawCaller(served)
        cut = len(message) * number // 30
        raw.send(message[:cut])
        if number % 2:
            raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
    eventually(lambda: served.statistics().connections == 1, "they are gone")
    assert proxy.null() == 0
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


KILLED = """
import sys, threading, warnings
warnings.simplefilter("ignore")
from remoteobj import Proxy
proxy = Proxy(sys.argv[1], insecure=True)
data = bytes(60 << 20)
proxy.null()
print("sending", flush=True)
while True:
    proxy.echo(data)
"""


def test_clients_that_are_killed_while_they_send_and_receive(
    served: Daemon, connect: Connect, start_script: StartScript
) -> None:
    proxy = connect(served.uri_of("it"))
    processes = [start_script("-c", KILLED, str(served.uri_of("it"))) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "sending\n"
        calls = served.statistics().calls
        eventually(lambda calls=calls: served.statistics().calls > calls + 2, "it calls")
        process.send_signal(signal.SIGKILL)
        assert proxy.null() == 0
    eventually(lambda: served.statistics().connections == 1, "they are gone", 5.0)


def segments() -> list[str]:
    """Name the shared memory that this process has descriptors of."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            found.append(os.readlink(f"/proc/self/fd/{entry}"))
    return [name for name in found if "memfd" in name]


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_large_answers_to_those_that_have_died_leave_no_descriptor(
    served: Daemon, till: Till, start_script: StartScript
) -> None:
    code = KILLED.replace("proxy.echo(data)", "proxy.slow(8 << 20)").replace(
        "proxy.null()", "proxy.echo(bytes(8 << 20))"
    )
    before = segments()
    for _ in range(4):
        till.gate.clear()
        till.running.clear()
        process = start_script("-c", code, str(served.uri_of("it")))
        assert till.running.wait(10.0)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        till.gate.set()
        eventually(lambda: served.statistics().connections == 0, "it is gone")
    eventually(lambda: len(segments()) <= len(before), f"{segments()}", 2.0)


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_large_calls_of_a_daemon_that_has_died_leave_no_descriptor(
    elsewhere: Elsewhere, connect: Connect
) -> None:
    before = segments()
    for _ in range(3):
        proxy = Proxy(elsewhere.uri, insecure=True)
        assert len(proxy.echo(bytes(8 << 20))) == 8 << 20
        elsewhere.process.send_signal(signal.SIGSTOP)
        with pytest.raises(DeadlinePassed):
            options(proxy, timeout_s=0.1).echo(bytes(24 << 20))
        elsewhere.restart()
        release(proxy)
        del proxy
    eventually(lambda: len(segments()) <= len(before), f"{segments()}", 2.0)
