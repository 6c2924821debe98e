"""One peer that says much, or holds many threads, or opens many connections, starves no other."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_peers import RawCaller, call, hello
from servants import Connect

from remoteobj import BadInput, ConnectionLost, Daemon, Identity, Proxy, Settings, expose
from remoteobj.server.shares import FEW, SPREAD, Shares
from remoteobj.server.workers import TICK_S
from remoteobj.wire import Decoder, Flag
from tests.certificates import Files
from tests.conftest import eventually

ELSEWHERE = Settings(source_host="127.0.0.2")
SOON_S = 2.0

# The rules.


class Crew:
    """Workers that do a job when they are told to."""

    def __init__(self, most: int = 100) -> None:
        self.jobs: deque[Callable[[], None]] = deque()
        self.room = 0
        self.shares = Shares(most, self.jobs, self.jobs.append, self._make_room)
        self.done: list[str] = []
        self.now = 0.0
        self.cpu_s = 0.0

    def _make_room(self, count: int) -> None:
        self.room += count

    def ask(self, who: Any, count: int) -> None:
        for _ in range(count):
            self.shares.submit(who, lambda: self.done.append(who.key))

    def tick(self, count: int = 1, *, cores: float = 0.0) -> None:
        for _ in range(count):
            self.now += 2 * TICK_S
            self.cpu_s += cores * 2 * TICK_S
            self.shares.tick(self.now, self.cpu_s)

    def work(self) -> None:
        while self.jobs:
            self.jobs.popleft()()


def test_who_asks_much_waits_behind_who_asks_little() -> None:
    crew = Crew()
    greedy, other = crew.shares.join("greedy"), crew.shares.join("other")
    crew.ask(greedy, 1000)
    assert len(crew.jobs) == SPREAD
    assert crew.shares.held_back == 1000 - SPREAD
    crew.ask(other, 1)
    crew.work()
    assert crew.done.index("other") == SPREAD
    assert crew.done.count("greedy") == 1000
    assert not crew.shares.tick(1.0, 0.0)


def test_somebody_waits_for_who_is_served_only_if_it_is_his_or_all_threads_are_busy() -> None:
    crew = Crew()
    greedy, other = crew.shares.join("greedy"), crew.shares.join("other")
    crew.ask(greedy, SPREAD + 1)
    taken = list(crew.jobs)
    crew.jobs.clear()
    assert other.nobody_waits()
    assert not greedy.nobody_waits()
    crew.ask(other, 1)
    assert not other.nobody_waits()
    for job in taken:
        job()


def test_who_is_stuck_gets_more_threads_up_to_the_limit() -> None:
    crew = Crew(most=40)
    slow = crew.shares.join("slow")
    crew.ask(slow, 100)
    crew.tick()
    assert len(crew.jobs) == SPREAD
    crew.tick()
    assert len(crew.jobs) == SPREAD + SPREAD // 2
    crew.tick(20)
    assert len(crew.jobs) == 40
    assert crew.room == 40 - SPREAD
    crew.work()
    assert len(crew.done) == 100
    crew.ask(slow, 100)
    assert len(crew.jobs) == SPREAD


def test_who_gets_on_gets_no_more_threads() -> None:
    crew = Crew()
    quick = crew.shares.join("quick")
    crew.ask(quick, 200)
    for _ in range(20):
        crew.jobs.popleft()()
        crew.tick()
    assert len(crew.jobs) == SPREAD
    crew.work()


def test_while_the_interpreter_is_busy_each_of_several_has_few() -> None:
    crew = Crew()
    greedy = crew.shares.join("greedy")
    crew.tick(10, cores=1.0)
    crew.ask(greedy, 50)
    assert len(crew.jobs) == SPREAD, "it is alone"
    other = crew.shares.join("other")
    for _ in range(SPREAD):
        crew.jobs.popleft()()
    assert len(crew.jobs) == FEW
    crew.ask(other, 10)
    assert len(crew.jobs) == 2 * FEW
    crew.tick(100, cores=1.0)
    assert len(crew.jobs) < 2 * (SPREAD + 4)
    crew.tick(100, cores=2.0)  # of methods that leave the interpreter
    assert len(crew.jobs) > 2 * SPREAD
    crew.work()
    assert len(crew.done) == 60


def test_who_holds_threads_gets_no_new_share_by_connecting_anew() -> None:
    crew = Crew(most=2)
    share = crew.shares.join("greedy")
    crew.ask(share, 3)
    crew.shares.leave(share, was_admitted=False)
    assert crew.shares.join("greedy") is share
    crew.shares.leave(share, was_admitted=False)
    crew.work()
    assert crew.shares.join("greedy") is not share


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["ask", "work", "tick", "hot"])),
        max_size=150,
    )
)
def test_no_job_is_lost_and_none_has_more_than_the_limit(steps: list[tuple[str, str]]) -> None:
    crew = Crew(most=20)
    shares = {name: crew.shares.join(name) for name in "abc"}
    asked = 0
    for name, step in steps:
        if step == "ask":
            crew.ask(shares[name], 7)
            asked += 7
        elif step == "work" and crew.jobs:
            crew.jobs.popleft()()
        elif step != "work":
            crew.tick(cores=1.0 if step == "hot" else 0.0)
        assert all(0 <= share.running <= 20 for share in shares.values())
        assert sum(share.running for share in shares.values()) == len(crew.jobs)
        assert all(share.running or not share.held for share in shares.values())
    crew.work()
    assert len(crew.done) == asked


def test_limits_of_a_peer_are_numbers() -> None:
    wrong: Any
    for wrong in (0, -1, True, "many"):
        with pytest.raises(BadInput, match=r"Settings\.max_threads_per_peer is a number above 0"):
            Settings(max_threads_per_peer=wrong)


# Real peers.


class Hall:
    def __init__(self) -> None:
        self.inside = 0
        self.gate = threading.Event()

    @expose
    def null(self) -> int:
        return 0

    @expose
    def enter(self) -> int:
        self.inside += 1
        self.gate.wait(20.0)
        return 0


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.gate.set()


@contextlib.contextmanager
def serving(hall: Hall, **settings: Any) -> Iterator[Daemon]:
    with Daemon("127.0.0.1", insecure=True, settings=Settings(**settings)) as daemon:
        daemon.register(hall, "it")
        daemon.start()
        try:
            yield daemon
        finally:
            hall.gate.set()


insecure = pytest.mark.filterwarnings("ignore:plain TCP")


def quickly(proxy: Any, count: int = 20) -> float:
    """Make null calls; returns how long the slowest took."""
    slowest_s = 0.0
    for _ in range(count):
        begun = time.perf_counter()
        assert proxy.null() == 0
        slowest_s = max(slowest_s, time.perf_counter() - begun)
    return slowest_s


@insecure
@pytest.mark.parametrize("flags", [0, Flag.ONEWAY], ids=["calls", "oneway"])
def test_a_peer_that_holds_its_threads_holds_up_no_other(
    hall: Hall, connect: Connect, flags: int
) -> None:
    limits = {"max_threads": 10, "max_threads_per_peer": 6}
    with serving(hall, **limits) as daemon, contextlib.ExitStack() as stack:
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(30)]
        for raw in raws:
            raw.send(call("enter", flags=flags), call("null", sequence=2))
        eventually(lambda: hall.inside == 6, "as many as one may have")
        assert quickly(connect(daemon.uri_of("it"), settings=ELSEWHERE)) < SOON_S
        assert hall.inside == 6
        assert daemon.statistics().turns_held_back >= 24
        hall.gate.set()
        for raw in raws:
            assert flags or raw.result() == (1, 0)
            assert raw.result() == (2, 0)
        eventually(lambda: hall.inside == 30, "all have had their turn")


class Flood:
    """Says null calls over many connections, as fast as it can, and reads the answers."""

    def __init__(self, daemon: Daemon, connections: int) -> None:
        self.answers = 0
        self._is_over = threading.Event()
        self._selector = selectors.DefaultSelector()
        for _ in range(connections):
            raw = RawCaller(daemon)
            raw.sock.setblocking(False)
            self._selector.register(raw.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        self._thread = threading.Thread(target=self._pour)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _pour(self) -> None:
        one = call("null")
        rest: dict[int, bytes] = {}
        while not self._is_over.is_set():
            for key, events in self._selector.select(0.1):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                with contextlib.suppress(BlockingIOError):
                    if events & selectors.EVENT_READ:
                        self.answers += len(sock.recv(65536))
                    data = rest.get(key.fd) or one * 100
                    rest[key.fd] = data[sock.send(data) :]


@insecure
@pytest.mark.serial
def test_a_flood_of_calls_over_many_connections_holds_up_no_other(
    hall: Hall, connect: Connect
) -> None:
    with serving(hall) as daemon, Flood(daemon, 300) as flood:
        eventually(lambda: flood.answers > 100_000, "the flood has come")
        proxy = connect(daemon.uri_of("it"), settings=ELSEWHERE)
        assert quickly(proxy) < SOON_S
        before = flood.answers
        for _ in range(5):
            assert quickly(connect(daemon.uri_of("it"), settings=ELSEWHERE), 2) < SOON_S
        eventually(lambda: flood.answers > before, "it goes on")
        seen = daemon.statistics()
        assert seen.turns_held_back > 0
        assert seen.threads <= 48


@insecure
def test_a_connection_that_has_always_more_to_say_gives_way(hall: Hall, connect: Connect) -> None:
    total = 40_000
    with serving(hall, max_threads=1) as daemon, RawCaller(daemon) as greedy:
        proxy = connect(daemon.uri_of("it"), settings=ELSEWHERE)
        assert proxy.null() == 0
        calls = threading.Thread(target=greedy.sock.sendall, args=(call("null") * total,))
        answers = threading.Thread(target=_take, args=(greedy.sock, total))
        calls.start()
        answers.start()
        eventually(lambda: daemon.statistics().calls > 1000, "it is being served")
        for _ in range(5):
            assert proxy.null() == 0
        assert daemon.statistics().calls < total // 2
        calls.join()
        answers.join()
        assert daemon.statistics().calls == total + 6


def _take(sock: socket.socket, count: int) -> None:
    """Read as many answers as there were calls."""
    decoder = Decoder(1 << 20, takes_buffers=True)
    while count:
        decoder.feed(sock.recv(65536))
        while decoder.next_message() is not None:
            count -= 1


@insecure
def test_one_connection_too_many_of_an_address_is_refused_in_words(
    hall: Hall, connect: Connect
) -> None:
    with serving(hall, max_connections_per_peer=3) as daemon, contextlib.ExitStack() as stack:
        uri = daemon.uri_of("it")
        raws = [stack.enter_context(RawCaller(daemon)) for _ in range(3)]
        why = r"serves 3 connections of this machine already.*Settings\.max_connections_per_peer"
        with pytest.raises(ConnectionLost, match=why) as caught:
            connect(uri).null()
        assert caught.value.executed == "no"
        assert connect(uri, settings=ELSEWHERE).null() == 0
        assert daemon.statistics().connections_refused == 1
        raws[0].sock.close()
        eventually(lambda: daemon.statistics().connections == 3, "one has left")
        assert connect(uri).null() == 0


def test_connections_of_a_member_are_counted_at_all_its_addresses(
    hall: Hall, identity: Identity, cluster: dict[str, Files]
) -> None:
    greedy = Identity.from_files(*cluster["slave"])
    settings = Settings(max_connections_per_peer=3)
    with (
        Daemon("127.0.0.1", identity=identity, settings=settings) as daemon,
        contextlib.ExitStack() as stack,
    ):
        uri = daemon.register(hall, "it")
        daemon.start()
        assert daemon.port is not None
        for number in range(2, 5):
            plain = socket.create_connection(
                ("127.0.0.1", daemon.port), 10.0, (f"127.0.0.{number}", 0)
            )
            secured = stack.enter_context(greedy.client_context().wrap_socket(plain))
            assert isinstance(secured, ssl.SSLSocket)
            secured.sendall(hello())
            assert secured.recv(65536).startswith(b"PYRO")
        with pytest.raises(ConnectionLost, match="3 connections of this machine already"):
            stack.enter_context(Proxy(uri, identity=greedy)).null()
        assert stack.enter_context(Proxy(uri, identity=identity)).null() == 0
