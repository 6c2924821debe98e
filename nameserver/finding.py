"""Find one name server: announced or remembered, whoever answers first, where no choice is left.

::

    remembered address ──> asked ──┐
                                   ├──> first answer of the cluster that was chosen; where none
    announcements ──> Search ──────┘    was, others are awaited for a moment, and where they are
                                        of several clusters it is an error to have chosen none

What is remembered makes no choice: it counts only where nobody of another cluster is found here.
"""

from __future__ import annotations

import contextlib
import math
import queue
import socket
import threading
import time
from collections.abc import Sequence

from nameserver.asking import Found, prove
from nameserver.client import How
from nameserver.clusters import DEFAULT_CLUSTER, HOW_TO_CHOOSE
from nameserver.discovery import named_interfaces
from nameserver.errors import NameServerNotFound
from nameserver.remembered import Memory, Remembered
from nameserver.search import Search
from remoteobj import Identity
from remoteobj.identity import refuse_both

__all__ = ["GRACE_S", "HEAD_START_S", "LISTEN_S", "Finding"]

HEAD_START_S = 0.1
"""How long a remembered address is asked before the networks are, in seconds, where the cluster was
chosen: a server answers in a tenth of it, which spares the import of zeroconf and a multicast."""

LISTEN_S = 0.3
"""How long others may be heard of after browsing began, in seconds, where no cluster was chosen.
The first question is sent within 0.12 s, and answered at once."""

GRACE_S = 0.3
"""How long after the first answer one of another cluster that was announced is awaited, in
seconds."""

REMEMBERED: How = "remembered"


class Finding:
    """One search of ``locate()``; ``find`` is called once.

    Args:
        identity: Who this process is; TLS is spoken then, and nothing else.
        insecure: Plain TCP may be spoken.
        interfaces: Addresses of the interfaces to look on; None takes ``REMOTEOBJ_INTERFACES``.
        cluster: Of which the server has to be; None: of whichever there is.

    Raises:
        BadInput: An identity and *insecure* were both given.
        NamingError: *interfaces* are no addresses.
    """

    def __init__(
        self,
        *,
        identity: Identity | None,
        insecure: bool,
        interfaces: Sequence[str] | None,
        cluster: str | None,
    ) -> None:
        refuse_both(identity, insecure)
        self._identity, self._insecure = identity, insecure
        self._may_ask = identity is not None or insecure
        self._interfaces = named_interfaces(interfaces)
        self._cluster = cluster
        self._memory = Memory("plain" if identity is None else "tls", cluster)
        self._lock = threading.Lock()
        self._has_ended = False
        self._heard: queue.SimpleQueue[Found | str] = queue.SimpleQueue()
        self._announced: dict[str, Found] = {}  # by cluster
        self._recalled: Found | None = None
        self._answered_at = math.inf
        self._browsing_since = math.inf
        self.search: Search | None = None
        """What looks at announcements; None: what was remembered answered before it began."""

    def find(self, timeout_s: float) -> Found | None:
        """Return who was found; None: nobody in time, or nobody who can be asked.

        Raises:
            NameServerNotFound: There are several clusters, and none was chosen.

        Blocks: at most *timeout_s*.
        """
        ends_at = time.monotonic() + timeout_s
        chosen = None
        try:
            if self._recall() and self._cluster is not None:
                self._listen(min(ends_at, time.monotonic() + HEAD_START_S))
            if self._recalled is None or self._cluster is None:
                self._browse()
                self._listen(ends_at)
            chosen = self._choose()
        finally:
            self._end(chosen)
        if chosen is not None:
            self._memory.note(Remembered(chosen.client.address, chosen.cluster))
        return chosen

    def _recall(self) -> bool:
        """Ask at the remembered address, in a thread; False where there is none to ask at."""
        known = self._memory.recall() if self._may_ask else None
        if known is None or not _is_reached_from(self._interfaces, known.address):
            return False
        threading.Thread(
            target=self._ask, args=(known,), name=f"nameserver-recall {known.address}", daemon=True
        ).start()
        return True

    def _ask(self, known: Remembered) -> None:
        try:
            found = prove(
                known.address, REMEMBERED, identity=self._identity, insecure=self._insecure
            )
        except Exception:  # a stranger may be there now, and answer with anything
            return
        with self._lock:
            is_heard = found.cluster == known.cluster and not self._has_ended
            if is_heard:
                self._heard.put(found)
        if not is_heard:
            found.client.close()

    def _browse(self) -> None:
        self.search = Search(
            self._heard.put,
            lambda address, _why: self._heard.put(address),
            identity=self._identity,
            insecure=self._insecure,
            interfaces=self._interfaces,
            cluster=self._cluster,
        )
        self._browsing_since = time.monotonic()

    def _listen(self, until: float) -> None:
        """Take in what is heard, until it is settled who is found."""
        while (left_s := min(until, self._settled_at()) - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                heard = self._heard.get(timeout=min(left_s, threading.TIMEOUT_MAX))
                if isinstance(heard, Found):
                    self._take(heard)
                elif not self._may_ask:
                    return  # nobody can be asked, so there is nothing to wait for

    def _settled_at(self) -> float:
        """Return when it is settled who is found, as far as that is known now."""
        if self._answered_at == math.inf or self._cluster is not None:
            return self._answered_at
        known = {*self._announced, *([self._recalled.cluster] if self._recalled else ())}
        awaited = self.search.awaited() if self.search else set()
        settled_at = self._browsing_since + LISTEN_S
        if {cluster or DEFAULT_CLUSTER for cluster in awaited} - known:
            settled_at = max(settled_at, self._answered_at + GRACE_S)
        return settled_at

    def _take(self, found: Found) -> None:
        self._answered_at = min(self._answered_at, time.monotonic())
        if found.client.how == REMEMBERED:
            self._recalled = found
        elif found.cluster in self._announced:
            found.client.close()  # another server of the same cluster was first
        else:
            self._announced[found.cluster] = found

    def _choose(self) -> Found | None:
        if len(self._announced) > 1:
            places = ", ".join(
                f"{cluster!r} ({found.client.address})"
                for cluster, found in sorted(self._announced.items())
            )
            raise NameServerNotFound(
                f"there are name servers of {len(self._announced)} clusters on this network: "
                f"{places}; say which is meant, with {HOW_TO_CHOOSE}"
            )
        for cluster, found in self._announced.items():
            if self._recalled is None or self._recalled.cluster != cluster:
                return found
        return self._recalled

    def _end(self, chosen: Found | None) -> None:
        """Look no further, and close the clients of those who were not chosen."""
        if self.search is not None:
            self.search.close()
        with self._lock:
            self._has_ended = True
        found = [*self._announced.values(), self._recalled]
        while not self._heard.empty():
            heard = self._heard.get()
            found.append(heard if isinstance(heard, Found) else None)
        for each in found:
            if each is not None and each is not chosen:
                each.client.close()


def _is_reached_from(interfaces: Sequence[str], address: str) -> bool:
    """Tell whether an address is called from one of these interfaces; empty: from any."""
    if not interfaces:
        return True
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port)))  # which chooses the way, and sends nothing
        except (OSError, ValueError, OverflowError):
            return False
        return probe.getsockname()[0] in interfaces
