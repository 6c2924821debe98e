"""Wherever this layer takes bytes, a pickle is bytes or is refused: it is loaded nowhere.

At the daemon: before the first message, in it, in calls, batches and pings of each serializer, in
annotations, in buffers and in shared memory; over Unix sockets, what stands for them on Windows,
plain TCP and inside of TLS. At the proxy: the same in all that a daemon answers. And in each value
of the codec that has a number.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import pickle
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from raw_peers import RawConnection, RawDaemon, dial, hello
from servants import Connect, Warehouse, frame

from remoteobj import Daemon, Identity, NotSendable, Proxy, RemoteObjError, Settings, WireError
from remoteobj.codec import decode
from remoteobj.codec.calls import (
    decode_error,
    decode_reply,
    encode_batch,
    encode_call,
    encode_error,
    encode_reply,
)
from remoteobj.handshake import BINARY, KEY
from remoteobj.stock.formats import FORMATS, Format
from remoteobj.transport.shared import word_of_limit
from remoteobj.wire import Decoder, Flag, Message, MessageType
from tests.bombs import Bomb
from tests.certificates import Files
from tests.loopback import HELLO, REPLY, place_of

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

SERIALIZERS = (*range(6), BINARY, 99)
ANNOTATIONS = ("RSEG", "RBUF", "STRM", "RNOT", "ABCD")
FLAGS = (0, Flag.EXCEPTION, Flag.COMPRESSED, Flag.ONEWAY, Flag.BATCH, Flag.KEEP_SERIALIZED, 32, 64)


def test_the_bomb_works(tmp_path: Path) -> None:
    for number, data in enumerate(Bomb(tmp_path / "owned").forms().values()):
        bomb = Bomb(tmp_path / f"owned{number}")
        form = list(bomb.forms().values())[number]
        with contextlib.suppress(pickle.UnpicklingError):
            pickle.loads(form)
        assert bomb.has_gone_off() == (number < 4), data


_THAT_IS_ALL = frame(Message(MessageType.PING, BINARY, 0, 9, b"that is all"))


class Speaker:
    """Says frames to a daemon, and hears it out."""

    def __init__(self, daemon: Daemon, files: Files | None) -> None:
        self._daemon = daemon
        self._context = None if files is None else _context_of(files)

    def say(self, *frames: bytes, is_let_in: bool) -> None:
        """Say this on a connection of its own, and wait until all of it was looked at."""
        first = hello() if is_let_in else b""
        with (
            contextlib.closing(self._connect()) as sock,
            contextlib.suppress(ConnectionError, ssl.SSLError),
        ):
            sock.sendall(b"".join((first, *frames, _THAT_IS_ALL)))
            decoder = Decoder(1 << 20, takes_buffers=True)
            while data := sock.recv(65536):
                decoder.feed(data)
                for message in iter(decoder.next_message, None):
                    if message.type == MessageType.PING and message.sequence == 9:
                        return

    def knock(self, data: bytes) -> None:
        """Say this in the place of anything else, and hear the daemon out."""
        location = self._daemon.location
        with contextlib.ExitStack() as stack:
            if location.startswith("./u:") and Path(location[4:]).is_file():
                at = ("127.0.0.1", place_of(location)[0])
                sock = stack.enter_context(socket.create_connection(at, 10.0))
            else:
                sock = stack.enter_context(dial(location))
            with contextlib.suppress(OSError):  # it may have hung up already
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass

    def _connect(self) -> socket.socket:
        sock = dial(self._daemon.location)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return sock
        return self._context.wrap_socket(sock)


def _context_of(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(files.ca)
    context.load_cert_chain(files.certificate, files.key)
    return context


@pytest.fixture(params=["unix", "loopback", "plain", "tls"])
def speaker(request: pytest.FixtureRequest, warehouse: Warehouse) -> Iterator[Speaker]:
    cluster: dict[str, Files] = request.getfixturevalue("cluster")
    if request.param == "loopback":
        request.getfixturevalue("no_unix_sockets")
    where: dict[str, Any] = {
        "unix": {},
        "loopback": {},
        "plain": {"host": "127.0.0.1", "insecure": True},
        "tls": {"host": "127.0.0.1", "identity": request.getfixturevalue("identity")},
    }[request.param]
    with Daemon(**where, settings=Settings(handshake_timeout_s=2.0)) as daemon:
        daemon.register(warehouse, "it")
        daemon.start()
        yield Speaker(daemon, cluster["slave"] if request.param == "tls" else None)


def test_no_first_bytes_and_no_first_message(speaker: Speaker, bomb: Bomb) -> None:
    connect = MessageType.CONNECT
    for data in bomb.forms().values():
        speaker.say(data, is_let_in=False)
        for first in (data, HELLO + data.ljust(99, b"."), REPLY + data, data.ljust(999, b".")):
            speaker.knock(first)
        for number in SERIALIZERS:
            for flags in (0, Flag.COMPRESSED):
                speaker.say(frame(Message(connect, number, flags, 0, data)), is_let_in=False)
        greeting = {"handshake": data, "object": "it", KEY: data}
        for number, form in FORMATS.items():
            said = frame(Message(connect, number, 0, 0, _dumped(form, greeting)))
            speaker.say(said, is_let_in=False)
        for key in ANNOTATIONS:
            said = frame(Message(connect, 1, 0, 0, b"{}", annotations={key: data}))
            speaker.say(said, is_let_in=False)


def test_no_call_no_batch_and_no_ping(speaker: Speaker, bomb: Bomb) -> None:
    for data in bomb.forms().values():
        for kind in (MessageType.INVOKE, MessageType.PING):
            for number, flags in itertools.product(SERIALIZERS, FLAGS):
                speaker.say(frame(Message(kind, number, flags, 1, data)), is_let_in=True)


def test_no_argument_of_a_call(speaker: Speaker, bomb: Bomb) -> None:
    invoke = MessageType.INVOKE
    for data in bomb.forms().values():
        for value in (data, bytearray(data), memoryview(data), [data], {"a": data}):
            buffers: list[memoryview] = []
            call = encode_call("it", "echo", (value,), {}, 1, buffers)
            speaker.say(frame(Message(invoke, BINARY, 0, 1, call, buffers=buffers)), is_let_in=True)
        batch = encode_batch("it", [("echo", (data,), {})] * 2, 1, [])
        speaker.say(frame(Message(invoke, BINARY, Flag.BATCH, 1, batch)), is_let_in=True)
        beside = Message(invoke, BINARY, 0, 1, b"\xc0", buffers=[data, bytearray(data)])
        speaker.say(frame(beside), is_let_in=True)
        for number, form in FORMATS.items():
            for value in (data, data.decode("latin-1"), *_classes(data)):
                said = _dumped(form, ("it", "echo", (value,), {}))
                speaker.say(frame(Message(invoke, number, 0, 1, said)), is_let_in=True)


def _dumped(form: Format, value: Any) -> bytes:
    """Return it in the form of a stock peer; JSON has no bytes, so it has them as texts."""
    try:
        return form.dumps(value)
    except NotSendable:
        return json.dumps(value, default=lambda data: data.decode("latin-1")).encode()


def _classes(data: bytes) -> list[dict[str, Any]]:
    """Return what a reader could take for a class that is made of a pickle."""
    names = ("builtins.bytes", "pickle", "_pickle.loads", "pickle.Unpickler", "pathlib.Path",
             "Pyro5.core.URI", "Pyro5.client.Proxy", "RemoteError", "ValueError")  # fmt: skip
    said = [{"__class__": name, "state": data, "args": [data]} for name in names]
    said += [{**each, "__exception__": True, "attributes": {"a": data}} for each in said]
    return [*said, {"data": data.decode("latin-1"), "encoding": "base64"}]


def test_no_annotation_and_no_word_of_shared_memory(speaker: Speaker, bomb: Bomb) -> None:
    call = encode_call("it", "add", (1,), {}, 1, [])
    begin = frame(
        Message(MessageType.PING, BINARY, 0, 1, b"", annotations={"RSEG": word_of_limit(1 << 20)})
    )
    for data in bomb.forms().values():
        for key in ANNOTATIONS:
            said = frame(Message(MessageType.INVOKE, BINARY, 0, 1, call, annotations={key: data}))
            speaker.say(said, is_let_in=True)
            speaker.say(begin, said, is_let_in=True)
        words = [[data], [1, data], [1, 2, True, data], [1, 2, False, [[data, 1]]]]
        for word in words:
            packed = msgspec.msgpack.encode(word)
            said = frame(
                Message(MessageType.INVOKE, BINARY, 0, 1, call, annotations={"RSEG": packed})
            )
            speaker.say(begin, said, is_let_in=True)


def test_shared_memory_carries_it_as_bytes(
    daemon: Daemon, warehouse: Warehouse, bomb: Bomb
) -> None:
    uri = daemon.register(warehouse, "it")
    with Proxy(uri) as proxy:
        for data in bomb.forms().values():
            large = data.ljust(1 << 20, b".")
            for _ in range(3):
                assert proxy.echo(large) == large
                assert proxy.echo([memoryview(large)]) == [large]


def test_no_file_that_stands_for_a_socket(
    no_unix_sockets: None, own_machine: Path, bomb: Bomb
) -> None:
    path = own_machine / "x"
    for data in bomb.forms().values():
        for said in (data, b"remoteobj loopback 1 9 " + data, b"remoteobj loopback " + data):
            path.write_bytes(said)
            path.chmod(0o600)
            with contextlib.suppress(RemoteObjError), Proxy(f"PYRO:it@./u:{path}") as proxy:
                proxy.echo(1)


# What a daemon answers.


@pytest.fixture
def answers(own_machine: Path) -> Iterator[Callable[[Callable[[RawConnection], None]], str]]:
    with contextlib.ExitStack() as stack:
        numbers = itertools.count()

        def listen(behaviour: Callable[[RawConnection], None]) -> str:
            path = own_machine / f"{next(numbers)}.sock"
            return stack.enter_context(RawDaemon(behaviour, str(path))).uri

        yield listen


def test_no_answer_of_a_daemon(answers: Any, connect: Connect, bomb: Bomb) -> None:
    result = MessageType.RESULT
    for data in bomb.forms().values():
        frames = [
            Message(result, number, flags, 0, data) for number in SERIALIZERS for flags in FLAGS
        ]
        value, error = encode_reply([data, {"a": data}], []), encode_error(ValueError(data))
        frames += [
            Message(result, BINARY, 0, 0, value, annotations={key: data}) for key in ANNOTATIONS
        ]
        frames += [
            Message(result, BINARY, flags, 0, each) for flags in FLAGS for each in (value, error)
        ]
        for number, form in FORMATS.items():
            frames += [
                Message(result, number, flags, 0, _dumped(form, each))
                for flags in (0, Flag.EXCEPTION)
                for each in (data.decode("latin-1"), *_classes(data))
            ]

        def behave(connection: RawConnection, left: list[Message] = frames) -> None:
            connection.welcome()
            while left:
                sequence = connection.receive().sequence
                told = msgspec.structs.replace(left.pop(), sequence=sequence)
                connection.sock.sendall(frame(told))

        proxy = connect(answers(behave), settings=Settings(call_timeout_s=5.0))
        while frames:
            with contextlib.suppress(Exception):
                proxy.echo(1)


def test_no_greeting_of_a_daemon(answers: Any, connect: Connect, bomb: Bomb) -> None:
    for data in bomb.forms().values():
        agreed = {"version": 1, "max_bytes": data, "revoked": data}
        meta = {"methods": [data], "oneway": data, "attrs": [data], "parameters": {"echo": data}}
        greetings = [
            Message(kind, number, flags, 0, each)
            for kind in (MessageType.CONNECT_OK, MessageType.CONNECT_FAIL, MessageType.RESULT)
            for number in SERIALIZERS
            for flags in (0, Flag.COMPRESSED)
            for each in (
                data,
                repr({"handshake": data, "meta": meta, KEY: data}).encode(),
                repr({"handshake": "hello", KEY: {**agreed, "codec": data}}).encode(),
                repr({"handshake": "hello", KEY: {**agreed, "codec": "binary"}}).encode(),
            )
        ]
        said = [data + data, *map(frame, greetings)]

        def behave(connection: RawConnection, left: list[bytes] = said) -> None:
            connection.receive()
            if left:
                connection.sock.sendall(left.pop())

        uri = answers(behave)
        while said:
            with (
                contextlib.suppress(RemoteObjError, AttributeError, TypeError),
                connect(uri, settings=Settings(connect_timeout_s=3.0)) as proxy,
            ):
                proxy.echo(1)


# Values.

NUMBERS = range(-128, 128)


def _contents(data: bytes, name: str) -> list[Any]:
    text = data.decode("latin-1")
    classes = ("pickle:loads", "_pickle:Unpickler", "pathlib:Path", "tests.bombs:Bomb")
    return [
        data,
        text,
        [data],
        [data, data],
        [text, text, text],
        *([each, [name], [data]] for each in classes),
        *([each, data, data, data] for each in classes),
        ["|O", [1], "C", True, data],
        ["O", data],
        [[["a"], ["O"], [0], 8, False], [1], "C", True, data],
        ["B", [len(data)], True, data],
    ]


def test_no_value_of_the_codec_that_has_a_number(bomb: Bomb) -> None:
    for data in bomb.forms().values():
        for number in NUMBERS:
            values: list[Any] = [{number: content} for content in _contents(data, "path")]
            values.append(msgspec.msgpack.Ext(number, data))
            for value in values:
                for whole in (value, [value], ["it", "echo", [value], None, 1]):
                    packed = msgspec.msgpack.encode(whole)
                    for read in (decode, decode_reply, decode_error):
                        for buffers in ((), (data,)):
                            with contextlib.suppress(WireError, NotSendable):
                                if read is decode_error:
                                    read(packed)
                                else:
                                    read(packed, buffers)


def test_a_pickle_is_bytes_and_comes_back_as_it_was(
    daemon: Daemon, warehouse: Warehouse, identity: Identity, bomb: Bomb
) -> None:
    with Proxy(daemon.register(warehouse, "it")) as proxy:
        for data in bomb.forms().values():
            assert proxy.echo(data) == data
            assert proxy.echo({"a": (data, {data})}) == {"a": (data, {data})}
    assert not bomb.has_gone_off()
