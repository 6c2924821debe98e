"""What a proxy makes of a daemon that answers badly, slowly, or not at all."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_peers import Behaviour, RawConnection, RawDaemon
from servants import Connect, frame

from remoteobj import ConnectionLost, DeadlinePassed, Settings, WireError, options
from remoteobj.codec.calls import encode_error, encode_reply
from remoteobj.handshake import BINARY, KEY
from remoteobj.wire import Flag, Message, MessageType
from tests.conftest import eventually

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

RESULT = MessageType.RESULT
Listen = Callable[[Behaviour], RawDaemon]


@pytest.fixture(params=["unix", "tcp"])
def listen(request: pytest.FixtureRequest, own_machine: Path) -> Iterator[Listen]:
    """Listen with what does as the test says."""
    with contextlib.ExitStack() as stack:

        def make(behaviour: Behaviour) -> RawDaemon:
            path = own_machine / "raw.sock"
            return stack.enter_context(
                RawDaemon(behaviour, str(path) if request.param == "unix" else None)
            )

        yield make


def answer(value: Any, sequence: int) -> bytes:
    buffers: list[memoryview] = []
    data = encode_reply(value, buffers)
    return frame(Message(RESULT, BINARY, 0, sequence, data, buffers=buffers))


def each_call(reply: Callable[[int], bytes]) -> Behaviour:
    """Answer each call of each connection with what *reply* makes of its sequence number."""

    def behave(connection: RawConnection) -> None:
        connection.welcome()
        while True:
            connection.sock.sendall(reply(connection.receive().sequence))

    return behave


# Answers that are none.

JUNK: dict[str, Callable[[int], bytes]] = {
    "no message": lambda n: b"junk that is no message" * 10,
    "another call's": lambda n: answer("wrong", n + 1),
    "the last call's": lambda n: answer("wrong", n - 1),
    "no such type": lambda n: frame(Message(99, BINARY, 0, n, b"")),
    "a call": lambda n: frame(Message(MessageType.INVOKE, BINARY, 0, n, b"")),
    "a pong": lambda n: frame(Message(MessageType.PING, BINARY, 0, n, b"pong")),
    "a handshake": lambda n: frame(Message(MessageType.CONNECT_OK, 1, 0, n, b"{}")),
    "serpent": lambda n: frame(Message(RESULT, 1, 0, n, b"5")),
    "marshal": lambda n: frame(Message(RESULT, 2, 0, n, b"i\x05\0\0\0")),
    "json": lambda n: frame(Message(RESULT, 3, 0, n, b"5")),
    "pickle in ours": lambda n: frame(Message(RESULT, BINARY, 0, n, b"\x80\x04K\x05.")),
    "nothing": lambda n: frame(Message(RESULT, BINARY, 0, n, b"")),
    "bytes that cannot be read": lambda n: frame(Message(RESULT, BINARY, 0, n, b"\xc1junk")),
    "two values": lambda n: frame(Message(RESULT, BINARY, 0, n, b"\x05\x06")),
    "large junk": lambda n: frame(Message(RESULT, BINARY, 0, n, b"\xc1" * 200_000)),
    "buffers that nothing names": lambda n: frame(
        Message(RESULT, BINARY, 0, n, b"\x05", buffers=[b"x"])
    ),
    "an error that is none": lambda n: frame(Message(RESULT, BINARY, Flag.EXCEPTION, n, b"\x05")),
    "an error in marshal": lambda n: frame(Message(RESULT, 2, Flag.EXCEPTION, n, b"")),
    "an error that is a number": lambda n: frame(Message(RESULT, 1, Flag.EXCEPTION, n, b"5")),
    "results of a batch": lambda n: frame(Message(RESULT, BINARY, Flag.BATCH, n, b"\x05")),
    "compressed": lambda n: frame(Message(RESULT, BINARY, Flag.COMPRESSED, n, b"\xc1")),
    "4 GiB": lambda n: (
        frame(Message(RESULT, BINARY, 0, n, b""))[:12] + b"\xff" * 4 + bytes(24) + b"x" * 99
    ),
}


@pytest.mark.parametrize("junk", JUNK)
def test_an_answer_that_is_none_is_an_error_and_its_connection_is_not_used_again(
    listen: Listen, connect: Connect, junk: str
) -> None:
    daemon = listen(each_call(JUNK[junk]))
    proxy = connect(daemon.uri, settings=Settings(call_timeout_s=5.0))
    for number in range(1, 4):
        with pytest.raises(WireError) as caught:
            proxy.echo(number)
        assert caught.value.__cause__ is not caught.value
        assert daemon.accepted == number


@pytest.mark.parametrize("how", ["plain", "by name", "large"])
def test_what_follows_an_answer_is_nobodys_answer(
    listen: Listen, connect: Connect, how: str
) -> None:
    def behave(connection: RawConnection) -> None:
        connection.welcome()
        while True:
            sequence = connection.receive().sequence
            size = 100_000 if how == "large" else 1
            extra = answer("forged", sequence + 1)
            connection.sock.sendall(answer("x" * size, sequence) + extra)

    proxy = connect(listen(behave).uri)
    for _ in range(3):
        seen = proxy.echo(value=1) if how == "by name" else proxy.echo(1)
        assert set(seen) == {"x"}


def test_an_error_without_a_traceback_or_with_an_odd_one_is_raised(
    listen: Listen, connect: Connect
) -> None:
    odd = LookupError("odd")
    odd._pyroTraceback = 5
    errors = itertools.cycle([LookupError("none"), odd])

    def fail(sequence: int) -> bytes:
        data = encode_error(next(errors))
        return frame(Message(RESULT, BINARY, Flag.EXCEPTION, sequence, data))

    proxy = connect(listen(each_call(fail)).uri)
    for text in ("none", "odd"):
        with pytest.raises(LookupError, match=text):
            proxy.echo(1)


# Handshakes.


def ok(said: Any) -> bytes:
    return frame(Message(MessageType.CONNECT_OK, 1, 0, 0, repr(said).encode()))


META = {"methods": ["echo"], "oneway": [], "attrs": []}
OURS = {"version": 1, "codec": "binary"}
GREETINGS = {
    "no message": b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3,
    "a number": ok(5),
    "nothing": ok({}),
    "meta is a number": ok({"meta": 5}),
    "methods is a number": ok({"meta": {**META, "methods": 5}}),
    "another codec": ok({"meta": META, KEY: {"version": 1, "codec": "marshal"}}),
    "an odd agreement": ok({"meta": META, KEY: 5}),
    "another serializer": frame(Message(MessageType.CONNECT_OK, 3, 0, 0, b"5")),
    "bytes that cannot be read": frame(Message(MessageType.CONNECT_OK, 1, 0, 0, b"\xff(")),
    "a refusal that cannot be read": frame(Message(MessageType.CONNECT_FAIL, 1, 0, 0, b"\xff(")),
    "a refusal": frame(Message(MessageType.CONNECT_FAIL, 1, 0, 0, b"'no room'")),
    "an answer": answer(1, 0),
    "4 GiB": ok({})[:12] + b"\xff" * 4 + bytes(24),
}


@pytest.mark.parametrize("greeting", GREETINGS)
def test_a_bad_greeting_is_an_error_before_anything_was_called(
    listen: Listen, connect: Connect, greeting: str
) -> None:
    def behave(connection: RawConnection) -> None:
        connection.receive()
        connection.sock.sendall(GREETINGS[greeting])
        connection.receive()

    daemon = listen(behave)
    proxy = connect(daemon.uri, settings=Settings(connect_timeout_s=3.0))
    for number in (1, 2):
        with pytest.raises((WireError, ConnectionLost)) as caught:
            proxy.echo(1)
        assert getattr(caught.value, "executed", "no") == "no"
        assert daemon.accepted <= number + 1  # a spare one, lest the daemon think us gone


@pytest.mark.parametrize("parameters", [5, {"echo": 5}, {"echo": [5]}, {5: 5}, None, [["echo"]]])
def test_odd_words_about_parameters_harm_no_call(
    listen: Listen, connect: Connect, parameters: Any
) -> None:
    def behave(connection: RawConnection) -> None:
        connection.receive()
        connection.decoder.takes_buffers = True
        connection.sock.sendall(ok({"meta": {**META, "parameters": parameters}, KEY: OURS}))
        while True:
            connection.sock.sendall(answer("right", connection.receive().sequence))

    proxy = connect(listen(behave).uri)
    assert proxy.echo(1) == "right"
    assert proxy.echo({1: (2, 3)}) == "right"
    with pytest.raises(TypeError, match="lock"):
        proxy.echo(threading.Lock())


def test_a_greeting_that_trickles_in_passes_the_deadline(listen: Listen, connect: Connect) -> None:
    def behave(connection: RawConnection) -> None:
        connection.receive()
        for byte in ok({"meta": META, KEY: OURS}):
            time.sleep(0.03)
            connection.sock.sendall(bytes([byte]))

    uri = listen(behave).uri
    for proxy in (
        connect(uri, settings=Settings(connect_timeout_s=0.3)),
        options(connect(uri), timeout_s=0.3),
    ):
        started = time.perf_counter()
        with pytest.raises(DeadlinePassed) as caught:
            proxy.echo(1)
        assert time.perf_counter() - started < 1.0
        assert caught.value.executed == "no"


# Time.


@pytest.mark.parametrize("size", [300, 300_000])
def test_an_answer_that_trickles_in_passes_the_deadline(
    listen: Listen, connect: Connect, size: int
) -> None:
    gate = threading.Event()

    def behave(connection: RawConnection) -> None:
        connection.welcome()
        data = answer("x" * size, connection.receive().sequence)
        for at in range(0, len(data), size // 100):
            connection.sock.sendall(data[at : at + size // 100])
            if gate.wait(0.03):
                return

    daemon = listen(behave)
    proxy = connect(daemon.uri)
    for number in (1, 2):
        started = time.perf_counter()
        with pytest.raises(DeadlinePassed, match=r"echo\(\) of .* within 0.3 s") as caught:
            options(proxy, timeout_s=0.3).echo(1)
        assert 0.2 < time.perf_counter() - started < 1.0
        assert caught.value.executed == "maybe"
        assert daemon.accepted <= number + 1  # a spare one, lest the daemon think us gone
    gate.set()


@pytest.mark.parametrize("every_s", [None, 0.05, 0.005], ids=["never", "slowly", "steadily"])
def test_a_large_call_that_is_not_taken_in_time_passes_the_deadline(
    listen: Listen, connect: Connect, every_s: float | None
) -> None:
    gate = threading.Event()

    def behave(connection: RawConnection) -> None:
        connection.welcome()
        while not gate.wait(every_s):
            connection.sock.recv(20_000)

    proxy = connect(listen(behave).uri)
    end = threading.Timer(3.0, gate.set)
    end.start()
    started = time.perf_counter()
    try:
        with pytest.raises(DeadlinePassed, match="it did not run") as caught:
            options(proxy, timeout_s=0.4).echo("x" * (24 << 20))
        assert time.perf_counter() - started < 1.0
        assert caught.value.executed == "no"
    finally:
        gate.set()
        end.cancel()
        end.join()


def test_an_answer_is_not_held_back_for_what_comes_after_it(
    own_machine: Path, connect: Connect
) -> None:
    """A daemon that would like to share memory for large buffers, and then says no more of it."""
    gate = threading.Event()

    def behave(connection: RawConnection) -> None:
        connection.welcome()
        sequence = connection.receive().sequence
        first = Message(
            RESULT, BINARY, 0, sequence, encode_reply("first", []), annotations={"RSEG": b""}
        )
        connection.sock.sendall(frame(first))
        gate.wait(5.0)
        while True:  # late, but right
            message = connection.receive()
            if message.type == MessageType.PING:
                pong = Message(MessageType.PING, BINARY, 0, message.sequence, b"pong")
                connection.sock.sendall(frame(pong))
            else:
                connection.sock.sendall(answer("next", message.sequence))

    with RawDaemon(behave, str(own_machine / "raw.sock")) as daemon:
        proxy = connect(daemon.uri, settings=Settings(connect_timeout_s=1.0))
        try:
            started = time.perf_counter()
            assert options(proxy, timeout_s=0.3).echo(1) == "first"
            assert time.perf_counter() - started < 0.5
        finally:
            gate.set()
        assert options(proxy, timeout_s=3.0).echo(2) == "next"


# The end of a connection.


def test_a_connection_that_ends_in_mid_answer_may_have_run(
    listen: Listen, connect: Connect
) -> None:
    cuts = itertools.count(0, 7)
    whole = len(answer("x" * 50, 1))

    def behave(connection: RawConnection) -> None:
        connection.welcome()
        connection.sock.sendall(answer("x" * 50, connection.receive().sequence)[: next(cuts)])

    daemon = listen(behave)
    proxy = connect(daemon.uri)
    for number in range(1, whole // 7):
        with pytest.raises(ConnectionLost, match="it may have run") as caught:
            proxy.echo(1)
        assert caught.value.executed == "maybe"
        assert daemon.accepted == number  # it was not tried again


def test_a_call_is_tried_once_more_where_it_cannot_have_run_and_not_for_ever(
    listen: Listen, connect: Connect
) -> None:
    """Each connection is closed after its first answer, as by a daemon that has a short day."""

    def behave(connection: RawConnection) -> None:
        connection.welcome()
        connection.sock.sendall(answer("right", connection.receive().sequence))

    daemon = listen(behave)
    proxy = connect(daemon.uri)
    for _ in range(10):
        assert proxy.echo(1) == "right"
        eventually(lambda: is_over(daemon), "the connection's end")
    assert daemon.accepted == 10
    daemon.close()
    with pytest.raises(ConnectionLost) as caught:
        proxy.echo(1)
    assert caught.value.executed == "no"


def is_over(daemon: RawDaemon) -> bool:
    return all(sock.fileno() < 0 for sock in daemon.socks)


def test_a_large_call_to_a_daemon_that_closes_at_once_is_not_tried_for_ever(
    listen: Listen, connect: Connect
) -> None:
    def behave(connection: RawConnection) -> None:
        connection.welcome()
        connection.sock.recv(1000)

    daemon = listen(behave)
    proxy = connect(daemon.uri)
    for _ in range(3):
        with pytest.raises(ConnectionLost):
            proxy.echo(bytes(8 << 20))
    assert daemon.accepted <= 6
