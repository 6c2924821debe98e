"""Name servers for the tests: real ones, on loopback."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import secrets
from collections.abc import Iterator
from contextlib import closing

import pytest

from nameserver import NameServer, NameServerClient
from nameserver.book import Book
from nameserver.discovery import mdns
from nameserver.proving import Prover
from remoteobj import InsecureWarning, expose


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


@pytest.fixture
def own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service type of this test's own: name servers of other runs on this host are not seen.

    Goodbyes are said three times as ever, at shorter intervals: loopback loses none.
    """
    monkeypatch.setattr(mdns, "SERVICE_TYPE", f"_ro{secrets.token_hex(4)}._tcp.local.")
    monkeypatch.setattr("zeroconf._core._UNREGISTER_TIME", 10, raising=False)  # milliseconds


@pytest.fixture
def watch_log() -> Iterator[queue.SimpleQueue[logging.LogRecord]]:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    logging.getLogger("nameserver.servers").addHandler(handler)
    yield records
    logging.getLogger("nameserver.servers").removeHandler(handler)


@expose
class Bell:
    def ring(self) -> str:
        return "ding"


@pytest.fixture
def book() -> Iterator[Book]:
    with Book("run") as book:
        yield book


@pytest.fixture
def prover() -> Iterator[Prover]:
    prover = Prover(None, timeout_s=0.5)
    yield prover
    prover.close()
