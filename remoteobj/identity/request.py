"""What a machine asks of the authority: the key stays here, a request goes there.

This module does no I/O; it imports ``cryptography``, so import it where it is needed.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from remoteobj.errors import BadInput
from remoteobj.identity.claims import check_name
from remoteobj.identity.secret import Secret

__all__ = ["MAX_REQUEST_BYTES", "common_name", "key_hash_in", "key_in", "make_request", "pem_of"]

MAX_REQUEST_BYTES = 8 * 1024
"""Ours have 400 bytes."""


def make_request(name: str) -> tuple[Secret, bytes]:
    """Make a new key (ECDSA, P-256) and a signing request for it.

    Args:
        name: The host's name, for people; the authority decides what it writes.
    Returns:
        The key as PEM (PKCS 8, no passphrase), and the request as PEM.

    Raises:
        BadInput: A certificate cannot carry the name; shorten it.
    Blocks: never.  Threads: any.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(common_name(check_name(name)))
    return pem_of(key), request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def key_in(request_pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a signing request whose sender has the private one.

    Raises:
        BadInput: It is no request, is not signed by its own key, or the key is not of ECDSA with
            P-256: make it with :func:`make_request`.
    Blocks: never.  Threads: any.
    """
    if len(request_pem) > MAX_REQUEST_BYTES:
        raise BadInput(f"a signing request has {MAX_REQUEST_BYTES} bytes at most: make a new one")
    try:
        request = x509.load_pem_x509_csr(request_pem)
        key, is_signed = request.public_key(), request.is_signature_valid
    except Exception as error:  # whatever the parser says of bytes that a stranger sent
        raise BadInput(
            f"this is no signing request ({type(error).__name__}): make a new one"
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadInput("the key of a signing request is not of ECDSA with P-256: make a new one")
    if not is_signed:
        raise BadInput(
            "a signing request is not signed by its own key: it was changed on the way, or its "
            "sender does not have the key"
        )
    return key


def key_hash_in(request_pem: bytes) -> bytes:
    """Return the SHA-256 of the public key in a request; raises as :func:`key_in`."""
    public = key_in(request_pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).digest()


def common_name(name: str) -> x509.Name:
    """Return a subject that consists of a name for people."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem_of(key: ec.EllipticCurvePrivateKey) -> Secret:
    """Return a private key as PEM without a passphrase."""
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
