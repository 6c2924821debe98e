"""What the tests of pairing have in common."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nameserver import NameServer
from remoteobj import Identity
from remoteobj.identity.office import found_cluster
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
