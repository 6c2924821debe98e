"""TCP: only when asked for on both sides; and what strangers send harms nobody else."""

from __future__ import annotations

import marshal
import random
import socket
import struct

import pytest
from servants import Connect, Dial, Warehouse, frame

from remoteobj import (
    AddressUnusable,
    ConnectionLost,
    Daemon,
    DeadlinePassed,
    InsecureRefused,
    InsecureWarning,
    Proxy,
    Settings,
    WireError,
)
from remoteobj.wire import Decoder, Flag, Message, MessageType

HELLO = b"{'handshake': 'hello', 'object': 'warehouse'}"


def test_a_daemon_on_tcp_must_be_asked_for_and_warns() -> None:
    with pytest.raises(InsecureRefused, match=r"127\.0\.0\.1 .*insecure=True.*leave host out"):
        Daemon("127.0.0.1")
    with pytest.warns(InsecureWarning, match="anyone who reaches this port") as warned:
        daemon = Daemon("127.0.0.1", insecure=True)
    assert warned[0].filename == __file__
    with daemon:
        assert daemon.location == f"127.0.0.1:{daemon.port}"


def test_a_proxy_on_tcp_must_be_asked_for_and_warns(
    tcp_daemon: Daemon, warehouse: Warehouse
) -> None:
    uri = tcp_daemon.register(warehouse, "warehouse")
    with Proxy(uri) as proxy, pytest.raises(InsecureRefused, match=r"warehouse@.*insecure=True"):
        proxy.add(1)
    with pytest.warns(InsecureWarning, match="read and change") as warned:
        proxy = Proxy(uri, insecure=True)
    assert warned[0].filename == __file__
    with proxy:
        assert proxy.add(1) == 2


def test_a_warning_made_an_error_leaves_no_socket() -> None:
    with pytest.raises(InsecureWarning):  # warnings are errors in these tests
        Daemon("127.0.0.1", insecure=True)


def test_insecure_is_not_needed_on_a_unix_socket(daemon: Daemon, warehouse: Warehouse) -> None:
    with Proxy(daemon.register(warehouse)) as proxy:
        assert proxy.add(1) == 2


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("192.0.2.1", 0),
        ("no-such-host.invalid", 0),
        ("two words", 0),
        ("a..b", 0),
        ("", 0),
        ("127.0.0.1", 70000),
        ("127.0.0.1", -1),
    ],
)
def test_an_address_that_is_not_ours_is_named(host: str, port: int) -> None:
    with pytest.raises(AddressUnusable, match="choose an address of this machine") as caught:
        Daemon(host, port, insecure=True)
    assert f"{host}:{port}" in str(caught.value)


def test_a_port_in_use_is_named(tcp_daemon: Daemon) -> None:
    with pytest.raises(AddressUnusable, match=f"127.0.0.1:{tcp_daemon.port}: Address already in"):
        Daemon("127.0.0.1", tcp_daemon.port or 0, insecure=True)


def test_a_host_that_cannot_be_is_named(connect: Connect) -> None:
    for host in ("no-such-host.invalid", "a..b"):
        with pytest.raises(ConnectionLost, match=f"nobody answers at {host}:1") as caught:
            connect(f"PYRO:x@{host}:1").add(1)
        assert caught.value.executed == "no"


def test_a_listener_that_is_mute_passes_the_deadline(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        proxy = connect(f"PYRO:x@127.0.0.1:{port}", settings=Settings(connect_timeout_s=0.05))
        with pytest.raises(DeadlinePassed, match=f"127.0.0.1:{port} took the connection") as caught:
            proxy.add(1)
        assert caught.value.executed == "no"


def receive(sock: socket.socket) -> Message:
    decoder = Decoder(1 << 20)
    while (message := decoder.next_message()) is None:
        data = sock.recv(65536)
        assert data, "the daemon closed the connection without a word"
        decoder.feed(data)
    return message


@pytest.mark.parametrize(
    ("serializer", "flags", "words"),
    [
        (2, 0, "'marshal' is refused"),
        (82, 0, "'82' is refused"),
        (99, 0, "'99' is refused"),
        (1, Flag.COMPRESSED, "cannot be decompressed"),
        (1, Flag.KEEP_SERIALIZED, "KEEP_SERIALIZED is refused"),
    ],
)
def test_other_serializers_are_refused_in_words_before_they_are_parsed(
    daemon: Daemon,
    warehouse: Warehouse,
    dial: Dial,
    monkeypatch: pytest.MonkeyPatch,
    serializer: int,
    flags: int,
    words: str,
) -> None:
    daemon.register(warehouse, "warehouse")
    monkeypatch.delattr(marshal, "loads")  # whoever parses it fails loudly
    stranger = dial(daemon)
    stranger.sendall(frame(Message(MessageType.CONNECT, serializer, flags, 0, b"\xff" * 9)))
    answer = receive(stranger)
    assert answer.type == MessageType.CONNECT_FAIL
    assert words in answer.payload.decode()
    guest = dial(daemon)  # let in with serpent, it changes over
    guest.sendall(frame(Message(MessageType.CONNECT, 1, 0, 0, HELLO)))
    assert receive(guest).type == MessageType.CONNECT_OK
    guest.sendall(frame(Message(MessageType.INVOKE, serializer, flags, 1, b"\xff" * 9)))
    answer = receive(guest)
    assert answer.flags & Flag.EXCEPTION
    assert words.encode() in answer.payload.replace(b"\\'", b"'")
    guest.sendall(frame(Message(MessageType.PING, 42, 0, 2, b"")))
    assert receive(guest).type == MessageType.PING  # and may go on


def test_a_handshake_that_is_too_long_is_cut_off(daemon: Daemon, dial: Dial) -> None:
    stranger = dial(daemon)
    stranger.sendall(frame(Message(MessageType.CONNECT, 1, 0, 0, b"'" + b"x" * 5000 + b"'")))
    with pytest.raises((AssertionError, ConnectionError)):
        receive(stranger)


HOSTILE = [
    b"-" * 100_000 + b"1",
    b"(" * 1000,
    b"+".join([b"1"] * 50_000),
    b"a" + b".b" * 50_000,
    b"{'__class__': 'Pyro5.core.URI'}",
    b"{'__class__': 'Pyro5.server.Daemon', 'state': ()}",
    b"{'__class__': 'subprocess.Popen', 'args': ('true',)}",
    b"{'__class__': [], '__exception__': True}",
    b"{'__class__': 'ValueError', '__exception__': True, 'args': 5}",
    b"{'__class__': 'ValueError', '__exception__': True, 'attributes': 5}",
    b"{'__class__': 'x', '__exception__': True, 'attributes': {'_pyroTraceback': 5}}",
    b"{'__class__': 'SystemExit', '__exception__': True, 'args': (3,)}",
    b"('warehouse', 'echo', 5, {})",
    b"('warehouse', 'echo', (), {5: 6})",
    b"('warehouse', '_hidden', (), {})",
    b"('warehouse', '__init__', (), {})",
    b"('warehouse', '__getattr__', ('__dict__',), {})",
    b"('warehouse', '__setattr__', ('gate', 5), {})",
    b"('Pyro.Daemon', 'get_metadata', (['x'],), {})",
    b"\xff\xfe\x00",
    b"",
]


@pytest.mark.parametrize("payload", HOSTILE, ids=lambda payload: repr(payload[:40]))
def test_a_hostile_payload_is_answered_with_an_error(
    daemon: Daemon, warehouse: Warehouse, dial: Dial, payload: bytes
) -> None:
    daemon.register(warehouse, "warehouse")
    sock = dial(daemon)
    if len(payload) < 4000:
        sock.sendall(frame(Message(MessageType.CONNECT, 1, 0, 0, payload)))
        assert receive(sock).type == MessageType.CONNECT_FAIL
        sock = dial(daemon)
    sock.sendall(frame(Message(MessageType.CONNECT, 1, 0, 0, HELLO)))
    assert receive(sock).type == MessageType.CONNECT_OK
    if payload.startswith(b"{"):
        payload = b"('warehouse', 'add', (" + payload + b",), {})"
    sock.sendall(frame(Message(MessageType.INVOKE, 1, 0, 1, payload)))
    assert receive(sock).flags & Flag.EXCEPTION


@pytest.mark.parametrize("kind", ["daemon", "tcp_daemon"])
def test_garbage_harms_nobody_else(
    request: pytest.FixtureRequest,
    kind: str,
    warehouse: Warehouse,
    connect: Connect,
    dial: Dial,
    caplog: pytest.LogCaptureFixture,
) -> None:
    daemon: Daemon = request.getfixturevalue(kind)
    proxy = connect(daemon.register(warehouse, "warehouse"))
    chance = random.Random(502)
    hello = frame(Message(MessageType.CONNECT, 1, 0, 0, HELLO))
    call = frame(Message(MessageType.INVOKE, 1, 0, 1, b"('warehouse', 'add', (1,), {})"))
    for number in range(300):
        sock = dial(daemon)
        data = bytearray(hello + call)
        match number % 3:
            case 0:
                data = bytearray(chance.randbytes(chance.randrange(1, 300)))
            case 1:
                data = data[: chance.randrange(len(data))]
            case 2:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        sock.sendall(data)
        if number % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        if number % 10 == 0:
            assert proxy.add(number) == number + 1
    assert connect(proxy._channel.uri).add(1) == 2
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_who_says_nothing_is_closed(warehouse: Warehouse, connect: Connect, dial: Dial) -> None:
    with Daemon(settings=Settings(handshake_timeout_s=0.05)) as daemon:
        daemon.start()
        proxy = connect(daemon.register(warehouse, "warehouse"))
        mute, half = dial(daemon), dial(daemon)
        half.sendall(frame(Message(MessageType.CONNECT, 1, 0, 0, HELLO))[:-1])
        assert mute.recv(1) == b""
        assert half.recv(1) == b""
        assert proxy.add(1) == 2


def test_one_connection_too_many_is_refused_in_words(
    warehouse: Warehouse, connect: Connect
) -> None:
    with Daemon(settings=Settings(max_connections=1)) as daemon:
        daemon.start()
        uri = daemon.register(warehouse)
        first = connect(uri)
        assert first.add(1) == 2
        with pytest.raises(ConnectionLost, match=r"serves 1 connections already.*max_conn"):
            connect(uri, settings=Settings(connect_timeout_s=4.0)).add(1)  # shares no connection
        assert first.add(1) == 2
        assert daemon.statistics().connections_refused == 1


def test_too_large_a_call_or_answer_is_named(warehouse: Warehouse, connect: Connect) -> None:
    with Daemon() as daemon:
        daemon.start()
        uri = daemon.register(warehouse)
        proxy = connect(uri, settings=Settings(max_message_bytes=1000))
        with pytest.raises(TypeError, match=r"echo\(\) with \d+ bytes.*at most 1000"):
            proxy.echo(b"x" * 1001)
        assert proxy.add(1) == 2
        with pytest.raises(WireError, match=r"\d+ bytes: at most 1000"):
            proxy.grow(1001)
        assert proxy.add(1) == 2


def test_large_values_survive(daemon: Daemon, warehouse: Warehouse, connect: Connect) -> None:
    proxy = connect(daemon.register(warehouse))
    assert proxy.echo(b"x" * (3 << 20)) == b"x" * (3 << 20)
