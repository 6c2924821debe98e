"""Where a farm's master can be called: on this machine always, on the network if it has a host."""

from __future__ import annotations

from typing import Any

from masterslave.errors import CodeRefused
from masterslave.protocol.joining import DOOR_ID
from remoteobj import URI, Daemon, Identity

__all__ = ["Doors"]


class Doors:
    """Publishes one door at two places: a Unix socket of this user, and TCP with TLS.

    So this user's slaves on this machine need no identity, and local ones go the short way.

    Args:
        host: Address of this machine to serve other machines at, or None.
        identity: Who this machine is.

    Raises:
        CodeRefused: A host without an identity.
        AddressUnusable: The host is not this machine's.
    """

    def __init__(self, host: str | None, identity: Identity | None) -> None:
        if host is not None and identity is None:
            raise CodeRefused(
                f"a farm cannot serve on {host} without identity=: tasks are code, which does not "
                "cross plain TCP; give identity=Identity.from_files(ca, certificate, key), or "
                "leave host out: slaves on this machine find the farm"
            )
        self._daemons = [Daemon()]
        if host is not None:
            try:
                self._daemons.append(Daemon(host, identity=identity))
            except BaseException:
                self.close()
                raise
        self.local_uri: URI = self._daemons[0].uri_of(DOOR_ID)
        """For this user's processes on this machine."""
        self.uri: URI = self._daemons[-1].uri_of(DOOR_ID)
        """For other machines, where the farm has a host; else the local one."""

    def open(self, door: Any) -> None:
        """Publish the door, and serve in the background."""
        for daemon in self._daemons:
            daemon.register(door, DOOR_ID)
            daemon.start()

    def close(self) -> None:
        """Serve no longer. Blocks on calls that run, at most two seconds for each place."""
        for daemon in self._daemons:
            daemon.close()
