"""Where a farm's master can be called: on this machine always, on the network if it reaches it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from masterslave.protocol.joining import DOOR_ID
from nameserver.networks import Networks, is_unspecified, own_interfaces
from remoteobj import URI, Daemon, Identity

__all__ = ["Doors"]


class Doors:
    """Publishes one door at two places: a Unix socket of this user, and TCP with TLS.

    So this user's slaves on this machine need no identity, and local ones go the short way.

    Args:
        host: Address of this machine to serve other machines at, or None.
        identity: Who this machine is; needed with a host.

    Raises:
        InsecureRefused: A host without an identity.
        AddressUnusable: The host is not this machine's.
    """

    def __init__(self, host: str | None, identity: Identity | None) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
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
        """For name servers, where the farm has a host, which may be all addresses; else local."""

    def outer_uri(self) -> URI:
        """Return an address for other machines, where there is one; else the local one."""
        uri = self.uri
        if not is_unspecified(uri.host or ""):
            return uri
        hosts = Networks(own_interfaces()).outer()
        return URI.of_tcp(uri.object, hosts[0], uri.port or 0) if hosts else self.local_uri

    def open(self, door: Any, beside: Mapping[str, Any]) -> bool:
        """Publish the door and what is beside it, by its ids, and serve in the background.

        Returns:
            Whether it does: not where it was closed before.
        """
        with self._lock:
            if self._is_closed:
                return False
            for daemon in self._daemons:
                for name, each in beside.items():
                    daemon.register(each, name)
                daemon.register(door, DOOR_ID)
                daemon.start()
            return True

    def close(self) -> None:
        """Serve no longer. Blocks on calls that run, at most two seconds for each place."""
        with self._lock:
            self._is_closed = True
        for daemon in self._daemons:
            daemon.close()
