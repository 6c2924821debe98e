"""Find name servers as they come and go, for agents that live long."""

from __future__ import annotations

import functools
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Self

from nameserver.asking import Found, reason_of
from nameserver.client import How, NameServerClient
from nameserver.clusters import chosen_cluster, cluster_in
from nameserver.errors import NameServerNotFound, NamingError
from nameserver.record import NAME_SERVER
from nameserver.search import Search, known_address
from remoteobj import Identity
from remoteobj.identity import AUTO, Auto, choose_identity

__all__ = ["ServerWatch", "watch_for_servers"]

log = logging.getLogger("nameserver.servers")

PROBE_TIMEOUT_S = 1.0
"""Longest wait for an answer from a known address, in seconds."""


class ServerWatch:
    """Finds name servers in the background, until ``close()``; made by ``watch_for_servers``."""

    def __init__(
        self,
        on_found: Callable[[NameServerClient], None],
        address: str | None,
        identity: Identity | Auto | None,
        insecure: bool,
        interfaces: Sequence[str] | None,
        interval_s: float,
        cluster: str | None,
    ) -> None:
        cluster = chosen_cluster(cluster)
        known, how = known_address(address)
        if known is not None and known.startswith("./u:"):
            identity = None if identity == AUTO else identity
        self._identity = choose_identity(identity, insecure, cluster)
        if self._identity is not None and cluster in (None, self._identity.cluster):
            cluster = self._identity.founded_as
        self._cluster, self._insecure = cluster, insecure
        self._on_found = on_found
        self._interfaces = interfaces
        self._interval_s = interval_s
        self._closed = threading.Event()
        # Who has answered, where a server cannot be asked and why, or the end.
        self._found: queue.SimpleQueue[Found | tuple[str, str] | None] = queue.SimpleQueue()
        self._problems: Callable[[], dict[str, str]] = dict
        self._ask_again: Callable[[str], None] = lambda _address: None
        if known is None:
            target: Callable[[], None] = self._follow_announcements
        else:
            # A text that is no address is told here and now.
            NameServerClient(known, identity=None, quiet=True)
            target = functools.partial(self._follow_address, known, how)
        self._thread = threading.Thread(target=target, name="nameserver-watch", daemon=True)
        self._thread.start()

    def problems(self) -> dict[str, str]:
        """Return the addresses that do not answer, or may not be asked, each with the reason.

        Addresses of this machine are among them, without a port, where nobody can be heard.
        """
        return self._problems()

    def lost(self, client: NameServerClient) -> None:
        """Say that a server that was found answers no more, as after a cable was pulled.

        ``on_found`` is called with a new client of it as soon as it answers. Threads: any.
        """
        self._ask_again(client.address)

    def close(self) -> None:
        """Watch no longer; clients that were handed out stay as they are.

        Blocks: on an ``on_found`` that runs, at most 2 s.
        """
        self._closed.set()
        self._found.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, client: NameServerClient) -> None:
        try:
            self._on_found(client)
        except Exception:
            log.exception("what was to be done with the name server %s failed", client.address)

    def _follow_announcements(self) -> None:
        search = self._start_search()
        if search is None:
            return
        with search:
            self._problems = lambda: search.problems() | search.unwatched()
            self._ask_again = search.ask_again
            while (found := self._found.get()) is not None:
                if isinstance(found, Found):
                    self._tell(found.client)
                else:
                    log.warning("a name server was seen at %s, but %s", *found)
        while not self._found.empty():
            late = self._found.get()
            if isinstance(late, Found):
                late.client.close()

    def _start_search(self) -> Search | None:
        said = None
        while not self._closed.is_set():
            try:
                return Search(
                    self._found.put,
                    lambda address, why: self._found.put((address, why)),
                    identity=self._identity,
                    insecure=self._insecure,
                    interfaces=self._interfaces,
                    cluster=self._cluster,
                )
            except NamingError as error:
                said = self._say({"all interfaces": str(error)}, said)
                self._closed.wait(self._interval_s)
        return None

    def _follow_address(self, address: str, how: How) -> None:
        """Ask again and again which run of a server answers there; a new one was found."""
        instance = said = None
        lost = threading.Event()
        self._ask_again = lambda _address: lost.set()
        probe = self._client(address, how)
        while not self._closed.is_set():
            try:
                answered = probe.instance(timeout_s=PROBE_TIMEOUT_S)
                if answered != instance:
                    self._refuse_other_cluster(probe, address)
            except Exception as error:  # a stranger may answer with anything
                instance = None
                said = self._say({address: reason_of(error)}, said)
            else:
                said = self._say({}, said)
                if lost.is_set():
                    lost.clear()
                    instance = None
                if answered != instance and not self._closed.is_set():
                    instance = answered
                    self._tell(self._client(address, how))
            self._closed.wait(self._interval_s)
        probe.close()

    def _refuse_other_cluster(self, probe: NameServerClient, address: str) -> None:
        if self._cluster is not None:
            cluster = cluster_in(probe.lookup(NAME_SERVER).metadata)
            if cluster not in ("", self._cluster):
                raise NameServerNotFound(
                    f"the name server at {address} is of the cluster {cluster!r}, not of "
                    f"{self._cluster!r}"
                )

    def _client(self, address: str, how: How) -> NameServerClient:
        return NameServerClient(
            address, identity=self._identity, insecure=self._insecure, how=how, quiet=True
        )

    def _say(self, problems: dict[str, str], said: dict[str, str] | None) -> dict[str, str]:
        """Take note of the problems, and log them once for as long as they stay the same."""
        self._problems = problems.copy
        if problems != said:
            for place, problem in problems.items():
                log.warning("no name server at %s: %s", place, problem)
        return problems


def watch_for_servers(
    on_found: Callable[[NameServerClient], None],
    *,
    address: str | None = None,
    identity: Identity | Auto | None = AUTO,
    insecure: bool = False,
    interfaces: Sequence[str] | None = None,
    interval_s: float = 1.0,
    cluster: str | None = None,
) -> ServerWatch:
    """Find every name server there is and will be, in the background.

    Interfaces that come up and addresses that are new are noticed within 1 s.

    Args:
        on_found: Called, one call at a time, with a client of each server that has answered; again
            when a server went away and came back, or was ``lost()`` and answers. The client is its
            to close.
        address: As in ``locate``; a known address is asked again and again, and nothing else is.
        identity: As in ``locate``. A server that cannot be asked with it is logged once.
        insecure: Plain TCP may be spoken. Not warned about: whoever runs an agent has been told.
        interfaces: As in ``locate``.
        interval_s: How long to wait before a known address is asked again, in seconds.
        cluster: Only servers of this one; None takes what ``REMOTEOBJ_CLUSTER`` says, and where
            that is not set, that of the stored identity, where that is used, else all clusters.
    Raises:
        BadURI: The address is none.
        BadName: That is no name of a cluster.
        BadInput: An identity and ``insecure=True`` were both given.
        IdentityUnusable: As in ``locate``.
    """
    return ServerWatch(on_found, address, identity, insecure, interfaces, interval_s, cluster)
