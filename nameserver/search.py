"""Prove what was announced: every address that is seen is called, all at once, until one answers.

::

    discovery   seen ──> a thread per address: ask, until it answers ──────> on_proved(found)
                 └─────> who talks in another way is not called ───────────> on_refused(why)
                gone ──> forgotten, so that the same server may be found again

An announcement that nobody stands behind costs the living ones no time. Whether a server speaks TLS
is proved too: with an identity nothing else is spoken, whatever was announced. Where a cluster was
chosen, who announces another one is not called, and who turns out to be of another one is left.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Self

from nameserver.asking import Found, prove, reason_of
from nameserver.client import How
from nameserver.clusters import DEFAULT_CLUSTER
from nameserver.discovery import Sighting, browse
from remoteobj import Identity, PeerRefused
from remoteobj.identity import HOW_TO_PAIR, refuse_both

__all__ = ["Search", "known_address"]

PASS_IDENTITY = (
    f"{HOW_TO_PAIR}; or pass identity= (--identity at the command line) with a certificate of its "
    "CA"
)
NEEDS_IDENTITY = f"it speaks TLS: {PASS_IDENTITY}"
NEEDS_INSECURE = (
    "it speaks plain TCP: start it with an identity; or pass insecure=True (--insecure at the "
    "command line, REMOTEOBJ_INSECURE=1 for PYRONAME) if you trust everyone on this network"
)
NO_TLS = "it does not speak TLS: start it with an identity of this cluster"

RETRY_S = 0.5
"""From a try that failed to the next, in seconds; after each it is half as long again."""

MAX_RETRY_S = 2.0

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
        on_proved: Called once per server with what has answered, whose client is now the callee's
            to close. Called under a lock from one of many threads: pass it on, and return.
        on_refused: Called once with the address of a server that cannot be asked, and why: it talks
            in another way, or its certificate or ours is refused; as *on_proved*.
        identity: Who this process is; TLS is spoken then, and nothing else.
        insecure: Plain TCP may be spoken.
        interfaces: Addresses of the interfaces to watch, see ``discovery.interfaces_to_use``.
        cluster: Only servers of this one are found; None: all.

    Raises:
        BadInput: An identity and *insecure* were both given.
        NamingError: *interfaces* are no addresses.
    """

    def __init__(
        self,
        on_proved: Callable[[Found], None],
        on_refused: Callable[[str, str], None],
        *,
        identity: Identity | None,
        insecure: bool,
        interfaces: Sequence[str] | None,
        cluster: str | None = None,
    ) -> None:
        refuse_both(identity, insecure)
        self._on_proved, self._on_refused = on_proved, on_refused
        self._identity, self._insecure, self._cluster = identity, insecure, cluster
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._sightings: dict[str, Sighting] = {}  # by instance
        self._tried: set[tuple[str, str]] = set()  # (server, address)
        self._proving: set[tuple[str, str]] = set()  # those of them that a thread is at
        self._proved: dict[str, str] = {}  # server -> address
        self._problems: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._others: dict[str, str] = {}  # address -> its cluster, which is not the one chosen
        self._browsing = browse(self._seen, self._gone, interfaces)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Addresses of the interfaces that are watched now."""
        return self._browsing.interfaces

    def problems(self) -> dict[str, str]:
        """Return the addresses that were seen and did not answer yet, each with the reason."""
        with self._lock:
            return self._problems | self._refused

    def refused(self) -> dict[str, str]:
        """Return those of them that cannot be asked, as they were given to ``on_refused``."""
        with self._lock:
            return dict(self._refused)

    def unwatched(self) -> dict[str, str]:
        """Return the interfaces where nothing can be seen, each with the reason."""
        return self._browsing.problems()

    def others(self) -> dict[str, str]:
        """Return the addresses of servers of other clusters than the one chosen, each with it."""
        with self._lock:
            return dict(self._others)

    def awaited(self) -> set[str]:
        """Return the clusters that were announced by servers that have not answered yet.

        Those that cannot be asked are not waited for.
        """
        with self._lock:
            return {
                sighting.cluster
                for sighting in self._sightings.values()
                if sighting.server_id not in self._proved
                and any(each in self._problems for each in sighting.addresses)
            }

    def ask_again(self, address: str) -> None:
        """Prove the server at *address* anew: it was proved once, and has not answered since."""
        with self._lock:
            if self._closed.is_set():
                return
            for server in [each for each, known in self._proved.items() if known == address]:
                del self._proved[server]
                for _, known in [each for each in self._tried if each[0] == server]:
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
            if self._closed.is_set() or sighting.transport == "join":
                return
            self._sightings[sighting.instance] = sighting
            self._forget_what_is_not_announced(server)
            fresh = [each for each in sighting.addresses if (server, each) not in self._tried]
            self._tried.update((server, address) for address in fresh)
            why = self._refusal_of(sighting.transport)
            for address in fresh:
                if self._is_other(sighting.cluster):
                    self._others[address] = sighting.cluster
                elif why:
                    self._refuse(address, why)
                elif server not in self._proved:
                    self._start_to_prove(server, address, "has not answered yet", 0.0)

    def _is_other(self, cluster: str) -> bool:
        """Tell whether a server says that it is of another cluster than the one chosen."""
        return bool(self._cluster and cluster) and cluster != self._cluster

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
            sighting = self._sightings.pop(instance, None)
            if sighting is not None:
                self._forget_what_is_not_announced(sighting.server_id)

    def _forget_what_is_not_announced(self, server: str) -> None:
        """Forget addresses that no announcement of a server has any more, and who has none."""
        known = [each for each in self._sightings.values() if each.server_id == server]
        if not known:
            self._proved.pop(server, None)
        left = {address for each in known for address in each.addresses}
        for each in [each for each in self._tried if each[0] == server and each[1] not in left]:
            self._tried.discard(each)
            for notes in (self._problems, self._refused, self._others):
                notes.pop(each[1], None)

    def _start_to_prove(self, server: str, address: str, problem: str, after_s: float) -> None:
        self._problems[address] = problem
        if (server, address) in self._proving:
            return
        self._proving.add((server, address))
        threading.Thread(
            target=self._prove,
            args=(server, address, after_s),
            name=f"nameserver-prove {address}",
            daemon=True,
        ).start()

    def _prove(self, server: str, address: str, after_s: float) -> None:
        self._closed.wait(after_s)
        pause_s = RETRY_S
        while not self._closed.is_set():
            found, error = self._ask(address)
            with self._lock:
                is_wanted = not self._closed.is_set() and self._is_wanted(server, address)
                is_taken = is_wanted and found is not None and self._take(server, address, found)
                if is_wanted and error is not None:
                    self._note(address, error)
                elif not self._closed.is_set():
                    self._proving.discard((server, address))
                    self._problems.pop(address, None)
            if found is not None and not is_taken:
                found.client.close()
            if error is None or not is_wanted:
                return
            is_refused = isinstance(error, PeerRefused)
            self._closed.wait(REFUSED_RETRY_S if is_refused else pause_s)
            pause_s = min(1.5 * pause_s, MAX_RETRY_S)

    def _is_wanted(self, server: str, address: str) -> bool:
        return (server, address) in self._tried and server not in self._proved

    def _ask(self, address: str) -> tuple[Found | None, Exception | None]:
        """Return who answers at an address, or why nobody does."""
        try:
            found = prove(address, "zeroconf", identity=self._identity, insecure=self._insecure)
        except Exception as error:  # a stranger may answer with anything
            return None, error
        return Found(found.client, found.cluster or DEFAULT_CLUSTER), None

    def _take(self, server: str, address: str, found: Found) -> bool:
        """Hand out who has answered, unless it is of another cluster."""
        self._refused.pop(address, None)
        if self._is_other(found.cluster):
            self._others[address] = found.cluster
            return False
        self._proved[server] = address
        self._on_proved(found)
        return True

    def _note(self, address: str, error: Exception) -> None:
        """Take note of why nobody answered."""
        why = reason_of(error)
        if isinstance(error, PeerRefused):
            self._refuse(address, why)
        else:
            self._refused.pop(address, None)
            self._problems[address] = why
