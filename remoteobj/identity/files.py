"""Who this process is on the network: a certificate, its key, and the CA of its cluster.

An identity proves itself before anyone meets it: see :mod:`remoteobj.identity.proof`. Peers are
checked by their CA and not by their host's name: machines of a cluster change addresses.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from remoteobj.errors import BadInput, IdentityUnusable, NotSendable
from remoteobj.identity import renewal
from remoteobj.identity.claims import Claims, name_in
from remoteobj.identity.knowledge import knowledge_of
from remoteobj.identity.revoked import Revoked

if TYPE_CHECKING:  # 1 MB, which a process without an identity does not need
    import ssl

    from remoteobj.identity.proof import Proof
    from remoteobj.identity.secret import Secret
    from remoteobj.identity.store import Store

__all__ = ["AUTO", "Auto", "Identity", "refuse_both"]

Auto = Literal["auto"]

_log = logging.getLogger("remoteobj")

AUTO: Final[Auto] = "auto"
"""Take the identity that pairing has stored on this account, if there is one."""


class Identity:
    """Who this process is; equal when it was made from the same certificate and CA.

    It is made by :meth:`from_files` or :meth:`stored`, does not travel and cannot be pickled,
    because its key would go with it. :meth:`reload` takes up a renewed certificate; it stays equal
    to what it was.
    """

    __slots__ = ("__weakref__", "_key", "_knowledge", "_proof", "_source", "_store")

    def __init__(
        self, proof: Proof, source: Callable[[], Proof], store: Store | None = None
    ) -> None:
        self._proof, self._source, self._store = proof, source, store
        self._key = (proof.fingerprint, proof.ca_fingerprint)  # as it was first
        self._knowledge = knowledge_of(proof.ca_fingerprint, proof.claims.node)

    @classmethod
    def from_files(
        cls,
        ca: str | os.PathLike[str],
        certificate: str | os.PathLike[str],
        key: str | os.PathLike[str],
    ) -> Identity:
        """Read an identity from three PEM files; only :meth:`reload` looks at them again.

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
        from remoteobj.identity.proof import prove

        paths = [os.fspath(path) for path in (ca, certificate, key)]
        proof, here = prove(*paths), os.getcwd()
        return cls(proof, lambda: prove(*(os.path.join(here, path) for path in paths)))

    @classmethod
    def stored(cls, cluster: str | None = None) -> Identity:
        """Read the identity that pairing has stored on this account.

        Args:
            cluster: Which one; None: ``REMOTEOBJ_CLUSTER``, the only one, or the one that was
                chosen with ``nameserver use``.
        Raises:
            IdentityUnusable: This account is in no such cluster (the message says how to pair), or
                in several; a file is open to others or damaged; the certificate has expired, or was
                revoked: let the machine join again.
            BadInput: *cluster* is no name of one.
        Blocks: on the disk.  Threads: any.
        """
        from remoteobj.identity.store import Store

        store = Store.of(cluster)
        identity, revoked = cls(store.prove(), store.prove, store), store.revoked()
        why = revoked.refuses(identity.claims)
        if why is not None:
            raise IdentityUnusable(f"this machine cannot take part in {store.cluster!r}: {why}")
        identity._knowledge.note(revoked)
        return identity

    @property
    def claims(self) -> Claims:
        """What the certificate says: node, role, name and serial number."""
        return self._proof.claims

    @property
    def subject(self) -> str:
        """The name in the certificate."""
        return self._proof.claims.name

    @property
    def cluster(self) -> str | None:
        """What the cluster is called, for an identity that pairing has stored."""
        return None if self._store is None else self._store.cluster

    @property
    def founded_as(self) -> str | None:
        """What the other machines call the cluster, for an identity that pairing has stored.

        It may be called otherwise on this account, which may be in two of one name.
        """
        return None if self._store is None else name_in(self._proof.server.get_ca_certs()[0])

    @property
    def starts(self) -> datetime:
        """Since when the certificate is valid, in UTC."""
        return self._proof.starts

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
        """Return the context for connections that are accepted, until the next :meth:`reload`.

        It is one for all: do not change it, and ask for it anew for each connection.
        """
        return self._proof.server

    def client_context(self) -> ssl.SSLContext:
        """Return the context for connections that are opened, as :meth:`server_context`."""
        return self._proof.client

    def is_due(self, now: float) -> bool:
        """Tell whether the certificate is to be renewed at this time, in Unix seconds."""
        return renewal.due(self.starts.timestamp(), self.expires.timestamp(), now)

    def reload(self) -> bool:
        """Take up the certificate that lies in the files now, as after a renewal.

        Connections that are open stay so; each new one shows the new certificate.

        Returns:
            False: it is the same as before.

        Raises:
            IdentityUnusable: As when it was made; or the files are of another CA, node or name:
                make a new identity from them. The old certificate stays in use.
        Blocks: on the disk.  Threads: any.
        """
        old, new = self._proof, self._source()
        is_same = old.claims.node == new.claims.node or old.claims.name == new.claims.name
        if old.ca_fingerprint != new.ca_fingerprint or not is_same:
            raise IdentityUnusable(
                f"the files of {self!r} are another machine's or cluster's now: make a new "
                "identity from them, and start what used the old one again"
            )
        # A new pair of contexts, because OpenSSL forbids to change one that threads are using.
        self._proof = new
        if self._store is not None:
            self._knowledge.note(self._store.revoked())
        if old.fingerprint == new.fingerprint:
            return False
        self._knowledge.tell()
        return True

    def take_up(self, certificate_pem: bytes, key: Secret) -> None:
        """Keep the next certificate of this node, and use it from now on.

        Args:
            certificate_pem: What the authority has signed.
            key: What belongs to it.
        Raises:
            IdentityUnusable: As from :meth:`reload`; or this identity was not stored by pairing.
        Blocks: on the disk.  Threads: any.
        """
        if self._store is None:
            raise IdentityUnusable(f"{self!r} was not stored by pairing: replace its files")
        self._store.save_identity(self._proof.ca_pem, certificate_pem, key)
        self.reload()

    @property
    def revoked(self) -> Revoked:
        """The newest list of revocations that this process knows of."""
        return self._knowledge.revoked

    def refuses(self, claims: Claims) -> str | None:
        """Return why a peer of these claims is not let in; None: it may come. Never blocks."""
        return self._knowledge.revoked.refuses(claims)

    def note_revoked(self, crl_pem: bytes) -> bool:
        """Take a list of revocations, tell who asked by :meth:`on_change`, and keep it on disk.

        Returns:
            False: one that is as new was known already.

        Raises:
            IdentityUnusable: The cluster's CA has not signed it, or it is damaged; then nothing
                has changed. Or it could not be kept on disk: it is in force nevertheless.
        Blocks: on the disk, and for the callbacks.  Threads: any.
        """
        revoked = Revoked.read(crl_pem, self._proof.ca_pem)
        is_new = self._knowledge.note(revoked)
        if is_new and self._store is not None:
            self._store.save_revoked(revoked)
        return is_new

    @property
    def server(self) -> str | None:
        """Where the name server with the authority was last, if pairing has stored this identity.

        Reading it blocks on the disk.
        """
        try:
            return None if self._store is None else self._store.server()
        except IdentityUnusable:
            return None

    def note_server(self, address: str) -> None:
        """Remember where the name server with the authority is, where that can be kept.

        Blocks: on the disk.  Threads: any.
        """
        try:
            if self._store is not None:
                self._store.note_server(address)
        except IdentityUnusable as error:
            _log.debug("where the name server is will not be known later: %s", error)

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have *callback* called, without arguments, after each revocation and each reload.

        It is called by the thread that brings the news, and must not wait: close connections whose
        peer :meth:`refuses` names now. What it raises is logged.

        Returns:
            What ends that; until then the callback is kept alive.
        Blocks: never.  Threads: any.
        """
        return self._knowledge.on_change(callback)

    def is_node_of(self, other: Identity) -> bool:
        """Tell whether both are the same node of the same cluster, with whatever certificates."""
        return self._knowledge is other._knowledge

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Identity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        from remoteobj.identity.proof import text_of

        return f"Identity({self.subject!r}, expires {text_of(self.expires)})"

    def __reduce__(self) -> NoReturn:
        raise NotSendable(
            f"{self!r} does not travel, because its key would go with it: "
            "use Identity.from_files() where it is needed"
        )


def refuse_both(identity: Identity | Auto | None, insecure: bool) -> None:
    """Refuse what contradicts itself, and what is no identity; ``"auto"`` leaves the choice.

    Raises:
        BadInput: TLS and plain TCP are both asked for, or *identity* is something else.
    """
    if identity is None or identity == AUTO:
        return
    if not isinstance(identity, Identity):
        raise BadInput(
            f"identity= takes what Identity.from_files(ca, certificate, key) returns, "
            f"not a {type(identity).__name__}"
        )
    if insecure:
        raise BadInput("identity= means TLS, insecure=True means plain TCP: give one of them")
