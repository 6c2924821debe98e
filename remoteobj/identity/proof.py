"""Three files prove that they are an identity: the contexts made from them shake hands.

So the key belongs to the certificate, the CA signed it for both sides of a connection, and it is
valid now, or the files are refused in words.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from remoteobj.errors import IdentityUnusable, PeerRefused
from remoteobj.identity.claims import Claims, claims_in
from remoteobj.identity.pem import ORDER, read_pem, refuse_open_key

if TYPE_CHECKING:  # 5 ms, which only a process that has an identity pays
    import ssl

__all__ = ["Proof", "prove", "text_of"]

_OTHER_ISSUER = frozenset({2, 7, 18, 19, 20, 21})  # X509_V_ERR_*: not signed by this CA
_OTHER_KEY = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which ssl does not name


@dataclass(frozen=True, slots=True)
class Proof:
    """What three files are; the key is in the contexts and nowhere else."""

    claims: Claims
    starts: datetime
    expires: datetime
    fingerprint: str
    ca_fingerprint: str
    ca_pem: bytes = field(repr=False)
    server: ssl.SSLContext = field(repr=False, compare=False)
    client: ssl.SSLContext = field(repr=False, compare=False)


def prove(ca: str, certificate: str, key: str) -> Proof:
    """Read an identity from three PEM files.

    Raises:
        IdentityUnusable: As :meth:`remoteobj.identity.Identity.from_files` says.
    Blocks: on the disk.  Threads: any.
    """
    ca_pem = read_pem(ca, "CERTIFICATE")
    if len(ca_pem) > 1:
        raise IdentityUnusable(
            f"{ca} has {len(ca_pem)} certificates, and whoever any of them signs for would be "
            "let in: give the CA of the cluster alone"
        )
    certificate_pem = read_pem(certificate, "CERTIFICATE")
    read_pem(key, "PRIVATE KEY", check=refuse_open_key)
    server, client = _contexts("".join(ca_pem), ca)
    _refuse_broken(certificate, "".join(certificate_pem))
    for context in (server, client):
        _load_key(context, certificate, key)
        context.verify_flags |= _NO_CHECK_TIME  # so that we can say the dates ourselves
    seen, der = _shake_hands(server, client, certificate, ca)
    _refuse_wrong_time(server.get_ca_certs()[0], ca)
    _refuse_wrong_time(seen, certificate)
    for context in (server, client):
        context.verify_flags &= ~_NO_CHECK_TIME
    try:
        claims = claims_in(seen)
    except PeerRefused as error:
        raise IdentityUnusable(f"{certificate}: {error}") from None
    return Proof(
        claims,
        _date(seen["notBefore"]),
        _date(seen["notAfter"]),
        hashlib.sha256(der).hexdigest(),
        hashlib.sha256(server.get_ca_certs(binary_form=True)[0]).hexdigest(),
        ca_pem[0].encode(),
        server,
        client,
    )


def _contexts(ca_pem: str, ca: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make the contexts of a server and a client that trust this CA and nobody else."""
    import ssl

    contexts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in contexts:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # No tickets: a resumed session is let in after its certificate was revoked.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        # Some builds of Python set this one: a stream that was cut would seem to have ended.
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        try:
            context.load_verify_locations(cadata=ca_pem)
        except ssl.SSLError as error:
            raise IdentityUnusable(_broken(ca, error)) from error
        if context.cert_store_stats()["x509_ca"] != 1:
            raise IdentityUnusable(f"{ca} is no CA's certificate, it can sign for nobody; {ORDER}")
    contexts[0].num_tickets = 0
    return contexts


def _refuse_broken(path: str, pem: str) -> None:
    """Check that certificates can be read; ``load_cert_chain`` does not say which file it means."""
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        raise IdentityUnusable(_broken(path, error)) from error


def _load_key(context: ssl.SSLContext, certificate: str, key: str) -> None:
    import ssl

    def refuse_passphrase() -> NoReturn:  # else OpenSSL would ask at the terminal
        raise IdentityUnusable(
            f"the key {key} has a passphrase, which nobody could type where this runs: "
            f"'openssl pkey -in {key}' writes it without; keep it with mode 0600"
        )

    try:
        context.load_cert_chain(certificate, key, refuse_passphrase)
    except OSError as error:
        if getattr(error, "reason", None) in _OTHER_KEY:
            raise IdentityUnusable(
                f"the key {key} does not belong to the certificate {certificate}: "
                "give the two that were made together"
            ) from error
        if isinstance(error, ssl.SSLError):
            raise IdentityUnusable(_broken(f"{certificate} or {key}", error)) from error
        raise IdentityUnusable(f"{certificate} or {key} has gone meanwhile ({error})") from error


def _shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, certificate: str, ca: str
) -> tuple[dict[str, Any], bytes]:
    """Let the two contexts meet in memory; return the certificate as the server sees it."""
    import ssl

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    try:
        for end in ends * 2:  # hello, the server's part, the client's part, done
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OTHER_ISSUER:
            raise IdentityUnusable(
                f"the certificate {certificate} was not signed by the CA {ca}: "
                "give files of one cluster"
            ) from error
        raise IdentityUnusable(
            f"the certificate {certificate} cannot be used: {error.verify_message}; make a new one "
            "that may be used as server and as client"
        ) from error
    except ssl.SSLError as error:
        raise IdentityUnusable(_broken(f"{certificate} or its key", error)) from error
    seen = ends[1].getpeercert() or {}
    return seen, ends[1].getpeercert(binary_form=True) or b""


def _refuse_wrong_time(certificate: Mapping[str, Any], path: str) -> None:
    now = datetime.fromtimestamp(time.time(), UTC)
    starts, ends = _date(certificate["notBefore"]), _date(certificate["notAfter"])
    if starts <= now <= ends:
        return
    if now > ends:
        fault = f"expired at {text_of(ends)}: renew it, or set the clock"
    else:
        fault = f"is valid from {text_of(starts)} on: set the clock, or wait"
    raise IdentityUnusable(
        f"the certificate {path} {fault}; by this machine's clock it is {text_of(now)}"
    )


def _date(text: str) -> datetime:
    import ssl

    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def text_of(date: datetime) -> str:
    """Return a moment as errors and ``repr`` show it, to the minute and in UTC."""
    return f"{date:%Y-%m-%d %H:%M} UTC"


def _broken(path: str, error: ssl.SSLError) -> str:
    reason = (error.reason or "damaged").replace("_", " ").lower()
    return f"OpenSSL cannot use {path} ({reason}): copy it again, or make a new one"
