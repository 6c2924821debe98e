"""What a cluster is called, and how one is chosen.

A network may have several clusters for different purposes: a lab's and a student's. The name is no
secret and proves nothing: who may take part is decided by identities.
"""

from __future__ import annotations

import os
import re

from remoteobj.errors import BadInput

__all__ = ["DEFAULT_CLUSTER", "HOW_TO_CHOOSE", "check_cluster", "chosen_cluster"]

DEFAULT_CLUSTER = "default"

HOW_TO_CHOOSE = "cluster=, --cluster at the command line, or REMOTEOBJ_CLUSTER"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


def check_cluster(name: str) -> str:
    """Return *name* if a cluster may be called so.

    Raises:
        BadInput: It may not; the message says what a name looks like.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no name of a cluster: letters, digits, '-' and '_', 60 at most, "
            "such as lab-3"
        )
    return name


def chosen_cluster(cluster: str | None = None) -> str | None:
    """Return which cluster is meant: *cluster*, else ``REMOTEOBJ_CLUSTER``; None: whichever it is.

    Raises:
        BadInput: It is no name of a cluster.
    """
    chosen = cluster if cluster is not None else os.environ.get("REMOTEOBJ_CLUSTER") or None
    return None if chosen is None else check_cluster(chosen)
