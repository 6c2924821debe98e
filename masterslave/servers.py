"""Following name servers as they come and go: a thread for each that is found."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from nameserver import NameServerClient, ServerWatch, StorageFailed, watch_for_servers
from nameserver.trust import Trust
from remoteobj import ConnectionLost, DeadlinePassed, Identity, RemoteObjError

__all__ = ["ServerFollower"]

log = logging.getLogger("masterslave")

_FULL_S = 5.0
_BROKEN_S, _MOST_BROKEN_S = 0.5, 30.0


class ServerFollower:
    """Does something at every name server that is found, for as long as it answers.

    It keeps this process's identity true meanwhile: see ``nameserver.trust``.

    Args:
        follow: Called with a client and the event that ends it, in a thread of that server's. When
            it raises because the server is lost, it is called again when the server is back.
        on_error: Called with the client and the error that ended ``follow``.

    Whatever else goes wrong in one of the two is a mistake of this program: it is logged, and the
    server is followed again, after a pause that is twice as long each time.
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
        self._broken: dict[str, float] = {}  # the last pause, by address
        self._watch: ServerWatch | None = None
        self._identity: Identity | None = None

    def open(
        self,
        nameserver: str | bool,
        *,
        identity: Identity | None,
        insecure: bool,
        cluster: str | None = None,
    ) -> None:
        """Begin to look, in the background.

        Args:
            nameserver: True finds servers by zeroconf, or where ``REMOTEOBJ_NAMESERVER`` says; an
                address asks that one; False none.
            identity: Who this machine is: they are asked over TLS then.
            insecure: Whether name servers on plain TCP are asked.
            cluster: Only servers of this one; None: what ``REMOTEOBJ_CLUSTER`` says, else all.
        Raises:
            BadURI: The address is none.
            BadName: The cluster's name is none.
            BadInput: An identity and *insecure* were both given.
        """
        self._identity = identity
        if nameserver:
            address = nameserver if isinstance(nameserver, str) else None
            with self._lock:  # so that whoever is found at once finds the watch too
                self._watch = watch_for_servers(
                    self._found,
                    address=address,
                    identity=identity,
                    insecure=insecure,
                    cluster=cluster,
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
            try:
                thread.start()  # it waits for the lock before it goes
            except RuntimeError:  # the system has no thread for it now
                log.exception("the name server at %s is not followed yet", client.address)
                client.close()
                self._lost(client)
                return
            self._threads[client.address] = thread

    def _run(self, client: NameServerClient) -> None:
        is_lost = True
        try:
            with client, Trust(self._identity, client):
                is_lost = self._follow_once(client)
            self._broken.pop(client.address, None)
        except Exception:
            pause_s = min(2 * self._broken.get(client.address, _BROKEN_S / 2), _MOST_BROKEN_S)
            self._broken[client.address] = pause_s
            log.exception(
                "following the name server at %s has failed; again in %g s",
                client.address,
                pause_s,
            )
            self._closed.wait(pause_s)
        finally:
            with self._lock:
                del self._threads[client.address]
        if is_lost:
            self._lost(client)

    def _lost(self, client: NameServerClient) -> None:
        """Have a server found again."""
        if self._watch is not None:
            self._watch.lost(client)

    def _follow_once(self, client: NameServerClient) -> bool:
        """Follow; return whether the server is lost, so that it has to be found again."""
        try:
            self._follow(client, self._closed)
        except RemoteObjError as error:
            if not self._closed.is_set():
                self._on_error(client, error)
            if isinstance(error, StorageFailed):  # its disk is full: somebody has to make room
                self._closed.wait(_FULL_S)
            return isinstance(error, ConnectionLost | DeadlinePassed | StorageFailed)
        return False
