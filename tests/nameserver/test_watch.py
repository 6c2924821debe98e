"""What a watch tells, and how it ends."""

from __future__ import annotations

import queue
import random
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from nameserver import (
    Event,
    NameServer,
    NameServerClient,
    Revision,
    Watch,
    watching,
)
from remoteobj import ConnectionLost
from tests.conftest import eventually
from tests.nameserver.listening import SEED, Listener, Told, client_of, port_of, serve, uri
from tests.nameserver.relay import Relay

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

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
