"""Who keeps a name alive: the process, for as long as it lives, and nobody else."""

from __future__ import annotations

import logging
import queue
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest

from nameserver import (
    Event,
    MemoryStorage,
    NameServer,
    NameServerClient,
    NameUnknown,
    StorageFailed,
)
from nameserver.book import Book
from nameserver.changes import Change, Lease, Revision
from nameserver.record import make_record
from tests.conftest import StartScript, eventually
from tests.nameserver.listening import Told, client_of, port_of, serve, uri
from tests.nameserver.relay import Relay

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

LEASE_S = 1.0
RENEWAL_S = 0.5
"""After this, whoever keeps a name has asked for it at least once."""

RENEWALS_S = 1.3
"""After this, a lease that nobody has renewed is over."""

Events = queue.SimpleQueue[Event]

OWNER = """
import gc, os, sys
from nameserver import NameServerClient
address, *names = sys.argv[1:]
client = NameServerClient(address, insecure=True, quiet=True)
for name in names:
    client.register(name, "PYRO:x@127.0.0.1:4711", lease_s=1.0)
print("registered", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@pytest.fixture
def events(client: NameServerClient) -> Iterator[Events]:
    """What happens to the names of ``lab.``."""
    told: Events = queue.SimpleQueue()
    with client.watch("lab.", on_event=told.put) as watch:
        eventually(lambda: watch.revision, "it watches")
        yield told


def next_of(events: Events, timeout_s: float = 10.0) -> Told:
    event = events.get(timeout=timeout_s)
    return event.kind, event.name


def is_quiet(events: Events, for_s: float = RENEWALS_S) -> bool:
    try:
        raise AssertionError(f"told of {events.get(timeout=for_s)}")
    except queue.Empty:
        return True


@pytest.fixture
def start_owner(
    server: NameServer, start_script: StartScript
) -> Callable[..., subprocess.Popen[str]]:
    """Start a process that registers names, and then does each line that it is sent."""

    def start(*names: str) -> subprocess.Popen[str]:
        process = start_script("-c", OWNER, server.address, *names)
        assert process.stdout is not None
        assert process.stdout.readline() == "registered\n"
        return process

    return start


StartOwner = Callable[..., subprocess.Popen[str]]


def have(process: subprocess.Popen[str], do: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{do}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


# How a process ends.


def test_a_process_keeps_its_names_and_not_its_client_until_it_is_killed(
    start_owner: StartOwner, events: Events
) -> None:
    owner = start_owner("lab.a", "lab.b")
    assert {next_of(events), next_of(events)} == {
        ("registered", "lab.a"),
        ("registered", "lab.b"),
    }
    have(owner, "client.close(); del client; gc.collect()")
    assert is_quiet(events), "renewals are no events, and no name goes"
    owner.kill()
    began = time.monotonic()
    told = {next_of(events), next_of(events)}
    took_s = time.monotonic() - began
    assert told == {("expired", "lab.a"), ("expired", "lab.b")}
    assert took_s < LEASE_S + 0.5


@pytest.mark.parametrize("how", ["end of input", "sys.exit", "an exception"])
def test_the_names_of_a_process_that_ends_are_gone_at_once(
    how: str, start_owner: StartOwner, events: Events
) -> None:
    owner = start_owner("lab.a")
    assert next_of(events) == ("registered", "lab.a")
    began = time.monotonic()
    owner.communicate({"end of input": "", "sys.exit": "sys.exit(3)\n"}.get(how, "1 / 0\n"), 10.0)
    assert next_of(events) == ("removed", "lab.a")
    assert time.monotonic() - began < LEASE_S / 2


def test_a_process_that_was_stopped_registers_again(
    start_owner: StartOwner, events: Events
) -> None:
    owner = start_owner("lab.a")
    assert next_of(events) == ("registered", "lab.a")
    owner.send_signal(signal.SIGSTOP)
    assert next_of(events) == ("expired", "lab.a")
    owner.send_signal(signal.SIGCONT)
    assert next_of(events) == ("registered", "lab.a")
    owner.communicate("")
    assert next_of(events) == ("removed", "lab.a")


# Forks.

FORK = "child = os.fork() or (sys.stdin.close(), sys.exit(0))"
FORK_AND_STAY = "child = os.fork() or (os.close(1), os.close(2), os.read(0, 1), os._exit(0))"
FORK_AND_REGISTER = (
    "child = os.fork() or "
    "(client.register('lab.child', 'PYRO:y@127.0.0.1:1', lease_s=1.0), sys.exit(0))"
)
FORK_IN_THE_MIDST = (
    "from nameserver.leases import keeper; keeper._lock.acquire(); "
    "child = os.fork() or sys.exit(0); keeper._lock.release()"
)
WAIT = "assert os.waitpid(child, 0)[1] == 0"


@pytest.mark.parametrize("fork", [FORK, FORK_IN_THE_MIDST], ids=["quiet", "while registering"])
def test_a_forked_child_that_ends_takes_no_name_back(
    fork: str, start_owner: StartOwner, events: Events
) -> None:
    owner = start_owner("lab.a")
    assert next_of(events) == ("registered", "lab.a")
    have(owner, fork)
    have(owner, WAIT)
    assert is_quiet(events, 0.3)
    owner.communicate("")
    assert next_of(events) == ("removed", "lab.a")


def test_a_forked_child_keeps_no_name_of_its_parent(
    start_owner: StartOwner, events: Events
) -> None:
    owner = start_owner("lab.a")
    assert next_of(events) == ("registered", "lab.a")
    have(owner, FORK_AND_STAY)
    owner.kill()
    owner.wait()
    assert next_of(events, LEASE_S + 1.0) == ("expired", "lab.a")


def test_a_forked_child_keeps_names_of_its_own(start_owner: StartOwner, events: Events) -> None:
    owner = start_owner("lab.a")
    assert next_of(events) == ("registered", "lab.a")
    have(owner, FORK_AND_REGISTER)
    assert next_of(events) == ("registered", "lab.child")
    assert next_of(events) == ("removed", "lab.child")
    have(owner, WAIT)
    assert is_quiet(events, 0.3)


# How a server goes, and comes back.


def test_names_are_registered_again_at_a_server_that_has_forgotten_them() -> None:
    server = serve()
    with client_of(server.address) as client:
        client.register("lab.a", uri(1), metadata={"old"}, lease_s=LEASE_S)
        client.register("lab.b", uri(1), lease_s=LEASE_S)
        client.register("lab.b", uri(2), lease_s=2 * LEASE_S, replace=True)
        client.register("lab.gone", uri(1), lease_s=LEASE_S)
        client.register("lab.stays", uri(1), lease_s=LEASE_S)
        client.set_metadata("lab.a", {"new"})
        client.remove("lab.gone")
        client.register("lab.stays", uri(1), lease_s=None, replace=True)  # keeps itself
        server.close()
        with closing(serve(port_of(server))), client.watch("lab.") as watch:
            back = {event.name: event.record for event in (next(watch), next(watch))}
            assert str(back["lab.b"].uri) == uri(2)
            assert back["lab.a"].metadata == {"new"}
            assert back["lab.a"].lease_s == LEASE_S
            eventually_quiet(client, {"lab.a", "lab.b"})


def eventually_quiet(client: NameServerClient, names: set[str]) -> None:
    """Check for a renewal's time that these are the names of ``lab.``."""
    until = time.monotonic() + RENEWAL_S
    while time.monotonic() < until:
        assert {record.name for record in client.list("lab.")} == names


def test_a_server_that_was_away_for_longer_than_the_lease(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve()
    with client_of(server.address) as client:
        client.register("lab.a", uri(1), lease_s=LEASE_S)
        server.close()
        eventually(lambda: "are not renewed" in caplog.text, "it is missed")
        ends = time.monotonic() + LEASE_S
        eventually(lambda: time.monotonic() > ends, "the lease is over")
        with closing(serve(port_of(server))):
            eventually(lambda: client.list("lab."), "it is registered again")
    assert caplog.text.count("are not renewed") == 1, "said once"


def test_after_a_cut_a_name_is_registered_again_but_not_taken_from_somebody_else(
    server: NameServer,
    client: NameServerClient,
    events: Events,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Relay(server.address) as relay, client_of(relay.address) as owner:
        owner.register("lab.a", uri(1), lease_s=LEASE_S)
        owner.register("lab.b", uri(1), lease_s=LEASE_S)
        relay.stall()
        for kind in ("registered", "expired"):
            assert {next_of(events), next_of(events)} == {(kind, "lab.a"), (kind, "lab.b")}
        client.register("lab.a", uri(2), lease_s=None)
        assert next_of(events) == ("registered", "lab.a")
        relay.cut()
        relay.stall(is_stalled=False)
        assert next_of(events) == ("registered", "lab.b")
        assert "lab.a is not registered any more: the name 'lab.a' is taken" in caplog.text
        client.remove("lab.a")
        assert next_of(events) == ("removed", "lab.a")
        assert is_quiet(events, RENEWAL_S), "it is nobody's now"


class Failing(MemoryStorage):
    """A disk that is full for a while."""

    failure: Exception | None = None
    refused = ""

    def save(self, changes: Sequence[Change]) -> None:
        if self.failure is not None:
            raise self.failure
        if any(change.record.name == self.refused for change in changes):
            raise StorageFailed("the disk is full")
        super().save(changes)


def test_a_server_that_cannot_register_now_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve()
    with client_of(server.address) as client:
        for name in ("lab.a", "lab.b", "lab.c"):
            client.register(name, uri(1), lease_s=LEASE_S)
        server.close()
        storage = Failing()
        with closing(serve(port_of(server), storage)):
            storage.refused = "lab.b"
            eventually(lambda: "the disk is full" in caplog.text, "it is said")
            with pytest.raises(NameUnknown):
                client.lookup("lab.b")
            storage.refused = ""
            eventually(lambda: len(client.list("lab.")) == 3, "all are registered again")


@pytest.mark.parametrize("why", [StorageFailed("the disk is full"), ValueError("a mistake")])
def test_an_end_that_cannot_be_kept_is_tried_again(
    why: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Failing()
    with Book("run", storage) as book:
        book.register(make_record("lab.a", uri(1)), Lease("one", 0.1))
        storage.failure = why
        with caplog.at_level(logging.ERROR, "nameserver.book"):
            eventually(lambda: f"could not be removed: {why}" in caplog.text, "it is said")
        assert [record.name for record in book.list()] == ["lab.a"]
        storage.failure = None
        number = book.revision().number
        gone = book.watch("", Revision("run", number), 10.0, "me").result(timeout=10)
        assert [change.kind for change in gone.changes] == ["expired"]


def test_a_lease_has_limits(client: NameServerClient) -> None:
    for lease_s in (0.5, 100_000.0):
        with pytest.raises(Exception, match=r"a lease of .* from 1 to 86400 s are possible"):
            client.register("lab.a", uri(1), lease_s=lease_s)
    assert client.list("lab.") == ()
