"""What is fed: each reader of what a stranger may send, and the errors that it may answer with."""

from __future__ import annotations

import base64
import hashlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from nameserver.pairing.token import Token, read_token
from remoteobj.callers import Callers
from remoteobj.errors import BadInput, IdentityUnusable, PeerRefused, RemoteObjError, WireError
from remoteobj.handshake import KEY, offer, read_answer
from remoteobj.identity.authority import Authority
from remoteobj.identity.checking import check_issued
from remoteobj.identity.claims import Claims
from remoteobj.identity.request import key_in, make_request
from remoteobj.identity.revoked import Entry, Revoked
from remoteobj.published import Published
from remoteobj.server.connection import Connection
from remoteobj.server.reception import Reception
from remoteobj.server.shares import Shares
from remoteobj.settings import Settings
from remoteobj.stock.formats import FORMATS
from remoteobj.transport.stream import NOBODY
from remoteobj.wire import Decoder, Flag, Message, MessageType, encode
from tests.fuzz.handshakes import handshakes
from tests.fuzz.mutating import mutate, mutate_pem, pem_of, split
from tests.fuzz.pairing import conversations

__all__ = ["Parser", "frames_of_peers", "parsers"]

Feed = Callable[[Random], Any]


@dataclass(frozen=True, slots=True)
class Parser:
    """One reader.

    Attributes:
        name: What it is called in reports.
        share: How many of 1000 inputs are for it.
        feed: Makes an input by a generator, and reads it.
        errors: What may come of it.
        cpu_s: How long one input may take, in seconds of the processor.
    """

    name: str
    share: int
    feed: Feed
    errors: tuple[type[Exception], ...] = ()
    cpu_s: float = 0.25


def parsers(folder: Path) -> list[Parser]:
    """Return all of them; *folder* is for certificates."""
    return [
        Parser("frames", 380, _frames(), (WireError,)),
        Parser("connect", 200, _connect(), (RemoteObjError,)),
        Parser("answers", 60, _answers(), (WireError,)),
        *(Parser(*each) for each in handshakes(folder)),
        *(Parser(*each) for each in conversations()),
        Parser("token", 60, _token(), (BadInput,)),
        Parser("request", 30, _request(), (BadInput,)),
        Parser("revocations", 20, _revocations(), (IdentityUnusable,)),
        Parser("certificate", 30, _certificate(), (PeerRefused, IdentityUnusable)),
    ]


# Frames, and the first message.


def _frame(message: Message) -> bytes:
    return b"".join(bytes(part) for part in encode(message))


def _hello(serializer: int = 1, flags: int = 0, **said: Any) -> bytes:
    hello = {"handshake": "hello", "object": "it", **said}
    return _frame(
        Message(MessageType.CONNECT, serializer, flags, 0, FORMATS[serializer].dumps(hello))
    )


def _hellos() -> list[bytes]:
    mine = {KEY: offer("a client")}
    stocks = [_hello(number, **extra) for number in FORMATS for extra in (mine, {})]
    odd = {KEY: {"version": 99, "oldest": 1, "codecs": ["binary", 5, []]}}
    return [*stocks, _hello(**odd), _hello(flags=Flag.COMPRESSED), _hello(**{KEY: 7})]


def frames_of_peers() -> list[bytes]:
    """Return frames, the first of them one that is let in."""
    kinds = MessageType
    return [
        *_hellos(),
        _frame(Message(kinds.INVOKE, 82, 0, 7, b"\x95\xa2it\xa4null\x90\xc0\x01")),
        _frame(Message(kinds.PING, 82, 0, 7, b"ping", annotations={"RSEG": b"\x93", "ABCD": b""})),
        _frame(Message(kinds.INVOKE, 82, 0, 7, b"\xc0", buffers=[b"x" * 300, bytearray(3)])),
        _frame(Message(kinds.INVOKE, 82, 0, 7, b"\xc0", b"c" * 16, {}, [memoryview(b"y" * 9000)])),
        _frame(Message(kinds.RESULT, 82, 1, 7, bytes(70_000))),
        _frame(Message(kinds.INVOKE, 82, 0, 7, b"", annotations={"RBUF": bytes(9 * 1200)})),
    ]


def _frames() -> Feed:
    seeds = frames_of_peers()

    def feed(chance: Random) -> None:
        decoder = Decoder(chance.choice((4096, 4096, 1 << 17)), takes_buffers=chance.random() < 0.5)

        def take(data: bytes) -> None:
            while data:  # as connections do: straight into memory where there is some
                target = decoder.target()
                if target is None:
                    decoder.feed(data)
                    data = b""
                else:
                    count = min(len(target), len(data))
                    target[:count] = data[:count]
                    data = data[count:]
                    decoder.filled(count)
                while (message := decoder.next_message()) is not None:
                    assert len(message.payload) <= decoder.max_bytes

        split(chance, mutate(chance, seeds), take)

    return feed


def _connect() -> Feed:
    hellos, settings = _hellos(), Settings()
    payloads = [(hello[7], hello[40:]) for hello in hellos]
    by_format = {
        number: [payload for kind, payload in payloads if kind == number] for number in FORMATS
    }
    callers = Callers()
    shares = Shares(1, deque(), lambda _: None, lambda _: None)  # it is asked by who counts peers
    reception = Reception(Published("somewhere"), callers, shares, settings)

    def feed(chance: Random) -> None:
        decoder = Decoder(settings.max_handshake_bytes)
        if chance.randrange(4):  # a right header: what comes after it is read
            kind = chance.choice((1, 1, *FORMATS))
            flags = chance.choice((0, 0, 0, Flag.COMPRESSED, chance.randrange(256)))
            said = mutate(chance, by_format[kind])
            decoder.feed(_frame(Message(MessageType.CONNECT, kind, flags, 0, said)))
        else:
            decoder.feed(mutate(chance, hellos))
        message = decoder.next_message()
        if message is None:
            return
        peer: Any = _Peer(chance.random() < 0.5)
        try:
            reception.let_in(peer, message, why_full="")
        finally:
            if peer.caller is not None:
                callers.leave(peer.caller)

    return feed


class _Peer:
    """What a Reception needs of a Connection."""

    def __init__(self, is_of_cluster: bool) -> None:
        claims = NOBODY
        if is_of_cluster:
            claims = Claims("a" * 16, "member", "anna", "1f")
        self.stream = SimpleNamespace(claims=claims, refusal="")
        self.peer, self.level, self.caller, self.agreement = "somebody", 0, None, None
        self.said = 0

    admit = Connection.admit

    def limit_messages(self, settings: Settings) -> None: ...

    def post_small(self, *parts: Any) -> None:
        self.said += 1
        assert self.said == 1


def _answers() -> Feed:
    seeds = [FORMATS[1].dumps({"version": 1, "codec": "binary", "max_bytes": 1 << 30})]
    seeds += [FORMATS[4].dumps({"version": 1, "codec": "serpent"}), b"None"]

    def feed(chance: Random) -> None:
        read_answer(FORMATS[chance.choice((1, 1, 4))].loads_plain(mutate(chance, seeds)))

    return feed


# What pairing and identities are made of.


def _token() -> Feed:
    token = Token(b"f" * 32, b"1234", b"s" * 16, "lab", 9091, ["192.168.1.7", "lab.example"])
    seeds = [token.text().encode(), Token(b"", b"", b"", "", 0, []).text().encode()]
    plain = [msgspec.msgpack.encode(token)]

    def feed(chance: Random) -> None:
        if chance.randrange(3):
            text = mutate(chance, seeds).decode(chance.choice(("latin-1", "utf-16-le")), "replace")
        else:  # with a right checksum: what is in it is read
            data = mutate(chance, plain)
            data += hashlib.sha256(b"remoteobj token" + data).digest()[:4]
            text = "rj1-" + base64.urlsafe_b64encode(data).decode().rstrip("=")
        repr(read_token(text))

    return feed


def _der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.strip().split(b"\n")[1:-1]))


def _request() -> Feed:

    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    others = [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 1024)]
    ders = [_der(make_request(name)[1]) for name in ("anna", "ä" * 30)]
    ders += [builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER) for key in others]
    return lambda chance: key_in(mutate_pem(chance, ders, "CERTIFICATE REQUEST"))


def _revocations() -> Feed:
    now = time.time()
    one, other = Authority.create("lab", now), Authority.create("lab", now)
    entries = [Entry(f"{number:x}", f"{number:016x}", now) for number in range(1, 4)]
    ders = [_der(each.revocations(entries, 5, now)) for each in (one, other)]
    ders.append(_der(one.revocations([], 1, now)))
    ca = one.certificate_pem
    return lambda chance: Revoked.read(mutate_pem(chance, ders, "X509 CRL"), ca)


def _certificate() -> Feed:
    now = time.time()
    one, other = Authority.create("lab", now), Authority.create("lab", now)
    requests = [make_request(name)[1] for name in ("anna", "ben")]
    names: Sequence[tuple[Authority, str]] = ((one, "slave"), (one, "operator"), (other, "member"))
    count = itertools.count(1)
    ders = [
        _der(authority.sign(request, node=f"{next(count):016x}", name="x", role=role, now=now))
        for authority, role in names
        for request in requests
    ]
    cas = [_der(each.certificate_pem) for each in (one, other)]

    def feed(chance: Random) -> None:
        ca = pem_of(cas[0], "CERTIFICATE")
        if not chance.randrange(4):
            ca = mutate_pem(chance, cas, "CERTIFICATE")
        check_issued(mutate(chance, [*ders, *cas]), ca, now)

    return feed
