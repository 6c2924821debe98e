"""What a name server's own record says of its cluster's authority.

That it is there, and the number of the list of revocations: so whoever watches that name hears of a
new one.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["AUTHORITY", "revoked_number", "revoked_tag"]

AUTHORITY = "Pyro.NameServer.authority"
"""The object's id, at the daemon of the name server."""

_TAG = "revoked:"


def revoked_tag(number: int) -> str:
    """Return the metadata that say which list of revocations is the newest."""
    return f"{_TAG}{number}"


def revoked_number(metadata: Iterable[str]) -> int | None:
    """Return the number of the newest list of revocations, 0 for none; None: no authority there."""
    for tag in metadata:
        number = tag.removeprefix(_TAG)
        if number != tag and number.isdecimal():
            return int(number)
    return None
