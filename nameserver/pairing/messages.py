"""What host and guest say to each other: one message at a time, each with its length before it.

The host is not sure of the guest, nor the guest of the host: so messages are small, their types are
fixed, and nothing else is read. Source of the form: msgpack, https://msgpack.org.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from nameserver.errors import JoinRefused
from remoteobj.unreadable import UNREADABLE

__all__ = [
    "MOST_BYTES",
    "VERSION",
    "Ask",
    "Confirm",
    "Frames",
    "Guess",
    "Hello",
    "Issued",
    "Message",
    "Refused",
    "Reply",
    "encode",
]

VERSION = 1
MOST_BYTES = 16 * 1024
"""Of one message."""

_HEAD_BYTES = 4


class Hello(Struct, tag="hello", frozen=True):
    """The host's first words.

    Attributes:
        version: Of this protocol.
        now: The host's clock, in seconds since 1970.
        ca: The CA's certificate, as PEM; a guest believes it for its fingerprint or for the code.
        cluster: What the cluster is called.
    """

    version: int
    now: float
    ca: bytes
    cluster: str


class Ask(Struct, tag="ask", frozen=True):
    """A guest with a token asks for a certificate."""

    number: bytes
    secret: bytes
    request: bytes
    name: str

    def __repr__(self) -> str:
        return f"Ask({self.name!r})"


class Guess(Struct, tag="guess", frozen=True):
    """A guest with a code: its part of SPAKE2, and for what it asks."""

    element: bytes
    request: bytes
    name: str


class Reply(Struct, tag="reply", frozen=True):
    """The host's part of SPAKE2."""

    element: bytes


class Confirm(Struct, tag="confirm", frozen=True):
    """The guest has the key."""

    proof: bytes


class Issued(Struct, tag="issued", frozen=True):
    """The guest is a machine of the cluster now.

    Attributes:
        certificate: Its own, as PEM.
        proof: That the host has the key too, where there was a code; else empty.
        server_port: Where the host's name server listens; 0: it does not say.
    """

    certificate: bytes
    proof: bytes = b""
    server_port: int = 0


class Refused(Struct, tag="refused", frozen=True):
    """The host says no, and why."""

    why: str


Message = Hello | Ask | Guess | Reply | Confirm | Issued | Refused

_decoder = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return a message as it is sent."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


class Frames:
    """Finds messages in what arrives."""

    def __init__(self) -> None:
        self._held = bytearray()

    def receive(self, data: bytes) -> Message | None:
        """Return the message that is complete with *data*, if one is.

        Raises:
            JoinRefused: This is no message, or one that is too large, or two at once, which nobody
                sends who waits for answers.
        """
        held = self._held
        held += data
        if len(held) < _HEAD_BYTES:
            return None
        end = _HEAD_BYTES + int.from_bytes(held[:_HEAD_BYTES], "big")
        if end > _HEAD_BYTES + MOST_BYTES:
            raise JoinRefused("what is there does not speak the protocol of joining")
        if len(held) < end:
            return None
        if len(held) > end:
            raise JoinRefused("what is there says more than it was asked for")
        try:
            message: Message = _decoder.decode(held[_HEAD_BYTES:])
        except UNREADABLE as error:
            raise JoinRefused("what is there does not speak the protocol of joining") from error
        held.clear()
        return message
