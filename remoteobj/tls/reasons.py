"""What errors of OpenSSL mean, in words: who refuses whom, and what to do about it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final

__all__ = ["NO_TLS", "TOO_MUCH", "Why", "why_ended", "why_no_handshake"]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a connection has failed.

    Attributes:
        words: In words; ``{peer}`` stands for the other side.
        is_refusal: Whether one side does not trust the other, or does not speak as it should; else
            the connection was lost.
    """

    words: str
    is_refusal: bool


_TLS_1_3 = "{peer} does not speak TLS 1.3: update Python and OpenSSL there"
NO_TLS: Final = Why(
    "{peer} does not speak TLS: start it with an identity, or use insecure=True on both sides", True
)
TOO_MUCH: Final = Why("{peer} sent too much before it was let in: this is no TLS handshake", True)
_SILENT = (
    "{peer} closed the connection without a word of TLS: if it does not speak TLS, start it with "
    "an identity, or use insecure=True on both sides"
)
_CUT_HANDSHAKE = "{peer} closed the connection during the TLS handshake"
_SAME_CLUSTER = (
    "both machines must belong to the same cluster, so give both of them certificates of one CA"
)
_NOT_ACCEPTED = "{peer} does not accept this machine's certificate ({reason}): make a new one"

_BY_VERIFY_CODE = {  # X509_V_ERR_*: why this side refuses a certificate
    **dict.fromkeys(
        (2, 7, 18, 19, 20, 21), "{peer} has a certificate of another CA: " + _SAME_CLUSTER
    ),
    9: "the certificate of {peer} is not valid yet: set the clock of the machine that is wrong",
    10: "the certificate of {peer} has expired: renew it there, or set this machine's clock",
}
_BY_ALERT = {  # why the other side refuses this one's
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        "{peer} lets in nobody without a certificate: start this side with an identity"
    ),
    "TLSV1_ALERT_UNKNOWN_CA": (
        "{peer} does not know the CA of this machine's certificate: " + _SAME_CLUSTER
    ),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (
        "{peer} says that this machine's certificate has expired: renew it, or set the clock there"
    ),
    "SSLV3_ALERT_BAD_CERTIFICATE": (
        "{peer} says that this machine's certificate is bad or not valid yet: set the clock of the "
        "machine that is wrong, or make a new certificate"
    ),
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _NOT_ACCEPTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NOT_ACCEPTED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _NOT_ACCEPTED,
    "TLSV1_ALERT_DECRYPT_ERROR": _NOT_ACCEPTED,
}
_BY_REASON = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": (
        "{peer} sent no certificate: start it with an identity of this cluster"
    ),
    "UNSUPPORTED_PROTOCOL": _TLS_1_3,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TLS_1_3,
}


def why_no_handshake(error: ssl.SSLError, *, has_begun: bool) -> Why:
    """Say why a handshake failed.

    Args:
        has_begun: Whether the peer has said anything.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        other = "the certificate of {peer} is refused here ({reason}): make a new one there"
        return _refusal(_BY_VERIFY_CODE.get(error.verify_code, other), error.verify_message)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Why(_CUT_HANDSHAKE if has_begun else _SILENT, False)
    reason = error.reason or ""
    other = "{peer} and this side found no way to speak TLS ({reason})"
    return _refusal(_BY_ALERT.get(reason) or _BY_REASON.get(reason, other), reason)


def why_ended(error: ssl.SSLError, *, is_server: bool) -> Why:
    """Say why a stream ended that had begun well, as far as this side knew."""
    reason = error.reason or ""
    if reason in _BY_ALERT and not is_server:  # no server looks at a certificate later
        return _refusal(_BY_ALERT[reason], reason)
    if isinstance(error, ssl.SSLEOFError):
        return Why("the connection to {peer} was cut", False)
    return Why(f"the connection to {{peer}} broke ({_words(reason)})", False)


def _refusal(words: str, reason: str) -> Why:
    return Why(words.replace("{reason}", _words(reason)), True)


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower() or "OpenSSL does not say why"
