"""Where a farm makes itself known: this user's directory, and name servers if it may."""

from __future__ import annotations

import logging
import threading

from masterslave.naming import FarmRecord, metadata_of, name_of
from nameserver import Directory, NameServerClient, ServerWatch, watch_for_servers
from remoteobj import ConnectionLost, DeadlinePassed, RemoteObjError

__all__ = ["Places"]

log = logging.getLogger("masterslave")

_CHECK_S = 2.0


class Places:
    """Registers a farm in every place that it may reach, until it is closed.

    Args:
        nameserver: False registers in the directory only; True also at every name server that is
            found; an address at that one.
        insecure: Whether name servers on plain TCP are used.
    """

    def __init__(self, farm: FarmRecord, *, nameserver: str | bool, insecure: bool) -> None:
        self._farm = farm
        self._name = name_of(farm.label, farm.farm)
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._servers: set[str] = set()
        self._directory = Directory()
        self._nameserver = nameserver
        self._insecure = insecure
        self._watch: ServerWatch | None = None

    def open(self) -> None:
        """Register the farm.

        Raises:
            BadURI: The name server's address is none.
        """
        self._directory.register(self._name, self._farm.uri, metadata=metadata_of(self._farm))
        if self._nameserver:
            address = self._nameserver if isinstance(self._nameserver, str) else None
            self._watch = watch_for_servers(self._found, address=address, insecure=self._insecure)

    @property
    def servers(self) -> tuple[str, ...]:
        """Addresses of the name servers where the farm is registered now."""
        return tuple(sorted(self._servers))

    def close(self) -> None:
        """Take the farm's name out of every place."""
        self._closed.set()
        if self._watch is not None:
            self._watch.close()
        for thread in self._threads:
            thread.join()
        self._directory.close()

    def _found(self, client: NameServerClient) -> None:
        if self._closed.is_set() or client.address in self._servers:
            client.close()
            return
        thread = threading.Thread(
            target=self._keep_registered,
            args=(client,),
            name=f"register {client.address}",
            daemon=True,
        )
        self._threads.append(thread)
        thread.start()

    def _keep_registered(self, client: NameServerClient) -> None:
        """Register, and again if the server has forgotten, until the end."""
        is_lost = False
        try:
            with client:
                client.register(
                    self._name, self._farm.uri, metadata=metadata_of(self._farm), replace=True
                )
                self._servers.add(client.address)
                log.info("registered at the name server at %s (%s)", client.address, client.how)
                while not self._closed.wait(_CHECK_S):
                    if not client.list(self._name):
                        client.register(
                            self._name, self._farm.uri, metadata=metadata_of(self._farm)
                        )
                client.remove(self._name)
        except RemoteObjError as error:
            if not self._closed.is_set():
                log.warning("name server at %s: %s", client.address, error)
            is_lost = isinstance(error, ConnectionLost | DeadlinePassed)
        finally:
            self._servers.discard(client.address)
        if is_lost and self._watch is not None:
            self._watch.lost(client)
