"""Items of a remote iterator that were lost: nobody reads on as if nothing had happened."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from servants import Connect

from remoteobj import ConnectionLost, Daemon, DeadlinePassed, WireError, expose, options, release
from tests.conftest import eventually

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


class Press:
    def __init__(self) -> None:
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.closed = 0

    @expose
    def null(self) -> int:
        return 0

    @expose
    def sheets(self, slow: int = -1) -> Iterator[int]:
        try:
            for number in range(4):
                if number == slow:
                    self.entered.set()
                    self.gate.wait(10.0)
                yield number
        finally:
            self.closed += 1

    @expose
    def torn(self) -> Iterator[int]:
        yield 0
        raise LookupError("torn")


@pytest.fixture
def press() -> Iterator[Press]:
    made = Press()
    yield made
    made.gate.set()


@pytest.fixture(params=["daemon", "tcp_daemon"])
def served(request: pytest.FixtureRequest, press: Press) -> Iterator[Daemon]:
    running: Daemon = request.getfixturevalue(request.param)
    running.register(press, "it")
    yield running
    press.gate.set()


@pytest.fixture
def proxy(served: Daemon, connect: Connect) -> Any:
    return connect(served.uri_of("it"))


def test_a_deadline_ends_the_items_and_says_so(proxy: Any, press: Press) -> None:
    items = options(proxy, timeout_s=0.2).sheets(1)
    assert next(items) == 0
    with pytest.raises(DeadlinePassed):
        next(items)
    press.gate.set()
    for _ in range(2):
        with pytest.raises(WireError, match=r"was lost.*DeadlinePassed: .*again.*more time"):
            next(items)
    assert proxy.null() == 0  # the farewell goes with it
    eventually(lambda: press.closed == 1, "the daemon lets go of it")


def test_ctrl_c_ends_the_items_and_says_so(proxy: Any, press: Press) -> None:
    items = proxy.sheets(1)
    assert next(items) == 0

    def interrupt() -> None:
        assert press.entered.wait(10.0)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        next(items)
    other.join()
    press.gate.set()
    with pytest.raises(WireError, match=r"was lost.*KeyboardInterrupt: call the method again"):
        next(items)
    assert proxy.null() == 0
    eventually(lambda: press.closed == 1, "the daemon lets go of it")


def test_an_item_that_was_not_asked_for_is_asked_for_again(proxy: Any, served: Daemon) -> None:
    items = proxy.sheets()
    assert next(items) == 0
    items._timeout_s = 0.0  # there was no time to send it
    with pytest.raises(DeadlinePassed) as caught:
        next(items)
    assert caught.value.executed == "no"
    items._timeout_s = None
    assert list(items) == [1, 2, 3]


def test_who_reads_on_after_the_end_is_told_what_may_have_happened(
    proxy: Any, press: Press
) -> None:
    torn, released = proxy.torn(), proxy.sheets()
    assert (next(torn), next(released)) == (0, 0)
    with pytest.raises(LookupError, match="torn"):
        next(torn)
    release(proxy)
    eventually(lambda: press.closed == 1, "the daemon has noticed")
    for items in (torn, released):
        with pytest.raises(WireError, match=r"An earlier item has failed.* proxy was released"):
            next(items)


def test_threads_that_read_one_iterator_are_told_or_see_its_end(proxy: Any) -> None:
    items, seen, failed = proxy.sheets(), list[int](), list[BaseException]()

    def read() -> None:
        try:
            seen.extend(iter(lambda: next(items), None))
        except StopIteration:
            pass
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) <= 4
    assert all("another thread has read it to its end" in str(error) for error in failed)
    with pytest.raises(StopIteration):
        next(items)


def test_a_lost_connection_says_so(proxy: Any, served: Daemon, press: Press) -> None:
    items = proxy.sheets(1)
    assert next(items) == 0
    ended = threading.Thread(target=lambda: press.entered.wait(10.0) and served.close())
    ended.start()
    with pytest.raises(ConnectionLost) as caught:
        next(items)
    press.gate.set()
    ended.join()
    assert caught.value.executed == "maybe"
    with pytest.raises(WireError, match="was lost, since the wait for it ended with Connection"):
        next(items)
