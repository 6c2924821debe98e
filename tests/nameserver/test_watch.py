"""What a watch tells: each change once and in order, whatever becomes of server and connection."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nameserver import (
    Event,
    MemoryStorage,
    NameServer,
    NameServerClient,
    Revision,
    SqliteStorage,
    Storage,
    Watch,
    watching,
)
from nameserver.book import Book
from nameserver.changes import Change
from nameserver.record import make_record
from remoteobj import ConnectionLost
from tests.conftest import StartScript, eventually
from tests.nameserver.relay import Relay

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
Told = tuple[str, str]
State = dict[str, tuple[str, frozenset[str]]]


def uri(port: int) -> str:
    return f"PYRO:x@127.0.0.1:{port}"


def serve(port: int = 0, storage: Storage | None = None) -> NameServer:
    server = NameServer("127.0.0.1", port, insecure=True, announce=False, storage=storage)
    server.start()
    return server


def client_of(address: str) -> NameServerClient:
    return NameServerClient(address, insecure=True, quiet=True)


def port_of(server: NameServer) -> int:
    return int(server.address.rpartition(":")[2])


class Listener:
    """Iterates over a watch in a thread of its own, and keeps what it is told."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.failure: BaseException | None = None
        self.has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for event in self.watch:
                self.events.put(event)
        except BaseException as error:
            self.failure = error
        finally:
            self.has_ended.set()

    def next(self, timeout_s: float = 10.0) -> Event:
        return self.events.get(timeout=timeout_s)

    def told(self, count: int) -> list[Told]:
        return [(event.kind, event.name) for event in (self.next() for _ in range(count))]

    def is_quiet(self, for_s: float = 0.3) -> bool:
        try:
            event = self.events.get(timeout=for_s)
        except queue.Empty:
            return True
        raise AssertionError(f"told of {event}")

    def close(self) -> None:
        self.watch.close()
        self._thread.join(10.0)
        assert not self._thread.is_alive(), "the iterator does not end"

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# What is told.


def test_it_begins_with_what_is_there_and_goes_on(client: NameServerClient) -> None:
    client.register("lab.old", uri(1), metadata={"a"}, lease_s=None)
    client.register("shop.old", uri(1), lease_s=None)
    with Listener(client.watch("lab.")) as listener:
        first = listener.next()
        assert (first.kind, first.name, first.record.metadata) == ("registered", "lab.old", {"a"})
        assert str(first.record.uri) == uri(1)
        client.register("lab.new", uri(2))
        client.register("shop.new", uri(2))
        client.register("lab.old", uri(3), replace=True)
        client.set_metadata("lab.old", {"b"})
        client.set_metadata("lab.old", {"b"})
        client.register("lab.new", uri(2))  # nothing changes
        client.remove("lab.old")
        client.remove("lab.old")
        events = [listener.next() for _ in range(4)]
        assert [(event.kind, event.name) for event in events] == [
            ("registered", "lab.new"),
            ("changed", "lab.old"),
            ("changed", "lab.old"),
            ("removed", "lab.old"),
        ]
        assert [str(event.record.uri) for event in events] == [uri(2), uri(3), uri(3), uri(3)]
        assert [event.record.metadata for event in events] == [set(), set(), {"b"}, {"b"}]
        numbers = [event.revision.number for event in (first, *events)]
        assert numbers == sorted(set(numbers))
        assert {event.revision.instance for event in events} == {client.instance()}
        assert listener.is_quiet()
        assert listener.watch.revision is not None
        assert listener.watch.revision.number == numbers[-1]


# How it ends.


def test_it_is_closed_from_another_thread_at_any_moment(client: NameServerClient) -> None:
    client.register("lab.old", uri(1), lease_s=None)
    chance, slowest_s = random.Random(SEED), 0.0
    for _ in range(60):
        listener = Listener(client.watch("lab."))
        if chance.random() < 0.5:
            listener.next()
        threading.Event().wait(chance.random() * 0.004)
        began = time.perf_counter()
        listener.close()
        slowest_s = max(slowest_s, time.perf_counter() - began)
        assert listener.failure is None
    assert slowest_s < 0.5, f"SEED={SEED}"
    assert list(listener.watch) == []
    listener.close()


def test_it_is_closed_in_the_moment_before_it_asks(
    client: NameServerClient, server: NameServer
) -> None:
    is_asking, was_unwatched = threading.Event(), threading.Event()
    failed: list[str] = []

    class Slow(NameServerClient):
        """Does not ask before it was told not to wait for the answer."""

        def changes(
            self, prefix: str, since: Revision | None, wait_s: float, watcher: str
        ) -> dict[str, Any] | None:
            if since is not None:
                is_asking.set()
                assert was_unwatched.wait(10.0)
            return super().changes(prefix, since, wait_s, watcher)

        def unwatch(self, watcher: str) -> None:
            if was_unwatched.is_set() and not failed:
                failed.append("the connection was cut just then")
                raise ConnectionLost(failed[0])
            super().unwatch(watcher)
            was_unwatched.set()

    client.register("lab.a", uri(1), lease_s=None)
    source = Slow(server.address, insecure=True, quiet=True)
    listener = Listener(Watch(source, "lab."))
    assert listener.told(1) == [("registered", "lab.a")]
    assert is_asking.wait(10.0)
    began = time.perf_counter()
    listener.close()
    assert time.perf_counter() - began < 1.0
    assert failed


def test_it_is_closed_while_the_server_is_away(caplog: pytest.LogCaptureFixture) -> None:
    server = serve()
    with Listener(client_of(server.address).watch()) as listener:
        listener.next()
        server.close()
        eventually(lambda: "is away" in caplog.text, "the server is missed")
        began = time.perf_counter()
        listener.close()
        assert time.perf_counter() - began < 0.5
        assert listener.failure is None


def test_closing_does_not_wait_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "WAIT_S", 0.5)
    with closing(serve()) as server, Relay(server.address) as relay:
        listener = Listener(client_of(relay.address).watch())
        listener.next()
        relay.stall()
        began = time.perf_counter()
        listener.watch.close()
        assert time.perf_counter() - began < 2.0
        relay.cut()
        listener.close()


def test_each_event_goes_to_a_callback(
    client: NameServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    told: queue.SimpleQueue[Told] = queue.SimpleQueue()

    def note(event: Event) -> None:
        told.put((event.kind, event.name))
        if event.name == "lab.bad":
            raise ZeroDivisionError("a fault of the user's")

    with client.watch("lab.", on_event=note) as watch:
        eventually(lambda: watch.revision, "it watches")
        client.register("lab.bad", uri(1), lease_s=None)
        client.remove("lab.bad")
        client.register("lab.good", uri(1), lease_s=None)
        assert [told.get(timeout=5) for _ in range(3)] == [
            ("registered", "lab.bad"),
            ("removed", "lab.bad"),
            ("registered", "lab.good"),
        ]
    client.register("lab.late", uri(1), lease_s=None)
    assert caplog.text.count("ZeroDivisionError: a fault of the user's") == 2
    assert "what was to be done with Event(kind='registered'" in caplog.text
    assert told.empty()


def test_a_callback_may_close_its_watch(client: NameServerClient) -> None:
    told: list[str] = []
    watches: queue.SimpleQueue[Watch] = queue.SimpleQueue()

    def note(event: Event) -> None:
        told.append(event.name)
        watches.get().close()

    def is_alive() -> bool:
        return any(thread.name == "watch lab." for thread in threading.enumerate())

    watch = client.watch("lab.", on_event=note)
    watches.put(watch)
    client.register("lab.a", uri(1), lease_s=None)
    eventually(lambda: told and not is_alive(), "its thread ends")
    client.register("lab.b", uri(1), lease_s=None)
    assert told == ["lab.a"]
    watch.close()


def test_patience_has_an_end(caplog: pytest.LogCaptureFixture) -> None:
    server = serve()
    port = port_of(server)
    with Listener(client_of(server.address).watch(patience_s=0.5)) as listener:
        listener.next()
        server.close()
        began = time.monotonic()
        assert listener.has_ended.wait(10.0)
        assert 0.4 < time.monotonic() - began < 3.0
        assert isinstance(listener.failure, ConnectionLost)
    with pytest.raises(ConnectionLost):  # and a server that was never there is said at once
        next(client_of(f"127.0.0.1:{port}").watch(patience_s=60.0))
    caplog.clear()
    with client_of(f"127.0.0.1:{port}").watch(on_event=print) as watch:
        eventually(lambda: "are not watched any more" in caplog.text, "a callback's watch logs it")
        watch.close()


# Cuts and restarts.


def some_bytes(chance: random.Random) -> Callable[[], int]:
    """Make a budget of a relay: most connections break soon, and some carry a long answer."""
    return lambda: chance.choice([chance.randrange(600, 4000), 1 << 20])


def test_a_cut_connection_loses_no_event_and_repeats_none(
    client: NameServerClient, server: NameServer
) -> None:
    chance = random.Random(SEED)
    names: set[str] = set()

    def change_something(port: int) -> Told:
        name = f"lab.n{chance.randrange(6)}"
        if name in names and chance.random() < 0.4:
            client.remove(name)
            names.discard(name)
            return "removed", name
        client.register(name, uri(port), lease_s=None, replace=True)
        kind = "changed" if name in names else "registered"
        names.add(name)
        return kind, name

    with (
        Relay(server.address) as relay,
        client_of(relay.address) as other,
        Listener(other.watch("lab.")) as listener,
    ):
        first = change_something(1)
        assert listener.told(1) == [first]
        relay.budget = some_bytes(chance)
        relay.cut()
        for turn in range(12):
            made = [change_something(20 * turn + each + 2) for each in range(20)]
            if chance.random() < 0.5:
                relay.cut()
            assert listener.told(len(made)) == made, f"SEED={SEED}"
        assert listener.is_quiet(0.2)
        assert relay.cuts > 0, f"SEED={SEED}"


def test_a_cable_that_was_pulled_is_noticed(
    client: NameServerClient, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WAIT_S", 0.2)
    monkeypatch.setattr("nameserver.calls._SPARE_S", 0.2)
    with (
        Relay(server.address) as relay,
        client_of(relay.address) as other,
        Listener(other.watch("lab.")) as listener,
    ):
        client.register("lab.a", uri(1), lease_s=None)
        assert listener.told(1) == [("registered", "lab.a")]
        relay.stall()
        client.register("lab.b", uri(1), lease_s=None)
        assert listener.is_quiet(0.6)
        relay.cut()
        relay.stall(is_stalled=False)
        assert listener.told(1) == [("registered", "lab.b")]


Make = Callable[[], Storage]


@pytest.fixture(params=["memory", "sqlite"])
def make_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Open what a server kept its names in before."""
    if request.param == "memory":
        kept = MemoryStorage()
        return lambda: kept
    return lambda: SqliteStorage(tmp_path / "names")


def test_a_server_that_remembers_is_started_anew(make_storage: Make) -> None:
    server = serve(storage=make_storage())
    port = port_of(server)
    with client_of(server.address) as client, Listener(client.watch("lab.")) as listener:
        for name in ("lab.stays", "lab.changes", "lab.goes"):
            client.register(name, uri(1), lease_s=None)
        assert {name for _, name in listener.told(3)} == {"lab.stays", "lab.changes", "lab.goes"}
        before = client.instance()
        server.close()
        with (
            closing(serve(storage=make_storage())) as elsewhere,
            client_of(elsewhere.address) as other,
        ):
            other.remove("lab.goes")
            other.register("lab.changes", uri(2), lease_s=None, replace=True)
            other.register("lab.comes", uri(1), lease_s=None)
        with closing(serve(port, make_storage())):
            told = set(listener.told(3))
            assert told == {
                ("removed", "lab.goes"),
                ("changed", "lab.changes"),
                ("registered", "lab.comes"),
            }
            assert listener.watch.revision is not None
            assert listener.watch.revision.instance != before
            client.remove("lab.stays")
            assert listener.told(1) == [("removed", "lab.stays")]
            assert listener.is_quiet(0.2)


def test_a_server_that_has_forgotten_all_is_started_anew() -> None:
    server = serve()
    with client_of(server.address) as client, Listener(client.watch("lab.")) as listener:
        client.register("lab.a", uri(1), lease_s=None)
        client.register("lab.b", uri(1), lease_s=None)
        listener.told(2)
        server.close()
        with closing(serve(port_of(server))):
            assert set(listener.told(2)) == {("removed", "lab.a"), ("removed", "lab.b")}
            client.register("lab.b", uri(1), lease_s=None)
            assert listener.told(1) == [("registered", "lab.b")]


def test_a_number_of_another_server_says_nothing() -> None:
    server = serve()
    with client_of(server.address) as client, Listener(client.watch("lab.")) as listener:
        client.register("lab.a", uri(1), lease_s=None)
        listener.told(1)
        assert listener.watch.revision is not None
        number = listener.watch.revision.number
        server.close()
        other = MemoryStorage()
        other.save([Change("registered", number - 1, make_record("lab.b", uri(1)))])
        with closing(serve(port_of(server), other)):  # whose own name is the next change
            assert set(listener.told(2)) == {("removed", "lab.a"), ("registered", "lab.b")}
            assert listener.watch.revision.number == number


def test_a_watcher_that_asks_anew_is_not_waited_for_twice() -> None:
    with Book("run") as book:
        first = book.watch("lab.", book.revision(), 60.0, "one and the same")
        second = book.watch("lab.", book.revision(), 60.0, "one and the same")
        assert first.result(timeout=0).changes == ()
        assert not second.done()
        assert book.watchers == 1


class Believer:
    """Takes events in, and checks that each may follow those before."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.known: State = {}
        self.last: tuple[str, int] = ("", 0)

    def of(self, names: State) -> State:
        """Return those of its prefix."""
        return {name: each for name, each in names.items() if name.startswith(self.prefix)}

    def take(self, event: Event) -> None:
        assert event.name.startswith(self.prefix)
        if event.kind == "registered":
            assert event.name not in self.known, "registered twice"
        else:
            assert event.name in self.known, f"{event.kind}, but it was not there"
        if event.kind in ("removed", "expired"):
            del self.known[event.name]
        else:
            now = str(event.record.uri), event.record.metadata
            assert self.known.get(event.name) != now, "changed, but it is the same"
            self.known[event.name] = now
        instance, number = event.revision
        if instance == self.last[0]:
            assert number >= self.last[1], "revisions go back"
        self.last = instance, number


class World:
    """A server that comes and goes behind a wire that breaks, and what its names should be."""

    def __init__(self, make_storage: Make, chance: random.Random) -> None:
        self._make_storage = make_storage
        self._chance = chance
        self.server = serve(storage=make_storage())
        self.relay = Relay(self.server.address)
        self.direct = client_of(self.server.address)
        self.names: State = {}
        self.restarts = 0

    def happen(self, turn: int) -> None:
        name = f"{self._chance.choice(['lab', 'shop'])}.n{self._chance.randrange(20)}"
        match self._chance.choice(["put", "put", "put", "tag", "remove", "remove", "cut"]):
            case "put":
                self.put(name, uri(self._chance.randrange(1, 5)))
            case "tag" if name in self.names:
                self.names[name] = self.names[name][0], frozenset({f"tag{turn}"})
                self.direct.set_metadata(name, self.names[name][1])
            case "remove":
                assert self.direct.remove(name) == (self.names.pop(name, None) is not None)
            case "cut" if self._chance.random() < 0.3:
                self.relay.cut()

    def put(self, name: str, where: str) -> None:
        self.direct.register(name, where, lease_s=None, replace=True)
        self.names[name] = where, frozenset()

    def restart(self) -> None:
        self.server.close()
        self.server = serve(port_of(self.server), self._make_storage())
        self.restarts += 1

    def close(self) -> None:
        self.relay.close()
        self.direct.close()
        self.server.close()


def test_any_history_of_changes_cuts_and_restarts_comes_to_the_same(make_storage: Make) -> None:
    chance = random.Random(SEED)
    believers = [Believer(prefix) for prefix in ("lab.", "lab.n1", "shop.", "lab.n")]
    with closing(World(make_storage, chance)) as world, contextlib.ExitStack() as stack:
        world.put("lab.n1", uri(1))
        world.put("shop.n1", uri(1))
        listeners = [
            stack.enter_context(Listener(client_of(world.relay.address).watch(each.prefix)))
            for each in believers
        ]
        eventually(lambda: all(each.watch.revision for each in listeners), "all watch")
        world.relay.budget = some_bytes(chance)
        for turn in range(7):
            for each in range(30):
                world.happen(30 * turn + each)
                if each == turn and turn % 3 == 0:
                    world.restart()
            for believer, listener in zip(believers, listeners, strict=True):
                while believer.known != believer.of(world.names):
                    believer.take(listener.next())
        for believer, listener in zip(believers, listeners, strict=True):
            assert listener.is_quiet(0.05), f"SEED={SEED}"
            assert believer.known
    assert world.restarts == 3
    assert world.relay.cuts > 0, f"SEED={SEED}"


# Pyro5's own server.


@pytest.fixture
def stock(start_script: StartScript) -> Callable[[int], str]:
    """Start Pyro5's own name server, in place of the one that was started before."""
    started: list[subprocess.Popen[str]] = []

    def start(port: int = 0) -> str:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()
        process = start_script("-m", "Pyro5.nameserver", "-n", "127.0.0.1", "-p", str(port), "-x")
        started.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("URI = "):
                return line.strip().rpartition("@")[2]
        raise AssertionError("it did not start")

    return start


def test_pyro5_s_own_server_is_listed_again_and_again(
    stock: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_LIST_S", 0.2)
    address = stock(0)
    with client_of(address) as client, Listener(client.watch("lab.")) as listener:
        client.register("lab.a", uri(1), lease_s=None)
        client.register("shop.a", uri(1), lease_s=None)
        assert listener.told(1) == [("registered", "lab.a")]
        client.register("lab.a", uri(2), replace=True, lease_s=None)
        client.register("lab.b", uri(2), lease_s=None)
        assert set(listener.told(2)) == {("changed", "lab.a"), ("registered", "lab.b")}
        client.remove("lab.b")
        assert listener.told(1) == [("removed", "lab.b")]
        stock(int(address.rpartition(":")[2]))
        assert listener.told(1) == [("removed", "lab.a")]
        client.register("lab.c", uri(1), lease_s=None)
        assert listener.told(1) == [("registered", "lab.c")]
        began = time.perf_counter()
        listener.close()
        assert time.perf_counter() - began < 0.5
