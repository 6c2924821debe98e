"""Which certificates of a cluster are worth nothing any more, as its authority has signed it.

The list is an X.509 CRL with a number that only grows. Beside each certificate's number stands
whose it is, so that no certificate of a revoked node is good, also one that the list does not know.

Reading needs ``cryptography``, which is imported then; the rest of this module does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from remoteobj import forks
from remoteobj.errors import IdentityUnusable
from remoteobj.identity.claims import Claims, check_node

__all__ = ["MAX_LIST_BYTES", "NODE_OID", "NODE_PREFIX", "NOTHING_REVOKED", "Entry", "Revoked"]

NODE_OID: Final = "2.25.185336491447582490501830207582644359975"  # of a UUID: free for all to make
"""Beside an entry of the list: the node."""

NODE_PREFIX: Final = b"\x16\x10"
"""What stands before the 16 hex digits there: it is DER, an IA5String of 16 characters."""

MAX_LIST_BYTES: Final = 4 * 1024 * 1024
"""Room for 30,000 certificates."""


class Entry(NamedTuple):
    """One certificate that is revoked: its number, whose it is, and since when, in Unix seconds."""

    serial: str
    node: str
    revoked_at: float


@dataclass(frozen=True, slots=True)
class Revoked:
    """What is revoked in a cluster; made by :meth:`read`.

    Attributes:
        number: Of the list; the higher one is the newer.
        serials: Numbers of certificates, in lower-case hex.
        nodes: Ids of nodes.
        pem: The list as its authority signed it; empty for :data:`NOTHING_REVOKED`.
    """

    number: int = 0
    serials: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    pem: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, crl_pem: bytes, ca_pem: bytes) -> Revoked:
        """Read a list, and check that the cluster's CA has signed it.

        Raises:
            IdentityUnusable: It is damaged, of another cluster, or not as our authorities make it:
                fetch it again from the machine that has the authority.
        Blocks: never.  Threads: any.
        """
        with forks.whole:
            from cryptography import x509

        if len(crl_pem) > MAX_LIST_BYTES:
            raise IdentityUnusable(f"a list of revocations has {MAX_LIST_BYTES} bytes at most")
        try:
            authority = x509.load_pem_x509_certificate(ca_pem)
            crl, key = x509.load_pem_x509_crl(crl_pem), authority.public_key()
            # A CA made by hand may have another kind of key, and such keys are checked as well.
            if crl.issuer != authority.subject or not crl.is_signature_valid(key):  # type: ignore[arg-type]
                raise IdentityUnusable(
                    "the list of revocations is not signed by this cluster's authority: fetch it "
                    "again from the machine that has it"
                )
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            serials = frozenset(f"{entry.serial_number:x}" for entry in crl)
            nodes = frozenset(
                check_node(extension.value.value.removeprefix(NODE_PREFIX).decode("ascii"))
                for entry in crl
                for extension in entry.extensions
                if isinstance(extension.value, x509.UnrecognizedExtension)
                and extension.oid.dotted_string == NODE_OID
            )
        except IdentityUnusable:
            raise
        except Exception as error:  # whatever the parser says of bytes that a stranger sent
            raise IdentityUnusable(
                f"the list of revocations cannot be read ({type(error).__name__}): fetch it again "
                "from the machine that has the authority"
            ) from None
        return cls(number, serials, nodes, crl_pem)

    def merge(self, other: Revoked) -> Revoked:
        """Return the newer of two lists of one cluster: only a higher number replaces."""
        return other if other.number > self.number else self

    def refuses(self, claims: Claims) -> str | None:
        """Return why a holder is not let in any more; None: it is not revoked."""
        if claims.node in self.nodes or claims.serial in self.serials:
            return (
                f"{claims.name!r} (node {claims.node}) was revoked: if it is to come back, "
                "invite it and let it join again"
            )
        return None


NOTHING_REVOKED: Final = Revoked()
