"""How a daemon ends: what runs is answered, nothing is left, and nobody waits for long."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from raw_peers import RawCaller, call, dial
from servants import Connect, StartScript

from remoteobj import Daemon, Proxy, RemoteObjError, expose, on_disconnect, oneway, release
from remoteobj.wire import Flag
from tests.conftest import eventually

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


class House:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.running = threading.Event()
        self.gate = threading.Event()
        self.orders: list[Future[Any]] = []
        self.done: list[str] = []

    @expose
    def null(self) -> int:
        return 0

    @expose
    def work(self, size: int = 0) -> bytes:
        self.running.set()
        self.gate.wait(10.0)
        self.done.append("work")
        return bytes(size)

    @expose
    @oneway
    def tell(self) -> None:
        self.work()

    @expose
    def order(self) -> Future[Any]:
        self.orders.append(Future())
        return self.orders[-1]

    @expose
    def close(self) -> str:
        self._daemon.close()
        return "closed"

    @expose
    async def close_from_a_coroutine(self) -> str:
        return self.close()

    @expose
    def close_in_the_end(self) -> None:
        on_disconnect(self._daemon.close)

    @expose
    def close_when_ordered(self) -> Future[str]:
        future: Future[str] = Future()
        future.add_done_callback(lambda _: self._daemon.close())
        self.orders.append(future)
        return future


@pytest.fixture(params=["unix", "tcp"])
def served(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon that the test closes."""
    where: dict[str, Any] = (
        {"host": "127.0.0.1", "insecure": True} if request.param == "tcp" else {}
    )
    daemon = Daemon(**where)
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture
def house(served: Daemon) -> Iterator[House]:
    made = House(served)
    served.register(made, "it")
    yield made
    made.gate.set()
    for order in made.orders:
        order.cancel()


def closing_s(daemon: Daemon) -> float:
    started = time.perf_counter()
    daemon.close()
    return time.perf_counter() - started


def threads_of(daemon: Daemon) -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if thread.name.endswith(daemon.location)
    ]


@contextlib.contextmanager
def closing(daemon: Daemon) -> Iterator[None]:
    """Close the daemon in another thread meanwhile."""
    thread = threading.Thread(target=daemon.close)
    thread.start()
    try:
        eventually(lambda: "closed" in repr(daemon), "it closes")
        yield
    finally:
        thread.join()
        assert threads_of(daemon) == []


# What runs, and what waits.


def test_a_call_that_runs_is_answered(served: Daemon, house: House, connect: Connect) -> None:
    proxy = connect(served.uri_of("it"))
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(proxy.work(3)))
    caller.start()
    assert house.running.wait(10.0)
    timer = threading.Timer(0.3, house.gate.set)
    timer.start()
    assert 0.2 < closing_s(served) < 1.5
    assert threads_of(served) == []
    caller.join()
    timer.join()
    assert answers == [bytes(3)]
    with pytest.raises(ConnectionError):
        proxy.null()


def test_a_large_answer_that_is_being_taken_is_finished(served: Daemon, house: House) -> None:
    with RawCaller(served) as raw:
        raw.send(call("work", 6 << 20))
        assert house.running.wait(10.0)
        with closing(served):
            house.gate.set()
            raw.skim(200_000)
            threading.Event().wait(0.2)  # a peer that is not quick
            assert raw.result() == (1, bytes(6 << 20))


def test_later_answers_have_a_chance(served: Daemon, house: House) -> None:
    with RawCaller(served) as first, RawCaller(served) as second:
        first.send(call("order"))
        second.send(call("order"))
        eventually(lambda: len(house.orders) == 2, "both are ordered")
        with closing(served):
            for number, order in enumerate(house.orders):
                order.set_result(number)
            assert sorted(raw.result()[1] for raw in (first, second)) == [0, 1]


def test_a_later_answer_has_a_chance_beside_a_call_that_runs(served: Daemon, house: House) -> None:
    with RawCaller(served) as raw:
        raw.send(call("order", sequence=1), call("work", 1, sequence=2))
        assert house.running.wait(10.0)
        with closing(served):
            house.gate.set()
            assert raw.result() == (2, b"\0")
            house.orders[0].set_result("later")
            assert raw.result() == (1, "later")


def test_what_never_ends_is_given_up(served: Daemon, house: House) -> None:
    with RawCaller(served) as one, RawCaller(served) as two, RawCaller(served) as deaf:
        one.send(call("order"))
        two.send(call("work"))
        deaf.send(call("order"))
        assert house.running.wait(10.0)
        eventually(lambda: len(house.orders) == 2, "both are ordered")
        house.orders.pop().set_result(b"x" * (8 << 20))
        assert 1.5 < closing_s(served) < 3.5
        assert one.has_ended(1.0)
        assert two.has_ended(1.0)
        house.gate.set()
        eventually(lambda: not threads_of(served), "its threads end when the method does")


def test_who_has_left_in_mid_answer_is_not_waited_for(served: Daemon, house: House) -> None:
    house.gate.set()
    for raw in [RawCaller(served) for _ in range(30)]:
        with raw:
            raw.send(call("work", 8 << 20))
            raw.skim(1000)
    assert closing_s(served) < 1.0


def test_oneway_calls_that_run_are_finished(served: Daemon, house: House) -> None:
    with RawCaller(served) as raw:
        raw.send(call("tell", flags=Flag.ONEWAY))
        assert house.running.wait(10.0)
        timer = threading.Timer(0.1, house.gate.set)
        timer.start()
        assert closing_s(served) < 1.5
        timer.join()
        assert house.done == ["work"]


def test_what_is_sent_while_it_closes_is_not_run(served: Daemon, house: House) -> None:
    with RawCaller(served) as busy, RawCaller(served) as other:
        busy.send(call("work"))
        assert house.running.wait(10.0)
        with closing(served):
            assert other.has_ended(1.0)
            busy.send(call("order", sequence=2))
            house.gate.set()
            assert busy.result() == (1, b"")
            assert busy.has_ended(3.0)
        assert house.orders == []


# Who closes.


@pytest.mark.parametrize("how", ["close", "close_from_a_coroutine"])
def test_a_method_may_close_its_daemon(
    served: Daemon, house: House, connect: Connect, how: str
) -> None:
    proxy, bystander = connect(served.uri_of("it")), connect(served.uri_of("it"))
    assert bystander.null() == 0
    started = time.perf_counter()
    with contextlib.suppress(ConnectionError):
        assert getattr(proxy, how)() == "closed"
    assert time.perf_counter() - started < 3.0
    eventually(lambda: not threads_of(served), "its threads end", 3.0)
    with pytest.raises(ConnectionError):
        bystander.null()


def test_the_end_of_a_caller_may_close_the_daemon(
    served: Daemon, house: House, connect: Connect
) -> None:
    proxy = connect(served.uri_of("it"))
    proxy.close_in_the_end()
    release(proxy)
    eventually(lambda: not threads_of(served), "its threads end", 3.0)


def test_who_completes_a_future_may_close_the_daemon(served: Daemon, house: House) -> None:
    with RawCaller(served) as raw:
        raw.send(call("close_when_ordered"))
        eventually(lambda: len(house.orders) == 1, "it is ordered")
        started = time.perf_counter()
        house.orders[0].set_result("closed")
        assert time.perf_counter() - started < 3.0
        assert threads_of(served) == []


@pytest.mark.serial
def test_closing_again_and_from_many_threads_does_nothing(served: Daemon, house: House) -> None:
    with RawCaller(served) as raw:
        raw.send(call("null"))
        assert raw.result() == (1, 0)
        threads = [threading.Thread(target=served.close) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert threads_of(served) == []
    assert closing_s(served) < 0.1
    with pytest.raises(RemoteObjError, match="was closed"):
        served.start()


def test_a_daemon_that_never_served_closes() -> None:
    daemon = Daemon()
    with dial(daemon.location) as sock:
        daemon.close()
        with contextlib.suppress(ConnectionError):
            assert sock.recv(1) == b""
    daemon.close()


def test_starting_and_closing_at_once_leaves_nothing(connect: Connect) -> None:
    for _ in range(100):
        daemon = Daemon()
        starter = threading.Thread(target=lambda daemon=daemon: started(daemon))
        starter.start()
        daemon.close()
        starter.join()
        assert threads_of(daemon) == []


def started(daemon: Daemon) -> None:
    with contextlib.suppress(RemoteObjError):
        daemon.start()


SIGNALLED = """
import os, signal, sys, threading
from remoteobj import Daemon, Proxy, Settings, expose
@expose
class House:
    def null(self):
        return 0
    def work(self):
        running.set()
        threading.Event().wait(0.3)
        return "done"
running = threading.Event()
daemon = Daemon()
uri = daemon.register(House())
daemon.start()
proxies = [Proxy(uri, settings=Settings(connect_timeout_s=5.0 + n)) for n in range(50)]
for proxy in proxies:
    proxy.null()
def stop(*_):
    daemon.close()
    print("closed", flush=True)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGUSR1, stop)
"""
FOREVER = """
answers = []
caller = threading.Thread(target=lambda: answers.append(proxies[0].work()))
caller.start()
running.wait()
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
os.kill(os.getpid(), signal.SIGTERM)
daemon.serve_forever()
caller.join()
print(*answers, flush=True)
"""
POLLING = """
print("ready", flush=True)
while "closed" not in repr(daemon):
    daemon.statistics()
print("done", flush=True)
"""


def test_a_signal_handler_may_close_it_and_another_one_meanwhile(start_script: StartScript) -> None:
    process = start_script("-c", SIGNALLED + FOREVER)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert output.splitlines() == ["closed", "closed", "done"], errors


def test_a_signal_handler_may_close_it_whatever_is_interrupted(start_script: StartScript) -> None:
    processes = [start_script("-c", SIGNALLED + POLLING) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
    for process in processes:
        output, errors = process.communicate(timeout=8)
        assert process.returncode == 0, errors
        assert output.splitlines() == ["closed", "done"], errors


# Crowds.


def test_hundreds_of_quiet_connections_end_quickly(served: Daemon, house: House) -> None:
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(served)) for _ in range(400)]
        assert closing_s(served) < 1.0
        assert all(raw.has_ended(1.0) for raw in raws)
    assert threads_of(served) == []


def test_closing_while_others_connect_and_call(served: Daemon, house: House) -> None:
    uri, stop = served.uri_of("it"), threading.Event()
    failures: list[BaseException] = []
    calls = [0]

    def use() -> None:
        while not stop.is_set():
            try:
                with Proxy(uri, insecure=True) as proxy:
                    for _ in range(3):
                        assert proxy.null() == 0
                        calls[0] += 1
            except ConnectionError:
                if "closed" in repr(served):
                    return
                failures.append(RuntimeError("lost before it was closed"))
            except BaseException as error:
                failures.append(error)

    def reset() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                sock = dial(served.location)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    targets: list[Callable[[], None]] = [use] * 6 + [reset]
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    eventually(lambda: calls[0] > 100, "calls")
    assert closing_s(served) < 2.0
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert threads_of(served) == []
