"""Which cluster a name server is of, and how one is chosen.

A network may have several name servers for different purposes: a lab's and a student's. Each says
which cluster it is of. Who looks for one says which is meant, and need not where there is only one.
What a cluster is called is in :mod:`remoteobj.identity.clusters`.
"""

from __future__ import annotations

from collections.abc import Iterable

from nameserver.errors import BadName
from remoteobj.errors import BadInput
from remoteobj.identity import clusters
from remoteobj.identity.clusters import DEFAULT_CLUSTER, HOW_TO_CHOOSE

__all__ = [
    "DEFAULT_CLUSTER",
    "HOW_TO_CHOOSE",
    "check_cluster",
    "chosen_cluster",
    "cluster_in",
    "cluster_tag",
]

_TAG = "cluster:"


def check_cluster(name: str) -> str:
    """Return *name* if a cluster may be called so.

    Raises:
        BadName: It may not; the message says what a name looks like.
    """
    try:
        return clusters.check_cluster(name)
    except BadInput as error:
        raise BadName(str(error)) from None


def chosen_cluster(cluster: str | None = None) -> str | None:
    """Return which cluster is meant: *cluster*, else ``REMOTEOBJ_CLUSTER``; None: whichever it is.

    Raises:
        BadName: It is no name of a cluster.
    """
    try:
        return clusters.chosen_cluster(cluster)
    except BadInput as error:
        raise BadName(str(error)) from None


def cluster_tag(cluster: str) -> str:
    """Return the metadata of a name server's own record that says what its cluster is."""
    return f"{_TAG}{cluster}"


def cluster_in(metadata: Iterable[str]) -> str:
    """Return which cluster the metadata of a name server's own record say; empty: none."""
    return next((tag.removeprefix(_TAG) for tag in metadata if tag.startswith(_TAG)), "")
