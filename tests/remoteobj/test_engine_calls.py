"""Batches, and iterators as streams."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from raw_peers import RawCaller, batch_of, call
from servants import Connect, StartScript

from remoteobj import Daemon, WireError, batch, behavior, expose, options, release
from remoteobj.codec.calls import decode_results
from remoteobj.wire import Flag
from tests.conftest import eventually


class Shop:
    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.orders: list[Future[Any]] = []
        self.closed: list[str] = []
        self.counted = 0
        self._price = 5

    @expose
    def add(self, left: int, right: int = 1) -> int:
        self.calls.append(left)
        return left + right

    @expose
    def fail(self, text: str) -> None:
        self.calls.append(text)
        raise LookupError(text)

    @expose
    def leave(self) -> None:
        raise SystemExit(3)

    @expose
    def lock(self) -> Any:
        return threading.Lock()

    @expose
    def order(self) -> Future[Any]:
        self.orders.append(Future())
        return self.orders[-1]

    @expose
    async def think(self, value: int) -> int:
        await asyncio.sleep(0)
        return value

    @property
    @expose
    def price(self) -> int:
        return self._price

    @expose
    def numbers(self, until: int, name: str = "") -> Iterator[int]:
        try:
            for number in range(until):
                self.counted += 1
                yield number
        finally:
            self.closed.append(name)

    @expose
    def breaking(self) -> Iterator[int]:
        yield 1
        raise LookupError("no two")

    @expose
    def unsendable(self) -> Iterator[Any]:
        yield 1
        yield threading.Lock()
        yield 3

    @expose
    def waiting(self) -> Iterator[int]:
        self.entered = threading.Event()
        self.gate = threading.Event()
        try:
            yield 1
            self.entered.set()
            self.gate.wait(10.0)
            yield 2
        finally:
            self.closed.append("waiting")


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    for order in made.orders:
        order.cancel()


@pytest.fixture(params=["daemon", "tcp_daemon"])
def served(request: pytest.FixtureRequest, shop: Shop) -> Daemon:
    running: Daemon = request.getfixturevalue(request.param)
    running.register(shop, "it")
    return running


@pytest.fixture
def proxy(served: Daemon, connect: Connect) -> Any:
    return connect(served.uri_of("it"))


# Batches.


def test_a_batch_gives_the_results_in_their_order_and_may_be_used_again(proxy: Any) -> None:
    calls = batch(proxy)
    assert list(calls()) == []  # an empty one asks nobody
    for turn in range(2):
        for number in range(5):
            calls.add(number, right=turn)
        assert len(calls) == 5
        assert list(calls()) == [number + turn for number in range(5)]
        assert len(calls) == 0
    assert list(calls()) == []


def test_an_exception_ends_the_batch_and_is_raised_at_its_place(proxy: Any, shop: Shop) -> None:
    calls = batch(proxy)
    calls.add(1)
    calls.fail("no bolts")
    calls.add(2)
    results = calls()
    assert next(results) == 2
    with pytest.raises(LookupError, match="no bolts") as caught:
        next(results)
    assert "in fail" in "".join(caught.value.__notes__)
    with pytest.raises(StopIteration):
        next(results)
    assert shop.calls == [1, "no bolts"]
    calls.add(3)
    assert list(calls()) == [4]


@pytest.mark.parametrize("name", ["no_such", "price", "calls"])
def test_what_is_no_method_ends_the_batch_at_its_place(proxy: Any, name: str) -> None:
    calls = batch(proxy)
    calls.add(1)
    with pytest.raises(AttributeError):
        getattr(calls, name)(2)
        results = calls()
        assert next(results) == 2
        next(results)


def test_a_method_that_ends_programs_ends_the_batch_alone(proxy: Any, served: Daemon) -> None:
    calls = batch(proxy)
    calls.add(1)
    calls.leave()
    results = calls()
    assert next(results) == 2
    with pytest.raises(Exception, match="SystemExit"):
        next(results)
    assert proxy.add(1) == 2
    assert served.statistics().connections == 1


def test_later_answers_within_a_batch_hold_no_thread_and_keep_the_order(
    served: Daemon, shop: Shop, connect: Connect
) -> None:
    proxy = connect(served.uri_of("it"))
    assert proxy.add(1) == 2
    with RawCaller(served) as raw:
        raw.send(
            batch_of(("add", (1,)), ("order", ()), ("think", (3,)), ("order", ()), ("add", (4,)))
        )
        eventually(lambda: len(shop.orders) == 1, "the first order")
        assert shop.calls[-1] == 1  # what comes after it waits
        shop.orders[0].set_result("first")
        eventually(lambda: len(shop.orders) == 2, "the second order")
        assert proxy.add(9) == 10
        shop.orders[1].set_result("second")
        reply = raw.receive()
        assert decode_results(reply.payload, reply.buffers) == ([2, "first", 3, "second", 5], None)
        raw.send(batch_of(("order", ()), ("add", (7,)), sequence=2))
        eventually(lambda: len(shop.orders) == 3, "the third order")
        shop.orders[2].set_exception(LookupError("none"))
        values, error = decode_results(raw.receive().payload, ())
        assert (values, type(error)) == ([], LookupError)
        raw.send(batch_of(("add", (6,)), ("order", ()), sequence=3))
        eventually(lambda: len(shop.orders) == 4, "the fourth order")
        shop.orders[3].cancel()
        values, error = decode_results(raw.receive().payload, ())
        assert (values, type(error).__name__) == ([7], "CancelledError")


def test_a_result_that_cannot_travel_is_told_at_its_place(proxy: Any) -> None:
    calls = batch(proxy)
    calls.add(1)
    calls.lock()
    calls.add(2)
    results = calls()
    assert next(results) == 2
    with pytest.raises(TypeError, match="lock"):
        next(results)
    assert proxy.add(1) == 2


def test_nobody_waits_for_a_oneway_batch(proxy: Any, shop: Shop) -> None:
    calls = batch(proxy)
    calls.order()
    calls.add(1)
    calls.fail("said to nobody")
    calls.add(2)
    started = time.perf_counter()
    assert list(calls(oneway=True)) == []
    assert time.perf_counter() - started < 1.0
    eventually(lambda: len(shop.orders) == 1, "it runs")
    assert proxy.add(5) == 6
    shop.orders[0].set_result(None)
    eventually(lambda: shop.calls == [5, 1, "said to nobody"], "all that is before the failure")


def test_ten_thousand_calls_in_one_batch(proxy: Any, served: Daemon) -> None:
    calls = batch(proxy)
    for number in range(10_000):
        calls.add(number)
    assert list(calls()) == list(range(1, 10_001))
    for number in range(2000):
        calls.think(number)
    assert list(calls()) == list(range(2000))
    assert served.statistics().threads < 20


def test_a_batch_that_is_dropped_in_the_middle_of_its_results(proxy: Any) -> None:
    calls = batch(proxy)
    for number in range(100):
        calls.add(number)
    results = calls()
    assert next(results) == 1
    del results
    gc.collect()
    assert proxy.add(1) == 2


# Streams.


def test_an_iterator_gives_its_items_one_by_one(proxy: Any, shop: Shop) -> None:
    items = proxy.numbers(1000)
    assert [next(items), next(items)] == [0, 1]
    assert shop.counted <= 3
    assert list(items) == list(range(2, 1000))
    with pytest.raises(StopIteration):
        next(items)
    assert shop.closed == [""]


def test_an_error_in_the_middle_is_raised_at_its_place(proxy: Any) -> None:
    items = proxy.breaking()
    assert next(items) == 1
    with pytest.raises(LookupError, match="no two"):
        next(items)
    with pytest.raises((StopIteration, WireError)):
        next(items)
    assert proxy.add(1) == 2


def test_an_item_that_cannot_travel_is_told(proxy: Any) -> None:
    items = proxy.unsendable()
    assert next(items) == 1
    with pytest.raises(TypeError, match="lock"):
        next(items)
    assert next(items) == 3


def test_close_closes_the_generator(proxy: Any, shop: Shop) -> None:
    items = proxy.numbers(10, "one")
    assert next(items) == 0
    items.close()
    eventually(lambda: shop.closed == ["one"], "it is closed")
    with pytest.raises(StopIteration):
        next(items)
    items.close()


def test_dropped_items_are_told_with_the_next_call(proxy: Any, shop: Shop) -> None:
    items = proxy.numbers(10, "one")
    assert next(items) == 0
    del items
    gc.collect()
    assert proxy.add(1) == 2
    eventually(lambda: shop.closed == ["one"], "it is closed", 2.0)


def test_a_stream_ends_with_its_proxy(
    served: Daemon, proxy: Any, shop: Shop, connect: Connect
) -> None:
    other = connect(served.uri_of("it"))
    mine, others = proxy.numbers(10, "mine"), other.numbers(10, "others")
    assert (next(mine), next(others)) == (0, 0)
    release(proxy)
    eventually(lambda: shop.closed == ["mine"], "it is closed")
    assert next(others) == 1
    with pytest.raises(WireError, match="terminated"):
        next(mine)
    del mine


STREAM_AND_STAY = """
import sys, warnings
warnings.simplefilter("ignore")
from remoteobj import Proxy
proxy = Proxy(sys.argv[1], insecure=True)
items = proxy.numbers(10, "killed")
print(next(items), flush=True)
sys.stdin.read()
"""


def test_a_stream_ends_with_its_process(
    served: Daemon, shop: Shop, start_script: StartScript
) -> None:
    process = start_script("-c", STREAM_AND_STAY, str(served.uri_of("it")))
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    assert shop.closed == []
    process.send_signal(signal.SIGKILL)
    eventually(lambda: shop.closed == ["killed"], "it is closed", 2.0)


def test_a_stream_that_ends_while_an_item_is_made(proxy: Any, shop: Shop) -> None:
    items = proxy.waiting()
    assert next(items) == 1
    fetched: list[Any] = []
    fetcher = threading.Thread(target=lambda: fetched.append(next(items, None)))
    fetcher.start()
    assert shop.entered.wait(10.0)
    release(proxy)
    assert shop.closed == []
    shop.gate.set()
    fetcher.join()
    assert fetched == [2]
    eventually(lambda: shop.closed == ["waiting"], "it is closed")


@pytest.mark.parametrize("stream_id", ["", "no such", "0" * 32, "\0" * 500])
def test_an_unknown_stream_is_named_and_closing_it_is_no_error(
    served: Daemon, stream_id: str
) -> None:
    with RawCaller(served) as raw:
        raw.send(
            call("close_stream", stream_id, object_id="Pyro.Daemon"),
            call("get_next_stream_item", stream_id, sequence=2, object_id="Pyro.Daemon"),
        )
        assert raw.result() == (1, None)
        sequence, error = raw.result()
        assert sequence == 2
        assert isinstance(error, WireError)


def test_two_threads_may_fetch_items_of_one_stream(served: Daemon, shop: Shop) -> None:
    with RawCaller(served) as one, RawCaller(served) as two:
        one.send(call("numbers", 400))
        reply = one.receive()
        assert reply.flags & Flag.STREAM
        stream_id = bytes(reply.annotations["STRM"]).decode()
        seen: list[list[int]] = [[], []]

        def fetch(raw: RawCaller, into: list[int]) -> None:
            for number in range(200):
                raw.send(
                    call("get_next_stream_item", stream_id, sequence=2, object_id="Pyro.Daemon")
                )
                into.append(raw.result()[1])
                assert into[-1] is not None, number

        threads = [
            threading.Thread(target=fetch, args=pair) for pair in zip((one, two), seen, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seen[0] + seen[1]) == list(range(400))  # "generator already executing": no
        assert seen[0] == sorted(seen[0])


def test_streams_that_have_ended_leave_nothing_behind(served: Daemon, connect: Connect) -> None:
    proxy = connect(served.uri_of("it"))

    def use(count: int) -> None:
        for _ in range(count):
            list(proxy.numbers(1))
            items = proxy.numbers(5)
            next(items)
            items.close()

    use(50)
    gc.collect()
    tracemalloc.start()
    try:
        use(400)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 180_000  # of 800 streams
    finally:
        tracemalloc.stop()


def test_a_stream_keeps_the_deadline_of_its_proxy(proxy: Any, shop: Shop) -> None:
    items = options(proxy, timeout_s=0.2).waiting()
    assert next(items) == 1
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        next(items)
    assert time.perf_counter() - started < 2.0
    shop.gate.set()
    del items


def test_an_instance_of_one_call_lives_as_long_as_its_iterator(
    served: Daemon, connect: Connect
) -> None:
    @behavior(instance_mode="percall")
    class Once:
        def __init__(self) -> None:
            self._limit = 3

        @expose
        def count(self) -> Iterator[int]:
            for number in range(self._limit):
                gc.collect()
                yield number

    assert list(connect(served.register(Once)).count()) == [0, 1, 2]
