"""A connection that is handed to who makes calls in this process's name."""

from __future__ import annotations

import contextlib
import socket
import struct

import msgpack
import pytest
from servants import Connect, Warehouse

from remoteobj import Daemon
from remoteobj.handing import HandedOver, hand_over
from tests.answering import PATIENCE_S

LARGE = 2_000_000
"""So many bytes travel in shared memory, and the connection remembers it."""
HEADER = struct.Struct("!HII")


def call(handed: HandedOver, argument: object) -> object:
    """Make the next call as its documentation says it is written."""
    sock = handed.sock
    sock.settimeout(PATIENCE_S)
    payload = handed.before + msgpack.packb(argument) + handed.after
    header = HEADER.pack(handed.number + 1 & 0xFFFF, len(payload), 0)
    sock.sendall(handed.prefix + header + handed.suffix + payload)
    start = _read(sock, len(handed.answer_prefix) + HEADER.size + len(handed.suffix))
    assert start.startswith(handed.answer_prefix)
    _, size, _ = HEADER.unpack_from(start, len(handed.answer_prefix))
    return msgpack.unpackb(_read(sock, size))


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, "the connection was closed"
        data += more
    return data


@pytest.mark.parametrize("times_large", [0, 1, 2, 3])
def test_a_call_over_a_connection_that_was_handed_over(
    daemon: Daemon, connect: Connect, warehouse: Warehouse, times_large: int
) -> None:
    """After one large answer shared memory is wished for, after two it is there."""
    proxy = connect(daemon.register(warehouse))
    assert proxy.echo(1) == 1
    for _ in range(times_large):
        assert len(proxy.grow(LARGE)) == LARGE
    for _ in range(3):
        handed = hand_over(proxy, "echo")
        assert handed is not None
        with contextlib.closing(handed.sock):
            assert call(handed, b"abc") == b"abc"
            assert proxy.echo(2) == 2
    assert len(proxy.grow(LARGE)) == LARGE


def test_over_tcp_there_is_none(tcp_daemon: Daemon, connect: Connect, warehouse: Warehouse) -> None:
    proxy = connect(tcp_daemon.register(warehouse))
    assert hand_over(proxy, "echo") is None, "it has no connection yet"
    assert proxy.echo(1) == 1
    assert hand_over(proxy, "echo") is None
    assert proxy.echo(2) == 2
