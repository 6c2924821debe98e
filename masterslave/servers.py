"""Following name servers as they come and go: a thread for each that is found."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nameserver import NameServerClient, ServerWatch, StorageFailed, watch_for_servers
from remoteobj import ConnectionLost, DeadlinePassed, Identity, RemoteObjError

__all__ = ["ServerFollower"]

_FULL_S = 5.0


class ServerFollower:
    """Does something at every name server that is found, for as long as it answers.

    Args:
        follow: Called with a client and the event that ends it, in a thread of that server's. When
            it raises because the server is lost, it is called again when the server is back.
        on_error: Called with the client and the error that ended ``follow``.
    """

    def __init__(
        self,
        follow: Callable[[NameServerClient, threading.Event], None],
        on_error: Callable[[NameServerClient, RemoteObjError], None],
    ) -> None:
        self._follow = follow
        self._on_error = on_error
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._watch: ServerWatch | None = None

    def open(self, nameserver: str | bool, *, identity: Identity | None, insecure: bool) -> None:
        """Begin to look, in the background.

        Args:
            nameserver: True finds servers by zeroconf, or where ``REMOTEOBJ_NAMESERVER`` says; an
                address asks that one; False none.
            identity: Who this machine is: they are asked over TLS then.
            insecure: Whether name servers on plain TCP are asked.
        Raises:
            BadURI: The address is none.
            BadInput: An identity and *insecure* were both given.
        """
        if nameserver:
            address = nameserver if isinstance(nameserver, str) else None
            self._watch = watch_for_servers(
                self._found, address=address, identity=identity, insecure=insecure
            )

    def stop(self) -> None:
        """Have every ``follow`` that waits for its event return."""
        self._closed.set()

    def close(self) -> None:
        """Follow no longer. Blocks until every ``follow`` has returned."""
        self.stop()
        if self._watch is not None:
            self._watch.close()
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()

    def _found(self, client: NameServerClient) -> None:
        with self._lock:
            if self._closed.is_set() or client.address in self._threads:
                client.close()
                return
            thread = threading.Thread(
                target=self._run, args=(client,), name=f"server {client.address}", daemon=True
            )
            self._threads[client.address] = thread
            thread.start()

    def _run(self, client: NameServerClient) -> None:
        is_lost = False
        try:
            with client:
                self._follow(client, self._closed)
        except RemoteObjError as error:
            is_lost = isinstance(error, ConnectionLost | DeadlinePassed | StorageFailed)
            if not self._closed.is_set():
                self._on_error(client, error)
            if isinstance(error, StorageFailed):  # its disk is full: somebody has to make room
                self._closed.wait(_FULL_S)
        finally:
            with self._lock:
                del self._threads[client.address]
        if is_lost and self._watch is not None:
            self._watch.lost(client)
