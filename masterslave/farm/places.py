"""Where a farm makes itself known: this user's directory, and name servers if it may."""

from __future__ import annotations

import logging
import threading

from masterslave.naming import FarmRecord, metadata_of, name_of
from masterslave.servers import ServerFollower
from nameserver import Directory, NameServerClient, NamingError, Watch
from remoteobj import Identity, RemoteObjError
from remoteobj.identity.places import HOW_TO_PAIR

__all__ = ["Places"]

log = logging.getLogger("masterslave")

_LEASE_S = 6.0


class Places:
    """Registers a farm in every place that it may reach, until it is closed.

    Args:
        local: What this user's directory tells of it.
        farm: What name servers tell of it.
        nameserver: False registers in the directory only; True also at every name server that is
            found; an address at that one.
        identity: Who this machine is: name servers are asked over TLS then.
        insecure: Whether name servers on plain TCP are used.
        cluster: Only name servers of this one are used; None: what ``REMOTEOBJ_CLUSTER`` says, else
            those of all clusters.
    """

    def __init__(
        self,
        local: FarmRecord,
        farm: FarmRecord,
        *,
        nameserver: str | bool,
        identity: Identity | None,
        insecure: bool,
        cluster: str | None = None,
    ) -> None:
        self._local = local
        self._farm = farm
        self._name = name_of(farm.label, farm.farm)
        self._registered: set[str] = set()
        self._watches: set[Watch] = set()
        self._directory = Directory()
        self._nameserver = nameserver
        self._identity, self._insecure, self._cluster = identity, insecure, cluster
        self._followed = ServerFollower(self._keep_registered, self._not_registered)

    def open(self) -> None:
        """Register the farm.

        Raises:
            BadURI: The name server's address is none.
            BadName: The cluster's name is none.
        """
        self._directory.register(self._name, self._local.uri, metadata=metadata_of(self._local))
        self._followed.open(
            self._nameserver,
            identity=self._identity,
            insecure=self._insecure,
            cluster=self._cluster,
        )

    @property
    def servers(self) -> tuple[str, ...]:
        """Addresses of the name servers where the farm is registered now."""
        return tuple(sorted(self._registered.copy()))

    def close(self) -> None:
        """Take the farm's name out of every place. Blocks on name servers that do not answer."""
        self._followed.stop()
        for watch in self._watches.copy():
            watch.close()
        self._followed.close()
        self._directory.close()

    def _keep_registered(self, client: NameServerClient, closed: threading.Event) -> None:
        """Register, and again if somebody takes the name away, until the end.

        The watch begins first: so nobody can take it away between the two without being seen.
        """
        watch = client.watch(self._name, patience_s=0)
        self._watches.add(watch)
        try:
            with watch:
                if not closed.is_set():
                    watch.begin()
                    self._register(client)
                    for event in watch:
                        if event.kind in ("removed", "expired"):
                            self._register(client)
            client.take_back(self._name)
        finally:
            self._watches.discard(watch)
            client.forget(self._name)
            self._registered.discard(client.address)

    def _register(self, client: NameServerClient) -> None:
        metadata = metadata_of(self._farm)
        client.register(
            self._name, self._farm.uri, metadata=metadata, lease_s=_LEASE_S, replace=True
        )
        self._registered.add(client.address)
        log.info("registered at the name server at %s (%s)", client.address, client.how)

    def _not_registered(self, client: NameServerClient, error: RemoteObjError) -> None:
        hint = ""
        if isinstance(error, NamingError) and self._farm.uri.sockname is not None:
            hint = f": for slaves of other machines, {HOW_TO_PAIR}"
        log.warning("name server at %s: %s%s", client.address, error, hint)
