"""Who this process is on the network: a certificate, its key, and the CA of its cluster.

An identity proves itself before anyone meets it: see :mod:`remoteobj.identity.proof`. Peers are
checked by their CA and not by their host's name: machines of a cluster change addresses.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from remoteobj.errors import BadInput, NotSendable
from remoteobj.identity.claims import Claims
from remoteobj.identity.proof import Proof, prove, text_of

if TYPE_CHECKING:
    import ssl

__all__ = ["Identity", "refuse_both"]


class Identity:
    """Who this process is, made by :meth:`from_files`; equal when certificate and CA are the same.

    It does not travel and cannot be pickled, because its key would go with it.
    """

    __slots__ = ("__weakref__", "_key", "_proof")

    def __init__(self, proof: Proof) -> None:
        self._proof = proof
        self._key = (proof.fingerprint, proof.ca_fingerprint)  # as it was first

    @classmethod
    def from_files(
        cls,
        ca: str | os.PathLike[str],
        certificate: str | os.PathLike[str],
        key: str | os.PathLike[str],
    ) -> Identity:
        """Read an identity from three PEM files; they are not looked at again.

        Args:
            ca: The certificate of the cluster's CA, alone: whoever it signs for is let in.
            certificate: This machine's certificate; those between it and the CA may follow it.
            key: Its private key without a passphrase, which nobody else may read (mode 0600; one
                of root's may be readable for a group).
        Raises:
            IdentityUnusable: A file cannot be read, or is not what it should be; the certificate
                is not of this CA, not of this key, or not valid at this time. The message says
                which, and what to do.
        Blocks: on the disk.  Threads: any.
        """
        return cls(prove(os.fspath(ca), os.fspath(certificate), os.fspath(key)))

    @property
    def claims(self) -> Claims:
        """What the certificate says: node, role, name and serial number."""
        return self._proof.claims

    @property
    def subject(self) -> str:
        """The name in the certificate."""
        return self._proof.claims.name

    @property
    def expires(self) -> datetime:
        """When the certificate ends, in UTC."""
        return self._proof.expires

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hex."""
        return self._proof.fingerprint

    @property
    def ca_fingerprint(self) -> str:
        """SHA-256 of the cluster's CA certificate, in hex."""
        return self._proof.ca_fingerprint

    def server_context(self) -> ssl.SSLContext:
        """Return the context for connections that are accepted: one for all; do not change it."""
        return self._proof.server

    def client_context(self) -> ssl.SSLContext:
        """Return the context for connections that are opened: one for all; do not change it."""
        return self._proof.client

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Identity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Identity({self.subject!r}, expires {text_of(self.expires)})"

    def __reduce__(self) -> NoReturn:
        raise NotSendable(
            f"{self!r} does not travel, because its key would go with it: "
            "use Identity.from_files() where it is needed"
        )


def refuse_both(identity: Identity | None, insecure: bool) -> None:
    """Refuse what contradicts itself, and what is no identity.

    Raises:
        BadInput: TLS and plain TCP are both asked for, or *identity* is something else.
    """
    if identity is not None and not isinstance(identity, Identity):
        raise BadInput(
            f"identity= takes what Identity.from_files(ca, certificate, key) returns, "
            f"not a {type(identity).__name__}"
        )
    if identity is not None and insecure:
        raise BadInput("identity= means TLS, insecure=True means plain TCP: give one of them")
