"""How long a worker stays with a connection whose peer is quiet."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from unittest.mock import MagicMock

import pytest

from remoteobj.server.connection import Connection
from remoteobj.settings import Settings
from remoteobj.transport.stream import PlainStream
from tests.conftest import eventually


@pytest.fixture
def connection() -> Iterator[Connection]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Connection(PlainStream(ours), MagicMock(), Settings(), lambda: True, MagicMock())


def serve(connection: Connection, calls: int) -> bool:
    """A worker takes it up for so many calls; returns whether it stays for the next one."""
    before = connection.begin_to_read()
    connection.calls += calls
    stays = connection.lingers
    connection.quiet_down(before)
    return stays


def test_a_call_that_comes_after_a_wait_in_vain_is_not_waited_for(connection: Connection) -> None:
    assert serve(connection, 1)
    assert not serve(connection, 1), "one comes each 8 to 16 ms: later than is waited for"


def test_calls_that_follow_each_other_are_waited_for(connection: Connection) -> None:
    serve(connection, 1)
    eventually(lambda: not serve(connection, 1) and serve(connection, 1), "two within 8 ms")
    connection.lingers = True
    assert serve(connection, 2)
    assert serve(connection, 1)
