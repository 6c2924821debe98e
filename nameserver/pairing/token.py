"""The text that lets a machine join: where to go, whom to trust there, and a secret (pure).

It pins the CA of the cluster, so that nobody between the two machines can pose as the host. It is
pasted and not typed: a checksum tells a slip of the mouse from a token that is not taken any more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

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
_IN_TEXT = re.compile(rf"(?<![\w-]){PREFIX}[\w-]+", re.ASCII)


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

    Nor does what stands around a token that is in one piece: quotes, the marks of a mail, or all
    else that ``nameserver invite`` has printed.

    Raises:
        BadToken: It is no token, or a part of it was changed or lost; or there are several. Nothing
            of it is repeated in the message.
    """
    found = {"".join(text.split()), *_IN_TEXT.findall(text)}
    if found == {""}:
        raise BadToken("no token was given: paste what 'nameserver invite' has printed")
    claimed = [each for each in found if each.startswith(PREFIX)]
    if not claimed:
        raise BadToken(
            f"this is no token: one begins with {PREFIX!r}; paste what 'nameserver invite' has "
            "printed (a short code is given to 'nameserver join --code')"
        )
    whole = [token for token in map(_decode, claimed) if token is not None]
    if not whole:
        raise BadToken(
            "the token is damaged: a character was changed or lost; copy all of it again (where it "
            "is asked for, in one line: a file or standard input, '-', may have it in several)"
        )
    if len(whole) > 1:
        raise BadToken("there are several tokens in this: give one of them alone")
    return whole[0]


def _decode(text: str) -> Token | None:
    """Return what a text means that begins as a token does; None: it is damaged."""
    body = text[len(PREFIX) :]
    try:
        if len(body) > _MOST_CHARACTERS:
            return None
        data = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
        if base64.urlsafe_b64encode(data).decode().rstrip("=") != body:
            return None  # bits beyond the last byte, which no other check would see
    except (ValueError, binascii.Error):
        return None
    data, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if check != _check(data):
        return None
    try:
        token = msgspec.msgpack.decode(data, type=Token)
    except UNREADABLE:
        return None
    is_sound = (
        len(token.fingerprint) == _FINGERPRINT_BYTES
        and len(token.number) == _ID_BYTES
        and len(token.secret) == SECRET_BYTES
        and 0 < token.port < 65536
        and 0 < len(token.hosts) <= _MOST_HOSTS
    )
    return token if is_sound else None


def _check(data: bytes) -> bytes:
    return hashlib.sha256(b"remoteobj token" + data).digest()[:_CHECK_BYTES]
