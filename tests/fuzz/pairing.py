"""The protocol of joining: frames as bytes, and what both sides make of a message."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import msgspec

from nameserver.errors import JoinRefused
from nameserver.pairing.codes import Code
from nameserver.pairing.guessing import GuestKey, HostKey
from nameserver.pairing.guest_side import CodeGuest, Guest, TokenGuest
from nameserver.pairing.host_side import HostSide
from nameserver.pairing.invitations import Invitations
from nameserver.pairing.messages import (
    MOST_BYTES,
    VERSION,
    Ask,
    Confirm,
    Frames,
    Guess,
    Hello,
    Issued,
    Message,
    Refused,
    Reply,
    encode,
)
from nameserver.pairing.token import Token
from remoteobj.errors import BadInput
from remoteobj.identity.authority import Authority
from remoteobj.identity.request import key_in, make_request
from tests.fuzz.mutating import mutate, split

__all__ = ["Cluster", "conversations", "messages_of"]

_FLOATS = (float("nan"), float("inf"), -float("inf"), -1.0, 0.0, 1e300, 2.0**62)
_INTS = (-1, 0, 2, 2**63 - 1, 10**12)


class Cluster:
    """A host that lets in, in memory."""

    def __init__(self) -> None:
        self.now = time.time()
        self.authority = Authority.create("lab", self.now)
        self.ca = self.authority.certificate_pem
        _, self.request = make_request("anna")
        self.shown = _der(self._sign(self.request, "hall"))
        self.digits = "481223"
        self.is_code_open = False
        self._invitations = Invitations()
        self.number, self.secret = self._invitations.invite(self.now, role="slave", uses=1000)

    def _sign(self, request: bytes, name: str) -> bytes:
        return self.authority.sign(request, node="1" * 16, name=name, role="member", now=self.now)

    def admit(self, ask: Ask) -> Issued:
        try:
            key_in(ask.request)
        except BadInput as error:
            raise JoinRefused(str(error)) from error
        Invitations(self._invitations.kept()).take(ask.number, ask.secret, self.now)
        return self.issue(ask.request, ask.name, "slave")

    def issue(self, request: bytes, name: str, role: str) -> Issued:
        try:
            return Issued(self._sign(request, name))
        except BadInput as error:
            raise JoinRefused(str(error)) from error

    def code(self) -> Code | None:
        return Code(self.digits, "member", 0.0) if self.is_code_open else None

    def side(self) -> HostSide:
        return HostSide(self.shown, self.ca, "lab", self, lambda: self.now, lambda: 1.0)


def _der(pem: bytes) -> bytes:
    import ssl

    return ssl.PEM_cert_to_DER_cert(pem.decode())


def conversations() -> list[tuple[Any, ...]]:
    """Return what ``Parser`` is made of: frames, the host, both guests."""
    cluster = Cluster()
    refused = (JoinRefused,)
    return [
        ("frames of joining", 80, _frames(cluster), refused),
        ("host", 50, _host(cluster), refused),
        ("host with a code", 1, _host_with_a_code(cluster), refused),
        ("guest with a token", 28, _guest(cluster), refused),
        ("guest with a code", 1, _guest_with_a_code(cluster), refused),
    ]


def _messages(cluster: Cluster) -> list[Message]:
    element = GuestKey(cluster.digits, cluster.shown, cluster.request).element
    return [
        Hello(VERSION, cluster.now, cluster.ca, "lab"),
        Ask(cluster.number, cluster.secret, cluster.request, "anna"),
        Guess(element, cluster.request, "anna"),
        Reply(element),
        Confirm(bytes(32)),
        Issued(cluster.ca, bytes(32)),
        Refused("no"),
    ]


def _read(chance: Random, data: bytes) -> Message | None:
    """Read what arrives as it may, in pieces."""
    frames, found = Frames(), []

    def take(piece: bytes) -> None:
        message = frames.receive(piece)
        if message is not None:
            found.append(message)

    split(chance, data, take)
    return found[-1] if found else None


def _changed(chance: Random, messages: list[Message]) -> bytes:
    """Return a message with something else in a field, or with other bytes, as it is sent."""
    message = chance.choice(messages)
    kind = chance.randrange(4)
    if kind == 0:
        return mutate(chance, [encode(each) for each in messages])
    if kind == 1:
        body = mutate(chance, [encode(message)[4:]])
        return len(body).to_bytes(4, "big") + body
    name = chance.choice(message.__struct_fields__)
    value = _other(chance, getattr(message, name))
    return encode(msgspec.structs.replace(message, **{name: value}))


def _other(chance: Random, value: Any) -> Any:
    match value:
        case float():
            return chance.choice(_FLOATS)
        case int():
            return chance.choice(_INTS)
        case str():
            text = mutate(chance, [value.encode(), b"\x1b[2J\r\n", b"a" * 300, b"../../x"])
            return text.decode("utf-8", "replace")
        case _:
            return mutate(chance, [value, b"", b"-----BEGIN CERTIFICATE-----\n"])


def messages_of(cluster: Cluster) -> list[bytes]:
    """Return all messages as they are sent."""
    return [encode(each) for each in _messages(cluster)]


def _frames(cluster: Cluster) -> Any:
    seeds = messages_of(cluster)
    seeds += [MOST_BYTES.to_bytes(4, "big") + bytes(MOST_BYTES), b"\xff" * 8]
    return lambda chance: _read(chance, mutate(chance, seeds))


def _host(cluster: Cluster) -> Any:
    messages = _messages(cluster)
    asks = messages[1:3] * 3 + messages

    def feed(chance: Random) -> None:
        side = cluster.side()
        side.greet()
        for _ in range(2):
            message = _read(chance, _changed(chance, asks))
            if message is not None:
                answer = side.answer(message)
                assert isinstance(answer, Issued | Refused), answer
                assert len(encode(answer)) <= 4 + MOST_BYTES

    return feed


def _host_with_a_code(cluster: Cluster) -> Any:
    """The key is agreed on by a guest that knows the code, and that changes something."""
    messages = _messages(cluster)

    def feed(chance: Random) -> None:
        key = GuestKey(cluster.digits, cluster.shown, cluster.request)
        guess: Message = Guess(key.element, cluster.request, "anna")
        is_first = chance.randrange(2)
        side, cluster.is_code_open = cluster.side(), True
        try:
            said = _changed(chance, [guess]) if is_first else encode(guess)
            message = _read(chance, said)
            if message is None:
                return
            answer = side.answer(message)
            if isinstance(answer, Reply) and not is_first:
                key.agree(answer.element)
                said = _changed(chance, [Confirm(key.proof()), Confirm(key.proof()), *messages])
                message = _read(chance, said)
                if message is not None:
                    assert isinstance(side.answer(message), Issued | Refused)
        finally:
            cluster.is_code_open = False

    return feed


def _talk(chance: Random, guest: Guest, said: list[Message], spoiled: int) -> None:
    for number, message in enumerate(said):
        data = _changed(chance, [message]) if number == spoiled else encode(message)
        read = _read(chance, data)
        if read is None:
            return
        try:
            answer = guest.answer(read)
        except JoinRefused as refused:
            if isinstance(read, Refused) and not str(refused).isprintable():
                raise RuntimeError("it is shown on a terminal") from refused
            raise
        if answer is not None:
            encode(answer)


def _guest(cluster: Cluster) -> Any:
    fingerprint = bytes.fromhex(cluster.authority.fingerprint)
    token = Token(fingerprint, cluster.number, cluster.secret, "lab", 9091, ["10.0.0.1"])
    hello, *_, issued, refused = _messages(cluster)

    def feed(chance: Random) -> None:
        guest = TokenGuest(token, cluster.shown, cluster.request, "anna", lambda: cluster.now)
        last = issued if chance.randrange(3) else refused
        _talk(chance, guest, [hello, last], chance.randrange(2))

    return feed


def _guest_with_a_code(cluster: Cluster) -> Any:
    hello, *_ = _messages(cluster)

    def feed(chance: Random) -> None:
        guest = CodeGuest(
            cluster.digits, cluster.shown, cluster.request, "anna", lambda: cluster.now
        )
        element = HostKey(cluster.digits, cluster.shown, cluster.request).element
        said: list[Message] = [hello, Reply(element), Issued(cluster.ca, bytes(32))]
        _talk(chance, guest, said, chance.randrange(3))

    return feed
