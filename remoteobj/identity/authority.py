"""Who signs for a cluster: a key and a certificate that says that it may.

Whoever has the key decides who is in the cluster: it lies on one machine, and in its backup. The
authority remembers nothing; whom it signed for is in :mod:`remoteobj.identity.membership`.

This module does no I/O and reads no clock; it imports ``cryptography``, so import it where it is
needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from remoteobj.errors import BadInput, IdentityUnusable, NotSendable
from remoteobj.identity.claims import check_name, check_node, node_uri
from remoteobj.identity.clusters import check_cluster
from remoteobj.identity.proof import text_of
from remoteobj.identity.request import common_name, key_in, pem_of
from remoteobj.identity.revoked import NODE_OID, NODE_PREFIX, Entry
from remoteobj.identity.secret import Secret

__all__ = ["Authority"]

DAY_S = 24 * 3600.0
_CA_DAYS = 20 * 365
_AGO_S = 3600.0  # certificates begin an hour ago, for clocks that are slow by less
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()  # no true clock was ever before


class Authority:
    """The key that signs for a cluster, made by :meth:`create` or :meth:`from_pem`.

    Attributes:
        cluster: What the cluster is called.
        certificate_pem: The CA's certificate, which all nodes trust.
        fingerprint: SHA-256 of that certificate, in hex: what a join token pins.
    """

    __slots__ = ("_certificate", "_key", "certificate_pem", "cluster", "fingerprint")

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key, self._certificate = key, certificate
        self.certificate_pem = certificate.public_bytes(Encoding.PEM)
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        names = [part.value for part in certificate.subject]
        self.cluster = str(names[0]) if names else ""

    @classmethod
    def create(cls, cluster: str, now: float) -> Authority:
        """Make a new authority (ECDSA, P-256), which is valid for 20 years.

        Args:
            cluster: What the cluster is called, such as ``"lab-3"``.
            now: The time, in Unix seconds.
        Raises:
            BadInput: It is no name of a cluster, or *now* is long ago: set the clock first.
        Blocks: never.  Threads: any.
        """
        _refuse_early(now)
        key, subject = ec.generate_private_key(ec.SECP256R1()), common_name(check_cluster(cluster))
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_date(now - _AGO_S))
            .not_valid_after(_date(now + _CA_DAYS * DAY_S))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(is_ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def from_pem(cls, key: Secret | bytes, certificate: bytes) -> Authority:
        """Take up an authority again from its key and certificate.

        Raises:
            IdentityUnusable: They cannot be read, do not belong together, or sign for nobody: take
                both from one backup.
        Blocks: never.  Threads: any.
        """
        try:
            private = load_pem_private_key(key.reveal() if isinstance(key, Secret) else key, None)
            read = x509.load_pem_x509_certificate(certificate)
            may_sign = read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (ValueError, TypeError, x509.ExtensionNotFound) as error:
            raise IdentityUnusable(
                f"the authority's key or certificate cannot be read ({type(error).__name__}): "
                "take both from one backup"
            ) from None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not may_sign:
            raise IdentityUnusable(
                "this is no authority's key and certificate: give ca.key, ca.pem"
            )
        if private.public_key() != read.public_key():
            raise IdentityUnusable(
                "the authority's key does not belong to its certificate: take both from one backup"
            )
        return cls(private, read)

    @property
    def key_pem(self) -> Secret:
        """The key, as PEM without a passphrase."""
        return pem_of(self._key)

    def sign(
        self, request_pem: bytes, *, node: str, name: str, role: str, now: float, days: float = 365
    ) -> bytes:
        """Sign for the key in a request; what else the request says is not looked at.

        Args:
            request_pem: From :func:`~remoteobj.identity.request.make_request`.
            node: 16 lower-case hex digits; a renewal keeps them.
            name: The host's name, for people.
            role: One of :data:`~remoteobj.identity.claims.ROLES`.
            now: The time, in Unix seconds; the certificate begins an hour before.
            days: How long it is valid; never for longer than the authority is.
        Returns:
            The certificate, as PEM.

        Raises:
            BadInput: The request cannot be read or its sender does not have the key; node, name or
                role is none; or the time is not one at which the authority is valid: set the clock.
        Blocks: never.  Threads: any.
        """
        key, ends = key_in(request_pem), now + days * DAY_S
        _refuse_early(now)
        last = self._certificate.not_valid_after_utc.timestamp()
        if not self._certificate.not_valid_before_utc.timestamp() <= now < last or days <= 0:
            raise BadInput(
                f"the authority of {self.cluster!r} cannot sign for {days:g} days from "
                f"{text_of(_date(now))} on: it is valid until {text_of(_date(last))}; set the "
                "clock, or make a new cluster"
            )
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name(check_name(name)))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_date(now - _AGO_S))
            .not_valid_after(_date(min(ends, last)))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_ca=False), critical=True)
            .add_extension(_BOTH_SIDES, critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(node_uri(node, role))]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def revocations(self, entries: Iterable[Entry], number: int, now: float) -> bytes:
        """Sign the list of all certificates that are revoked (an X.509 CRL), as PEM.

        Args:
            entries: All of them, not only the new ones.
            number: Higher than that of any list before: nodes take no other.
            now: The time, in Unix seconds.
        Blocks: never.  Threads: any.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(_date(now))
            .next_update(max(self._certificate.not_valid_after_utc, _date(now + DAY_S)))
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for entry in entries:
            node = x509.UnrecognizedExtension(
                x509.ObjectIdentifier(NODE_OID), NODE_PREFIX + check_node(entry.node).encode()
            )
            revoked = (
                x509.RevokedCertificateBuilder()
                .serial_number(int(entry.serial, 16))
                .revocation_date(_date(entry.revoked_at))
                .add_extension(node, critical=False)
            )
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def __repr__(self) -> str:
        return f"Authority({self.cluster!r}, {self.fingerprint[:16]}...)"

    def __reduce__(self) -> NoReturn:
        raise NotSendable(
            f"{self!r} does not travel, because its key would go with it: 'nameserver backup' "
            "moves it to another machine"
        )


_BOTH_SIDES = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _date(unix_s: float) -> datetime:
    return datetime.fromtimestamp(int(unix_s), UTC)


def _refuse_early(now: float) -> None:
    if now < _EARLIEST:
        raise BadInput(
            f"by this machine's clock it is {text_of(_date(now))}, so that nobody could use what "
            "is signed now: set the clock first"
        )
