"""A name server and its clients, ours and stock Pyro5's, over real sockets."""

from __future__ import annotations

import threading
import warnings

import pytest

import nameserver
from nameserver import (
    BadName,
    Directory,
    NameServer,
    NameServerClient,
    NameServerNotFound,
    NameTaken,
    NameUnknown,
    NamingError,
)
from nameserver.book import Book
from nameserver.changes import Lease
from nameserver.client import is_loopback
from nameserver.record import make_record
from remoteobj import (
    AddressUnusable,
    BadURI,
    ConnectionLost,
    Daemon,
    InsecureRefused,
    InsecureWarning,
    Proxy,
    expose,
)
from tests.conftest import StartScript

HERE = "PYRO:x@127.0.0.1:4711"

STOCK_CLIENT = """
import sys
import Pyro5.api, Pyro5.errors
with Pyro5.api.Proxy(f"PYRO:Pyro.NameServer@{sys.argv[1]}") as ns:
    ns.ping()
    print(ns.lookup("ours"), sorted(ns.lookup("ours", return_metadata=True)[1]))
    print(ns.list(prefix="ou"), sorted(ns.list(regex=".*NameServer")))
    ns.register("stock.one", Pyro5.api.URI("PYRO:y@127.0.0.1:1"), safe=True, metadata={"m"})
    ns.register("stock.one", "PYRO:z@127.0.0.1:2")
    ns.register("stock.two", "PYRO:z@127.0.0.1:2")
    try:
        ns.register("stock.one", "PYRO:y@127.0.0.1:1", safe=True)
    except Exception as error:
        print("refused")
    print(ns.count(), ns.remove("stock.two"), ns.remove(prefix="Pyro"), ns.remove(regex="x.*"))
"""

STOCK_SERVER = """
import Pyro5.nameserver, Pyro5.api
uri, daemon, _ = Pyro5.nameserver.start_ns("127.0.0.1", 0, enableBroadcast=False)
print(daemon.locationStr, flush=True)
daemon.requestLoop()
"""


@expose
class Bell:
    def ring(self) -> str:
        return "ding"


def test_names_on_the_network(client: NameServerClient, server: NameServer) -> None:
    client.register("lab.b", HERE, metadata={"t"})
    client.register("lab.a", HERE)
    record = client.lookup("lab.b")
    assert (record.name, str(record.uri), record.metadata, record.pid) == (
        "lab.b",
        HERE,
        {"t"},
        None,
    )
    assert [each.name for each in client.list("lab.")] == ["lab.a", "lab.b"]
    assert [each.name for each in client.list()] == ["Pyro.NameServer", "lab.a", "lab.b"]
    assert str(client.lookup("Pyro.NameServer").uri) == f"PYRO:Pyro.NameServer@{server.address}"
    assert client.remove("lab.b")
    assert not client.remove("lab.b")
    assert not client.remove("Pyro.NameServer")
    assert client.how == "given"
    assert server.statistics().names == 2
    assert server.statistics().calls >= 8


def test_errors_arrive_as_they_left(client: NameServerClient) -> None:
    client.register("a", HERE)
    with pytest.raises(NameTaken, match=f"'a' is taken, by {HERE}"):
        client.register("a", "PYRO:y@127.0.0.1:1")
    client.register("a", "PYRO:y@127.0.0.1:1", replace=True)
    assert client.lookup("a").uri.object == "y"
    with pytest.raises(NameUnknown, match="'b'"):
        client.lookup("b")
    with pytest.raises(BadName):
        client.lookup("b b")
    with pytest.raises(BadURI):
        client.register("b", "there")


def test_the_server_checks_what_strangers_send(server: NameServer) -> None:
    with pytest.warns(InsecureWarning):
        stranger = Proxy(f"PYRO:Pyro.NameServer@{server.address}", insecure=True)
    with stranger:
        with pytest.raises(BadName):
            stranger.register("a b", HERE)
        with pytest.raises(BadURI):
            stranger.register("a", "there")
        with pytest.raises(NamingError, match="no regular expression"):
            stranger.list(regex="(")
        with pytest.raises(ValueError, match="not both"):
            stranger.list(prefix="a", regex="b")
        assert stranger.count() == 1


def test_many_threads_one_client(client: NameServerClient) -> None:
    def use(number: int) -> None:
        for round_ in range(20):
            client.register(f"n{number}.{round_}", HERE)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(client.list("n")) == 160


def test_plain_tcp_is_opted_in_and_warned_about_once() -> None:
    with pytest.raises(InsecureRefused, match="insecure=True"):
        NameServer("127.0.0.1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        server = NameServer("127.0.0.1", insecure=True, announce=False)
    with server:
        assert [each.category for each in caught] == [InsecureWarning]
        with pytest.raises(InsecureRefused):
            NameServerClient(server.address).ping()
        with pytest.warns(InsecureWarning, match=server.address) as seen:
            NameServerClient(server.address, insecure=True)
        assert len(seen) == 1


def test_a_port_in_use_is_named(server: NameServer) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(AddressUnusable, match=f"127.0.0.1:{port}.*free port"):
        NameServer("127.0.0.1", port, insecure=True)


def test_a_closed_server_is_gone(server: NameServer, client: NameServerClient) -> None:
    client.ping()
    assert "not announced" in repr(server)
    server.close()
    server.close()
    with pytest.raises(ConnectionLost):
        client.ping()


@pytest.mark.parametrize("uri", ["PYRO:x@./u:/run/x.sock", HERE])
def test_on_loopback_every_address_of_this_machine_will_do(
    client: NameServerClient, uri: str
) -> None:
    client.register("a", uri)
    assert str(client.lookup("a").uri) == uri


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
     ("192.168.1.4", False), ("0.0.0.0", False), ("no.such.host.invalid", False)],
)  # fmt: skip
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


def test_stock_pyro5_uses_our_server(
    client: NameServerClient, server: NameServer, start_script: StartScript
) -> None:
    client.register("ours", HERE, metadata={"t"})
    printed, errors = start_script("-c", STOCK_CLIENT, server.address).communicate(timeout=20)
    assert errors == ""
    assert printed.splitlines() == [
        f"{HERE} ['t']",
        f"{{'ours': '{HERE}'}} ['Pyro.NameServer']",
        "refused",
        "4 1 0 0",
    ]
    assert client.lookup("stock.one").uri.object == "z"


def test_our_client_uses_stock_pyro5_s_server(start_script: StartScript) -> None:
    stock = start_script("-c", STOCK_SERVER)
    assert stock.stdout is not None
    client = NameServerClient(stock.stdout.readline().strip(), insecure=True, quiet=True)
    with client:
        client.ping()
        assert client.instance() == ""
        client.register("a", HERE, metadata={"t"})
        assert client.lookup("a").metadata == {"t"}
        assert client.list("a")[0].uri.object == "x"
        with pytest.raises(NameTaken):
            client.register("a", HERE)
        with pytest.raises(NameUnknown):
            client.lookup("b")
        assert client.remove("a")


def test_a_name_is_looked_up_for_proxies(
    client: NameServerClient, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nameserver.__all__
    with Daemon() as daemon, Directory() as directory:
        daemon.start()
        uri = daemon.register(Bell(), "bell")
        directory.register("here", uri)
        client.register("there", uri)
        with Proxy("PYRONAME:here") as bell:
            assert bell.ring() == "ding"
        with Proxy(f"PYRONAME:there@{server.address}") as bell:
            with pytest.raises(InsecureRefused, match="plain TCP"):
                bell.ring()
            monkeypatch.setenv("REMOTEOBJ_INSECURE", "1")
            assert bell.ring() == "ding"
        monkeypatch.setenv("REMOTEOBJ_NAMESERVER", server.address)
        with Proxy("PYRONAME:there") as bell:
            assert bell.ring() == "ding"
        with Proxy("PYRONAME:nowhere") as bell, pytest.raises(NameUnknown, match="nowhere"):
            bell.ring()
        monkeypatch.setenv("REMOTEOBJ_NAMESERVER", "127.0.0.1:1")
        with Proxy("PYRONAME:nowhere") as bell, pytest.raises(NameServerNotFound) as caught:
            bell.ring()
        assert str(caught.value).startswith("'nowhere' is no name of this machine, and no name ser")


@pytest.mark.filterwarnings("ignore:plain TCP")
@pytest.mark.parametrize(
    "arguments",
    [
        (5, "", 0, 1.0, "x"),
        (["a"], "run", 0, 1.0, "x"),
        ("", "run", "0", 1.0, "x"),
        ("", "", 0, 1.0, ["x"]),
        ("a" * 201, "", 0, 1.0, "x"),
    ],
    ids=str,
)
def test_a_watch_that_makes_no_sense_is_refused_and_harms_nobody(
    server: NameServer, client: NameServerClient, arguments: tuple[object, ...]
) -> None:
    with Proxy(f"PYRO:Pyro.NameServer@{server.address}", insecure=True) as raw:
        with pytest.raises(NamingError, match=r"is a text of at most|is no revision"):
            raw.watch(*arguments)
        now = raw.watch("", "", 0, 0.0, "x")
        nothing = raw.watch("", now["instance"], now["number"], float("nan"), "x")
        assert nothing["changes"] == []
    client.register("a", HERE)


@pytest.mark.filterwarnings("ignore:plain TCP")
@pytest.mark.parametrize("lease", [(["x"], 5.0), ("", 5.0), ("x" * 201, 5.0), ("x", float("nan"))])
def test_a_lease_that_makes_no_sense_is_refused_and_leaves_nothing(
    server: NameServer, client: NameServerClient, lease: tuple[object, float]
) -> None:
    with (
        Proxy(f"PYRO:Pyro.NameServer@{server.address}", insecure=True) as raw,
        pytest.raises(NamingError, match="lease"),
    ):
        raw.put("a", HERE, [], lease, False, None)
    assert not client.list("a")


def test_metadata_of_somebody_else_do_not_keep_a_name_alive() -> None:
    now = 0.0
    with Book("run", clock=lambda: now) as book:
        book.register(make_record("a", HERE), Lease("mine", 10.0))
        now = 9.0
        book.set_metadata("a", {"red"})
        now = 11.0
        assert not book.list("a")
