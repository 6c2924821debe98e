"""Who registered a name, by its certificate: it alone changes it, and it has to answer for it."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nameserver import (
    NameServer,
    NameServerClient,
    NameServerNotFound,
    NameTaken,
    NamingError,
    discovery,
    locate,
)
from nameserver.admission import Admission
from nameserver.book import Book
from nameserver.changes import Registrant
from nameserver.networks import Networks
from nameserver.proving import Prover
from nameserver.record import NAME_SERVER, Record, from_plain, make_record, to_plain
from nameserver.registry import Registry
from nameserver.service import NameService
from nameserver.storage import SqliteStorage
from remoteobj import URI, Daemon, Identity, NotAllowed, PeerRefused, Proxy, expose
from remoteobj.identity.office import Office, found_cluster
from tests.answering import Answering
from tests.conftest import eventually
from tests.pairs import join

Join = Callable[..., Identity]
Ask = Callable[[Identity], NameServerClient]


@expose
class Bell:
    def ring(self) -> str:
        return "ding"


@pytest.fixture
def office() -> Office:
    return found_cluster("lab", name="hall", now=time.time())


@pytest.fixture
def machine(office: Office, tmp_path: Path) -> Join:
    """Make a machine of the cluster."""

    def machine(name: str, role: str = "member") -> Identity:
        return join(office, tmp_path / name, name, role)

    return machine


@pytest.fixture
def hall(office: Office) -> Iterator[NameServer]:
    with NameServer("127.0.0.1", announce=False) as hall:
        yield hall


@pytest.fixture
def ask(hall: NameServer) -> Iterator[Ask]:
    with contextlib.ExitStack() as clients:

        def ask(identity: Identity) -> NameServerClient:
            client = NameServerClient(hall.address, identity=identity)
            return clients.enter_context(closing(client))

        yield ask


@contextlib.contextmanager
def bell_of(identity: Identity, port: int = 0) -> Iterator[tuple[Daemon, URI]]:
    with Daemon("127.0.0.1", port, identity=identity) as daemon:
        uri = daemon.register(Bell(), "bell")
        daemon.start()
        yield daemon, uri


def test_the_server_says_which_machine_registered_a_name(machine: Join, ask: Ask) -> None:
    ben, eve = machine("ben"), machine("eve")
    with bell_of(ben) as (_, uri):
        ask(ben).register("lab.bell", uri)
        for record in (ask(eve).lookup("lab.bell"), ask(eve).list("lab.")[0]):
            assert (record.node, record.role) == (ben.claims.node, "member")
            assert record.answering_node == ben.claims.node
        event = next(ask(eve).watch("lab."))
        assert event.record.node == ben.claims.node
        own = ask(eve).lookup(NAME_SERVER)
        assert (own.node, own.role) == (Identity.stored().claims.node, "operator")


def test_only_the_same_machine_or_an_operator_changes_it(machine: Join, ask: Ask) -> None:
    ben, eve, olga = machine("ben"), machine("eve"), machine("olga", "operator")
    with bell_of(ben) as (_, uri), bell_of(eve) as (_, other):
        ask(ben).register("lab.bell", uri)
        stranger = ask(eve)
        with pytest.raises(NameTaken):
            stranger.register("lab.bell", other)
        for change in (
            lambda: stranger.register("lab.bell", other, replace=True),
            lambda: stranger.register("lab.bell", other, replaces=uri),
            lambda: stranger.register("lab.bell", uri, replace=True),
            lambda: stranger.set_metadata("lab.bell", {"eve's"}),
            lambda: stranger.remove("lab.bell"),
            lambda: stranger._call("remove", None, "lab."),
            lambda: stranger._call("register", "lab.bell", str(other)),
        ):
            with pytest.raises(NotAllowed, match="only that one and operators"):
                change()
        record = ask(ben).lookup("lab.bell")
        assert (record.uri, record.metadata) == (uri, frozenset())

        ask(ben).set_metadata("lab.bell", {"red"})
        ask(ben).register("lab.bell", uri, replace=True, metadata={"green"})
        ask(olga).set_metadata("lab.bell", {"blue"})
        assert ask(ben).lookup("lab.bell").node == ben.claims.node, "it stays its name"
        assert ask(olga).remove("lab.bell")
        stranger.register("lab.bell", other)
        assert stranger.lookup("lab.bell").node == eve.claims.node


class Deaf(Answering):
    """Speaks TLS as a machine of the cluster, and notes what is said to it after that."""

    def __init__(self, identity: Identity) -> None:
        self.shaken, self.heard = 0, b""
        self._context = identity.server_context()
        super().__init__()

    def answer(self, caller: socket.socket) -> None:
        with self._context.wrap_socket(caller, server_side=True) as secured:
            self.shaken += 1
            self.heard += secured.recv(4096)


class Pretended(Networks):
    """As if nothing were this machine's: what is registered comes from the network."""

    def is_own(self, host: str) -> bool:
        return False


@pytest.fixture
def admitted(office: Office) -> Iterator[Admission]:
    """How a name server takes names in, that other machines reach."""
    prover = Prover(Identity.stored(), timeout_s=2.0)
    with closing(prover), Book("run") as book:
        yield Admission(book, prover, is_private=False, look=lambda: Pretended(()))


def test_an_address_where_another_machine_answers_is_refused(
    machine: Join, admitted: Admission
) -> None:
    ben, eve = machine("ben"), machine("eve")

    def register(who: Identity, uri: URI) -> list[str]:
        record = replace(make_record("lab.bell", uri), node=who.claims.node, role="member")
        return admitted.register(record, None, "127.0.0.1", replace=True).result(10)

    with Deaf(ben) as bens:
        with pytest.raises(NamingError, match="another machine of the cluster answers") as caught:
            register(eve, URI.of_tcp("bell", "127.0.0.1", bens.port))
        assert f"not node {eve.claims.node}" in str(caught.value)
        eventually(lambda: bens.shaken == 1, "it was asked who it is")
    assert bens.heard == b"", "nothing but the handshake of TLS"
    with bell_of(ben) as (_, uri):
        with pytest.raises(NamingError, match="register it from the machine that serves it"):
            register(eve, uri)
        assert register(ben, uri) == []


def test_nobody_can_say_that_it_is_another_machine(machine: Join, ask: Ask) -> None:
    eve = machine("eve")
    with bell_of(eve) as (_, uri), pytest.raises(TypeError):
        ask(eve)._call("put", "lab.x", str(uri), [], None, False, None, "", "0f" * 8)


def test_slaves_ask_and_change_nothing(machine: Join, ask: Ask) -> None:
    ben, carl = machine("ben"), machine("carl", "slave")
    with bell_of(ben) as (_, uri), bell_of(carl) as (_, own):
        ask(ben).register("lab.bell", uri)
        slave = ask(carl)
        slave.ping()
        assert slave.instance()
        assert slave.about()["python"]
        assert slave.lookup("lab.bell").uri == uri
        assert [record.name for record in slave.list("lab.")] == ["lab.bell"]
        with slave.watch("lab.") as events:
            assert next(events).name == "lab.bell"
        for change in (
            lambda: slave.register("lab.own", own),
            lambda: slave.register("lab.own", own, lease_s=None),
            lambda: slave.remove("lab.bell"),
            lambda: slave.set_metadata("lab.bell", {"x"}),
            lambda: slave._call("speak", "token"),
            lambda: slave._call("renew", "lease"),
            lambda: slave._call("release", "lease"),
        ):
            with pytest.raises(NotAllowed):
                change()
        assert len(ask(ben).list("lab.")) == 1


def test_a_proxy_calls_no_other_machine_than_the_one_that_registered(
    machine: Join, hall: NameServer, ask: Ask
) -> None:
    ben, eve = machine("ben"), machine("eve")
    name = f"PYRONAME:lab.bell@{hall.address}"
    with bell_of(ben) as (daemon, uri):
        ask(ben).register("lab.bell", uri, lease_s=None)
        with Proxy(name, identity=eve) as bell:
            assert bell.ring() == "ding"
        port = daemon.port or 0
    with bell_of(eve, port), Proxy(name, identity=ben) as bell:
        with pytest.raises(PeerRefused, match=f"not node {ben.claims.node}"):
            bell.ring()
        with Proxy(uri, identity=ben) as anybody:
            assert anybody.ring() == "ding", "an address alone says of nobody who it is"


@pytest.mark.filterwarnings("ignore:.*does not reach")
def test_an_object_that_is_on_another_machine_is_nobodys(machine: Join, ask: Ask) -> None:
    ben = machine("ben")
    ask(ben).register("lab.far", "PYRO:bell@192.0.2.7:4711", lease_s=None)
    record = ask(ben).lookup("lab.far")
    assert record.is_elsewhere
    assert record.node == ben.claims.node, "the name is its own"
    assert record.answering_node is None, "the object is not"


@pytest.mark.usefixtures("own_network")
def test_no_slave_poses_as_a_name_server(machine: Join) -> None:
    carl, eve = machine("carl", "slave"), machine("eve")

    @expose(role="slave")
    class Poser:
        def ping(self) -> None: ...
        def lookup(self, name: str, return_metadata: bool = False) -> tuple[str, set[str]]:
            return f"PYRO:{name}@127.0.0.1:1", set()

    with Daemon("127.0.0.1", identity=carl) as daemon:
        daemon.register(Poser(), NAME_SERVER)
        daemon.start()
        port = daemon.port or 0
        lie = discovery.announce(
            "127.0.0.1", port, name="lie", server_id="lie", transport="tls", cluster="lab"
        )
        with closing(lie):
            for where in (None, daemon.location):
                with pytest.raises(NameServerNotFound, match="in the role 'slave', and 'member'"):
                    locate(where, timeout_s=1, identity=eve)


def test_this_user_is_the_servers_own_machine(book: Book, prover: Prover) -> None:
    service = NameService(book, Admission(book, prover, is_private=True), "0f" * 8)
    with Daemon() as daemon:
        uri = daemon.register(service, NAME_SERVER)
        daemon.start()
        with closing(NameServerClient(uri.location or "")) as client:
            client.register("a", "PYRO:x@127.0.0.1:1", lease_s=None)
    record = book.lookup("a")
    assert (record.node, record.role) == ("0f" * 8, "operator")


def test_on_plain_tcp_names_are_nobodys(client: NameServerClient) -> None:
    client.register("a", "PYRO:x@127.0.0.1:1", lease_s=None)
    record = client.lookup("a")
    assert (record.node, record.role, record.answering_node) == ("", "", None)
    assert client.remove("a")


# The rules alone, and what is kept.

NODE, OTHER = "0f" * 8, "1e" * 8


def owned(node: str = NODE, role: str = "member") -> Record:
    record = make_record("a", "PYRO:x@127.0.0.1:1")
    return Record(record.name, record.uri, node=node, role=role)


def test_who_may_change_a_name() -> None:
    assert Registrant("", "member").may_change(owned(""))
    assert Registrant(NODE, "member").may_change(owned())
    assert Registrant(OTHER, "operator").may_change(owned())
    assert not Registrant(OTHER, "member").may_change(owned())
    assert not Registrant("", "member").may_change(owned())


def test_of_several_names_none_is_removed_where_one_may_not_be() -> None:
    registry = Registry()
    registry.apply(registry.register(owned()), 0.0)
    registry.apply(registry.register(make_record("b", "PYRO:x@127.0.0.1:1")), 0.0)
    with pytest.raises(NotAllowed):
        registry.remove(["b", "a"], Registrant(OTHER, "member"))
    assert registry.count() == 2
    assert len(registry.remove(["b", "a"])) == 2, "the server itself asks nobody"


def test_records_of_an_earlier_release_have_no_machine() -> None:
    record = owned()
    assert from_plain(to_plain(record)) == record
    assert from_plain(to_plain(record)[:7]) == owned("", "")
    assert from_plain([*to_plain(record), "more"]) == record


def test_a_file_of_an_earlier_release_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "names.db"
    with closing(SqliteStorage(path)) as storage, Book("one", storage) as book:
        book.register(owned(""))
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE names DROP COLUMN owner")
        database.execute("DROP TABLE leaderships")
        database.execute("PRAGMA user_version = 1")
    with closing(SqliteStorage(path)) as storage, Book("two", storage) as book:
        assert book.lookup("a").node == ""
        book.register(owned(), replace=True)
    with closing(SqliteStorage(path)) as storage, Book("three", storage) as book:
        assert (book.lookup("a").node, book.lookup("a").role) == (NODE, "member")
