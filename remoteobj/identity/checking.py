"""Checks a certificate without TLS: what a machine does that joins, before it has an identity.

This module does no I/O and reads no clock; it imports ``cryptography``, so import it where it is
needed.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from remoteobj.errors import IdentityUnusable, PeerRefused
from remoteobj.identity.claims import Claims, claims_of
from remoteobj.identity.proof import text_of

__all__ = ["check_issued", "read_ca", "read_certificate"]


def check_issued(certificate_der: bytes, ca_pem: bytes, now: float) -> Claims:
    """Check that a certificate was issued by this CA itself and is valid now; return what it says.

    Args:
        certificate_der: As ``getpeercert(binary_form=True)`` gives it.
        ca_pem: The CA's certificate, whose fingerprint the caller has checked.
        now: The time, in Unix seconds.
    Raises:
        PeerRefused: It was not, is not, or cannot be read. For dates the message says what this
            machine's clock shows: set it, or wait, or renew the certificate there.
        IdentityUnusable: *ca_pem* is no CA's certificate.
    Blocks: never.  Threads: any.
    """
    authority = read_ca(ca_pem)
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        uris = _uris(certificate)
        names = [str(part.value) for part in certificate.subject]
        issuer = [str(part.value) for part in certificate.issuer]
        is_ca = _is_ca(certificate)
    except Exception as error:  # whatever the parser says of bytes that a stranger sent
        raise PeerRefused(
            f"the peer's certificate cannot be read ({type(error).__name__}): it is none of ours"
        ) from None
    name = names[0] if names else "(no name)"
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise PeerRefused(
            f"the certificate of {name!r} was not issued by this cluster's authority: another "
            "cluster's machine answers there, or somebody between"
        ) from None
    if is_ca:
        raise PeerRefused(f"the certificate of {name!r} is a CA's, and no machine's")
    for part, whose in ((authority, "this cluster's authority"), (certificate, repr(name))):
        _refuse_wrong_time(part, whose, now)
    return claims_of(uris, name, certificate.serial_number, issuer)


def read_ca(ca_pem: bytes) -> x509.Certificate:
    """Read a CA's certificate.

    Raises:
        IdentityUnusable: It cannot be read, or is not a CA's.
    """
    try:
        authority = x509.load_pem_x509_certificate(ca_pem)
        is_ca = _is_ca(authority)
    except Exception as error:
        raise IdentityUnusable(
            f"the authority's certificate cannot be read ({type(error).__name__}): join again"
        ) from None
    if not is_ca:
        raise IdentityUnusable("what was given as the authority's certificate can sign for nobody")
    return authority


def read_certificate(certificate_pem: bytes) -> tuple[str, float]:
    """Return the number of a certificate that was just signed, and when it ends, in Unix seconds.

    Raises:
        ValueError: It is none.
    """
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return f"{certificate.serial_number:x}", certificate.not_valid_after_utc.timestamp()


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _refuse_wrong_time(certificate: x509.Certificate, whose: str, now: float) -> None:
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    today = datetime.fromtimestamp(now, UTC)
    if starts <= today <= ends:
        return
    fault = (
        f"expired at {text_of(ends)}: renew it there, or set this machine's clock"
        if today > ends
        else f"is valid from {text_of(starts)} on: set this machine's clock"
    )
    raise PeerRefused(
        f"the certificate of {whose} {fault}; by this machine's clock it is {text_of(today)}"
    )
