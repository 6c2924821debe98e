"""Certificates for tests: a cluster's CA, what it signs for nodes, and what it should not.

::

    files = make_cluster(tmp_path)                    # {"master": Files, "slave": Files}
    identity = Identity.from_files(*files["master"])

    cluster = Authority(tmp_path / "one")             # step by step, for what is wrong
    expired = cluster.node("anna", ends_in_s=-60)
    foreign = Authority(tmp_path / "other").node("anna")
    slave = cluster.node("ben", role="slave")         # as the project's own authority signs
    twice = cluster.node("carl", uris=["remoteobj:node:...:slave", "remoteobj:node:...:operator"])
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from remoteobj.identity import authority as identity_authority
from remoteobj.identity.checking import check_issued
from remoteobj.identity.claims import node_uri
from remoteobj.identity.revoked import Entry

__all__ = ["Authority", "Files", "make_cluster"]

HOUR_S = 3600.0


class Files(NamedTuple):
    """Where an identity lies, in the order of ``Identity.from_files``."""

    ca: Path
    certificate: Path
    key: Path


def make_cluster(
    directory: Path,
    nodes: Iterable[str] = ("master", "slave"),
    roles: Mapping[str, str] | None = None,
) -> dict[str, Files]:
    """Make a CA and an identity for each node in *directory*; those in *roles* say their role."""
    authority, roles = Authority(directory), roles or {}
    return {node: authority.node(node, role=roles.get(node)) for node in nodes}


class Authority:
    """A CA with its certificate in ``ca.pem``; its key stays in memory."""

    def __init__(self, directory: Path, *, ends_in_s: float = 24 * HOUR_S) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.certificate = directory / "ca.pem"
        self._name = _name("test cluster")
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(self._name, self._key, -HOUR_S, ends_in_s)
        self._write(
            self.certificate,
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True),
        )  # fmt: skip

    def node(
        self,
        name: str,
        *,
        starts_in_s: float = -HOUR_S,
        ends_in_s: float = 24 * HOUR_S,
        is_client: bool = True,
        passphrase: bytes | None = None,
        role: str | None = None,
        node: str | None = None,
        uris: Iterable[str] = (),
    ) -> Files:
        """Make a node's certificate and key; times are seconds from now.

        It says the role, and the node (at random: a new one), if one of them is given; and *uris*,
        whatever they are. Else it is as a CA makes it that is not ours: a member's.
        """
        if role is not None or node is not None:
            uris = [*uris, node_uri(node or secrets.token_hex(8), role or "member")]
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        if is_client:
            usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        files = self._files(name)
        self._write(
            files.certificate,
            _builder(_name(name), key, starts_in_s, ends_in_s)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(_names(name, uris), critical=False),
        )
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        _write_privately(files.key, key, encryption)
        return files

    def signed_by(self, signer: Files, name: str, *, role: str) -> Files:
        """Make what a node, which is no CA, has signed for another one; its own follows it."""
        key = ec.generate_private_key(ec.SECP256R1())
        with_key = load_pem_private_key(signer.key.read_bytes(), None)
        issuer = x509.load_pem_x509_certificate(signer.certificate.read_bytes())
        files = self._files(name)
        assert isinstance(with_key, ec.EllipticCurvePrivateKey)
        made = _signed(_of_node(name, key, role), issuer.subject, with_key)
        files.certificate.write_bytes(made + signer.certificate.read_bytes())
        _write_privately(files.key, key, NoEncryption())
        return files

    def self_signed(self, name: str, *, role: str) -> Files:
        """Make what a machine has signed for itself; it is called as this CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        files = self._files(name)
        files.certificate.write_bytes(_signed(_of_node(name, key, role), self._name, key))
        _write_privately(files.key, key, NoEncryption())
        return files

    def revocations(self, *certificates: Path, number: int = 1) -> bytes:
        """Return the list that says that these certificates are revoked, as PEM."""
        now = datetime.now(UTC).timestamp()
        authority = identity_authority.Authority(
            self._key, x509.load_pem_x509_certificate(self.certificate.read_bytes())
        )
        read = [x509.load_pem_x509_certificate(path.read_bytes()) for path in certificates]
        entries = [
            Entry(f"{one.serial_number:x}", check_issued(
                one.public_bytes(Encoding.DER), authority.certificate_pem, now
            ).node, now)
            for one in read
        ]  # fmt: skip
        return authority.revocations(entries, number, now)

    def _files(self, name: str) -> Files:
        return Files(
            self.certificate, self.directory / f"{name}.pem", self.directory / f"{name}.key"
        )

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        path.write_bytes(_signed(builder, self._name, self._key))


def _signed(
    builder: x509.CertificateBuilder, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> bytes:
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    made = builder.issuer_name(issuer).add_extension(signer, critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _of_node(name: str, key: ec.EllipticCurvePrivateKey, role: str) -> x509.CertificateBuilder:
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    uris = [node_uri(secrets.token_hex(8), role)]
    return (
        _builder(_name(name), key, -HOUR_S, HOUR_S)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_names(name, uris), critical=False)
    )


def _builder(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, starts_in_s: float, ends_in_s: float
) -> x509.CertificateBuilder:
    now, public = datetime.now(UTC), key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(seconds=min(starts_in_s, ends_in_s - HOUR_S)))
        .not_valid_after(now + timedelta(seconds=ends_in_s))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _names(name: str, uris: Iterable[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [x509.DNSName(name), *(x509.UniformResourceIdentifier(uri) for uri in uris)]
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_privately(
    path: Path, key: ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption
) -> None:
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
