"""A backup of a cluster's authority, as it lies in a file: all of it is encrypted (no I/O).

::

    remoteobj backup 1\\n | salt, 16 bytes | nonce, 12 bytes | AES-256-GCM of a msgpack record

The key is made of the passphrase by scrypt (RFC 7914): 128 MiB and half a second for each guess.
The first line is authenticated, too. Imports ``cryptography``.
"""

from __future__ import annotations

import secrets

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from remoteobj.errors import BadInput
from remoteobj.identity.membership import Membership
from remoteobj.identity.secret import Secret
from remoteobj.unreadable import UNREADABLE

__all__ = ["LEAST_CHARACTERS", "Backup", "seal", "unseal"]

LEAST_CHARACTERS = 10
"""Of a passphrase."""

_TITLE = b"remoteobj backup 1\n"
_SALT_BYTES, _NONCE_BYTES = 16, 12


class Backup(msgspec.Struct, frozen=True):
    """What an authority is.

    Attributes:
        cluster: What the cluster is called.
        key: The CA's, as PEM.
        ca: Its certificate, as PEM.
        members: Whom it signed for.
        revoked: The newest list of revocations, as PEM; empty: there is none.
    """

    cluster: str
    key: bytes
    ca: bytes
    members: Membership
    revoked: bytes

    def __repr__(self) -> str:
        return f"Backup({self.cluster!r})"


def seal(backup: Backup, passphrase: Secret) -> bytes:
    """Return what is written.

    Raises:
        BadInput: The passphrase is short.
    """
    if len(passphrase.reveal().decode()) < LEAST_CHARACTERS:
        raise BadInput(
            f"the passphrase is short: take {LEAST_CHARACTERS} characters or more, for who has the "
            "file can try them all"
        )
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    sealed = _cipher(passphrase, salt).encrypt(nonce, msgspec.msgpack.encode(backup), _TITLE)
    return _TITLE + salt + nonce + sealed


def unseal(data: bytes, passphrase: Secret) -> Backup:
    """Return what was sealed.

    Raises:
        BadInput: It is no backup, was changed, or has another passphrase.
    """
    if not data.startswith(_TITLE):
        raise BadInput("this is no backup: 'nameserver backup FILE' writes one")
    rest = data[len(_TITLE) :]
    salt, nonce = rest[:_SALT_BYTES], rest[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
    sealed = rest[_SALT_BYTES + _NONCE_BYTES :]
    try:
        if len(nonce) < _NONCE_BYTES:
            raise InvalidTag
        plain = _cipher(passphrase, salt).decrypt(nonce, sealed, _TITLE)
        return msgspec.msgpack.decode(plain, type=Backup)
    except (InvalidTag, *UNREADABLE):
        raise BadInput("the passphrase is another one, or the backup is damaged") from None


def _cipher(passphrase: Secret, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**17, r=8, p=1).derive(passphrase.reveal()))
