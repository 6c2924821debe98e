"""A process on a host that does what a test says: an expression a line, its value as JSON.

    python console_script.py

Who the machine is, it finds where pairing has put it. So a test speaks of what happens on the
machines in one place, and a machine starts Python once.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
import traceback
import warnings
from typing import Any

from nameserver import (
    NameServer,
    NameServerClient,
    discovery,
    locate,
    watch_for_servers,
)
from nameserver.remembered import Memory, Remembered
from remoteobj import ConnectionLost, Daemon, DeadlinePassed, Proxy, RemoteObjError, expose


@expose
class Bell:
    """An object to register."""

    def ring(self) -> str:
        """Answer."""
        return "ding"


class Machine:
    """What a test has going on here."""

    def __init__(self) -> None:
        self.servers: list[NameServer] = []
        self.found: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self.sightings: list[discovery.Sighting] = []
        self.browsing: discovery.Browsing | None = None
        self._daemon: Daemon | None = None

    def serve(self, host: str, port: int = 0) -> str:
        """Start a name server; returns its address."""
        server = NameServer(host, port)
        server.start()
        self.servers.append(server)
        return server.address

    def close_servers(self) -> None:
        """End them as they should be ended."""
        while self.servers:
            self.servers.pop().close()

    def locate(self, **options: Any) -> tuple[str, str, float]:
        """Find a name server; returns its address, how, and how long it took in seconds."""
        began = time.monotonic()
        with locate(**options) as client:
            return client.address, client.how, time.monotonic() - began

    def why_not(self, **options: Any) -> str:
        """Return why no name server is found."""
        try:
            return f"found {self.locate(**options)}"
        except RemoteObjError as error:
            return str(error)

    def watch(self, **options: Any) -> None:
        """Begin to note when and where name servers are found, and to follow each."""

        def follow(client: NameServerClient) -> None:
            with client, contextlib.suppress(ConnectionLost, DeadlinePassed):
                while True:
                    client.ping(timeout_s=0.3)
                    time.sleep(0.05)  # the pace at which a cable that was pulled is noticed
            self._note("lost")
            watch.lost(client)

        def note(client: NameServerClient) -> None:
            self._note(client.address)
            threading.Thread(target=follow, args=(client,), daemon=True).start()

        watch = watch_for_servers(note, **options)

    def wait_for(self, place: str, since: int = 0, timeout_s: float = 15.0) -> tuple[float, int]:
        """Wait until a name server was found at *place*, or "lost"; returns when, and the count.

        Args:
            place: An address, of which the beginning will do.
            since: How many earlier entries do not count.
            timeout_s: Longest wait, in seconds.
        """

        def look() -> tuple[float, int] | None:
            for count, (at, what) in enumerate(self.found[since:], since + 1):
                if what.startswith(place):
                    return at, count
            return None

        with self._changed:
            seen = self._changed.wait_for(look, timeout_s)
        if seen is None:
            raise TimeoutError(f"{place} is not in {self.found[since:]}")
        return seen

    def _note(self, what: str) -> None:
        with self._changed:
            self.found.append((time.monotonic(), what))
            self._changed.notify_all()

    def listen(self) -> None:
        """Begin to note all announcements."""
        self.browsing = discovery.browse(self.sightings.append, lambda _: None)

    def announced(self) -> list[str]:
        """Return the addresses that were announced to this machine."""
        return sorted({address for each in self.sightings for address in each.addresses})

    def offer(self, name: str, host: str) -> list[str]:
        """Register an object that is served on *host*; returns what was warned about."""
        self._daemon = Daemon(host)
        self._daemon.start()
        uri = self._daemon.register(Bell(), name)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with locate() as names:
                names.register(name, uri, replace=True)
        return [str(each.message) for each in caught]

    def ring(self, name: str) -> tuple[str, str]:
        """Look an object up and call it; returns its host, and the answer."""
        with locate() as names:
            uri = names.lookup(name).uri
        with Proxy(uri) as bell:
            return uri.host or "", bell.ring()

    def remember(self, address: str, cluster: str) -> None:
        """Have an address remembered, as if it had been found."""
        Memory("tls", cluster).note(Remembered(address, cluster))


def main() -> None:
    """Read, do, and tell."""
    here = Machine()
    for line in sys.stdin:
        number, code = json.loads(line)
        try:
            told = {"value": eval(code, globals() | {"here": here})}
        except Exception:
            told = {"error": traceback.format_exc()}
        sys.stdout.write(json.dumps({"number": number, **told}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
