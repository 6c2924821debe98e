"""A name that somebody else removes or replaces stays so, until somebody registers it again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from nameserver import MemoryStorage, NameServer, NameServerClient
from nameserver.record import NAME_SERVER
from remoteobj import Proxy
from tests.conftest import eventually
from tests.nameserver.listening import client_of, port_of, serve, uri

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

LEASE_S = 1.0
MARK = "lab.mark"


@pytest.fixture
def somebody(server: NameServer) -> Iterator[Proxy]:
    """Somebody else: a stock client says the same."""
    with Proxy(f"PYRO:{NAME_SERVER}@{server.address}", insecure=True) as proxy:
        yield proxy


def is_said(name: str, caplog: pytest.LogCaptureFixture) -> bool:
    return f"{name} was removed or replaced by somebody else" in caplog.text


def names_of(client: NameServerClient) -> list[str]:
    return [record.name for record in client.list("lab.")]


@pytest.mark.parametrize("others", [0, 2], ids=["the only one of its lease", "one of three"])
def test_a_name_that_somebody_removes_stays_removed(
    others: int, client: NameServerClient, somebody: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [f"lab.other{number}" for number in range(others)]
    for name in ("lab.a", *kept):
        client.register(name, uri(1), lease_s=LEASE_S)
    with client.watch("lab.") as watch:
        began = [next(watch).name for _ in ("lab.a", *kept)]
        assert somebody.remove("lab.a") == 1
        eventually(lambda: is_said("lab.a", caplog), "its owner is told")
        client.register(MARK, uri(1), lease_s=None)
        told = [(event.kind, event.name) for event in (next(watch), next(watch))]
    assert sorted(began) == ["lab.a", *kept]
    assert told == [("removed", "lab.a"), ("registered", MARK)], "it has not come back"
    assert caplog.text.count("was removed or replaced") == 1, "said once"


def test_a_name_that_somebody_replaces_is_not_the_owners_any_more(
    client: NameServerClient, somebody: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    client.register("lab.a", uri(1), lease_s=LEASE_S)
    client.register("lab.b", uri(1), lease_s=LEASE_S)
    somebody.register("lab.a", uri(2))
    eventually(lambda: is_said("lab.a", caplog), "its owner is told")
    assert str(client.lookup("lab.a").uri) == uri(2)
    somebody.remove("lab.a")
    assert names_of(client) == ["lab.b"]


def test_what_was_removed_does_not_come_back_with_a_server_that_is_started_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve()
    with client_of(server.address) as client:
        for name in ("lab.a", "lab.b"):
            client.register(name, uri(1), lease_s=LEASE_S)
        with Proxy(f"PYRO:{NAME_SERVER}@{server.address}", insecure=True) as somebody:
            somebody.remove("lab.a")
        eventually(lambda: is_said("lab.a", caplog), "its owner is told")
        server.close()
        with closing(serve(port_of(server), MemoryStorage())), client.watch("lab.") as watch:
            assert next(watch).name == "lab.b"
            client.register(MARK, uri(1), lease_s=LEASE_S)
            assert next(watch).name == MARK, "what was removed has not come back"


def test_whoever_registers_it_again_has_it_again(
    client: NameServerClient, somebody: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    client.register("lab.a", uri(1), lease_s=LEASE_S)
    client.register("lab.b", uri(1), lease_s=LEASE_S)
    somebody.remove("lab.a")
    client.register("lab.a", uri(1), lease_s=LEASE_S)
    somebody.remove("lab.b")
    eventually(lambda: is_said("lab.b", caplog), "its owner is told of the other one")
    assert names_of(client) == ["lab.a"]
    assert not is_said("lab.a", caplog)


MANY = 100


def test_threads_that_register_one_name_agree_with_the_server() -> None:
    server = serve()
    names = [f"lab.n{number:03}" for number in range(MANY)]

    def register(port: int) -> None:
        with client_of(server.address) as client:
            for name in names:
                start.wait()
                client.register(name, uri(port), lease_s=LEASE_S, replace=True)

    threads = [threading.Thread(target=register, args=(port,)) for port in (1, 2, 3)]
    start = threading.Barrier(len(threads))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with client_of(server.address) as client:
        before = {record.name: str(record.uri) for record in client.list("lab.")}
        server.close()
        with closing(serve(port_of(server))):
            eventually(lambda: len(names_of(client)) == MANY, "all are registered again")
            after = {record.name: str(record.uri) for record in client.list("lab.")}
    assert before.keys() == set(names)
    assert after == before, "what this process believes is what the server was told last"
