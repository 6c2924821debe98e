"""Prove what was announced: every address that is seen is called, all at once, until one answers.

::

    zeroconf thread   seen ──> a thread per address: ping, until it answers ──> on_proved(client)
                      gone ──> forgotten, so that the same server may be found again

An announcement that nobody stands behind costs the living ones no time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Self

from nameserver.client import How, NameServerClient
from nameserver.discovery import Sighting, browse

__all__ = ["NEEDS_INSECURE", "Search", "known_address"]

NEEDS_INSECURE = (
    "speaks plain TCP: pass insecure=True (--insecure at the command line), or "
    "set REMOTEOBJ_INSECURE=1 (for PYRONAME), if you trust everyone on this network"
)

PROOF_TIMEOUT_S = 2.0
"""Longest wait for one answer, in seconds; a try that fails is followed by another."""

RETRY_S = 0.5


def known_address(address: str | None) -> tuple[str | None, How]:
    """Return where the name server is said to be, and by whom; None where nobody says it."""
    if address:
        return address, "given"
    return os.environ.get("REMOTEOBJ_NAMESERVER") or None, "REMOTEOBJ_NAMESERVER"


class Search:
    """Looks for name servers, until ``close()``.

    Args:
        on_proved: Called once per server with a client that has had an answer and is now the
            callee's to close. Called under a lock from one of many threads: pass it on, and return.
        on_refused: Called with the address of a server that is not called because it speaks plain
            TCP and *insecure* was not said; as *on_proved*.
        insecure: Plain TCP may be spoken.
        interfaces: Addresses of the interfaces to watch, see ``discovery.interfaces_to_use``.

    Raises:
        NamingError: The network carries no announcements.
    """

    def __init__(
        self,
        on_proved: Callable[[NameServerClient], None],
        on_refused: Callable[[str], None],
        *,
        insecure: bool,
        interfaces: Sequence[str] | None,
    ) -> None:
        self._on_proved, self._on_refused = on_proved, on_refused
        self._insecure = insecure
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._server_of: dict[str, str] = {}  # instance announced -> server
        self._tried: set[tuple[str, str]] = set()  # (server, address)
        self._proved: set[str] = set()
        self._problems: dict[str, str] = {}
        self._browsing = browse(self._seen, self._gone, interfaces)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Addresses of the interfaces that are watched."""
        return self._browsing.interfaces

    def problems(self) -> dict[str, str]:
        """Return the addresses that were seen and did not answer yet, each with the reason."""
        with self._lock:
            return dict(self._problems)

    def ask_again(self, address: str) -> None:
        """Prove the server at *address* anew: it was proved once, and has not answered since."""
        with self._lock:
            lost = {server for server, known in self._tried if known == address} & self._proved
            if self._closed.is_set():
                return
            self._proved -= lost
            for server, known in self._tried:
                if server in lost:
                    self._start_to_prove(server, known, "does not answer any more", RETRY_S)

    def close(self) -> None:
        """Look no further; no callback comes after this.

        A thread that waits for an answer ends when its time is over, within 2 s.
        """
        with self._lock:
            self._closed.set()
        self._browsing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _seen(self, sighting: Sighting) -> None:
        server = sighting.server_id
        with self._lock:
            if self._closed.is_set():
                return
            self._server_of[sighting.instance] = server
            fresh = [each for each in sighting.addresses if (server, each) not in self._tried]
            self._tried.update((server, address) for address in fresh)
            for address in fresh:
                if self._insecure:
                    self._start_to_prove(server, address, "has not answered yet", 0.0)
                else:
                    self._problems[address] = NEEDS_INSECURE
                    self._on_refused(address)

    def _gone(self, instance: str) -> None:
        with self._lock:
            server = self._server_of.pop(instance, None)
            if server is None or server in self._server_of.values():
                return
            self._proved.discard(server)
            for known, address in [each for each in self._tried if each[0] == server]:
                self._tried.discard((known, address))
                self._problems.pop(address, None)

    def _start_to_prove(self, server: str, address: str, problem: str, after_s: float) -> None:
        self._problems[address] = problem
        threading.Thread(
            target=self._prove,
            args=(server, address, after_s),
            name=f"nameserver-prove {address}",
            daemon=True,
        ).start()

    def _prove(self, server: str, address: str, after_s: float) -> None:
        self._closed.wait(after_s)
        while not self._closed.is_set():
            client = NameServerClient(address, insecure=True, how="zeroconf", quiet=True)
            problem = None
            try:
                client.ping(timeout_s=PROOF_TIMEOUT_S)
            except Exception as error:  # a stranger may answer with anything
                problem = _reason(error)
            with self._lock:
                wanted = not self._closed.is_set() and (server, address) in self._tried
                wanted = wanted and server not in self._proved
                if wanted and problem is None:
                    self._proved.add(server)
                    self._problems.pop(address, None)
                    self._on_proved(client)
                    return
                if wanted and problem is not None:
                    self._problems[address] = problem
            client.close()
            if not wanted:
                return
            self._closed.wait(RETRY_S)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
