"""What this process knows of a cluster's revocations, and whom it tells when that changes.

Identities of one node share it: what one of them has learned is known to all of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from weakref import WeakValueDictionary

from remoteobj.identity.revoked import NOTHING_REVOKED, Revoked

__all__ = ["Knowledge", "knowledge_of"]

_log = logging.getLogger("remoteobj")


class Knowledge:
    """The newest list of revocations, and those who want to know of a newer one; any thread."""

    __slots__ = ("__weakref__", "_callbacks", "_lock", "revoked")

    def __init__(self) -> None:
        self.revoked: Revoked = NOTHING_REVOKED
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable[[], None]] = {}

    def note(self, revoked: Revoked) -> bool:
        """Take a list if it is newer, and tell; False: it is not."""
        with self._lock:
            if revoked.number <= self.revoked.number:
                return False
            self.revoked = self.revoked.merge(revoked)
        self.tell()
        return True

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* at each change; returns what ends that."""
        token = object()
        with self._lock:
            self._callbacks[token] = callback
        return lambda: self._forget(token)

    def _forget(self, token: object) -> None:
        with self._lock:
            self._callbacks.pop(token, None)

    def tell(self) -> None:
        """Call everybody who wants to know; what one of them raises is logged, and no more."""
        with self._lock:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            try:
                callback()
            except Exception:
                _log.exception("a callback of Identity.on_change failed")


_known: WeakValueDictionary[tuple[str, str], Knowledge] = WeakValueDictionary()
_lock = threading.Lock()


def knowledge_of(ca_fingerprint: str, node: str) -> Knowledge:
    """Return what is known in the cluster of this CA, for all identities of one node."""
    key = (ca_fingerprint, node)
    with _lock:
        known = _known.get(key)
        if known is None:
            known = _known[key] = Knowledge()
        return known
