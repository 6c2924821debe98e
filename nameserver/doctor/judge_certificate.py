"""What there is to say of an identity's certificate (pure)."""

from __future__ import annotations

from nameserver.doctor.facts import Credentials
from nameserver.doctor.verdict import Finding, note, ok, wrong

__all__ = ["certificate"]

_SOON_DAYS = 14.0


def certificate(held: Credentials, how: str = "") -> Finding:
    """Look at credentials that there are, or that there were to be.

    Args:
        how: What is said before whom they name.
    """
    if held.problem:
        return wrong(
            "identity", held.problem, "openssl x509 -noout -subject -issuer -dates -in CERTIFICATE"
        )
    if held.days_left < _SOON_DAYS:
        return note(
            "identity",
            f"{how}{held.subject!r}, whose certificate ends in {held.days_left:.0f} days",
            "make a new certificate in time, and start anew what uses it",
        )
    return ok("identity", f"{how}{held.subject!r}, for {held.days_left:.0f} more days")
