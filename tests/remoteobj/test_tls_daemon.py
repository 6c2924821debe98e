"""A daemon over TLS: who is let in, and that answers and calls on one connection disturb nobody.

``make soak`` sets ``TLS_REPLIES`` to 100,000.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import Any

import pytest
from servants import Connect

from remoteobj import (
    BadInput,
    ConnectionLost,
    Daemon,
    Identity,
    InsecureRefused,
    InsecureWarning,
    PeerRefused,
    Proxy,
    expose,
)
from remoteobj.codec.calls import decode_reply, encode_call
from remoteobj.handshake import BINARY, KEY, offer
from remoteobj.transport.stream import as_views
from remoteobj.transport.tls_stream import TlsStream
from remoteobj.wire import Decoder, Message, MessageType, encode
from tests.certificates import Files

REPLIES = int(os.environ.get("TLS_REPLIES", "4000"))


@expose
class Mill:
    """Answers from a thread of its own, some at once and some together."""

    def __init__(self) -> None:
        self._due: queue.SimpleQueue[tuple[Future[int], int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._grind, daemon=True)
        self._thread.start()

    def grind(self, number: int) -> Any:
        if number % 7 == 0:
            return number
        future: Future[int] = Future()
        self._due.put((future, number))
        return future

    def echo(self, value: Any) -> Any:
        return value

    def _grind(self) -> None:
        while (due := self._due.get()) is not None:
            due[0].set_result(due[1])

    def close(self) -> None:
        self._due.put(None)
        self._thread.join()


@pytest.fixture
def secured(identity: Identity) -> Iterator[Daemon]:
    with closing(Mill()) as mill, Daemon("127.0.0.1", identity=identity) as daemon:
        daemon.register(mill, "mill")
        daemon.start()
        yield daemon


def test_calls_and_large_values_cross_tls(secured: Daemon, identity: Identity) -> None:
    with Proxy(secured.uri_of("mill"), identity=identity) as mill:
        assert [mill.grind(number) for number in range(20)] == list(range(20))
        large = os.urandom(3 << 20)
        assert mill.echo(large) == large
        assert mill.echo([large, "x"]) == [large, "x"]


def test_answers_are_written_while_calls_are_read(secured: Daemon, identity: Identity) -> None:
    sock = socket.create_connection(("127.0.0.1", secured.port or 0), 10.0)
    sock.settimeout(None)
    with closing(TlsStream(sock, identity, server_side=False)) as stream:
        while not stream.handshake(0):
            stream.write(deque(), 0)
        stream.write(deque(), 0)
        decoder = Decoder(1 << 20)
        hello = repr({"handshake": "hello", "object": "mill", KEY: offer("raw")}).encode()
        stream.write(deque(as_views(encode(Message(MessageType.CONNECT, 1, 0, 0, hello)))), 0)
        assert next_message(stream, decoder).type == MessageType.CONNECT_OK
        faults: list[BaseException] = []

        def call_all() -> None:
            try:
                for number in range(REPLIES):
                    payload = encode_call("mill", "grind", (number,), {}, 1, [])
                    frame = Message(MessageType.INVOKE, BINARY, 0, number & 0xFFFF, payload)
                    stream.write(deque(as_views(encode(frame))), 0)
            except BaseException as fault:
                faults.append(fault)

        caller = threading.Thread(target=call_all)
        caller.start()
        seen: Counter[int] = Counter()
        for _ in range(REPLIES):
            reply = next_message(stream, decoder)
            number = decode_reply(reply.payload)
            assert reply.sequence == number & 0xFFFF
            seen[number] += 1
        caller.join()
    assert not faults
    assert seen == Counter(range(REPLIES))


def next_message(stream: TlsStream, decoder: Decoder) -> Message:
    while (message := decoder.next_message()) is None:
        decoder.feed(stream.recv(65536, 0))
    return message


def test_who_is_not_of_the_cluster_gets_nothing(
    secured: Daemon, foreign: Files, connect: Connect
) -> None:
    uri = secured.uri_of("mill")
    stranger = Identity.from_files(*foreign)
    with pytest.raises(PeerRefused, match="both machines must belong to the same cluster"):
        Proxy(uri, identity=stranger).grind(1)
    with pytest.raises(ConnectionLost, match="TLS is spoken here: give an identity=") as caught:
        connect(uri).grind(1)
    assert caught.value.executed == "no"
    with pytest.raises(
        InsecureRefused, match=r"needs an identity: .*invite.*; or pass identity= .*insecure=True"
    ):
        Proxy(uri).grind(1)
    assert secured.statistics().calls == 0


def test_tls_to_who_speaks_plain_tcp_is_told(tcp_daemon: Daemon, identity: Identity) -> None:
    with pytest.raises(ConnectionLost, match="if it does not speak TLS, start it with an identity"):
        Proxy(tcp_daemon.uri_of("mill"), identity=identity).grind(1)


def test_tls_and_plain_tcp_together_are_refused(identity: Identity) -> None:
    for make in (
        lambda: Daemon("127.0.0.1", identity=identity, insecure=True),
        lambda: Proxy("PYRO:x@127.0.0.1:1", identity=identity, insecure=True),
    ):
        with pytest.raises(BadInput, match="give one of them"):
            make()


def test_files_are_no_identity_yet(foreign: Files) -> None:
    made: Any = foreign
    for make in (
        lambda: Daemon("127.0.0.1", identity=made),
        lambda: Proxy("PYRO:x@127.0.0.1:1", identity=made),
    ):
        with pytest.raises(BadInput, match=r"identity= takes what Identity\.from_files\("):
            make()


def test_an_identity_warns_of_nothing(identity: Identity, recwarn: pytest.WarningsRecorder) -> None:
    with Daemon("127.0.0.1", identity=identity) as daemon:
        Proxy(daemon.uri_of("x"), identity=identity)
    assert not [warning for warning in recwarn if warning.category is InsecureWarning]
