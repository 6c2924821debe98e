"""Where machines join, strangers are listened to: a pickle is loaded nowhere, on neither side."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nameserver.errors import BadToken
from nameserver.pairing.codes import read_code
from nameserver.pairing.host import Host
from nameserver.pairing.joining import join_by_code, join_by_token
from nameserver.pairing.messages import (
    VERSION,
    Ask,
    Confirm,
    Guess,
    Hello,
    Issued,
    Message,
    Refused,
    Reply,
    encode,
)
from nameserver.pairing.token import Token, read_token
from remoteobj import RemoteObjError
from remoteobj.identity.request import key_in, make_request
from remoteobj.identity.store import Store
from tests.bombs import Bomb
from tests.nameserver.pairing.middle import Stranger


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def pem(data: bytes, title: str) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (
        title.encode(), base64.encodebytes(data), title.encode()
    )  # fmt: skip


def messages(data: bytes, request: bytes) -> list[Message]:
    """Return each message with it in each place."""
    text = data.decode("latin-1")
    asked = pem(data, "CERTIFICATE REQUEST")
    return [
        Ask(data, data, data, text),
        Ask(data[:4], data[:16], request, "anna"),
        Ask(bytes(4), bytes(16), asked, "anna"),
        Guess(data, request, "anna"),
        Guess(b"A" + data[:32], request, text[:20]),
        Guess(b"A" * 33, asked, "anna"),
        Confirm(data),
        Reply(data),
        Issued(data, data),
        Hello(VERSION, 0.0, data, text),
        Refused(text),
    ]


def test_no_message_of_a_guest(host: Host, bomb: Bomb) -> None:
    token, (_, request) = host.invite("member", 1, 60.0), make_request("anna")
    host.open_code("member")
    assert host.port is not None
    for data in bomb.forms().values():
        with socket.create_connection(("127.0.0.1", host.port), 10.0) as plain:
            plain.sendall(data)
            with contextlib.suppress(ConnectionError):
                while plain.recv(4096):
                    pass
        said = [data, framed(data), framed(msgspec.msgpack.encode(data))]
        said += [framed(msgspec.msgpack.encode({"type": data})), framed(b"\x81" + data)]
        for each in [*said, *map(encode, messages(data, request))]:
            with Stranger(host.port) as guest:
                guest.says(each)
                guest.says(framed(data))
    assert join_by_token(token, name="anna").identity.subject == "anna"


class Impostor:
    """A host that says what it is told to."""

    def __init__(self, identity: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    @contextlib.contextmanager
    def saying(self, *said: bytes) -> Iterator[None]:
        """Say these to the guest that comes, one after each word of the guest."""
        thread = threading.Thread(target=self._talk, args=said)
        thread.start()
        yield
        thread.join()

    def _talk(self, *said: bytes) -> None:
        plain, _ = self._listener.accept()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(10.0)
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(plain, server_side=True) as tls,
        ):
            for each in said:
                tls.sendall(each)
                tls.recv(65536)

    def close(self) -> None:
        self._listener.close()


def test_no_message_of_a_host(host: Host, bomb: Bomb) -> None:
    """Neither of one that has the CA's certificate, as a stranger may have it."""
    ca, now = host.office.ca_pem, time.time()
    token = host.invite("member", 1, 60.0)
    (_, request) = make_request("x")
    hello = encode(Hello(VERSION, now, ca, "lab"))
    with contextlib.closing(Impostor(host._store.identity_path)) as impostor:
        meant = msgspec.structs.replace(token, port=impostor.port)
        at = f"127.0.0.1:{impostor.port}"
        for data in bomb.forms().values():
            text = data.decode("latin-1")
            first: list[bytes] = [
                data,
                framed(data),
                encode(Hello(VERSION, now, data, text)),
                encode(Hello(VERSION, now, pem(data, "CERTIFICATE"), "lab")),
                encode(Hello(VERSION, now, ca, text)),
            ]
            for each in first:
                with impostor.saying(each), contextlib.suppress(RemoteObjError):
                    join_by_token(meant, name="anna")
                with impostor.saying(each), contextlib.suppress(RemoteObjError):
                    join_by_code("123-456", at=at, name="anna")
            for message in messages(data, request):
                with impostor.saying(hello, encode(message)), contextlib.suppress(RemoteObjError):
                    join_by_token(meant, name="anna")
                with impostor.saying(hello, encode(message)), contextlib.suppress(RemoteObjError):
                    join_by_code("123-456", at=at, name="anna")
            issued = encode(Issued(pem(data, "CERTIFICATE")))
            with impostor.saying(hello, issued), contextlib.suppress(RemoteObjError):
                join_by_token(meant, name="anna")
    assert not Store.named("lab").is_paired


def test_no_token_no_code_and_no_request(bomb: Bomb) -> None:
    token = Token(bytes(32), bytes(4), bytes(16), "lab", 9091, ["192.0.2.1"])
    for data, text in zip(bomb.forms().values(), bomb.texts().values(), strict=True):
        packed: list[Any] = [
            data,
            [data] * 6,
            (*msgspec.structs.astuple(token)[:3], text, 1, [text]),
        ]
        bodies = [data, *map(msgspec.msgpack.encode, packed)]
        for body in bodies:
            whole = body + hashlib.sha256(b"remoteobj token" + body).digest()[:4]
            with contextlib.suppress(BadToken):
                read_token("rj1-" + base64.urlsafe_b64encode(whole).decode().rstrip("="))
        for each in (text, f"rj1-{text}"):
            with pytest.raises(BadToken):
                read_token(each)
            with pytest.raises(BadToken):
                read_code(each)
        for request in (data, pem(data, "CERTIFICATE REQUEST")):
            with pytest.raises(RemoteObjError):
                key_in(request)
