"""What waits at a server that is closed: it is answered, in time, and what was promised is kept."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from nameserver import MemoryStorage, NameServerClient, StorageFailed
from nameserver.admission import Admission
from nameserver.book import Book
from nameserver.changes import Lease
from nameserver.networks import Networks
from nameserver.proving import Prover
from nameserver.record import NAME_SERVER, make_record
from nameserver.service import NameService
from remoteobj import URI, Daemon, RemoteObjError
from tests.conftest import eventually
from tests.nameserver.conftest import Bell
from tests.nameserver.listening import client_of

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

HERE = "127.0.0.1"
CLIENTS = 12


class Outside(Networks):
    """As if no address were this machine's."""

    def is_own(self, _host: str) -> bool:
        return False


@pytest.fixture
def mute() -> Iterator[str]:
    """An address where nobody answers."""
    with socket.create_server((HERE, 0), backlog=200) as listener:
        yield f"{HERE}:{listener.getsockname()[1]}"


class Closing:
    """A name server as ``NameServer`` puts it together, of which all addresses are others'."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.book = Book("run", self.storage)
        self.prover = Prover(None, timeout_s=0.3)
        self.admission = Admission(
            self.book, self.prover, is_private=False, look=lambda: Outside(())
        )
        self.daemon = Daemon(HERE, insecure=True)
        self.daemon.register(NameService(self.book, self.admission), NAME_SERVER)
        self.daemon.start()

    def close(self) -> None:
        self.prover.close()
        self.book.close()
        self.daemon.close()


@pytest.fixture
def closing() -> Iterator[Closing]:
    made = Closing()
    yield made
    made.close()


def outcome(put: Callable[[], object]) -> object:
    try:
        return put()
    except RemoteObjError as error:
        return error


def test_whoever_waits_for_an_answer_at_a_closing_server_has_one(
    closing: Closing, mute: str
) -> None:
    with Daemon(HERE, insecure=True) as daemon:
        daemon.start()
        bell = daemon.register(Bell(), "bell")
        clients = [client_of(closing.daemon.location) for _ in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as threads:

            def put(client: NameServerClient, number: int) -> Future[object]:
                # Of each four one answers, and the others do not.
                uri = bell if number % 4 == 0 else URI(f"PYRO:mute@{mute}")
                lease = Lease(f"lease {number}", 60.0)
                record = make_record(f"lab.n{number:02}", uri)
                return threads.submit(
                    outcome, lambda: client.put(record, lease, replace=False, replaces=None)
                )

            calls = [put(client, number) for number, client in enumerate(clients)]
            eventually(lambda: closing.book.count() >= 1, "one is registered")
            began = time.monotonic()
            closing.close()
            assert time.monotonic() - began < 2.0
            outcomes = [call.result(5) for call in calls]
        for client in clients:
            client.close()
    kept = {record.name: record for record, _ in closing.storage.load().entries}
    for number, came in enumerate(outcomes):
        name = f"lab.n{number:02}"
        if isinstance(came, StorageFailed):
            assert "the name server is closing" in str(came) or "was closed" in str(came)
            assert name not in kept
        else:
            assert isinstance(came, list), came
            assert name in kept, "what was acknowledged is kept"
            assert bool(came) == bool(number % 4), "and what was not called is not called proved"
    assert any(isinstance(came, list) for came in outcomes)
    assert any(isinstance(came, StorageFailed) for came in outcomes)


def test_a_registration_that_comes_too_late_is_refused(closing: Closing, mute: str) -> None:
    closing.prover.close()
    for host in (mute, "some.host:1"):
        record = make_record("lab.late", f"PYRO:late@{host}")
        done = closing.admission.register(record, None, HERE)
        with pytest.raises(StorageFailed, match=r"'lab\.late' is not registered: .* is closing"):
            done.result(0)
    assert closing.book.count() == 0


# Names of hosts.


def test_a_name_of_a_host_that_is_looked_up_for_long_holds_up_nobody(book: Book) -> None:
    goes_on = threading.Event()

    def look_up(host: str) -> str:
        if host == "localhost.lab":
            return HERE
        goes_on.wait(10)
        raise OSError

    prover = Prover(None, timeout_s=0.6, look_up=look_up)
    admission = Admission(book, prover, is_private=False, look=lambda: Outside(()))
    with Daemon(HERE, insecure=True) as daemon:
        daemon.start()
        bell = daemon.register(Bell(), "bell")
        slow = [
            admission.register(make_record(f"lab.n{number}", "PYRO:x@slow:1"), None, peer)
            for number in range(12)
            for peer in [f"192.0.2.{number}"]
        ]
        began = time.monotonic()
        assert admission.register(make_record("bell", bell), None, HERE).result(5) == []
        assert time.monotonic() - began < 0.5, "less than a lookup may take"
        for each in slow:
            (failure,) = each.result(5)
            assert failure == (
                "slow:1: the address of that name was not found within 0.6 s: register an address"
            )
        looking = [each for each in threading.enumerate() if "asks for" in each.name]
        assert len(looking) == 8, "others were not even begun"
        goes_on.set()
        eventually(lambda: not any(each.is_alive() for each in looking), "they end")
        named = URI.of_tcp("bell", "localhost.lab", bell.port or 0)
        assert admission.register(make_record("named", named), None, HERE).result(5) == []
        assert book.lookup("named").hosts == (HERE,)
        (failure,) = admission.register(
            make_record("other", "PYRO:x@nowhere.lab:1"), None, HERE
        ).result(5)
        assert "does not know the name of the host: register an address" in failure
    prover.close()
