"""Keep this process's own certificate true, and know where the cluster's authority is.

Whoever is in touch with the name server that has the authority renews its certificate there in
time, and remembers where that is: there every process of this account asks who was revoked, see
``remoteobj.client.following``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from nameserver.client import NameServerClient
from nameserver.pairing.presence import AUTHORITY, revoked_number
from nameserver.record import NAME_SERVER
from nameserver.servers import watch_for_servers
from remoteobj import Identity, Proxy, RemoteObjError, Settings
from remoteobj.uri import URI

__all__ = ["LOOK_S", "Trust", "TrustEverywhere"]

log = logging.getLogger("nameserver.trust")

LOOK_S = 3600.0
"""From one look at the own certificate's end to the next."""

AGAIN_S = 5.0
_SETTINGS = Settings(call_timeout_s=5.0)


class Trust:
    """Looks after one identity at one name server, until ``close()``.

    Does nothing for an identity that was not stored by pairing: nobody renews that.

    Args:
        identity: It takes up its next certificate, and remembers where the authority is.
        client: Of the name server; it stays the caller's.
        clock: Seconds since 1970.

    Threads: one of its own; any may close.
    """

    def __init__(
        self,
        identity: Identity | None,
        client: NameServerClient,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._clock = clock
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if identity is not None and identity.cluster is not None:
            self._thread = threading.Thread(
                target=self._run, args=(identity,), name="trust", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Look no more. Blocks: until a call that is under way has ended, 5 s at most."""
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, identity: Identity) -> None:
        pause_s = 0.0
        while not self._closed.wait(pause_s):
            try:
                self._look(identity)
                pause_s = LOOK_S
            except (RemoteObjError, OSError) as error:
                pause_s = AGAIN_S
                if not self._closed.is_set():
                    log.warning(
                        "the authority of this cluster, found by the name server at %s, was asked "
                        "in vain, and is again in %g s: %s",
                        self._client.address,
                        pause_s,
                        error,
                    )

    def _look(self, identity: Identity) -> None:
        record = self._client.lookup(NAME_SERVER)
        if revoked_number(record.metadata) is None or record.uri.location is None:
            return  # the authority is elsewhere
        uri = URI(f"PYRO:{AUTHORITY}@{record.uri.location}")
        with Proxy(uri, identity=identity, settings=_SETTINGS, role="operator") as authority:
            authority.revocations()  # so it is the authority, and no member that says so
            identity.note_server(record.uri.location)
            if identity.is_due(self._clock()):
                self._renew(identity, authority)

    def _renew(self, identity: Identity, authority: Any) -> None:
        from remoteobj.identity.request import make_request

        key, request = make_request(identity.claims.name)
        identity.take_up(bytes(authority.renew(request)), key)
        log.info("this machine's certificate was renewed, until %s", identity.expires)


class TrustEverywhere:
    """Looks after an identity at every name server of its cluster that is found.

    For processes that are in touch with none by themselves, as a second name server is. Raises as
    ``watch_for_servers``.

    Threads: one, and those of ``Trust`` for each server; any may close.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._lock = threading.Lock()
        self._followed: dict[str, tuple[NameServerClient, Trust]] = {}
        self._closed = False
        self._watch = watch_for_servers(self._found, identity=identity, cluster=identity.cluster)

    def close(self) -> None:
        """Look no more. Blocks: as ``Trust.close``."""
        self._watch.close()
        with self._lock:
            self._closed = True
            followed, self._followed = self._followed, {}
        for client, trust in followed.values():
            trust.close()
            client.close()

    def _found(self, client: NameServerClient) -> None:
        with self._lock:
            if self._closed or client.address in self._followed:
                client.close()
            else:
                self._followed[client.address] = client, Trust(self._identity, client)
