"""Where a slave looks for farms: this user's directory, and every name server that it finds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from masterslave.naming import ANY_LABEL, PREFIX, FarmRecord, read_record
from masterslave.servers import ServerFollower
from nameserver import Directory, NameServerClient, Record, Watch
from remoteobj import Identity, RemoteObjError

__all__ = ["FarmWatch"]

log = logging.getLogger("masterslave")

_DIRECTORY_S = 0.2
_LISTED_S = 0.5


class FarmWatch:
    """Calls *on_found* with each farm that is listed somewhere, again and again while it is.

    Args:
        labels: Only farms of these labels; ``"*"`` among them: of any.
        on_found: Called with a farm and where it was found, in threads of the watch.
        nameserver: Whether to look for name servers too: True finds them by zeroconf (or by
            ``REMOTEOBJ_NAMESERVER``), an address asks that one.
        identity: Who this machine is: name servers are asked over TLS then.
        insecure: Whether name servers on plain TCP are asked.
        cluster: Only name servers of this one are asked; None: what ``REMOTEOBJ_CLUSTER`` says,
            else those of all clusters.
        report: Called with lines for people.
    """

    def __init__(
        self,
        labels: Collection[str],
        on_found: Callable[[FarmRecord, str], None],
        *,
        nameserver: str | bool,
        identity: Identity | None,
        insecure: bool,
        cluster: str | None = None,
        report: Callable[[str], None],
    ) -> None:
        self._labels = labels
        self._on_found = on_found
        self._nameserver = nameserver
        self._identity, self._insecure, self._cluster = identity, insecure, cluster
        self._report = report
        self._closed = threading.Event()
        self._watches: set[Watch] = set()
        self._listed: dict[tuple[str, str], Record] = {}  # by where and name
        self._servers = ServerFollower(self._watch_server, self._server_gone)
        self._thread = threading.Thread(
            target=self._watch_directory, name="watch directory", daemon=True
        )

    def start(self) -> None:
        """Begin to look, in the background.

        Raises:
            BadURI: The name server's address is none.
            BadName: The cluster's name is none.
            BadInput: An identity and *insecure* were both given.
        """
        self._servers.open(
            self._nameserver,
            identity=self._identity,
            insecure=self._insecure,
            cluster=self._cluster,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop looking. Blocks until the threads are gone."""
        self._closed.set()
        self._servers.stop()
        for watch in self._watches.copy():
            watch.close()
        self._servers.close()
        if self._thread.ident is not None:  # else it could not start
            self._thread.join()

    def _watch_directory(self) -> None:
        """Look into the directory, and tell again what name servers have told."""
        told_at = 0.0
        while not self._closed.is_set():
            try:
                for record in Directory().list(PREFIX):
                    self._tell(read_record(record), "this user's directory")
            except (RemoteObjError, OSError) as error:
                self._report(f"cannot look into this user's directory: {error}")
                self._closed.wait(5.0)
            if time.monotonic() - told_at > _LISTED_S:
                told_at = time.monotonic()
                for (where, _), record in list(self._listed.items()):
                    self._tell(read_record(record), where)
            self._closed.wait(_DIRECTORY_S)

    def _watch_server(self, client: NameServerClient, closed: threading.Event) -> None:
        self._report(f"name server at {client.address} ({client.how})")
        where = f"the name server at {client.address}, {client.how}"
        with client.watch(PREFIX, patience_s=0) as watch:
            self._watches.add(watch)
            try:
                for event in watch if not closed.is_set() else ():
                    if event.kind in ("removed", "expired"):
                        self._listed.pop((where, event.name), None)
                    else:
                        self._listed[where, event.name] = event.record
                        self._tell(read_record(event.record), where)
            finally:
                self._watches.discard(watch)
                for key in [key for key in list(self._listed) if key[0] == where]:
                    del self._listed[key]

    def _server_gone(self, client: NameServerClient, error: RemoteObjError) -> None:
        self._report(f"name server at {client.address} is gone ({error}); looking on")

    def _tell(self, farm: FarmRecord | None, where: str) -> None:
        if farm is not None and (farm.label in self._labels or ANY_LABEL in self._labels):
            try:
                self._on_found(farm, where)
            except Exception:  # it is told again while it is listed
                log.exception("what was to be done with the farm %s failed", farm.label)
