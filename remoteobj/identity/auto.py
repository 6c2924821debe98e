"""``identity="auto"``: the identity that pairing has stored on this account, if there is one."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from remoteobj.errors import IdentityUnusable
from remoteobj.identity.clusters import chosen_cluster
from remoteobj.identity.files import AUTO, Auto, Identity, refuse_both
from remoteobj.identity.places import cluster_in_use, directory_of, stored_clusters

if TYPE_CHECKING:
    from remoteobj.identity.store import Store

__all__ = ["AUTO", "Auto", "choose_identity"]

_cached: dict[str, tuple[object, Identity]] = {}
_lock = threading.Lock()


def choose_identity(
    identity: Identity | Auto | None, insecure: bool = False, cluster: str | None = None
) -> Identity | None:
    """Return the identity that is meant.

    Args:
        identity: One; None: none at all; ``"auto"``: the stored one of the cluster that is meant,
            if this account is in it and *insecure* is not asked for, else none.
        insecure: Whether plain TCP is asked for.
        cluster: Which cluster is meant, as for :meth:`Identity.stored`.
    Raises:
        BadInput: TLS and plain TCP are both asked for, or *identity* is something else.
        IdentityUnusable: This account is in several clusters of which none was chosen; or what is
            stored cannot be used: see :meth:`Identity.stored`.
    Blocks: on the disk.  Threads: any. In one process all get the same object, which takes up a
        renewed certificate by itself when it is asked for here.
    """
    refuse_both(identity, insecure)
    if identity is None or isinstance(identity, Identity):
        return identity
    if insecure:
        return None
    stored, named = stored_clusters(), chosen_cluster(cluster)
    if not stored or (named is not None and named not in stored):
        return None
    return _stored(cluster_in_use(named))


def _stored(cluster: str) -> Identity:
    from remoteobj.identity.store import Store

    store = Store(directory_of(cluster))
    key, mark = str(store.directory), _mark(store)
    with _lock:
        known_mark, known = _cached.get(key, (None, None))
        if known is not None and known_mark != mark:
            try:
                known.reload()
            except IdentityUnusable:  # another node's after leaving and joining, or damaged
                known = None
        if known is None or known.refuses(known.claims) is not None:
            known = Identity.stored(cluster)  # which says what is wrong
        _cached[key] = mark, known
        return known


def _mark(store: Store) -> object:
    """Return what differs once a file was replaced."""
    marks: list[object] = []
    for path in (store.ca_path, store.identity_path, store.directory / "revoked.pem"):
        try:
            status = os.stat(path)
            marks.append((status.st_ino, status.st_mtime_ns, status.st_mode, status.st_uid))
        except OSError:
            marks.append(None)
    return tuple(marks)
