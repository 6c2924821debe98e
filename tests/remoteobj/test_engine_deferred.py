"""Answers that come later: futures and coroutines hold no thread, and who completes never waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from raw_peers import SERPENT, RawCaller, call, stock_call
from servants import Connect, frame

from remoteobj import (
    Daemon,
    InsecureWarning,
    Proxy,
    Settings,
    current_peer,
    expose,
    on_disconnect,
    oneway,
)
from remoteobj.codec.calls import encode_call
from remoteobj.wire import Flag, Message, MessageType
from tests.conftest import eventually

Make = Callable[..., Daemon]


class Desk:
    """Takes orders, and answers them when the test says so."""

    def __init__(self) -> None:
        self.orders: dict[Any, Future[Any]] = {}
        self.left: list[Any] = []
        self.told: list[Any] = []
        self.gate = threading.Event()

    @expose
    def order(self, number: Any) -> Future[Any]:
        on_disconnect(lambda: self.left.append(number))
        self.orders[number] = Future()
        return self.orders[number]

    @expose
    def done(self, value: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(value)
        return future

    @expose
    def failed(self) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(LookupError("no bolts"))
        return future

    @expose
    def cancelled(self) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        return future

    @expose
    async def think(self, value: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value, current_peer()

    @expose
    async def give_up(self) -> None:
        raise asyncio.CancelledError

    @expose
    def null(self) -> int:
        return 0

    @expose
    @oneway
    def tell(self, value: Any) -> None:
        self.told.append(value)
        self.gate.wait(10.0)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.gate.set()
    for order in made.orders.values():
        order.cancel()


@pytest.fixture
def serve(desk: Desk) -> Iterator[Make]:
    """Make a daemon with a desk called "it"; settings as keywords."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Daemon:
            daemon = stack.enter_context(Daemon(settings=Settings(**settings)))
            daemon.register(desk, "it")
            daemon.start()
            return daemon

        yield make
        for order in desk.orders.values():
            order.cancel()  # close() would give them time
        desk.gate.set()


def ordered(desk: Desk, *numbers: Any) -> None:
    eventually(lambda: set(numbers) <= set(desk.orders), f"{numbers} of {list(desk.orders)}")


# What a method may return.


def test_a_future_is_answered_when_another_thread_completes_it(
    serve: Make, desk: Desk, connect: Connect
) -> None:
    proxy = connect(serve().uri_of("it"))
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(proxy.order(1)))
    caller.start()
    ordered(desk, 1)
    assert proxy.null() == 0  # meanwhile
    desk.orders[1].set_result({"bolt": (1, 2)})
    caller.join()
    assert answers == [{"bolt": (1, 2)}]


def test_futures_that_are_done_and_coroutines_are_answered(serve: Make, connect: Connect) -> None:
    proxy = connect(serve().uri_of("it"))
    assert proxy.done([1]) == [1]
    with pytest.raises(LookupError, match="no bolts"):
        proxy.failed()
    with pytest.raises(CancelledError):
        proxy.cancelled()
    assert proxy.think((1, 2)) == ((1, 2), "this machine")  # it knows on whose behalf it runs
    with pytest.raises(LookupError, match="no nuts") as caught:
        proxy.think(LookupError("no nuts"))
    assert "in think" in "".join(caught.value.__notes__)
    with pytest.raises(CancelledError):
        proxy.give_up()
    assert proxy.null() == 0


def test_a_future_that_fails_or_is_cancelled_later_is_answered(serve: Make, desk: Desk) -> None:
    daemon = serve()
    with RawCaller(daemon) as raw:
        raw.send(call("order", 1, sequence=1), call("order", 2, sequence=2))
        ordered(desk, 1, 2)
        desk.orders[2].cancel()
        sequence, error = raw.result()
        assert sequence == 2
        assert isinstance(error, CancelledError)
        desk.orders[1].set_exception(KeyError("bolt"))
        sequence, error = raw.result()
        assert sequence == 1
        assert isinstance(error, KeyError)


@pytest.mark.parametrize("value", [iter("ab"), threading.Lock(), (n for n in "ab")])
def test_a_later_result_that_cannot_travel_is_told_and_harms_nothing(
    serve: Make, desk: Desk, value: Any
) -> None:
    with RawCaller(serve()) as raw:
        raw.send(call("order", 1, sequence=1))
        ordered(desk, 1)
        desk.orders[1].set_result(value)
        sequence, error = raw.result()
        assert sequence == 1
        assert isinstance(error, TypeError)
        raw.send(call("null", sequence=2))
        assert raw.result() == (2, 0)


# Order.


def test_later_answers_come_as_they_are_ready_and_by_their_number(serve: Make, desk: Desk) -> None:
    with RawCaller(serve()) as raw:
        raw.send(*(call("order", n, sequence=n) for n in range(1, 6)), call("null", sequence=6))
        assert raw.result() == (6, 0)  # it overtakes
        for number in (4, 1, 5, 3, 2):
            desk.orders[number].set_result(-number)
            assert raw.result() == (number, -number)


def test_a_stock_peer_has_its_answers_in_order(serve: Make, desk: Desk) -> None:
    with RawCaller(serve(), is_stock=True) as raw:
        raw.send(
            stock_call("order", 1, sequence=1),
            stock_call("null", sequence=2),
            stock_call("order", 3, sequence=3),
            stock_call("think", 4, sequence=4),
            stock_call("null", sequence=5),
        )
        ordered(desk, 1)
        with pytest.raises(TimeoutError):
            raw.receive(0.1)
        desk.orders[1].set_result("one")
        assert [raw.receive().sequence for _ in range(2)] == [1, 2]
        ordered(desk, 3)
        desk.orders[3].set_result("three")
        assert [raw.receive().sequence for _ in range(3)] == [3, 4, 5]


def test_plain_answers_never_overtake_each_other(daemon: Daemon) -> None:
    class Grower:
        @expose
        def grow(self, size: int) -> str:
            return "x" * size

    daemon.register(Grower(), "it")
    for turn in range(12):  # the socket is full, and takes a little again, in mid-answer
        with RawCaller(daemon) as raw:
            count = 8 + turn % 3
            for number in range(1, count + 1):
                raw.send(call("grow", 30_000, sequence=number))
                time.sleep(0.002)  # each is a message of its own to the daemon
            raw.sock.settimeout(10.0)
            raw.skim(100_000)
            raw.send(call("grow", 1, sequence=99))
            seen = [raw.result()[0]]
            while seen[-1] != 99:
                seen.append(raw.result()[0])
            assert seen == [*range(1, count + 1), 99]


# Who completes a future, and peers that do not read.


@pytest.mark.serial
@pytest.mark.parametrize("kind", ["daemon", "tcp_daemon"])
def test_who_completes_a_future_never_waits_for_the_peer(
    request: pytest.FixtureRequest, kind: str, desk: Desk, connect: Connect
) -> None:
    daemon: Daemon = request.getfixturevalue(kind)
    proxy = connect(daemon.register(desk, "it"))
    value = b"x" * (16 << 20)
    with RawCaller(daemon) as deaf:
        deaf.send(*(call("order", n, sequence=n) for n in range(4)))
        ordered(desk, *range(4))
        before = threading.active_count()
        for number in range(4):
            started = time.perf_counter()
            desk.orders[number].set_result(value)
            assert time.perf_counter() - started < 0.1
        assert slowest_call_s(proxy, 0.3) < 0.3
        assert threading.active_count() <= before + 20
        assert all(deaf.result()[1] == value for _ in range(4))


def test_a_peer_that_takes_no_answers_is_given_up(
    serve: Make, desk: Desk, connect: Connect
) -> None:
    daemon = serve(send_timeout_s=0.3)
    proxy = connect(daemon.uri_of("it"))
    with RawCaller(daemon) as deaf, RawCaller(daemon) as slow:
        for number, peer in enumerate((deaf, slow)):
            peer.send(call("order", number))
            ordered(desk, number)
            desk.orders[number].set_result(b"x" * (4 << 20))
        started = time.monotonic()
        while time.monotonic() - started < 1.5:
            slow.skim(30_000)  # takes something, always: it is not given up
            time.sleep(0.05)
        eventually(lambda: desk.left == [0], "the deaf one's end", 0.5)
        assert slow.result() == (1, b"x" * (4 << 20))
        assert proxy.null() == 0


def test_done_callbacks_of_a_method_run_and_may_call(
    serve: Make, desk: Desk, connect: Connect
) -> None:
    daemon = serve()
    proxy, other = connect(daemon.uri_of("it")), connect(daemon.uri_of("it"))
    answers: list[Any] = []
    with RawCaller(daemon) as raw:
        raw.send(call("order", 1, sequence=1))
        ordered(desk, 1)
        desk.orders[1].add_done_callback(lambda _: answers.append(proxy.null()))
        desk.orders[1].add_done_callback(lambda _: answers.append(other.done(1)))
        desk.orders[1].set_result(5)
        assert raw.result() == (1, 5)
    assert answers == [0, 1]


def slowest_call_s(proxy: Proxy, for_s: float) -> float:
    """Call for so long; return how long the slowest one took."""
    slowest, end = 0.0, time.perf_counter() + for_s
    while (started := time.perf_counter()) < end:
        assert proxy.null() == 0
        slowest = max(slowest, time.perf_counter() - started)
    return slowest


# How much waits.


def test_a_thousand_later_answers_hold_few_threads(serve: Make, desk: Desk) -> None:
    daemon = serve()
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(200)]
        for number, raw in enumerate(raws):
            raw.send(*(call("order", (number, n), sequence=n) for n in range(5)))
        eventually(lambda: len(desk.orders) == 1000, "all are ordered")
        assert daemon.statistics().threads <= 32
        assert daemon.statistics().calls == 1000
        for key, future in desk.orders.items():
            future.set_result(key)
        for number, raw in enumerate(raws):
            seen = dict(raw.result() for _ in range(5))
            assert seen == {n: (number, n) for n in range(5)}
        assert daemon.statistics().threads <= 32


@pytest.mark.serial
def test_no_more_calls_are_read_than_may_wait(serve: Make, desk: Desk, connect: Connect) -> None:
    daemon = serve(max_calls_in_flight=4)
    proxy = connect(daemon.uri_of("it"))
    with RawCaller(daemon) as raw:
        raw.send(*(call("order", n, sequence=n) for n in range(10)))
        ordered(desk, *range(4))
        assert slowest_call_s(proxy, 0.1) < 0.1  # others go on; the fifth does not
        assert set(desk.orders) == set(range(4))
        for number in range(10):
            ordered(desk, number)
            assert len(desk.orders) <= number + 4
            desk.orders[number].set_result(number)
            assert raw.result() == (number, number)


def test_a_peer_that_does_not_read_cannot_make_answers_pile_up(daemon: Daemon) -> None:
    class Grower:
        def __init__(self) -> None:
            self.calls = 0

        @expose
        def grow(self, size: int) -> str:
            self.calls += 1
            return "x" * size

    grower = Grower()
    daemon.register(grower, "it")
    with RawCaller(daemon) as deaf:
        deaf.sock.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            for number in range(700):
                deaf.send(call("grow", 60_000, sequence=number))
                time.sleep(0.001)  # each is a message of its own to the daemon
        assert grower.calls < 300  # some 220 KB fit into the socket, and then no more is run


def test_oneway_calls_run_beside_the_next_call_and_are_limited(serve: Make, desk: Desk) -> None:
    with RawCaller(serve(max_calls_in_flight=4)) as raw:
        for number in range(3):
            raw.send(call("tell", number, flags=Flag.ONEWAY))
        raw.send(call("null", sequence=9))
        assert raw.result() == (9, 0)  # none of them is done
        eventually(lambda: len(desk.told) == 3, "three run")
        for number in range(3, 6):
            raw.send(call("tell", number, flags=Flag.ONEWAY))
        raw.send(call("null", sequence=10))
        with pytest.raises(TimeoutError):
            raw.receive(0.1)
        assert sorted(desk.told) == [0, 1, 2, 3]
        desk.gate.set()
        assert raw.result() == (10, 0)
        eventually(lambda: sorted(desk.told) == list(range(6)), "all have run")


def test_a_oneway_method_called_by_a_proxy_is_not_waited_for(
    serve: Make, desk: Desk, connect: Connect
) -> None:
    proxy = connect(serve().uri_of("it"))
    assert proxy.null() == 0
    started = time.perf_counter()
    for number in range(5):
        proxy.tell(number)
    assert proxy.null() == 0
    assert time.perf_counter() - started < 2.0
    eventually(lambda: sorted(desk.told) == list(range(5)), "all run")


@pytest.mark.parametrize(
    "what", [b"\xc1", b"\x93\x01\x02\x03", encode_call("it", "no_such", (), {}, 1, [])]
)
def test_a_oneway_call_that_cannot_run_is_no_error_of_the_daemon(
    serve: Make, what: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = serve()
    with RawCaller(daemon) as raw:
        raw.send(frame(Message(MessageType.INVOKE, 82, Flag.ONEWAY, 1, what)))
        raw.send(call("null", sequence=2))
        assert raw.result() == (2, 0)  # and nothing before it
    eventually(lambda: daemon.statistics().connections == 0, "it is gone")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# The end of a peer, while answers are due.


@pytest.mark.parametrize("count", [1, 4, 5, 40], ids=lambda count: f"{count} of 4")
@pytest.mark.parametrize("is_stock", [False, True], ids=["ours", "stock"])
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_closed_peer_is_noticed_at_once_while_answers_are_due(
    desk: Desk, kind: str, is_stock: bool, count: int
) -> None:
    where: dict[str, Any] = {"host": "127.0.0.1", "insecure": True} if kind == "tcp" else {}
    settings = Settings(max_calls_in_flight=4)
    warns = pytest.warns(InsecureWarning) if where else contextlib.nullcontext()
    with warns, Daemon(**where, settings=settings) as daemon:
        daemon.register(desk, "it")
        daemon.start()
        raw = RawCaller(daemon, is_stock=is_stock)
        make = stock_call if is_stock else call
        raw.send(*(make("order", n, sequence=n) for n in range(count)))
        waiting = 1 if is_stock else min(count, 4)
        ordered(desk, *range(waiting))
        raw.close()
        eventually(lambda: sorted(desk.left) == list(range(waiting)), f"{desk.left}", 1.0)
        eventually(lambda: daemon.statistics().connections == 0, "the connection's end", 1.0)
        for order in desk.orders.values():
            order.set_result("too late")  # harms nobody
        assert len(desk.orders) == waiting  # what was not read yet is not run


def test_an_answer_to_who_is_gone_is_dropped(serve: Make, desk: Desk, connect: Connect) -> None:
    daemon = serve()
    proxy = connect(daemon.uri_of("it"))
    assert proxy.null() == 0
    for number in range(20):
        raw = RawCaller(daemon)
        raw.send(call("order", number))
        ordered(desk, number)
        closer = threading.Thread(target=raw.close)
        closer.start()
        desk.orders[number].set_result(b"x" * 100_000)
        closer.join()
        assert proxy.null() == 0
    eventually(lambda: daemon.statistics().connections == 1, "all have gone")


def test_a_serpent_call_of_our_own_peer_is_answered_in_serpent(serve: Make) -> None:
    with RawCaller(serve()) as raw:
        raw.send(stock_call("done", 5, sequence=3), stock_call("think", 6, sequence=4))
        assert [raw.receive().serializer for _ in range(2)] == [SERPENT, SERPENT]
