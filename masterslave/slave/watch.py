"""Where a slave looks for farms: this user's directory, and every name server that it finds."""

from __future__ import annotations

import threading
from collections.abc import Callable

from masterslave.naming import ANY_LABEL, PREFIX, FarmRecord, read_record
from nameserver import Directory, NameServerClient, ServerWatch, watch_for_servers
from remoteobj import ConnectionLost, DeadlinePassed, RemoteObjError

__all__ = ["FarmWatch"]

_DIRECTORY_S = 0.2
_NAMESERVER_S = 0.5


class FarmWatch:
    """Calls *on_found* with each farm that is listed somewhere, again and again while it is.

    Args:
        label: Only farms of this label, or ``"*"``.
        on_found: Called with a farm and where it was found, in threads of the watch.
        nameserver: Whether to look for name servers too: True finds them by zeroconf (or by
            ``REMOTEOBJ_NAMESERVER``), an address asks that one.
        insecure: Whether name servers on plain TCP are asked.
        report: Called with lines for people.
    """

    def __init__(
        self,
        label: str,
        on_found: Callable[[FarmRecord, str], None],
        *,
        nameserver: str | bool,
        insecure: bool,
        report: Callable[[str], None],
    ) -> None:
        self._label = label
        self._on_found = on_found
        self._nameserver = nameserver
        self._insecure = insecure
        self._report = report
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._servers: set[str] = set()
        self._server_watch: ServerWatch | None = None

    def start(self) -> None:
        """Begin to look, in the background.

        Raises:
            BadURI: The name server's address is none.
        """
        if self._nameserver:
            address = self._nameserver if isinstance(self._nameserver, str) else None
            self._server_watch = watch_for_servers(
                self._found_server, address=address, insecure=self._insecure
            )
        self._start_thread(self._watch_directory, "watch directory")

    def close(self) -> None:
        """Stop looking. Blocks until the threads are gone."""
        self._closed.set()
        if self._server_watch is not None:
            self._server_watch.close()
        for thread in list(self._threads):
            thread.join()

    def _start_thread(self, target: Callable[..., None], name: str, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch_directory(self) -> None:
        while not self._closed.is_set():
            try:
                for record in Directory().list(PREFIX):
                    self._tell(read_record(record), "this user's directory")
            except (RemoteObjError, OSError) as error:
                self._report(f"cannot look into this user's directory: {error}")
                self._closed.wait(5.0)
            self._closed.wait(_DIRECTORY_S)

    def _found_server(self, client: NameServerClient) -> None:
        if self._closed.is_set() or client.address in self._servers:
            client.close()
            return
        self._servers.add(client.address)
        self._report(f"name server at {client.address} ({client.how})")
        self._start_thread(self._watch_server, f"watch {client.address}", client)

    def _watch_server(self, client: NameServerClient) -> None:
        where = f"the name server at {client.address}, {client.how}"
        is_lost = False
        try:
            while not self._closed.is_set():
                for record in client.list(PREFIX):
                    self._tell(read_record(record), where)
                self._closed.wait(_NAMESERVER_S)
        except RemoteObjError as error:
            self._report(f"name server at {client.address} is gone ({error}); looking on")
            is_lost = isinstance(error, ConnectionLost | DeadlinePassed)
        finally:
            self._servers.discard(client.address)
            client.close()
        if is_lost and self._server_watch is not None:
            self._server_watch.lost(client)

    def _tell(self, farm: FarmRecord | None, where: str) -> None:
        if farm is not None and self._label in (ANY_LABEL, farm.label):
            self._on_found(farm, where)
