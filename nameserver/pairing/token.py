"""The text that lets a machine join: where to go, whom to trust there, and a secret (pure).

It pins the CA of the cluster, so that nobody between the two machines can pose as the host. It is
pasted and not typed: a checksum tells a slip of the mouse from a token that is not taken any more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NoReturn

import msgspec
from msgspec import Struct

from nameserver.errors import BadToken
from remoteobj.unreadable import UNREADABLE

__all__ = ["PREFIX", "SECRET_BYTES", "Token", "read_token"]

PREFIX = "rj1-"
_FINGERPRINT_BYTES = 32
_ID_BYTES = 4
SECRET_BYTES = 16
_CHECK_BYTES = 4
_MOST_CHARACTERS = 1024
_MOST_HOSTS = 8


class Token(Struct, frozen=True, array_like=True):
    """What a token says.

    Attributes:
        fingerprint: SHA-256 of the CA's certificate.
        number: Names the invitation; no secret.
        secret: Proves that somebody was invited.
        cluster: What the cluster is called.
        port: Where the host listens while an invitation is open.
        hosts: Its addresses, the likeliest one first.
    """

    fingerprint: bytes
    number: bytes
    secret: bytes
    cluster: str
    port: int
    hosts: list[str]

    def text(self) -> str:
        """Return what is pasted; it is a secret."""
        data = msgspec.msgpack.encode(self)
        return PREFIX + base64.urlsafe_b64encode(data + _check(data)).decode().rstrip("=")

    def __repr__(self) -> str:
        return f"Token(cluster {self.cluster!r}, invitation {self.number.hex()})"

    __str__ = __repr__


def read_token(text: str) -> Token:
    """Read what was pasted; white space in it, as terminals and mails add it, does not matter.

    Raises:
        BadToken: It is no token, or a part of it was changed or lost. Nothing of it is repeated in
            the message.
    """
    text = "".join(text.split())
    if not text:
        raise BadToken("no token was given: paste what 'nameserver invite' has printed")
    if not text.startswith(PREFIX):
        raise BadToken(
            f"this is no token: one begins with {PREFIX!r}; paste what 'nameserver invite' has "
            "printed (a short code is given to 'nameserver join --code')"
        )
    body = text[len(PREFIX) :]
    try:
        if len(body) > _MOST_CHARACTERS:
            raise ValueError
        data = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
        if base64.urlsafe_b64encode(data).decode().rstrip("=") != body:
            raise ValueError  # bits beyond the last byte, which no other check would see
    except (ValueError, binascii.Error):
        _refuse()
    data, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if check != _check(data):
        _refuse()
    try:
        token = msgspec.msgpack.decode(data, type=Token)
    except UNREADABLE:
        _refuse()
    if not (
        len(token.fingerprint) == _FINGERPRINT_BYTES
        and len(token.number) == _ID_BYTES
        and len(token.secret) == SECRET_BYTES
        and 0 < token.port < 65536
        and 0 < len(token.hosts) <= _MOST_HOSTS
    ):
        _refuse()
    return token


def _check(data: bytes) -> bytes:
    return hashlib.sha256(b"remoteobj token" + data).digest()[:_CHECK_BYTES]


def _refuse() -> NoReturn:
    raise BadToken(
        "the token is damaged: a character was changed or lost; copy the whole line again"
    ) from None
