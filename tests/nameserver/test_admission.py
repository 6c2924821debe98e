"""Where an object is said to be, and where it is: what a server dials, publishes and refuses.

Loopback has many addresses; here some stand for those of other networks.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from nameserver import NameUnknown, NamingError
from nameserver.admission import Admission
from nameserver.book import Book
from nameserver.networks import Interface, Networks, own_interfaces
from nameserver.proving import Proof, Prover, plan_of
from nameserver.record import make_record
from remoteobj import URI, Daemon
from tests.conftest import PATIENCE_S
from tests.nameserver.conftest import Bell

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

SERVER = Networks(
    [
        Interface("lo", "127.0.0.1", 8),
        Interface("eth0", "10.1.0.1", 24),
        Interface("eth1", "10.2.0.1", 24),
        Interface("docker0", "172.17.0.1", 16),
        Interface("eth0", "fe80::1", 64),
        Interface("eth0", "2001:db8::1", 64),
    ]
)


def uri(host: str) -> URI:
    return URI.of_tcp("bell", host, 4000)


# What is dialed.


@pytest.mark.parametrize(
    ("host", "registrant", "hosts"),
    [
        ("10.1.0.7", "10.1.0.7", ["10.1.0.7"]),
        ("10.2.0.7", "10.1.0.7", ["10.2.0.7"]),  # it has spoken from there too
        ("0.0.0.0", "10.1.0.7", ["10.1.0.7", "10.2.0.7"]),
        ("127.0.0.1", "10.1.0.7", ["10.1.0.7", "10.2.0.7"]),
        ("localhost", "10.1.0.7", ["10.1.0.7", "10.2.0.7"]),
        ("10.1.0.9", "10.1.0.7", []),
        ("10.2.0.1", "10.1.0.7", []),  # the server's own, not the registrant's
        ("fe80::7", "10.1.0.7", []),
        ("10.2.0.1", "10.1.0.1", ["10.2.0.1"]),
        ("172.17.0.1", "127.0.0.1", ["172.17.0.1"]),
        ("0.0.0.0", "127.0.0.1", ["10.1.0.1", "10.2.0.1", "2001:db8::1"]),
        ("127.0.0.1", "", ["10.1.0.1", "10.2.0.1", "2001:db8::1"]),
    ],
)
def test_only_what_belongs_to_the_registrant_is_dialed(
    host: str, registrant: str, hosts: list[str]
) -> None:
    spoken_from = ["10.2.0.7"] if registrant == "10.1.0.7" else []
    plan = plan_of(uri(host), registrant, spoken_from, SERVER)
    assert list(plan.hosts) == hosts
    assert bool(plan.failures or plan.is_only_here) == (host not in hosts)


@pytest.mark.parametrize(
    ("caller", "host"),
    [("10.1.0.99", "10.1.0.7"), ("10.2.0.99", "10.2.0.7"), ("192.0.2.9", None), ("", None)],
)
def test_each_caller_is_given_the_address_of_its_network(caller: str, host: str | None) -> None:
    assert SERVER.choose(["10.1.0.7", "10.2.0.7"], caller) == host


def test_this_machines_own_interfaces_are_seen() -> None:
    assert Interface("lo", "127.0.0.1", 8) in own_interfaces()


# What becomes of it. Loopback stands for the network: 127.0.0.9 is where the registrant is.

THERE, ELSEWHERE = "127.0.0.9", "127.0.0.8"


class Pretended(Networks):
    """As if only 127.0.0.1 were this machine's."""

    def is_own(self, host: str) -> bool:
        return host in ("", "127.0.0.1")

    def outer(self) -> tuple[str, ...]:
        return (ELSEWHERE,)


@pytest.fixture
def admission(book: Book, prover: Prover) -> Admission:
    return Admission(book, prover, is_private=False, look=lambda: Pretended(()))


@pytest.fixture
def bell() -> Iterator[URI]:
    with Daemon(THERE, insecure=True) as daemon:
        daemon.start()
        yield daemon.register(Bell(), "bell")


def test_what_answers_where_it_says_is_published(
    bell: URI, book: Book, admission: Admission
) -> None:
    assert admission.register(make_record("bell", bell), None, THERE).result(5) == []
    assert book.lookup("bell").hosts == (THERE,)
    assert book.lookup("bell").uri == bell
    assert not book.lookup("bell").problem


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_an_address_that_answers_takes_the_place_of_one_that_says_nothing(
    host: str, bell: URI, book: Book, admission: Admission
) -> None:
    record = make_record("bell", f"PYRO:bell@{host}:{bell.port}")
    assert admission.register(record, None, THERE).result(5) == []
    assert book.lookup("bell").uri == bell


def test_every_address_that_answers_is_published(
    bell: URI, book: Book, admission: Admission
) -> None:
    assert bell.port is not None
    with Daemon(ELSEWHERE, bell.port, insecure=True) as second:
        second.start()
        second.register(Bell(), "bell")
        admission.note_speaker("my secret", ELSEWHERE)
        record = make_record("bell", f"PYRO:bell@0.0.0.0:{bell.port}")
        done = admission.register(record, None, THERE, token="my secret")
        assert done.result(5) == []
    assert set(book.lookup("bell").hosts) == {THERE, ELSEWHERE}


def test_one_address_of_two_is_published_with_a_warning(
    bell: URI, book: Book, admission: Admission
) -> None:
    admission.note_speaker("my secret", ELSEWHERE)
    record = make_record("bell", f"PYRO:bell@0.0.0.0:{bell.port}")
    (failure,) = admission.register(record, None, THERE, token="my secret").result(5)
    assert failure == f"{ELSEWHERE}:{bell.port}: refused: nobody listens there"
    assert book.lookup("bell").hosts == (THERE,)


def test_an_address_of_somebody_else_is_registered_with_a_warning_and_not_dialed(
    book: Book, admission: Admission
) -> None:
    admission.note_speaker("my secret", "192.0.2.1")
    record = make_record("bell", "PYRO:bell@192.0.2.1:1")
    (failure,) = admission.register(record, None, THERE, token="another").result(0)
    assert "registration came from another address" in failure
    assert book.lookup("bell").problem == failure
    assert book.lookup("bell").uri == record.uri


def test_an_object_that_another_daemon_has_not(bell: URI, admission: Admission) -> None:
    record = make_record("clock", f"PYRO:clock@{THERE}:{bell.port}")
    (failure,) = admission.register(record, None, THERE).result(5)
    assert failure.endswith("another daemon answers there, which has no such object")


def test_whoever_does_not_answer_delays_nobody_else(
    bell: URI, book: Book, admission: Admission
) -> None:
    with socket.create_server((THERE, 0)) as mute:
        record = make_record("mute", f"PYRO:mute@{THERE}:{mute.getsockname()[1]}")
        slow = admission.register(record, None, THERE)
        assert admission.register(make_record("bell", bell), None, THERE).result(5) == []
        assert not slow.done()
        (failure,) = slow.result(5)
        assert failure.endswith("timed out after 0.5 s")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("./u:/run/x.sock", "a Unix socket cannot be reached from another machine"),
        ("127.0.0.1:1", r"127.0.0.1 cannot be reached from another machine; 127.0.0.9:1: refused"),
        ("localhost:1", "localhost cannot be reached from another machine"),
        ("0.0.0.0:1", "none of the machine's could be reached"),
        ("[fe80::7]:1", "fe80::7 is only valid together with the name of an interface"),
    ],
)
def test_what_nobody_else_reaches_is_refused(
    place: str, reason: str, book: Book, admission: Admission
) -> None:
    done = admission.register(make_record("bell", f"PYRO:bell@{place}"), None, THERE)
    with pytest.raises(NamingError, match=reason):
        done.result(5)
    with pytest.raises(NameUnknown):
        book.lookup("bell")


def test_a_server_of_this_machine_alone_takes_every_address(book: Book, prover: Prover) -> None:
    admission = Admission(book, prover, is_private=True, look=lambda: SERVER)
    for name, place in (("a", "./u:/run/x.sock"), ("b", "127.0.0.1:1")):
        assert admission.register(make_record(name, f"PYRO:x@{place}"), None, "").result(5) == []


def test_many_that_do_not_answer_delay_nobody_elses_registration(bell: URI, book: Book) -> None:
    prover = Prover(None, timeout_s=0.3)
    admission = Admission(book, prover, is_private=False, look=lambda: Pretended(()))
    with closing(prover), socket.create_server((ELSEWHERE, 0), backlog=200) as mute:
        uri = f"PYRO:mute@{ELSEWHERE}:{mute.getsockname()[1]}"
        asked = [
            admission.register(make_record(f"mute{number}", uri), None, ELSEWHERE)
            for number in range(80)
        ]
        refused = [each for each in asked if each.done()]
        assert len(refused) == 12, "4 are being called, 64 wait"
        with pytest.raises(NamingError, match=r"too many registrations of 127\.0\.0\.8 wait"):
            refused[0].result()
        assert admission.register(make_record("bell", bell), None, THERE).result(5) == []
        assert not asked[11].done(), "before the third four of the others"
        for each in asked[:12]:
            (failure,) = each.result(10)
            assert failure.endswith("timed out after 0.3 s")


def test_who_waits_in_line_is_answered_when_the_server_closes(book: Book) -> None:
    prover = Prover(None, timeout_s=0.2)
    admission = Admission(book, prover, is_private=False, look=lambda: Pretended(()))
    with socket.create_server((THERE, 0), backlog=50) as mute:
        uri = f"PYRO:mute@{THERE}:{mute.getsockname()[1]}"
        asked = [
            admission.register(make_record(f"mute{number}", uri), None, THERE)
            for number in range(30)
        ]
        prover.close()
        for each in asked:
            each.exception(timeout=5)  # whatever it is


def test_who_goes_on_when_a_call_is_dropped_does_not_hold_up_the_close() -> None:
    prover = Prover(None, timeout_s=0.2)
    told: list[bool] = []
    with socket.create_server((THERE, 0), backlog=50) as mute:
        uri = URI(f"PYRO:mute@{THERE}:{mute.getsockname()[1]}")

        def go_on(proof: Proof) -> None:
            told.append(proof.is_known)
            if len(told) < 100:
                prover.prove(uri, [THERE], go_on)

        for _ in range(40):  # more than there are threads
            prover.prove(uri, [THERE], go_on)
        closer = threading.Thread(target=prover.close)
        closer.start()
        closer.join(PATIENCE_S)
        assert not closer.is_alive()
        assert len(told) >= 40
