"""Many connections, few threads; and peers that dawdle, so that everyone else is served."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from raw_peers import RawCaller, call, dial, hello
from servants import Connect, StartScript, frame

from remoteobj import ConnectionLost, Daemon, NotSendable, Proxy, Settings, WireError, expose
from remoteobj.server.connection import LINGER_S
from remoteobj.server.workers import TICK_S, Workers
from remoteobj.wire import Message, MessageType
from tests.conftest import eventually

pytestmark = [pytest.mark.serial, pytest.mark.filterwarnings("ignore:plain TCP")]


class Hall:
    def __init__(self) -> None:
        self.inside = 0
        self.lock = threading.Lock()
        self.gate = threading.Event()

    @expose
    def null(self) -> int:
        return 0

    @expose
    def enter(self) -> int:
        with self.lock:
            self.inside += 1
        self.gate.wait(20.0)
        return self.inside

    @expose
    def echo(self, value: Any) -> Any:
        return value

    @expose
    def grow(self, size: int) -> bytes:
        return bytes(size)

    @expose
    def fail(self, text: str, times: int = 1) -> None:
        raise LookupError(text * times)


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.gate.set()


Serve = Callable[..., Daemon]


@pytest.fixture(params=["unix", "tcp"])
def serve(request: pytest.FixtureRequest, hall: Hall) -> Iterator[Serve]:
    """Make a daemon with a hall called "it"; settings as keywords."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Daemon:
            where: dict[str, Any] = (
                {"host": "127.0.0.1", "insecure": True} if request.param == "tcp" else {}
            )
            daemon = stack.enter_context(Daemon(**where, settings=Settings(**settings)))
            daemon.register(hall, "it")
            daemon.start()
            return daemon

        yield make
        hall.gate.set()


class Watch:
    """Makes null calls in a thread of its own, and notes how long the slowest took."""

    def __init__(self, proxy: Any) -> None:
        assert proxy.null() == 0
        self.slowest_s = 0.0
        self.calls = 0
        self._proxy = proxy
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            started = time.perf_counter()
            assert self._proxy.null() == 0
            self.slowest_s = max(self.slowest_s, time.perf_counter() - started)
            self.calls += 1

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self.calls > 5


# Threads.


def test_quiet_connections_hold_few_threads(serve: Serve, connect: Connect) -> None:
    daemon = serve()
    proxy = connect(daemon.uri_of("it"))
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(300)]
        for turn in range(2):
            for raw in raws:
                raw.send(call("null", sequence=turn))
            assert all(raw.result() == (turn, 0) for raw in raws)
        assert daemon.statistics().connections == 300
        eventually(lambda: daemon.statistics().threads <= 24, "few threads", 2.0)
        with Watch(proxy) as watch:
            eventually(lambda: watch.calls > 50, "calls beside them")
        assert watch.slowest_s < 0.5
    eventually(lambda: daemon.statistics().connections == 1, "they are gone")
    seen = daemon.statistics()
    assert (seen.objects, seen.connections_refused) == (1, 0)
    assert seen.calls >= 650  # those of connections that are gone count


def test_a_hundred_calls_that_block_all_run_at_the_same_time(
    serve: Serve, hall: Hall, connect: Connect
) -> None:
    daemon = serve()
    proxy = connect(daemon.uri_of("it"))
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(100)]
        for raw in raws:
            raw.send(call("enter"))
        eventually(lambda: hall.inside == 100, "all are inside", 3.0)
        assert daemon.statistics().threads >= 100
        with Watch(proxy) as watch:
            eventually(lambda: watch.calls > 20, "calls beside them")
        assert watch.slowest_s < 0.5
        hall.gate.set()
        assert {raw.result() for raw in raws} == {(1, 100)}
    eventually(lambda: daemon.statistics().threads <= 24, "the threads' end")


def test_no_more_threads_than_allowed(serve: Serve, hall: Hall) -> None:
    daemon = serve(max_threads=5)
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(12)]
        for raw in raws:
            raw.send(call("enter"))
        eventually(lambda: hall.inside == 5, "five are inside")
        hall.gate.wait(0.1)
        assert hall.inside == 5
        assert daemon.statistics().threads <= 6  # one more waits for all the others
        hall.gate.set()
        assert all(raw.result()[1] >= 5 for raw in raws)


def test_a_hundred_threads_share_one_proxy(serve: Serve, connect: Connect) -> None:
    daemon = serve()
    proxy = connect(daemon.uri_of("it"))
    start = threading.Barrier(100)

    def work(number: int) -> bool:
        start.wait(10.0)
        return all(proxy.echo((number, n)) == (number, n) for n in range(10))

    with ThreadPoolExecutor(100) as pool:
        assert all(pool.map(work, range(100)))
    assert daemon.statistics().connections <= 100


# Peers that dawdle.


def drip(socks: list[socket.socket], data: bytes, every_s: float, stop: threading.Event) -> None:
    """Send some bytes to all of them one by one; after that, nothing."""
    for position in range(len(data)):
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.send(data[position : position + 1])
        if stop.wait(every_s):
            return


HELLO = hello(name="slow")
LONG_CALL = call("echo", b"x" * 100_000)
DAWDLERS = {
    "in the handshake": (b"", HELLO),
    "before it": (b"", b""),
    "at the last byte of the handshake": (HELLO[:-1], b""),
    "in the header of a call": (HELLO, LONG_CALL),
    "in the middle of a large call": (HELLO + LONG_CALL[:70_000], LONG_CALL[70_000:]),
    "within its annotations": (HELLO + LONG_CALL[:45], LONG_CALL[45:]),
}


@pytest.mark.parametrize("every_s", [1.0, 0.004], ids=["slow", "busy"])
@pytest.mark.parametrize("where", DAWDLERS)
def test_fifty_dawdlers_delay_nobody(
    serve: Serve, connect: Connect, where: str, every_s: float
) -> None:
    daemon = serve()
    proxy = connect(daemon.uri_of("it"))
    at_once, slowly = DAWDLERS[where]
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(dial(daemon.location)) for _ in range(50)]
        for sock in socks:
            sock.sendall(at_once)
        dripping = threading.Thread(target=drip, args=(socks, slowly, every_s, stop))
        dripping.start()
        try:
            with Watch(proxy) as watch:
                eventually(lambda: watch.calls >= 60, f"{watch.calls} calls beside them", 5.0)
                newcomer = connect(daemon.uri_of("it"), settings=Settings(connect_timeout_s=2.0))
                started = time.perf_counter()
                assert newcomer.null() == 0
                assert time.perf_counter() - started < 0.5
            assert watch.slowest_s < 0.5
            assert daemon.statistics().threads < 40
        finally:
            stop.set()
            dripping.join()


def test_dawdlers_in_the_handshake_are_closed_and_others_are_not(
    serve: Serve, connect: Connect
) -> None:
    daemon = serve(handshake_timeout_s=0.3)
    proxy = connect(daemon.uri_of("it"))
    assert proxy.null() == 0
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(dial(daemon.location)) for _ in range(20)]
        half = stack.enter_context(RawCaller(daemon))
        half.send(LONG_CALL[:50_000])  # let in, it may take its time
        dripping = threading.Thread(target=drip, args=(socks, HELLO, 0.05, stop))
        dripping.start()
        eventually(lambda: daemon.statistics().connections == 2, "they are closed", 3.0)
        stop.set()
        dripping.join()
        for sock in socks:
            with contextlib.suppress(ConnectionError):
                assert sock.recv(1) == b""
        half.send(LONG_CALL[50_000:])
        assert half.result() == (1, b"x" * 100_000)
        assert proxy.null() == 0


def test_peers_that_take_their_answers_slowly_hold_few_threads(
    serve: Serve, connect: Connect
) -> None:
    daemon = serve()
    proxy = connect(daemon.uri_of("it"))
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(40)]
        for raw in raws:
            raw.send(call("grow", 8 << 20))
        with Watch(proxy) as watch:
            for turn in range(120):
                for raw in raws:
                    raw.sock.recv(1 << 11)
                # Each answer's beginning may have taken a worker's time; no more does now.
                assert turn < 60 or daemon.statistics().threads <= 24
                time.sleep(0.01)
        assert watch.slowest_s < 0.5
    eventually(lambda: daemon.statistics().connections == 1, "they are gone", 1.0)


def test_more_workers_come_after_two_ticks_however_often_somebody_looks() -> None:
    workers = Workers("test", 100)
    gate, inside = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        inside.release()
        gate.wait(20.0)

    try:
        for _ in range(16):
            workers.submit(hold)
            assert inside.acquire(timeout=10.0)
        assert workers.submit(hold)
        for glance in range(100):
            assert workers.tick(1.0 + glance * TICK_S / 100)
        assert len(workers) == 16
        for tick in range(1, 4):
            workers.tick(1.0 + tick * TICK_S * 1.01)
        assert len(workers) > 16
        assert inside.acquire(timeout=10.0)
    finally:
        gate.set()
        workers.close(time.monotonic() + 10.0)


def test_a_flood_of_calls_delays_nobody(serve: Serve, connect: Connect) -> None:
    daemon = serve()
    proxy = connect(daemon.uri_of("it"))
    stop = threading.Event()
    flood = b"".join(call("null", sequence=n) for n in range(50))

    def pour(raw: RawCaller) -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                raw.sock.sendall(flood)
                for _ in range(50):
                    raw.receive()

    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(24)]
        threads = [threading.Thread(target=pour, args=(raw,)) for raw in raws]
        for thread in threads:
            thread.start()
        try:
            with Watch(proxy) as watch:
                eventually(lambda: watch.calls > 10, "calls beside them")
            assert daemon.statistics().threads <= 40
        finally:
            stop.set()
            for thread in threads:
                thread.join()


# Limits.


def test_connections_are_limited_and_those_that_are_there_are_served(
    serve: Serve, connect: Connect
) -> None:
    daemon = serve(max_connections=20)
    proxy = connect(daemon.uri_of("it"))
    assert proxy.null() == 0
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(19)]
        refused = 0
        for _ in range(60):
            sock = stack.enter_context(dial(daemon.location))
            with contextlib.suppress(ConnectionError):
                sock.sendall(HELLO)
                told = sock.recv(1000)
                assert told == b"" or b"serves 20 connections already" in told
            refused += 1
        with pytest.raises(ConnectionLost) as caught:
            connect(daemon.uri_of("it"), settings=Settings(connect_timeout_s=3.0)).null()
        assert caught.value.executed == "no"
        assert daemon.statistics().connections_refused == refused + 1
        for raw in raws:
            raw.send(call("null"))
            assert raw.result() == (1, 0)
        assert proxy.null() == 0
        raws[0].close()
        eventually(lambda: daemon.statistics().connections == 19, "one has left")
        with RawCaller(daemon) as late:
            late.send(call("null"))
            assert late.result() == (1, 0)


@pytest.mark.parametrize("size", [2_000, 70_000, 300_000, 30_000_000])
def test_too_large_a_call_is_not_even_sent_and_harms_nobody(
    serve: Serve, connect: Connect, size: int
) -> None:
    daemon = serve(max_message_bytes=1000)
    proxy = connect(daemon.uri_of("it"))
    bystander = connect(daemon.uri_of("it"), settings=Settings(connect_timeout_s=4.0))
    assert bystander.echo("small") == "small"
    started = time.perf_counter()
    with pytest.raises(NotSendable, match=r"at most 1000 are sent .* of the daemon"):
        proxy.echo(b"x" * size)
    assert time.perf_counter() - started < 3.0
    assert proxy.echo("small") == "small"
    assert bystander.echo("small") == "small"


def test_an_announced_large_call_takes_no_memory(serve: Serve) -> None:
    daemon = serve(max_message_bytes=1 << 20)
    header = bytearray(frame(Message(MessageType.INVOKE, 82, 0, 1, b"")))
    header[12:16] = (2**31).to_bytes(4, "big")
    with RawCaller(daemon) as raw:
        raw.send(bytes(header), b"x" * 100)
        assert raw.has_ended(2.0)


@pytest.mark.parametrize("limit", [1000, 100_000])
def test_too_large_an_answer_is_refused_by_the_caller(
    serve: Serve, connect: Connect, limit: int
) -> None:
    proxy = connect(serve().uri_of("it"), settings=Settings(max_message_bytes=limit))
    for size in (limit + 1, 10 << 20):
        with pytest.raises(WireError, match=rf"at most {limit}"):
            proxy.grow(size)
        assert proxy.null() == 0


@pytest.mark.parametrize("limit", [1000, 100_000])
def test_too_large_an_answer_is_told_by_the_daemon(
    serve: Serve, connect: Connect, limit: int
) -> None:
    proxy = connect(serve(max_message_bytes=limit).uri_of("it"))
    with pytest.raises(TypeError, match=rf"has run, but its result of .* at most {limit} are sent"):
        proxy.grow(2 * limit)
    assert proxy.null() == 0


@pytest.mark.parametrize("limit", [1000, 100_000])
def test_too_large_an_exception_is_told_by_the_daemon(
    serve: Serve, connect: Connect, limit: int
) -> None:
    proxy = connect(serve(max_message_bytes=limit).uri_of("it"))
    told = (
        r"^the call has failed, and its LookupError of \d+ bytes stays here: "
        rf"at most {limit} are sent \(Settings.max_message_bytes of the daemon\)"
    )
    with pytest.raises(NotSendable, match=told):
        proxy.fail("x", limit)
    with pytest.raises(NotSendable, match=told):
        proxy.fail("x", times=limit)  # by name: not the straight way
    with pytest.raises(LookupError, match=r"^gone"):
        proxy.fail("gone")


# Without file descriptors.

CRAMPED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
from remoteobj import Daemon, expose
@expose
class Hall:
    def null(self):
        return 0
daemon = Daemon()
print(daemon.register(Hall(), "it"), flush=True)
daemon.serve_forever()
"""


def test_a_daemon_out_of_file_descriptors_serves_those_that_are_there(
    start_script: StartScript, connect: Connect
) -> None:
    process = start_script("-c", CRAMPED)
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    location = uri.partition("@")[2]
    proxy = connect(uri)
    assert proxy.null() == 0
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(dial(location))
        with Watch(proxy) as watch:
            eventually(lambda: watch.calls > 20, "calls beside them")
        assert watch.slowest_s < 0.5
    with RawCaller(location) as late:
        late.send(call("null"))
        assert late.result() == (1, 0)
    process.kill()
    process.wait()
    with Daemon():
        pass  # sweeps what it left behind


def test_a_daemon_out_of_file_descriptors_neither_sleeps_nor_spins(
    start_script: StartScript, connect: Connect
) -> None:
    process = start_script("-c", CRAMPED)
    assert process.stdout is not None
    assert process.stderr is not None
    uri = process.stdout.readline().strip()
    location = uri.partition("@")[2]
    proxy = connect(uri)
    assert proxy.null() == 0
    pause = threading.Event()
    took_s = []
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(dial(location))
        assert "cannot accept connections for now" in process.stderr.readline()
        began_s = cpu_s(process.pid)
        for _ in range(30):
            pause.wait(4 * LINGER_S)  # then it is the one thread that notices the next call
            started = time.perf_counter()
            assert proxy.null() == 0
            took_s.append(time.perf_counter() - started)
        assert cpu_s(process.pid) - began_s < 0.3  # of the second that has passed
    assert statistics.median(took_s) < 0.01
    with RawCaller(location) as late:  # as soon as there are some again
        late.send(call("null"))
        assert late.result() == (1, 0)
    process.kill()
    assert process.stderr.read() == "", "it says so once"
    process.wait()
    with Daemon():
        pass  # sweeps what it left behind


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_busy_daemons_socket_is_waited_for(start_script: StartScript) -> None:
    # More callers than the listener's queue holds, while the daemon does not accept.
    process = start_script("-c", CRAMPED.replace("(40, 40)", "(5000, 5000)"))
    assert process.stdout is not None
    location = process.stdout.readline().strip().partition("@")[2]
    with contextlib.ExitStack() as stack:
        process.send_signal(signal.SIGSTOP)
        socks = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(700)]
        for sock in socks:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(location[4:])
        answers: list[Any] = []

        def late() -> None:
            with Proxy(f"PYRO:it@{location}") as proxy:
                answers.append(proxy.null())

        thread = threading.Thread(target=late)
        thread.start()
        thread.join(0.1)
        process.send_signal(signal.SIGCONT)
        thread.join()
        assert answers == [0]
    process.kill()
    process.wait()
    with Daemon():
        pass  # sweeps what it left behind
