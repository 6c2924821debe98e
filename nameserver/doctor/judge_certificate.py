"""What there is to say of an identity's certificate (pure)."""

from __future__ import annotations

from nameserver.doctor.facts import Credentials, System
from nameserver.doctor.mending import mend_identity
from nameserver.doctor.verdict import Finding, note, ok, wrong

__all__ = ["certificate"]

_SOON_DAYS = 14.0


def certificate(held: Credentials, system: System, how: str = "") -> Finding:
    """Look at credentials that there are, or that there were to be.

    Args:
        how: What is said before whom they name.
    """
    if held.problem:
        show = "openssl x509 -noout -subject -issuer -dates -in CERTIFICATE"
        return wrong("identity", held.problem, mend_identity(held.problem, system) or show)
    who = f"{how}{held.subject!r}"
    if held.cluster:
        who += f", {held.role} of the cluster {held.cluster!r}"
    if held.days_left >= _SOON_DAYS:
        return ok("identity", f"{who}, for {held.days_left:.0f} more days")
    return note(
        "identity",
        f"{who}, whose certificate ends in {held.days_left:.0f} days",
        "leave a slave or farm running, in touch with the name server that has the authority: it "
        "renews the certificate"
        if held.cluster
        else "make a new certificate in time, and start anew what uses it",
    )
