"""Sessions: what a proxy is to a daemon, although its connections are shared with other proxies."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from raw_peers import RawCaller, call, stock_call
from servants import Connect, StartScript

from remoteobj import (
    Daemon,
    DeadlinePassed,
    Proxy,
    Settings,
    WireError,
    behavior,
    expose,
    on_disconnect,
    oneway,
    options,
)
from remoteobj import release as release_proxy
from remoteobj.wire import Message
from tests.conftest import eventually

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")
ended: list[int] = []
MADE = count(1)


@behavior(instance_mode="session")
class Seat:
    """Has a number of its own, and counts its calls."""

    gate = threading.Event()
    running = threading.Event()

    def __init__(self) -> None:
        self.number = next(MADE)
        self.calls = 0

    @expose
    def sit(self) -> int:
        on_disconnect(lambda: ended.append(self.number))
        return self.number

    @expose
    def me(self) -> tuple[int, int]:
        self.calls += 1
        return self.number, self.calls

    @expose
    @oneway
    def tell(self) -> None:
        self.running.set()
        self.gate.wait(10.0)
        on_disconnect(lambda: ended.append(-self.number))

    @expose
    def order(self) -> Future[None]:
        return Future()

    @expose
    def wait(self) -> bool:
        self.running.set()
        return self.gate.wait(10.0)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    ended.clear()
    Seat.gate.clear()
    Seat.running.clear()
    yield
    Seat.gate.set()


@pytest.fixture(params=["daemon", "tcp_daemon"])
def served(request: pytest.FixtureRequest) -> Daemon:
    running: Daemon = request.getfixturevalue(request.param)
    running.register(Seat, "it")
    return running


@pytest.mark.parametrize(
    ("mode", "instances"), [("single", [1, 1, 1]), ("session", [1, 1, 2]), ("percall", [1, 2, 3])]
)
def test_instances_by_mode_over_one_shared_connection(
    served: Daemon, connect: Connect, mode: str, instances: list[int]
) -> None:
    numbers = count(1)

    def __init__(self: Any) -> None:
        Seat.__init__(self)
        self.number = next(numbers)

    cls = behavior(instance_mode=mode)(type("Counted", (Seat,), {"__init__": __init__}))
    uri = served.register(cls)
    one, two = connect(uri), connect(uri)
    assert [one.me()[0], one.me()[0], two.me()[0]] == instances
    assert served.statistics().connections == 1


def test_a_session_is_the_same_on_every_connection(served: Daemon, connect: Connect) -> None:
    proxy, other = connect(served.uri_of("it")), connect(served.uri_of("it"))
    number, start = proxy.me()[0], threading.Barrier(8)

    def work(_: int) -> set[int]:
        start.wait(10.0)
        return {proxy.me()[0] for _ in range(30)}

    with ThreadPoolExecutor(8) as pool:
        assert set().union(*pool.map(work, range(8))) == {number}
    assert proxy.me() == (number, 8 * 30 + 2)
    assert other.me() != number
    assert served.statistics().connections > 1


def test_threads_that_use_a_new_proxy_at_once_share_its_session(
    served: Daemon, connect: Connect
) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            proxy, start = connect(served.uri_of("it")), threading.Barrier(6)

            def work(_: int, proxy: Any = proxy, start: Any = start) -> int:
                start.wait(10.0)
                seen: int = proxy.sit()
                return seen

            with ThreadPoolExecutor(6) as pool:
                (number,) = set(pool.map(work, range(6)))
            release_proxy(proxy)
            eventually(lambda number=number: number in ended, "its session's end")
            eventually(lambda: served.statistics().connections == 0, "its connections' end")
    finally:
        sys.setswitchinterval(interval)


def test_copies_made_by_options_share_the_session(served: Daemon, connect: Connect) -> None:
    proxy = connect(served.uri_of("it"))
    number = proxy.me()[0]
    hurried = options(proxy, timeout_s=9.0)
    assert hurried.me() == (number, 2)
    release_proxy(hurried)
    assert proxy.me()[0] != number


def test_release_ends_one_session_and_leaves_the_others(served: Daemon, connect: Connect) -> None:
    one, two = connect(served.uri_of("it")), connect(served.uri_of("it"))
    first, second = one.sit(), two.sit()
    release_proxy(one)
    eventually(lambda: ended == [first], f"{ended}", 2.0)
    assert two.me() == (second, 1)
    again = one.sit()
    assert again not in (first, second)
    release_proxy(two)
    eventually(lambda: ended == [first, second], f"{ended}", 2.0)
    assert one.me() == (again, 1)
    release_proxy(one)
    eventually(lambda: ended == [first, second, again], f"{ended}", 2.0)
    eventually(lambda: served.statistics().connections == 0, "no connection is left")


def test_release_is_told_even_if_every_connection_is_in_use(
    served: Daemon, connect: Connect
) -> None:
    one, two = connect(served.uri_of("it")), connect(served.uri_of("it"))
    number = one.sit()
    two.me()
    waiter = threading.Thread(target=two.wait)
    waiter.start()
    assert Seat.running.wait(10.0)
    assert served.statistics().connections == 1
    release_proxy(one)
    assert two.me()  # told with the next call, at the latest
    eventually(lambda: ended == [number], f"{ended}", 2.0)
    Seat.gate.set()
    waiter.join()


def test_a_dropped_proxy_is_told_with_the_next_call(served: Daemon, connect: Connect) -> None:
    one: Any = Proxy(served.uri_of("it"), insecure=True)
    two = connect(served.uri_of("it"))
    number = one.sit()
    two.me()
    del one
    gc.collect()
    two.me()
    eventually(lambda: ended == [number], f"{ended}", 2.0)


def test_what_is_asked_for_after_release_ends_at_once(served: Daemon, connect: Connect) -> None:
    one, two = connect(served.uri_of("it")), connect(served.uri_of("it"))
    number = one.sit()
    two.me()
    one.tell()
    assert Seat.running.wait(10.0)
    release_proxy(one)
    eventually(lambda: ended == [number], f"{ended}", 2.0)
    Seat.gate.set()  # only now does tell() ask to be told of the end
    eventually(lambda: ended == [number, -number], f"{ended}", 2.0)
    two.me()


def test_on_disconnect_works_where_the_instance_is_made(served: Daemon, connect: Connect) -> None:
    ended = threading.Event()

    @behavior(instance_mode="session")
    class Guest:
        def __init__(self) -> None:
            on_disconnect(ended.set)

        @expose
        def greet(self) -> str:
            return "hello"

    proxy = connect(served.register(Guest), settings=Settings(call_timeout_s=3.0))
    assert proxy.greet() == "hello"
    release_proxy(proxy)
    assert ended.wait(5.0)


def test_an_instance_that_cannot_be_made_is_tried_again(served: Daemon, connect: Connect) -> None:
    tries = count(1)

    @behavior(instance_mode="session")
    class Shy:
        def __init__(self) -> None:
            self.number = next(tries)
            if self.number < 3:
                raise LookupError("not yet")

        @expose
        def me(self) -> int:
            return self.number

    proxy = connect(served.register(Shy))
    for _ in range(2):
        with pytest.raises(LookupError, match="not yet"):
            proxy.me()
    assert [proxy.me(), proxy.me()] == [3, 3]


def test_a_slow_constructor_holds_up_its_own_session_alone(
    served: Daemon, connect: Connect
) -> None:
    begun, gate = threading.Event(), threading.Event()

    @behavior(instance_mode="session")
    class Slow:
        def __init__(self) -> None:
            if not begun.is_set():
                begun.set()
                gate.wait(10.0)

        @expose
        def null(self) -> None: ...

    uri = served.register(Slow)
    first, second = connect(uri), connect(uri, settings=Settings(call_timeout_s=5.0))
    waiter = threading.Thread(target=first.null)
    waiter.start()
    assert begun.wait(10.0)
    second.null()
    gate.set()
    waiter.join()


def test_to_a_stock_peer_connection_and_session_are_one(served: Daemon) -> None:
    with RawCaller(served, is_stock=True) as one, RawCaller(served, is_stock=True) as two:
        numbers = []
        for raw in (one, two, one):
            raw.send(stock_call("sit"))
            numbers.append(serpent_int(raw.receive()))
        assert numbers[0] == numbers[2] != numbers[1]
        one.close()
        eventually(lambda: ended == [numbers[0]] * 2, f"{ended}", 2.0)
        two.send(stock_call("sit"))
        assert serpent_int(two.receive()) == numbers[1]


def serpent_int(message: Message) -> int:
    return int(bytes(message.payload).splitlines()[-1])


def test_who_does_not_know_its_name_has_no_part_in_a_session(served: Daemon) -> None:
    with RawCaller(served, name="a secret") as mine, RawCaller(served, name="a guess") as other:
        seen = []
        for raw in (mine, other):
            raw.send(call("me", session=1))
            seen.append(raw.result()[1][0])
        assert seen[0] != seen[1]
        with RawCaller(served, name="a secret") as second:
            second.send(call("me", session=1))
            assert second.result()[1] == (seen[0], 2)


def test_a_session_lives_on_while_one_connection_is_left(served: Daemon) -> None:
    with RawCaller(served, name="one of two") as first:
        first.send(call("sit"))
        number = first.result()[1]
        with RawCaller(served, name="one of two"):
            first.close()
            eventually(lambda: served.statistics().connections == 1, "one is gone")
            assert ended == []
        eventually(lambda: ended == [number], f"{ended}", 2.0)


def test_sessions_of_one_peer_are_limited(daemon: Daemon) -> None:
    daemon.register(Seat, "it")
    with RawCaller(daemon) as raw:
        raw.send(call("me", session=-5), call("me", session=2**63 - 1, sequence=2))
        assert raw.result()[1][1] == 1
        assert raw.result()[1][1] == 1
        raw.send(call("me", session=2**64 - 1, sequence=3))
        raw.result()
        raw.send(call("me", session=-5, sequence=4))
        assert raw.result()[1][1] == 2


SIT_AND_STAY = """
import sys, warnings
warnings.simplefilter("ignore")
from remoteobj import Proxy
proxies = [Proxy(sys.argv[1], insecure=True) for _ in range(3)]
print(*(proxy.sit() for proxy in proxies), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None], ids=str)
def test_a_clients_end_ends_its_sessions(
    served: Daemon, connect: Connect, start_script: StartScript, how: signal.Signals | None
) -> None:
    bystander = connect(served.uri_of("it"))
    bystander.sit()
    process = start_script("-c", SIT_AND_STAY, str(served.uri_of("it")))
    assert process.stdout is not None
    assert process.stdin is not None
    numbers = [int(number) for number in process.stdout.readline().split()]
    assert len(set(numbers)) == 3
    assert ended == []
    if how is None:
        process.communicate("go\n")
    else:
        process.send_signal(how)
    eventually(lambda: sorted(ended) == numbers, f"{ended}", 2.0)
    assert bystander.me()[1] == 1


def test_what_fails_at_the_end_of_a_session_harms_no_other(
    served: Daemon, connect: Connect
) -> None:
    class Bad(Seat):
        @expose
        def sit(self) -> int:
            on_disconnect(self.fail)
            return super().sit()

        def fail(self) -> None:
            raise SystemExit(3)

    uri = served.register(behavior(instance_mode="session")(Bad))
    one, two = connect(uri), connect(uri)
    number, stays = one.sit(), two.sit()
    release_proxy(one)
    eventually(lambda: ended == [number], f"{ended}", 2.0)
    assert two.me() == (stays, 1)


def assert_only_this_ends(last: Any) -> None:
    """End one more session: what was to end before it would have ended by then."""
    number = last.sit()
    release_proxy(last)
    eventually(lambda: number in ended, "the last one's end")
    assert ended == [number]


def test_an_error_that_the_daemon_tells_ends_no_session(served: Daemon, connect: Connect) -> None:
    class Refuser:
        @expose
        def refuse(self) -> None:
            raise WireError("said the method")

    proxy, other = connect(served.uri_of("it")), connect(served.register(Refuser()))
    number = proxy.sit()
    for _ in range(3):
        with pytest.raises(WireError, match="said the method"):
            other.refuse()
    assert proxy.me()[0] == number
    assert_only_this_ends(connect(served.uri_of("it")))


def test_a_deadline_of_one_proxy_ends_no_session(served: Daemon, connect: Connect) -> None:
    proxy, other = connect(served.uri_of("it")), connect(served.uri_of("it"))
    numbers = [proxy.sit(), other.sit()]
    for _ in range(3):
        with pytest.raises(DeadlinePassed):
            options(other, timeout_s=0.05).order()
    assert [proxy.me()[0], other.me()[0]] == numbers
    assert_only_this_ends(connect(served.uri_of("it")))


def test_releasing_while_others_call_loses_no_call(served: Daemon, connect: Connect) -> None:
    proxy, other = connect(served.uri_of("it")), connect(served.uri_of("it"))
    stop = threading.Event()
    failures: list[BaseException] = []

    def use() -> None:
        while not stop.is_set():
            try:
                proxy.me()
                other.me()
            except BaseException as error:
                failures.append(error)
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=use) for _ in range(6)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(150):
            release_proxy(proxy)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not failures
    release_proxy(proxy)
    release_proxy(other)
    eventually(lambda: served.statistics().connections == 0, "no connection is left")


def test_proxies_that_are_dropped_while_other_threads_call(served: Daemon) -> None:
    uri, sat, failures = served.uri_of("it"), [], []
    steady: Any = Proxy(uri, insecure=True)

    def use() -> None:
        try:
            for _ in range(100):
                guest: Any = Proxy(uri, insecure=True)
                sat.append(guest.sit())
                steady.me()
                del guest
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    gc.collect()
    steady.me()  # tells of all that are gone
    eventually(
        lambda: sorted(ended) == sorted(sat),
        f"{len(ended)} of {len(sat)}",
        5.0,
    )
    release_proxy(steady)
    eventually(lambda: served.statistics().connections == 0, "no connection is left")
