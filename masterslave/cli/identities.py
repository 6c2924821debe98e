"""Who this machine is, for a command: what was typed, else what pairing has stored."""

from __future__ import annotations

from remoteobj import Identity
from remoteobj.cli import IdentityFiles, read_identity

__all__ = ["identity_for"]


def identity_for(
    files: IdentityFiles | None, insecure: bool, cluster: str | None
) -> tuple[Identity | None, bool, str | None]:
    """Return who this machine is, whether plain TCP may be talked, and which cluster is meant.

    Args:
        files: What ``--identity`` was given.
        insecure: What ``--insecure`` says.
        cluster: What ``--cluster`` says.
    Raises:
        BadInput, IdentityUnusable: As ``read_identity`` does.
    """
    who, insecure = read_identity(files, insecure, cluster)
    return who, insecure, cluster or (who.cluster if who else None)
