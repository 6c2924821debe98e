"""Thousands of watchers without a thread each: connections of one process, read by one selector."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import Any

from remoteobj.codec.calls import decode_reply, encode_call
from remoteobj.handshake import BINARY, KEY, offer
from remoteobj.wire import Decoder, Flag, Message, MessageType, encode

__all__ = ["RawWatchers"]

_SERPENT = 1
PATIENCE_S = 30.0


class RawWatchers:
    """Connections that ask the method ``watch`` of a name server, each for itself.

    Args:
        address: Of the server.
        count: How many.
    """

    def __init__(self, address: str, count: int) -> None:
        host, _, port = address.rpartition(":")
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._decoders: list[Decoder] = []
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            for number in range(count):
                sock = socket.create_connection((host, int(port)), PATIENCE_S)
                self._sockets.append(sock)
                self._decoders.append(Decoder(1 << 24, takes_buffers=True))
                hello = {
                    "handshake": "hello",
                    "object": "Pyro.NameServer",
                    KEY: offer(f"raw watcher {number}"),
                }
                data = repr(hello).encode()
                sock.sendall(_frame(Message(MessageType.CONNECT, _SERPENT, 0, 0, data)))
                self._selector.register(sock, selectors.EVENT_READ, number)
            answers = self.collect()
            assert all(each.type == MessageType.CONNECT_OK for each in answers)
            stack.pop_all()

    def ask(self, prefix: str, instance: str, number: int, wait_s: float) -> None:
        """Ask on each connection what has changed since then."""
        for each, sock in enumerate(self._sockets):
            arguments = (prefix, instance, number, wait_s, f"raw {each}")
            data = encode_call("Pyro.NameServer", "watch", arguments, {}, 1, [])
            sock.sendall(_frame(Message(MessageType.INVOKE, BINARY, 0, 1, data)))

    def collect(self) -> list[Message]:
        """Wait until a message has come on each connection."""
        found: dict[int, Message] = {}
        deadline = time.monotonic() + PATIENCE_S
        while len(found) < len(self._sockets):
            assert time.monotonic() < deadline, f"{len(found)} of {len(self._sockets)} were told"
            for key, _ in self._selector.select(1.0):
                data = self._sockets[key.data].recv(65536)
                assert data, "the server has closed a connection"
                self._decoders[key.data].feed(data)
                message = self._decoders[key.data].next_message()
                if message is not None:
                    assert key.data not in found
                    found[key.data] = message
        return [found[number] for number in range(len(self._sockets))]

    def told(self) -> list[Any]:
        """Wait for an answer on each connection, and return what they say."""
        answers = self.collect()
        assert all(not each.flags & Flag.EXCEPTION for each in answers)
        return [decode_reply(each.payload, each.buffers) for each in answers]

    def close(self) -> None:
        self._selector.close()
        for sock in self._sockets:
            sock.close()

    def __enter__(self) -> RawWatchers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _frame(message: Message) -> bytes:
    return b"".join(encode(message))
