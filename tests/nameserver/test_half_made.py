"""What could not be made says so: a debugger, or pytest, prints it in the traceback."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import pytest

from nameserver import Directory, NameServer, NameServerClient, NamingError, SqliteStorage
from nameserver.admission import Admission
from nameserver.book import Book
from nameserver.proving import Prover
from nameserver.record import NAME_SERVER
from nameserver.service import NameService
from remoteobj import Daemon, Proxy
from remoteobj.callers import CallContext, Caller, serve_as
from remoteobj.transport.stream import ANYBODY

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


def objects_in(trace: TracebackType | None) -> Iterator[Any]:
    while trace is not None:
        if "self" in trace.tb_frame.f_locals:
            yield trace.tb_frame.f_locals["self"]
        trace = trace.tb_next


def name_server_where_one_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        NameServer("127.0.0.1", there.getsockname()[1], insecure=True)


MAKERS: dict[str, Callable[[], object]] = {
    "NameServerClient": lambda: NameServerClient("no address"),
    "Proxy": lambda: Proxy("no URI", insecure=True),
    "Daemon": lambda: Daemon("127.0.0.1"),
    "NameServer": name_server_where_one_is,
    "SqliteStorage": lambda: SqliteStorage(7),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_could_not_be_made_says_so(kind: str) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        MAKERS[kind]()
    said = [repr(each) for each in objects_in(caught.tb) if type(each).__name__ == kind]
    assert said
    assert set(said) == {f"<{kind}: could not be made>"}


def test_a_directory_that_could_not_be_made_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/dev/null/nowhere")
    with pytest.raises(Exception, match=r".") as caught:
        Directory()
    said = [repr(each) for each in objects_in(caught.tb) if isinstance(each, Directory)]
    assert said == ["<Directory: could not be made>"]


# Who calls.


@pytest.fixture
def service(book: Book, prover: Prover) -> NameService:
    return NameService(book, Admission(book, prover, is_private=False))


def test_whoever_is_not_known_is_not_taken_for_this_machine(
    service: NameService, book: Book
) -> None:
    """A peer that was gone before it was looked at may have been anybody."""
    peer = "a peer that left"
    before = serve_as(CallContext(Caller("", peer, ANYBODY), 0, peer, ANYBODY))
    try:
        for register in (
            lambda: service.register("lab.a", "PYRO:x@127.0.0.1:1"),
            lambda: service.put("lab.a", "PYRO:x@127.0.0.1:1", (), None, False, None),
            lambda: service.speak("token"),
        ):
            with pytest.raises(NamingError, match="not known from where this call has come: call"):
                register()
        assert service.list() == {}
    finally:
        before.var.reset(before)
    assert book.count() == 0


def test_whoever_comes_by_a_unix_socket_is_this_machine(book: Book, prover: Prover) -> None:
    with Daemon() as daemon:
        admission = Admission(book, prover, is_private=True)
        daemon.register(NameService(book, admission), NAME_SERVER)
        daemon.start()
        with NameServerClient(daemon.location) as client:
            client.register("lab.a", daemon.uri_of("x"), lease_s=None)
            assert client.lookup("lab.a").uri == daemon.uri_of("x")
