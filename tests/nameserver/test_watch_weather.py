"""A watch tells each change once and in order, whatever becomes of server and connection."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nameserver import (
    Event,
    MemoryStorage,
    NameServer,
    NameServerClient,
    SqliteStorage,
    Storage,
    watching,
)
from nameserver.book import Book
from nameserver.changes import Change
from nameserver.record import make_record
from tests.conftest import StartScript, eventually
from tests.nameserver.listening import SEED, Listener, Told, client_of, port_of, serve, uri
from tests.nameserver.relay import Relay

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

State = dict[str, tuple[str, frozenset[str]]]

# Cuts and restarts.


def some_bytes(chance: random.Random) -> Callable[[], int]:
    """Make a budget of a relay: each other connection breaks soon, the next has a long answer."""
    kinds = itertools.cycle([(600, 2500), (30_000, 90_000)])
    return lambda: chance.randrange(*next(kinds))


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
