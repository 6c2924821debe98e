"""Who this process is on the network: a certificate, its key, and the CA of its cluster.

An identity proves itself before anyone meets it: :meth:`Identity.from_files` lets the two contexts
that it will use shake hands with each other in memory. So the key belongs to the certificate, the
CA signed it for both sides of a connection, and it is valid now, or the files are refused in words.

Peers are checked by their CA and not by their host's name: machines of a cluster change addresses.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from remoteobj.errors import BadInput, IdentityUnusable, NotSendable

if TYPE_CHECKING:  # 5 ms, which only a process that has an identity pays
    import ssl

__all__ = ["Identity", "name_in", "refuse_both"]

_MAX_FILE_BYTES = 1024 * 1024
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_OTHER_ISSUER = frozenset({2, 7, 18, 19, 20, 21})  # X509_V_ERR_*: not signed by this CA
_OTHER_KEY = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which ssl does not name
_ORDER = "the order is ca, certificate, key"


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Who this process is, made by :meth:`from_files`; equal when certificate and CA are the same.

    It does not travel and cannot be pickled, because its key would go with it.

    Attributes:
        subject: The name in the certificate.
        expires: When the certificate ends, in UTC.
        fingerprint: SHA-256 of the certificate, in hex.
        ca_fingerprint: SHA-256 of the cluster's CA certificate, in hex.
    """

    subject: str
    expires: datetime
    fingerprint: str
    ca_fingerprint: str
    _server: ssl.SSLContext = field(compare=False)
    _client: ssl.SSLContext = field(compare=False)

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
        ca, certificate, key = os.fspath(ca), os.fspath(certificate), os.fspath(key)
        ca_pem = _read_pem(ca, "CERTIFICATE")
        if len(ca_pem) > 1:
            raise IdentityUnusable(
                f"{ca} has {len(ca_pem)} certificates, and whoever any of them signs for would be "
                "let in: give the CA of the cluster alone"
            )
        certificate_pem = _read_pem(certificate, "CERTIFICATE")
        _read_pem(key, "PRIVATE KEY", check=_refuse_open_key)
        server, client = _contexts("".join(ca_pem), ca)
        _refuse_broken(certificate, "".join(certificate_pem))
        for context in (server, client):
            _load_key(context, certificate, key)
            context.verify_flags |= _NO_CHECK_TIME  # so that we can say the dates ourselves
        name, der = _shake_hands(server, client, certificate, ca)
        authority = server.get_ca_certs()[0]
        _refuse_wrong_time(authority, ca)
        _refuse_wrong_time(name, certificate)
        for context in (server, client):
            context.verify_flags &= ~_NO_CHECK_TIME
        return cls(
            name_in(name),
            _date(name["notAfter"]),
            hashlib.sha256(der).hexdigest(),
            hashlib.sha256(server.get_ca_certs(binary_form=True)[0]).hexdigest(),
            server,
            client,
        )

    def server_context(self) -> ssl.SSLContext:
        """Return the context for connections that are accepted: one for all; do not change it."""
        return self._server

    def client_context(self) -> ssl.SSLContext:
        """Return the context for connections that are opened: one for all; do not change it."""
        return self._client

    def __repr__(self) -> str:
        return f"Identity({self.subject!r}, expires {_text(self.expires)})"

    def __reduce__(self) -> NoReturn:
        raise NotSendable(
            f"{self!r} does not travel, because its key would go with it: "
            "use Identity.from_files() where it is needed"
        )


def name_in(certificate: Mapping[str, Any]) -> str:
    """Return the name in a certificate, as ``getpeercert()`` gives it: its first common name."""
    names = [value for part in certificate["subject"] for key, value in part if key == "commonName"]
    names += [value for _, value in certificate.get("subjectAltName", ())]
    return str(names[0]) if names else "(no name)"


def _read_pem(
    path: str, label: str, *, check: Callable[[str, os.stat_result], None] | None = None
) -> list[str]:
    """Return the blocks of a PEM file whose label ends with *label*: at least one."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(_MAX_FILE_BYTES).decode("ascii", "replace")
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise IdentityUnusable(f"cannot read {path} ({reason}); {_ORDER}") from error
    blocks = list(_PEM_BLOCK.finditer(text))
    if not blocks:
        raise IdentityUnusable(
            f"{path} is not PEM: it has no '-----BEGIN {label}-----' with an end; convert it with "
            "openssl, or copy it again"
        )
    fitting = [f"{block[0]}\n" for block in blocks if block[1].endswith(label)]
    if not fitting:
        raise IdentityUnusable(f"{path} has a {blocks[0][1]} where a {label} is due; {_ORDER}")
    if check is not None:
        check(path, status)
    return fitting


def _refuse_open_key(path: str, status: os.stat_result) -> None:
    """Check that others cannot read the key, as ssh does; root's may be readable for a group.

    The group is for what Debian (``ssl-cert``) and containers do, and is PostgreSQL's rule too.
    """
    if sys.platform == "win32":  # ACLs rule there, and the mode says nothing
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & (0o037 if status.st_uid == 0 else 0o077):
        raise IdentityUnusable(
            f"others can read or change the key {path} (mode {mode:04o}): run 'chmod 600 {path}', "
            "and make a new one if somebody may have read it"
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
            raise IdentityUnusable(f"{ca} is no CA's certificate, it can sign for nobody; {_ORDER}")
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
        fault = f"expired at {_text(ends)}: renew it, or set the clock"
    else:
        fault = f"is valid from {_text(starts)} on: set the clock, or wait"
    raise IdentityUnusable(
        f"the certificate {path} {fault}; by this machine's clock it is {_text(now)}"
    )


def _date(text: str) -> datetime:
    import ssl

    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _text(date: datetime) -> str:
    return f"{date:%Y-%m-%d %H:%M} UTC"


def _broken(path: str, error: ssl.SSLError) -> str:
    reason = (error.reason or "damaged").replace("_", " ").lower()
    return f"OpenSSL cannot use {path} ({reason}): copy it again, or make a new one"


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
