"""Keep this process's identity true: who was revoked meanwhile, and its own certificate in time.

A process that is in touch with the name server that has the cluster's authority hears of a
revocation at once, and when it comes back, of all that it has missed. One that is not in touch goes
on with what it knows.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from nameserver.changes import Event
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
    """Follows the authority at one name server, until ``close()``.

    Does nothing for an identity that was not stored by pairing: nobody renews or revokes that.

    Args:
        identity: It is told what is revoked, and takes up its next certificate.
        client: Of the name server; it stays the caller's.
        clock: Seconds since 1970.

    Threads: two of its own; any may close.
    """

    def __init__(
        self,
        identity: Identity | None,
        client: NameServerClient,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._uri: URI | None = None
        self._newest = 0
        self._heard = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        if identity is None or identity.cluster is None:
            return
        self._watch = client.watch(NAME_SERVER, on_event=self._hear)
        self._thread = threading.Thread(
            target=self._look, args=(identity,), name="trust", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Follow no longer. Blocks: until a call that is under way has ended, 2 s at most."""
        if self._thread is None:
            return
        self._closed = True
        self._heard.set()
        self._watch.close()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hear(self, event: Event) -> None:
        record = event.record
        newest = revoked_number(record.metadata) if record.name == NAME_SERVER else None
        if newest is not None:
            self._uri = URI(f"PYRO:{AUTHORITY}@{record.uri.location}")
            self._newest = newest
            self._heard.set()

    def _look(self, identity: Identity) -> None:
        pause_s = LOOK_S
        while not self._closed:
            self._heard.wait(pause_s)
            self._heard.clear()
            if self._uri is None or self._closed:
                continue
            try:
                with Proxy(self._uri, identity=identity, settings=_SETTINGS) as authority:
                    if self._newest > identity.revoked.number:
                        self._fetch(identity, authority)
                    if identity.is_due(self._clock()):
                        self._renew(identity, authority)
                pause_s = LOOK_S
            except (RemoteObjError, OSError) as error:
                pause_s = AGAIN_S
                log.warning(
                    "the authority of this cluster at %s was asked in vain, and is again in %g s: "
                    "%s",
                    self._uri,
                    pause_s,
                    error,
                )

    def _fetch(self, identity: Identity, authority: Any) -> None:
        revoked = bytes(authority.revocations())
        if revoked:
            identity.note_revoked(revoked)

    def _renew(self, identity: Identity, authority: Any) -> None:
        from remoteobj.identity.request import make_request

        key, request = make_request(identity.claims.name)
        identity.take_up(bytes(authority.renew(request)), key)
        log.info("this machine's certificate was renewed, until %s", identity.expires)


class TrustEverywhere:
    """Follows the authority at every name server of an identity's cluster that is found.

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
        """Follow no longer. Blocks: as ``Trust.close``."""
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
