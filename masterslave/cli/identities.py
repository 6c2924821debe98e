"""Who this machine is, for a command: what was typed, else what pairing has stored."""

from __future__ import annotations

from remoteobj import Identity
from remoteobj.cli import IdentityFiles, read_identity
from remoteobj.identity.clusters import chosen_cluster
from remoteobj.identity.places import cluster_in_use

__all__ = ["identity_for", "identity_of_slave"]


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


def identity_of_slave(
    files: IdentityFiles | None, insecure: bool, cluster: str | None
) -> tuple[Identity | None, bool, str | None]:
    """Return the same, and refuse a cluster that this account is not in: it could serve nobody.

    Raises:
        BadInput, IdentityUnusable: As ``read_identity`` does; or it is not in *cluster*.
    """
    who, insecure, meant = identity_for(files, insecure, cluster)
    if who is None and not insecure and chosen_cluster(meant) is not None:
        cluster_in_use(meant)
    return who, insecure, meant
