"""Which name server decides: the one with the authority, or the one at an address."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masterslave.leading import Arbiter, choose_arbiter
from nameserver import NameServer, NameServerNotFound
from remoteobj import Identity
from remoteobj.identity.office import Office, found_cluster
from remoteobj.identity.store import Store
from tests.pairs import join

Join = Callable[..., Identity]

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


@pytest.fixture
def office() -> Office:
    return found_cluster("lab", name="hall", now=time.time())


@pytest.fixture
def machine(office: Office, tmp_path: Path) -> Join:
    def machine(name: str) -> Identity:
        join(office, tmp_path / name, name)
        store = Store(tmp_path / name / "remoteobj" / "clusters" / office.cluster)
        return Identity(store.prove(), store.prove, store)

    return machine


@pytest.fixture
def hall(office: Office) -> Iterator[NameServer]:
    with NameServer("127.0.0.1", announce=False) as hall:
        yield hall


def test_the_one_with_the_authority_decides(hall: NameServer, machine: Join) -> None:
    ben = machine("ben")
    ben.note_server(hall.address)
    arbiter = choose_arbiter("192.0.2.1:9090", nameserver="192.0.2.2:9090", identity=ben)
    assert arbiter.address == "", "nothing of what was named or remembered counts"
    with arbiter.find() as client:
        assert client.address == hall.address


def test_no_other_one_of_the_cluster_does(
    hall: NameServer, machine: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    ben, spare = machine("ben"), machine("spare")
    with NameServer("127.0.0.1", identity=spare, announce=False) as other:
        ben.note_server(other.address)
        monkeypatch.setenv("REMOTEOBJ_NAMESERVER", other.address)
        with pytest.raises(NameServerNotFound, match="another one, which does not decide"):
            choose_arbiter("", identity=ben).find()
        monkeypatch.setenv("REMOTEOBJ_NAMESERVER", hall.address)
        with choose_arbiter("", identity=ben).find() as client:
            assert client.address == hall.address
        assert ben.server == hall.address, "it is found at once the next time"


def test_elsewhere_the_one_that_answers_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    with NameServer("127.0.0.1", insecure=True, announce=False) as first:
        monkeypatch.setenv("REMOTEOBJ_NAMESERVER", first.address)
        chosen = choose_arbiter("", insecure=True)
        assert chosen == Arbiter(first.address, insecure=True)
        with chosen.find() as client:
            assert client.leaders() == []
    assert choose_arbiter(chosen.address, nameserver="192.0.2.1:9090", insecure=True) == chosen
    assert choose_arbiter("", nameserver="192.0.2.1:9", insecure=True).address == "192.0.2.1:9"
