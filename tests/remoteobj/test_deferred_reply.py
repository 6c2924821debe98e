"""``DeferredReply``: the answer is written by who has it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import InvalidStateError
from typing import Any

import pytest

from remoteobj import (
    ConnectionLost,
    Daemon,
    DeferredReply,
    Proxy,
    batch,
    expose,
    oneway,
    release,
)
from tests.conftest import eventually


class Desk:
    """Takes orders, and answers them when the test says so."""

    def __init__(self) -> None:
        self.orders: dict[int, DeferredReply] = {}
        self.afterwards: list[str] = []

    @expose
    def order(self, number: int) -> DeferredReply:
        reply = self.orders[number] = DeferredReply()
        return reply

    @expose
    def ready(self, value: Any) -> DeferredReply:
        reply = DeferredReply()
        reply.set(value)
        return reply

    @expose
    def and_then(self) -> DeferredReply:
        reply = DeferredReply()
        reply.afterwards = lambda: self.afterwards.append(threading.current_thread().name)
        reply.set(1)
        return reply

    @expose
    def shared(self) -> DeferredReply:
        return self.orders.setdefault(0, DeferredReply())

    @expose
    @oneway
    def tell(self, number: int) -> DeferredReply:
        return self.order(number)

    @expose
    def plain(self, value: Any) -> Any:
        return value


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def proxy(desk: Desk) -> Iterator[Proxy]:
    with Daemon() as daemon:
        uri = daemon.register(desk, "desk")
        daemon.start()
        with Proxy(uri) as proxy:
            yield proxy


def in_thread(call: Any, *args: Any) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call(*args)))
    thread.start()
    return thread, answers


def test_whoever_has_the_answer_writes_it(desk: Desk, proxy: Proxy) -> None:
    for value in (7, b"small", b"large" * 100_000, {"a": [1.5, None]}):
        thread, answers = in_thread(proxy.order, 1)
        eventually(lambda: 1 in desk.orders, "the order has come")
        assert not answers
        desk.orders.pop(1).set(value)
        thread.join()
        assert answers == [value]
        assert proxy.plain(value) == value, "the connection goes on"


def test_an_answer_may_be_there_before(proxy: Proxy) -> None:
    assert [proxy.ready(number) for number in range(50)] == list(range(50))


def test_many_wait_and_are_answered_in_any_order(desk: Desk, proxy: Proxy) -> None:
    waiting = [in_thread(proxy.order, number) for number in range(20)]
    eventually(lambda: len(desk.orders) == 20, "all have come")
    for number in reversed(range(20)):
        desk.orders[number].set(number)
    for number, (thread, answers) in enumerate(waiting):
        thread.join()
        assert answers == [number]


def test_what_cannot_be_sent_is_an_error_of_the_call(desk: Desk, proxy: Proxy) -> None:
    caught: list[BaseException] = []

    def order() -> None:
        with pytest.raises(Exception, match="lock") as info:
            proxy.order(1)
        caught.append(info.value)

    thread = threading.Thread(target=order)
    thread.start()
    eventually(lambda: 1 in desk.orders, "the order has come")
    desk.orders[1].set(threading.Lock())
    thread.join()
    assert caught
    assert proxy.plain(1) == 1


def test_in_a_batch_and_oneway(desk: Desk, proxy: Proxy) -> None:
    calls = batch(proxy)
    calls.ready(1)
    calls.order(2)
    calls.ready(3)
    thread, answers = in_thread(lambda: list(calls()))
    eventually(lambda: 2 in desk.orders, "the second one has come")
    desk.orders[2].set(2)
    thread.join()
    assert answers == [[1, 2, 3]]
    proxy.tell(9)
    eventually(lambda: 9 in desk.orders, "it has come")
    desk.orders[9].set("nobody hears it")
    assert proxy.plain(5) == 5


def test_what_is_to_be_done_afterwards_is_done_once(desk: Desk, proxy: Proxy) -> None:
    assert proxy.and_then() == 1
    eventually(lambda: len(desk.afterwards) == 1, "it is done")
    assert desk.afterwards[0].startswith("remoteobj-serve")


def test_a_daemon_that_closes_does_not_wait_for_it(desk: Desk) -> None:
    lost: list[BaseException] = []

    def order() -> None:
        try:
            first.order(1)
        except ConnectionLost as error:
            lost.append(error)

    daemon = Daemon()
    first = Proxy(daemon.register(desk, "desk"))
    daemon.start()
    thread = threading.Thread(target=order)
    thread.start()
    eventually(lambda: 1 in desk.orders, "the order has come")
    daemon.close()
    thread.join()
    desk.orders[1].set(1)  # nobody is there any more, and that is no error
    assert lost
    release(first)


def test_a_reply_answers_one_call_and_refuses_others(desk: Desk, proxy: Proxy) -> None:
    thread, answers = in_thread(proxy.shared)
    eventually(lambda: 0 in desk.orders and desk.orders[0]._method, "the first call waits")
    for _ in range(2):
        with pytest.raises(Exception, match=r"shared\(\) has returned <.*make a new DeferredReply"):
            proxy.shared()
    calls = batch(proxy)
    calls.plain(1)
    calls.shared()
    results = calls()
    assert next(results) == 1
    with pytest.raises(Exception, match="make a new DeferredReply for each call"):
        next(results)
    desk.orders[0].set("for the first")
    thread.join()
    assert answers == ["for the first"]
    with pytest.raises(Exception, match="make a new DeferredReply for each call"):
        proxy.shared()
    assert proxy.plain(1) == 1, "the connection goes on"


def test_a_reply_is_set_once(desk: Desk, proxy: Proxy) -> None:
    thread, answers = in_thread(proxy.order, 1)
    eventually(lambda: 1 in desk.orders and desk.orders[1]._method, "the order has come")
    reply = desk.orders[1]
    assert repr(reply) == "<DeferredReply of order(): pending>"
    reply.set("first")
    with pytest.raises(
        InvalidStateError, match=r"<DeferredReply of order\(\): set> was set before"
    ):
        reply.set("second")
    thread.join()
    assert answers == ["first"]
    unused = DeferredReply()
    unused.set(1)
    with pytest.raises(InvalidStateError, match="make a new DeferredReply for each call"):
        unused.set(2)
    assert proxy.plain(1) == 1, "the connection goes on"


def test_races_of_setting_and_waiting() -> None:
    for _ in range(300):
        reply = DeferredReply()
        answers: list[int] = []
        setter = threading.Thread(target=reply.set, args=(1,))
        setter.start()
        reply.when_set(answers.append)
        setter.join()
        assert answers == [1]
