"""Name servers for the tests: real ones, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from nameserver import NameServer, NameServerClient
from remoteobj import InsecureWarning


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server on loopback that is not announced."""
    with pytest.warns(InsecureWarning):
        running = NameServer("127.0.0.1", insecure=True, announce=False)
    with running:
        yield running


@pytest.fixture
def client(server: NameServer) -> Iterator[NameServerClient]:
    with closing(NameServerClient(server.address, insecure=True, quiet=True)) as client:
        yield client
