"""A cluster's authority as part of a name server: where machines join, and what they may ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from nameserver.pairing.authority import AuthorityService
from nameserver.pairing.host import Host
from nameserver.pairing.presence import AUTHORITY, revoked_tag
from remoteobj import Daemon, Identity
from remoteobj.identity.revoked import Revoked
from remoteobj.identity.store import Store

__all__ = ["Pairing"]


class Pairing:
    """Made by ``open``; threads: any."""

    def __init__(self, identity: Identity, host: Host, changed: Callable[[], None]) -> None:
        self._identity, self._host, self._changed = identity, host, changed

    @classmethod
    def open(
        cls,
        identity: Identity,
        daemon: Daemon,
        address: str,
        port: int | None,
        *,
        hosts: Callable[[], Sequence[str]],
        announce: bool,
        changed: Callable[[], None],
    ) -> Pairing | None:
        """Publish the authority at a name server's daemon, if this account has it; else None.

        Args:
            identity: The name server's, as it is stored.
            daemon: The name server's.
            address: What it listens on.
            port: For joining; None: the usual one.
            hosts: Says by which addresses others reach this machine.
            announce: Whether a code is announced by zeroconf.
            changed: Called after each revocation, when :meth:`tag` is another one.
        Raises:
            IdentityUnusable: What is stored of the authority cannot be read.
        """
        store = Store.of(identity.cluster)
        if not store.has_authority:
            return None
        host = Host(
            store,
            address,
            port=port,
            hosts=hosts,
            announce=announce,
            server_port=daemon.port or 0,
        )
        pairing = cls(identity, host, changed)
        daemon.register(AuthorityService(host, pairing._tell), AUTHORITY)
        return pairing

    def tag(self) -> str:
        """Return what the name server's own record says of it."""
        return revoked_tag(self._host.office.revocations(now=time.time()).number)

    def close(self) -> None:
        """Let nobody in any more."""
        self._host.close()

    def _tell(self, revoked: Revoked) -> None:
        self._identity.note_revoked(revoked.pem)
        self._changed()
