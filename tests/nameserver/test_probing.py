"""Permanent names are called now and then, so that it is seen whose object is gone."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nameserver import NameServer, NameServerClient, probing
from nameserver.book import Book
from nameserver.changes import Lease
from nameserver.probing import Probing
from nameserver.proving import Proof, Prover
from nameserver.record import make_record
from remoteobj import URI, Daemon
from tests.conftest import eventually
from tests.nameserver.conftest import Bell

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

DIAL_S, ROUND_S = 0.5, 0.05


@pytest.fixture
def probe(book: Book, prover: Prover) -> Iterator[Callable[..., None]]:
    """Begin to probe."""
    begun: list[Probing] = []

    def begin(*, is_private: bool = True) -> None:
        begun.append(Probing(book, prover, is_private=is_private, interval_s=ROUND_S))
        begun[0].start()

    yield begin
    for each in begun:
        each.close()


def serve(port: int = 0) -> tuple[Daemon, URI]:
    daemon = Daemon("127.0.0.1", port, insecure=True)
    uri = daemon.register(Bell(), "bell")
    daemon.start()
    return daemon, uri


class Quiet:
    """Listens, counts who connects, and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def uri(self, object_id: str = "bell") -> URI:
        return URI.of_tcp(object_id, "127.0.0.1", self._listener.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                self.connections.append(self._listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for sock in self.connections:
            sock.close()


@pytest.fixture
def quiet() -> Iterator[Quiet]:
    listener = Quiet()
    yield listener
    listener.close()


def test_an_object_that_dies_is_seen_and_seen_again_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(Probing.__init__.__kwdefaults__, "interval_s", ROUND_S)
    daemon, uri = serve()
    with (
        NameServer("127.0.0.1", insecure=True, announce=False) as server,
        NameServerClient(server.address, insecure=True, quiet=True) as client,
    ):
        client.register("lab.bell", uri, lease_s=None)
        with client.watch("lab.") as watch:
            assert next(watch).name == "lab.bell"

            def problem() -> str:
                return client.list("lab.")[0].problem

            daemon.close()
            eventually(problem, "it is missed")
            assert problem() == f"127.0.0.1:{uri.port}: refused: nobody listens there"
            assert client.lookup("lab.bell").problem == problem()
            assert uri.port is not None
            daemon, _ = serve(uri.port)
            eventually(lambda: not problem(), "it is back")
            daemon.unregister("bell")
            eventually(lambda: "has no such object" in problem(), "the object is missed")
            daemon.close()
            client.register("lab.last", uri, lease_s=None)
            assert next(watch).name == "lab.last", "none of this is an event"
    assert "lab.bell does not answer any more: 127.0.0.1" in caplog.text


def test_names_with_a_lease_are_not_called(
    book: Book, probe: Callable[..., None], quiet: Quiet
) -> None:
    daemon, uri = serve()
    with daemon:
        book.register(make_record("leased", quiet.uri()), Lease("id", 60.0))
        book.register(make_record("Pyro.NameServer", quiet.uri("Pyro.NameServer")))
        book.register(make_record("unix", "PYRO:x@./u:/run/x.sock"))
        book.register(make_record("elsewhere", URI.of_tcp("x", "192.0.2.1", 1)))
        book.register(make_record("permanent", uri))
        probe()
        daemon.close()
        eventually(lambda: book.lookup("permanent").problem, "the permanent one was called")
        assert quiet.connections == []
        for name in ("leased", "unix", "elsewhere"):
            assert not book.lookup(name).problem


def test_only_addresses_that_have_answered_before_are_called_on_a_network(
    book: Book, probe: Callable[..., None], quiet: Quiet
) -> None:
    book.register(make_record("never", quiet.uri()))
    book.register(make_record("once", URI.of_tcp("x", "127.0.0.1", 1), hosts=["127.0.0.1"]))
    probe(is_private=False)
    eventually(lambda: book.lookup("once").problem, "the one that has answered is called")
    assert quiet.connections == []
    assert not book.lookup("never").problem


def test_an_object_that_answers_at_one_of_its_addresses_is_there(
    book: Book, probe: Callable[..., None]
) -> None:
    daemon, uri = serve()
    with daemon:
        book.register(make_record("bell", uri, hosts=["127.0.0.1", "127.0.0.2"]))
        book.note(book.lookup("bell"), "it was away")
        probe(is_private=False)
        eventually(lambda: not book.lookup("bell").problem, "it is there")
        daemon.close()
        eventually(lambda: "127.0.0.2" in book.lookup("bell").problem, "it is missed")


def test_what_is_found_out_late_is_not_said_of_another_object(
    book: Book, probe: Callable[..., None], quiet: Quiet
) -> None:
    book.register(make_record("bell", quiet.uri()))
    probe()
    eventually(lambda: quiet.connections, "it is called")
    book.register(make_record("bell", "PYRO:new@./u:/run/x.sock"), replace=True)
    ends = time.monotonic() + 1.2 * DIAL_S
    eventually(lambda: time.monotonic() > ends, "the call has timed out")
    assert not book.lookup("bell").problem


def test_many_that_do_not_answer_hold_up_no_registration(
    book: Book,
    prover: Prover,
    probe: Callable[..., None],
    quiet: Quiet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "_LEAST_PAUSE_S", 0.001)
    for number in range(30):
        book.register(make_record(f"mute{number}", quiet.uri(f"mute{number}")))
    daemon, uri = serve()
    with daemon:
        probe()
        eventually(lambda: len(quiet.connections) >= 4, "they are called")
        ends = time.monotonic() + 1.2 * DIAL_S
        while time.monotonic() < ends:
            found: queue.SimpleQueue[Proof] = queue.SimpleQueue()
            prover.prove(uri, ["127.0.0.1"], found.put)
            assert found.get(timeout=DIAL_S / 2).hosts == ("127.0.0.1",), "it has to wait"
    eventually(lambda: book.lookup("mute1").problem, "each has its turn")
    assert book.lookup("mute1").problem.endswith(f"timed out after {DIAL_S:g} s")


def test_it_ends_in_the_midst_of_a_round(book: Book, prover: Prover, quiet: Quiet) -> None:
    for number in range(50):
        book.register(make_record(f"mute{number}", quiet.uri()))
    each = Probing(book, prover, is_private=True, interval_s=ROUND_S)
    each.start()
    each.start()
    eventually(lambda: quiet.connections, "a round has begun")
    began = time.monotonic()
    each.close()
    each.close()
    assert time.monotonic() - began < DIAL_S
    Probing(book, prover, is_private=True).close()  # it was never begun
