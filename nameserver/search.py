"""Prove what was announced: every address that is seen is called, all at once, until one answers.

::

    zeroconf thread   seen ──> a thread per address: ping, until it answers ──> on_proved(client)
                       └─────> who talks in another way is not called ────────> on_refused(why)
                      gone ──> forgotten, so that the same server may be found again

An announcement that nobody stands behind costs the living ones no time. Whether a server speaks TLS
is proved too: with an identity nothing else is spoken, whatever was announced.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Self

from nameserver.client import How, NameServerClient
from nameserver.discovery import Sighting, browse
from remoteobj import Identity, PeerRefused
from remoteobj.identity import refuse_both

__all__ = ["Search", "known_address", "reason_of"]

PASS_IDENTITY = "pass identity= (--identity at the command line) with a certificate of its CA"
NEEDS_IDENTITY = f"it speaks TLS: {PASS_IDENTITY}"
NEEDS_INSECURE = (
    "it speaks plain TCP: start it with an identity; or pass insecure=True (--insecure at the "
    "command line, REMOTEOBJ_INSECURE=1 for PYRONAME) if you trust everyone on this network"
)
NO_TLS = "it does not speak TLS: start it with an identity of this cluster"

PROOF_TIMEOUT_S = 2.0
"""Longest wait for one answer, in seconds; a try that fails is followed by another."""

RETRY_S = 0.5

REFUSED_RETRY_S = 10.0
"""Whoever does not trust us, or is not trusted, is called as seldom, in seconds: somebody has to
change a certificate or a clock first."""


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
        on_refused: Called once with the address of a server that cannot be asked, and why: it talks
            in another way, or its certificate or ours is refused; as *on_proved*.
        identity: Who this process is; TLS is spoken then, and nothing else.
        insecure: Plain TCP may be spoken.
        interfaces: Addresses of the interfaces to watch, see ``discovery.interfaces_to_use``.

    Raises:
        BadInput: An identity and *insecure* were both given.
        NamingError: The network carries no announcements.
    """

    def __init__(
        self,
        on_proved: Callable[[NameServerClient], None],
        on_refused: Callable[[str, str], None],
        *,
        identity: Identity | None,
        insecure: bool,
        interfaces: Sequence[str] | None,
    ) -> None:
        refuse_both(identity, insecure)
        self._on_proved, self._on_refused = on_proved, on_refused
        self._identity, self._insecure = identity, insecure
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._server_of: dict[str, str] = {}  # instance announced -> server
        self._tried: set[tuple[str, str]] = set()  # (server, address)
        self._proved: set[str] = set()
        self._problems: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._browsing = browse(self._seen, self._gone, interfaces)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Addresses of the interfaces that are watched."""
        return self._browsing.interfaces

    def problems(self) -> dict[str, str]:
        """Return the addresses that were seen and did not answer yet, each with the reason."""
        with self._lock:
            return self._problems | self._refused

    def refused(self) -> dict[str, str]:
        """Return those of them that cannot be asked, as they were given to ``on_refused``."""
        with self._lock:
            return dict(self._refused)

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
            why = self._refusal_of(sighting.transport)
            for address in fresh:
                if why:
                    self._refuse(address, why)
                else:
                    self._start_to_prove(server, address, "has not answered yet", 0.0)

    def _refusal_of(self, transport: str) -> str:
        """Return why a server that announces this is not called; empty if it is."""
        if self._identity is not None:
            return NO_TLS if transport == "plain" else ""
        if transport == "tls":
            return NEEDS_IDENTITY
        return "" if self._insecure else NEEDS_INSECURE

    def _refuse(self, address: str, why: str) -> None:
        why = f"it{why.removeprefix(address)}" if why.startswith(address) else why
        self._problems.pop(address, None)
        if self._refused.get(address) != why:
            self._refused[address] = why
            self._on_refused(address, why)

    def _gone(self, instance: str) -> None:
        with self._lock:
            server = self._server_of.pop(instance, None)
            if server is None or server in self._server_of.values():
                return
            self._proved.discard(server)
            for known, address in [each for each in self._tried if each[0] == server]:
                self._tried.discard((known, address))
                self._problems.pop(address, None)
                self._refused.pop(address, None)

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
            client = NameServerClient(
                address,
                identity=self._identity,
                insecure=self._insecure,
                how="zeroconf",
                quiet=True,
            )
            problem, is_refused = None, False
            try:
                client.ping(timeout_s=PROOF_TIMEOUT_S)
            except Exception as error:  # a stranger may answer with anything
                problem = reason_of(error)
                is_refused = isinstance(error, PeerRefused)
            with self._lock:
                wanted = not self._closed.is_set() and (server, address) in self._tried
                wanted = wanted and server not in self._proved
                if wanted and problem is None:
                    self._proved.add(server)
                    self._problems.pop(address, None)
                    self._refused.pop(address, None)
                    self._on_proved(client)
                    return
                if wanted and problem is not None and is_refused:
                    self._refuse(address, problem)
                elif wanted and problem is not None:
                    self._refused.pop(address, None)
                    self._problems[address] = problem
            client.close()
            if not wanted:
                return
            self._closed.wait(REFUSED_RETRY_S if is_refused else RETRY_S)


def reason_of(error: Exception) -> str:
    """Say in one line why whoever was called did not answer as a name server."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
