"""Connections that several threads write to: what is posted meanwhile, and what interrupts them."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator
from unittest.mock import MagicMock

import pytest

from remoteobj.server.connection import Connection
from remoteobj.settings import Settings
from remoteobj.transport.stream import NOWAIT, PlainStream

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class Busy(deque[memoryview]):
    """Another thread appends as soon as somebody iterates."""

    def __iter__(self) -> Iterator[memoryview]:
        iterator = super().__iter__()
        self.append(memoryview(b"more"))
        return iterator


def test_what_is_posted_while_a_thread_writes_harms_nothing(pair: Pair) -> None:
    ours, theirs = pair
    waiting = Busy([memoryview(b"one, "), memoryview(b"two")])
    assert PlainStream(ours).write(waiting, NOWAIT, time.monotonic() + 10.0)
    assert theirs.recv(100).startswith(b"one, two")


class _Interrupted(PlainStream):
    def write(self, waiting: deque[memoryview], flags: int, until: float | None = None) -> bool:
        raise KeyboardInterrupt


def test_a_writer_that_is_interrupted_ends_its_connection(pair: Pair) -> None:
    ours, theirs = pair
    stream = _Interrupted(ours)
    connection = Connection(stream, MagicMock(), Settings(), lambda: True, MagicMock())
    with pytest.raises(KeyboardInterrupt):
        connection.post([b"an answer"])
    theirs.settimeout(10.0)
    assert theirs.recv(1) == b"", "else the peer would wait for it for ever"
    assert not connection.is_writing
