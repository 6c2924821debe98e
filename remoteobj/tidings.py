"""What a daemon's peers hear from it, and tell it, of certificates that are worth nothing any more.

Any process of a cluster may hand on the list of revocations, because its authority has signed it:
who takes it looks at the signature, and not at whom it comes from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from remoteobj.callers import Session, current_context
from remoteobj.deferred import DeferredReply
from remoteobj.identity import Identity

__all__ = ["Tidings"]


class Tidings:
    """Of one daemon, whose own object they are asked of.  Threads: any.

    Args:
        identity: Who the daemon is; None: it belongs to no cluster.
    """

    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity
        self._lock = threading.Lock()
        # And what takes back that its session's end is noted, once it is.
        self._waiting: dict[DeferredReply, Callable[[], None] | None] = {}
        self._end: Callable[[], None] | None = None
        self._is_closed = identity is None

    @property
    def number(self) -> int | None:
        """Of the newest list; None: there is no cluster."""
        return None if self._identity is None else self._identity.revoked.number

    def newer_than(self, number: int) -> bytes | DeferredReply:
        """Return the list of revocations, as PEM, once its number is higher; no thread waits.

        Empty: the daemon is closing, or belongs to no cluster.
        """
        identity, context, reply = self._identity, current_context(), DeferredReply()
        session = context.session() if context is not None else None
        with self._lock:
            if identity is None or self._is_closed:
                return b""
            if identity.revoked.number > number:
                return identity.revoked.pem
            if self._end is None:
                self._end = identity.on_change(self._tell)
            self._waiting[reply] = None
        if session is not None:
            self._forget_at_end_of(session, reply)
        if identity.revoked.number > number:  # since a moment ago
            self._tell()
        return reply

    def take(self, number: int, crl_pem: bytes) -> None:
        """Take in a list that a peer has, which says that its number is this one.

        Raises:
            IdentityUnusable: The cluster's authority has not signed it.
        """
        if self._identity is not None and number > self._identity.revoked.number:
            self._identity.note_revoked(crl_pem)

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._lock:
            self._is_closed = True
            end = self._end
        if end is not None:
            end()
        self._answer(b"")

    def _tell(self) -> None:
        if self._identity is not None:
            self._answer(self._identity.revoked.pem)

    def _answer(self, crl_pem: bytes) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for reply, forget in waiting.items():
            if forget is not None:
                forget()
            reply.set(crl_pem)

    def _forget_at_end_of(self, session: Session, reply: DeferredReply) -> None:
        # Not under the lock: of a session that has ended it is forgotten in here, at once.
        mark = session.on_end(partial(self._forget, reply))
        with self._lock:
            waits = reply in self._waiting
            if waits:
                self._waiting[reply] = partial(session.forget, mark)
        if not waits:  # it has its answer, or its session has ended
            session.forget(mark)

    def _forget(self, reply: DeferredReply) -> None:
        with self._lock:
            self._waiting.pop(reply, None)
