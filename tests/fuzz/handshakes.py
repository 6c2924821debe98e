"""TLS: what one side says is changed before the other one reads it, at any step."""

from __future__ import annotations

import ssl
from pathlib import Path
from random import Random
from typing import Any

from remoteobj import Identity
from remoteobj.errors import ConnectionLost, PeerRefused
from remoteobj.tls import TlsEngine
from tests.certificates import make_cluster
from tests.fuzz.mutating import mutate, split

__all__ = ["first_words_of_strangers", "handshakes"]

_MOST_STEPS = 8


def handshakes(folder: Path) -> list[tuple[Any, ...]]:
    """Return what ``Parser`` is made of, for three ways to change a conversation."""
    files = make_cluster(folder / "one")
    other = make_cluster(folder / "other", ["stranger"])["stranger"]
    ours, theirs = Identity.from_files(*files["master"]), Identity.from_files(*files["slave"])
    server, client = ours.server_context(), theirs.client_context()
    foreign = Identity.from_files(*other).client_context()
    errors = (PeerRefused, ConnectionLost)
    hellos = first_words_of_strangers(client, foreign)

    def first_words(chance: Random) -> None:
        engine = TlsEngine(server, server_side=True)
        assert engine.handshake() is False

        def take(data: bytes) -> None:
            engine.received(data)
            engine.handshake()

        data = mutate(chance, hellos)
        try:
            split(chance, data, take)
            if not chance.randrange(4):
                engine.received_eof()
                engine.handshake()
        finally:
            answer = engine.take_outgoing()
            assert not answer or answer[0] in (21, 22), "something but TLS was said"
            assert len(answer) < 8192

    def in_between(chance: Random) -> None:
        who = client if chance.randrange(3) else foreign
        sides = TlsEngine(who, server_side=False), TlsEngine(server, server_side=True)
        spoiled, at = chance.randrange(2), chance.randrange(3)
        for step in range(_MOST_STEPS):
            for number, side in enumerate(sides):
                try:
                    if side.handshake() and not chance.randrange(4):
                        side.write(b"x" * chance.choice((1, 100, 20_000)))
                finally:
                    said = side.take_outgoing()
                if number == spoiled and step == at:
                    said = mutate(chance, [said or b"\x16\x03\x03\x00\x01\x01", *hellos])
                split(chance, said, sides[1 - number].received)
        _read_on(sides[1 - spoiled])

    def after(chance: Random) -> None:
        sides = TlsEngine(client, server_side=False), TlsEngine(server, server_side=True)
        for _ in range(2):
            for number, side in enumerate(sides):
                side.handshake()
                sides[1 - number].received(side.take_outgoing())
        writer, reader = sides if chance.randrange(2) else sides[::-1]
        assert reader.handshake()
        records = []
        for size in (1, 300, 5000):
            writer.write(bytes(size))
            records.append(writer.take_outgoing())
        for _ in range(3):
            said = mutate(chance, records)
            if chance.randrange(2):
                reader.open(said)
            else:
                split(chance, said, reader.received)
            _read_on(reader)

    return [
        ("first words over TLS", 60, first_words, errors),
        ("TLS in between", 15, in_between, errors),
        ("TLS records", 8, after, errors),
    ]


def first_words_of_strangers(*contexts: ssl.SSLContext) -> list[bytes]:
    """Return with what connections may begin."""
    hellos = [_first_words(each) for each in (*contexts, _of_old(), _of_plain())]
    others = [b"GET / HTTP/1.1\r\n\r\n", b"PYRO" + bytes(36), b"\x15\x03\x03\x00\x02\x02\x28"]
    return hellos + others


def _read_on(engine: TlsEngine) -> None:
    for _ in range(_MOST_STEPS):
        if not engine.read(4096):
            break
    engine.read_into(memoryview(bytearray(50)))


def _first_words(context: ssl.SSLContext) -> bytes:
    engine = TlsEngine(context, server_side=False)
    engine.handshake()
    return engine.take_outgoing()


def _of_plain() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _of_old() -> ssl.SSLContext:
    context = _of_plain()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context
