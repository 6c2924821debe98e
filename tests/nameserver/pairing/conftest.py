"""What the tests of pairing have in common."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nameserver import NameServer
from nameserver.pairing.host import Host
from remoteobj import Identity
from remoteobj.identity.office import found_cluster
from remoteobj.identity.store import Store
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.halls import Hall


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Let this process be of another account from now on."""

    def be(name: str) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / name))

    return be


@pytest.fixture
def hall(account: Account) -> Iterator[Hall]:
    """A name server with the authority of "lab"; this process is of its account at first."""
    account("hall")
    found_cluster("lab", name="hall", now=time.time())
    identity = Identity.stored("lab")
    with NameServer(
        "127.0.0.1", identity=identity, announce=False, cluster="lab", join_port=0
    ) as server:
        yield Hall(identity, server)


@pytest.fixture
def host(account: Account) -> Iterator[Host]:
    """The host of "lab", without a name server; this process is of another account."""
    account("hall")
    found_cluster("lab", name="hall", now=time.time())
    store = Store.of("lab")
    account("anna")  # whoever does something after this is not the host
    host = Host(store, "127.0.0.1", port=0, hosts=lambda: ["127.0.0.1"], announce=False)
    with contextlib.closing(host):
        yield host
