"""What a daemon publishes: who makes instances, what is exposed, and how it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from servants import Connect, StartScript, Warehouse

from remoteobj import (
    BadURI,
    Daemon,
    DaemonClosed,
    ObjectIdTaken,
    ObjectUnknown,
    Proxy,
    RemoteItems,
    batch,
    behavior,
    current_peer,
    expose,
    on_disconnect,
    oneway,
    release,
)


class Counter:
    def __init__(self) -> None:
        self._count = 0

    @expose
    def count(self) -> int:
        self._count += 1
        return self._count


@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [("single", [1, 2], [3, 4]), ("session", [1, 2], [1, 2]), ("percall", [1, 1], [1, 1])],
)
def test_a_class_makes_instances_as_behavior_says(
    daemon: Daemon, connect: Connect, mode: str, first: list[int], second: list[int]
) -> None:
    cls = behavior(instance_mode=mode)(type("Counted", (Counter,), {}))
    uri = daemon.register(cls)
    one, two = connect(uri), connect(uri)
    assert [one.count(), one.count()] == first
    assert [two.count(), two.count()] == second


def test_a_creator_makes_the_instance(daemon: Daemon, connect: Connect) -> None:
    def make(cls: type) -> Any:
        made = cls()
        made._count = 10
        return made

    uri = daemon.register(behavior(instance_creator=make)(type("Made", (Counter,), {})))
    assert connect(uri).count() == 11


def test_no_instance_is_made_for_an_unknown_name(daemon: Daemon, connect: Connect) -> None:
    made = threading.Event()

    class Watched(Counter):
        def __init__(self) -> None:
            made.set()
            super().__init__()

    proxy = connect(daemon.register(Watched))
    for method, args in [("nothing", ()), ("__getattr__", ("_count",)), ("__getattr__", ())]:
        with pytest.raises(AttributeError, match="Watched exposes no"):
            proxy._channel.call(method, args, {}, None)
    assert not made.is_set()


def test_a_oneway_call_does_not_wait(
    daemon: Daemon, warehouse: Warehouse, connect: Connect
) -> None:
    proxy = connect(daemon.register(warehouse))
    assert proxy.tell() is None
    assert warehouse.told.wait(10.0)
    assert proxy.add(1) == 2  # while tell() still runs


def test_close_waits_for_oneway_calls() -> None:
    running, gate, done = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        @expose
        @oneway
        def tell(self) -> None:
            running.set()
            gate.wait(10.0)
            done.set()

    with Daemon() as daemon:
        uri = daemon.register(Slow())
        daemon.start()
        with Proxy(uri) as proxy:
            proxy.tell()
        assert running.wait(10.0)
        timer = threading.Timer(0.05, gate.set)
        timer.start()
        daemon.close()
        assert done.is_set()
        timer.join()


def test_an_id_is_taken_once(daemon: Daemon, connect: Connect) -> None:
    uri = daemon.register(Counter(), "counter")
    with pytest.raises(ObjectIdTaken, match=r"'counter'.*another id"):
        daemon.register(Counter(), "counter")
    proxy = connect(uri)
    assert proxy.count() == 1
    daemon.unregister("counter")
    daemon.unregister("counter")
    with pytest.raises(ObjectUnknown, match="'counter'"):  # on the connection that is open
        proxy.count()
    with pytest.raises(ObjectUnknown, match=r"'counter' at \./u:"):  # and on a new one
        connect(uri).count()
    assert daemon.register(Counter(), "counter") == uri


@pytest.mark.parametrize("target", [object(), 3, Mock(spec=[]), type("Bare", (), {"run": print})])
def test_what_exposes_nothing_is_refused(daemon: Daemon, target: Any) -> None:
    with pytest.raises(TypeError, match="exposes nothing: mark the class or its methods"):
        daemon.register(target)


@expose
class Empty:
    def __init__(self) -> None:
        self.size = 1


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        (None, "it is None: does the function that was to make it return it"),
        ((n for n in "ab"), "a builtin cannot be marked: publish an object of a class of yours"),
        ([1], "a builtin cannot be marked"),
        (dict, "a builtin cannot be marked"),
        (print, "a builtin cannot be marked"),
        (signal, "a builtin cannot be marked"),
        (Empty(), "it is marked with @expose, but has no public methods or properties"),
        (Empty, "what __init__ sets is not exposed, write a property for it"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_exposes_nothing_is_told_why(daemon: Daemon, target: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        daemon.register(target)


@pytest.mark.parametrize("object_id", ["two words", "a@b", "line\n", "", "@"])
def test_an_id_that_no_uri_can_carry_is_named(daemon: Daemon, object_id: str) -> None:
    for use in (lambda: daemon.register(Counter(), object_id), lambda: daemon.uri_of(object_id)):
        with pytest.raises(BadURI, match="text without spaces and '@', such as") as caught:
            use()
        assert str(caught.value).startswith(f"{object_id!r} cannot be the id of an object")
    assert daemon.statistics().objects == 0


@pytest.mark.parametrize("object_id", [5, b"abc", Counter()])
def test_an_id_that_is_no_text_is_named(daemon: Daemon, object_id: Any) -> None:
    given: Any = "counter"
    for use in (
        lambda: daemon.register(Counter(), object_id),
        lambda: daemon.register(given, object_id),  # the wrong way round
        lambda: daemon.unregister(object_id),
    ):
        with pytest.raises(BadURI, match=r"the id of an object is text, .* the object comes first"):
            use()


def test_an_object_may_have_several_ids(daemon: Daemon, connect: Connect) -> None:
    counter = Counter()
    proxies = [connect(daemon.register(counter, name)) for name in ("one", "two", None)]
    assert [proxy.count() for proxy in proxies] == [1, 2, 3]
    daemon.unregister("one")
    assert proxies[1].count() == 4


def test_the_daemons_own_object_stays(daemon: Daemon, connect: Connect) -> None:
    with pytest.raises(ObjectIdTaken, match=r"'Pyro\.Daemon' is the daemon's own: choose another"):
        daemon.register(Counter(), "Pyro.Daemon")
    daemon.unregister("Pyro.Daemon")
    proxy = connect(daemon.uri_of("Pyro.Daemon"))
    assert proxy.ping() is None


class Half:
    size = 3

    @expose
    def shown(self) -> int:
        return 1

    def forgotten(self) -> int:
        return 2


def test_who_has_forgotten_to_mark_a_method_is_reminded(daemon: Daemon, connect: Connect) -> None:
    proxy = connect(daemon.register(Half()))
    for name in ("forgotten", "size", "nonsense"):  # whether it is there is not told
        with pytest.raises(
            AttributeError, match=f"attribute {name!r}: is it a method or a prop.*@"
        ):
            getattr(proxy, name)
    with pytest.raises(AttributeError, match="attribute 'size': is it a property that is marked"):
        proxy.size = 5
    for name, words in (("forgotten", "marked with @expose"), ("_hidden", "private names cannot")):
        with pytest.raises(AttributeError, match=f"Half exposes no method {name!r}: .*{words}"):
            proxy._channel.call(name, (), {}, None)
    calls = batch(proxy)
    calls.forgotten()
    with pytest.raises(AttributeError, match="'forgotten': is it a method that is marked with"):
        list(calls())


def test_what_is_not_a_method_is_not_callable(daemon: Daemon, connect: Connect) -> None:
    @expose
    class Inner:
        pass

    class Outer(Counter):
        inner = Inner
        mock = Mock()

    assert dir(connect(daemon.register(Outer()))) == ["count"]


def test_the_users_object_is_untouched_and_two_daemons_publish_it(connect: Connect) -> None:
    class Slotted:
        __slots__ = ("value",)

        @expose
        def get(self) -> int:
            return self.value

    slotted, plain = Slotted(), Counter()
    slotted.value = 7
    before = (dir(slotted), vars(plain).copy(), dir(plain), dir(Slotted), dir(Counter))
    with Daemon() as one, Daemon() as two:
        for daemon in (one, two):
            daemon.start()
            assert connect(daemon.register(slotted)).get() == 7
            daemon.register(plain)
        assert before == (dir(slotted), vars(plain), dir(plain), dir(Slotted), dir(Counter))


def test_what_a_generator_method_gives_has_a_public_name(daemon: Daemon, connect: Connect) -> None:
    class Menu:
        @expose
        def dishes(self) -> Iterator[str]:
            yield from ["soup", "stew"]

    dishes: RemoteItems = connect(daemon.register(Menu())).dishes()
    assert type(dishes) is RemoteItems
    assert list(dishes) == ["soup", "stew"]


CALL_AND_STAY = """
import sys
from remoteobj import Proxy
proxy = Proxy(sys.argv[1])
proxy.watch()
print("called", flush=True)
sys.stdin.read()
"""


def test_on_disconnect_fires_when_the_client_is_killed(
    daemon: Daemon, start_script: StartScript
) -> None:
    ended = threading.Event()

    def fail() -> None:
        raise ValueError("the others are called")

    class Seat:
        @expose
        def watch(self) -> str:
            on_disconnect(fail)
            on_disconnect(ended.set)
            return current_peer()

    process = start_script("-c", CALL_AND_STAY, str(daemon.register(Seat())))
    assert process.stdout is not None
    assert process.stdout.readline() == "called\n"
    assert not ended.is_set()
    process.send_signal(signal.SIGKILL)
    assert ended.wait(1.0)


def test_on_disconnect_after_the_end_fires_at_once(daemon: Daemon, connect: Connect) -> None:
    gone, ended, gate = threading.Event(), threading.Event(), threading.Event()

    class Seat:
        @expose
        def sit(self) -> None:
            on_disconnect(gone.set)

        @expose
        @oneway
        def late(self) -> None:
            gate.wait(10.0)
            on_disconnect(ended.set)

    proxy = connect(daemon.register(Seat()))
    proxy.sit()
    proxy.late()
    release(proxy)
    assert gone.wait(10.0)
    gate.set()
    assert ended.wait(10.0)


def test_on_disconnect_needs_a_call() -> None:
    with pytest.raises(RuntimeError, match="inside a method"):
        on_disconnect(print)
    assert current_peer() == "this process"


def test_statistics_and_repr_say_what_it_does(
    daemon: Daemon, warehouse: Warehouse, connect: Connect
) -> None:
    proxy = connect(daemon.register(warehouse))
    proxy.add(1)
    seen = daemon.statistics()
    assert (seen.objects, seen.connections, seen.calls) == (1, 1, 1)
    assert "serving, 1 objects" in repr(daemon)
    daemon.close()
    assert "closed" in repr(daemon)
    with pytest.raises(DaemonClosed, match="make a new one"):
        daemon.start()
    with pytest.raises(DaemonClosed, match="make a new one"):
        daemon.register(Warehouse())
    daemon.serve_forever()  # returns: it is closed


def test_close_from_many_threads_and_from_a_call(connect: Connect) -> None:
    for _ in range(20):
        with Daemon() as daemon:
            uri = daemon.register(Closer(daemon))
            daemon.start()
            proxy = connect(uri)
            threads = [threading.Thread(target=daemon.close) for _ in range(4)]
            proxy._channel.metadata()
            for thread in threads:
                thread.start()
            with pytest.raises(ConnectionError):  # at the latest by the second call
                _ = proxy.close(), proxy.close()
            for thread in threads:
                thread.join()


class Closer:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    @expose
    def close(self) -> None:
        self._daemon.close()
