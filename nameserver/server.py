"""A name server: a daemon with the service in it, announced by zeroconf."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import socket
import threading
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Self

from nameserver import discovery
from nameserver.admission import Admission
from nameserver.book import Book
from nameserver.clusters import DEFAULT_CLUSTER, check_cluster, cluster_tag
from nameserver.errors import NamingError, StorageFailed
from nameserver.networks import is_loopback_address
from nameserver.probing import Probing
from nameserver.proving import Prover
from nameserver.record import NAME_SERVER, make_record
from nameserver.service import NameService
from nameserver.storage import Storage
from remoteobj import Daemon, Identity, IdentityUnusable
from remoteobj.identity import AUTO, Auto, at_least, choose_identity
from remoteobj.uri import join_address

if TYPE_CHECKING:
    from nameserver.pairing.pairing import Pairing
    from nameserver.trust import TrustEverywhere

__all__ = ["DEFAULT_PORT", "NameServer", "NameServerStatistics"]

log = logging.getLogger("nameserver.server")

DEFAULT_PORT = 9090
"""For networks without multicast, where addresses are told; stock Pyro5 name servers use it too."""

_MAX_LABEL_LENGTH = discovery.MAX_NAME_BYTES - 7  # the rest makes it unique


@dataclass(frozen=True, slots=True)
class NameServerStatistics:
    """What a name server holds and has done so far."""

    address: str
    announced: str | None
    names: int
    connections: int
    calls: int


class NameServer:
    """A name server in this process; ``nameserver run`` is one in its own.

    Args:
        host: Address of this machine to listen on; ``0.0.0.0`` is all of them.
        port: TCP port; 0 takes a free one.
        identity: Who this machine is: TLS is spoken then, with machines of the same cluster only.
            Without a word it is who this account became by pairing; None: nobody.
        insecure: Serve plain TCP: whoever reaches the port may register and remove. Warned about.
        announce: Announce it by zeroconf, on the interface of *host* and no other; ``0.0.0.0``: on
            every interface that can be used, as they come and go.
        name: What it is announced as, before a part that makes it unique; None is the host's name.
        storage: What keeps the names, and is closed with the server; None: they end with it.
        cluster: What the cluster is called that it serves: where a network has several, who looks
            for a name server chooses by it. None: as that of the stored identity, else "default".
        join_port: TCP port at which machines join while they are invited, where this account has
            the cluster's authority; None: 9091, or a free one where that is in use.

    Raises:
        BadName: That is no name of a cluster.
        StorageFailed: The storage cannot be read.
        InsecureRefused: Neither an identity nor ``insecure=True`` was given.
        BadInput: Both were.
        IdentityUnusable: What pairing has stored cannot be used, or makes this machine a slave.
        AddressUnusable: The port is in use, or the host is not this machine's.

    Threads: any.
    """

    def __init__(
        self,
        host: str,
        port: int = 0,
        *,
        identity: Identity | Auto | None = AUTO,
        insecure: bool = False,
        announce: bool = True,
        name: str | None = None,
        storage: Storage | None = None,
        cluster: str | None = None,
        join_port: int | None = None,
    ) -> None:
        self._host, self._join_port = host, join_port
        identity = choose_identity(identity, insecure, cluster)
        if identity is not None:
            _refuse_slaves(identity)
        self._identity = identity
        self._trust: TrustEverywhere | None = None
        self._node, self._role = ("", "")
        if identity is not None:
            self._node, self._role = identity.claims.node, identity.claims.role
        if cluster is None:
            cluster = (identity and identity.cluster) or DEFAULT_CLUSTER
        self._cluster = check_cluster(cluster)
        self._announce = announce
        self._transport: discovery.Transport = "plain" if identity is None else "tls"
        self._server_id = secrets.token_hex(8)
        label = re.sub(r"[^A-Za-z0-9-]+", "-", name or socket.gethostname())[:_MAX_LABEL_LENGTH]
        self._label = f"{label.strip('-') or 'nameserver'}-{self._server_id[:6]}"
        self._lock = threading.Lock()
        self._announcement: discovery.Announcement | None = None
        self._problem: str | None = None
        self._closed = False
        self._daemon = Daemon(host, port, identity=identity, insecure=insecure)
        with contextlib.ExitStack() as undo:
            undo.callback(self._daemon.close)
            self._book = Book(self._server_id, storage)
            undo.callback(self._book.close)
            self._prover = Prover(identity)
            undo.callback(self._prover.close)
            is_private = is_loopback_address(host)
            admission = Admission(self._book, self._prover, is_private=is_private)
            self._probing = Probing(self._book, self._prover, is_private=is_private)
            self._pairing = self._open_pairing(identity)
            if self._pairing is not None:
                undo.callback(self._pairing.close)
            self._register_itself()
            service = NameService(self._book, admission, self._node)
            self._daemon.register(service, NAME_SERVER)
            undo.pop_all()

    @property
    def address(self) -> str:
        """Where it is, as ``host:port``; for ``0.0.0.0``, an address that others can reach."""
        host = self._host
        if host == "0.0.0.0":
            host = next(iter(discovery.outer_addresses()), discovery.LOOPBACK)
        return join_address(host, self._daemon.port)

    @property
    def announced(self) -> str | None:
        """What it is announced as; None where it is not, or not now."""
        announcement = self._announcement
        return announcement.name if announcement and announcement.addresses else None

    @property
    def announced_on(self) -> tuple[str, ...]:
        """Addresses of this machine with which it is announced now, each in its network."""
        announcement = self._announcement
        return announcement.addresses if announcement else ()

    @property
    def announce_problem(self) -> str | None:
        """Why it is not announced, although it was to be."""
        announcement = self._announcement
        if announcement is None or announcement.addresses:
            return self._problem
        problems = announcement.problems().items()
        why = "; ".join(f"{address}: {problem}" for address, problem in problems)
        return f"{why or 'no network works'}; as soon as one does, it is announced there"

    @property
    def cluster(self) -> str:
        """What its cluster is called."""
        return self._cluster

    def start(self) -> None:
        """Serve in the background, and announce it. Starting again does nothing.

        Where no network carries announcements, that is logged, and no error: the address works.

        Blocks: about 0.1 s, most of it the import of zeroconf.
        """
        if self._pairing is not None and self._identity is not None:
            self._identity.note_server(self.address)
        self._daemon.start()
        self._probing.start()
        with self._lock:
            if not self._announce or self._announcement is not None or self._closed:
                return
            try:
                self._announcement = discovery.announce(
                    self._host,
                    self._daemon.port or 0,
                    name=self._label,
                    server_id=self._server_id,
                    transport=self._transport,
                    cluster=self._cluster,
                    changed=self._networks_changed,
                )
            except NamingError as error:
                self._problem = str(error)
            self._trust = self._follow_authority()
        if self.announce_problem:
            log.warning(
                "the name server %s is not announced: %s", self.address, self.announce_problem
            )

    def close(self) -> None:
        """Say goodbye and stop serving. Closing again does nothing.

        Blocks: about 0.3 s where it was announced.
        """
        with self._lock:
            self._closed = True
            announcement, self._announcement = self._announcement, None
            trust, self._trust = self._trust, None
        if trust is not None:
            trust.close()
        if announcement is not None:
            announcement.close()
        try:
            self._probing.close()
            self._prover.close()
            if self._pairing is not None:
                self._pairing.close()
            self._book.close()  # whoever waits for a change is answered
        finally:
            self._daemon.close()

    def _register_itself(self) -> None:
        """Say where it is; who is in another of its networks is given the address there."""
        hosts = discovery.outer_addresses() if self._host == "0.0.0.0" else ()
        uri, tags = f"PYRO:{NAME_SERVER}@{self.address}", {cluster_tag(self._cluster)}
        if self._pairing is not None:
            tags.add(self._pairing.tag())
        record = make_record(NAME_SERVER, uri, tags, hosts=hosts)
        self._book.register(replaced(record, node=self._node, role=self._role), replace=True)

    def _follow_authority(self) -> TrustEverywhere | None:
        """Hear of revocations, and renew, where another machine has the authority."""
        if self._pairing is not None or self._identity is None or self._identity.cluster is None:
            return None
        from nameserver.trust import TrustEverywhere

        return TrustEverywhere(self._identity)

    def _open_pairing(self, identity: Identity | None) -> Pairing | None:
        """Have machines join here, if this account has the authority of the cluster."""
        if identity is None or identity.cluster is None:
            return None
        from nameserver.pairing.pairing import Pairing  # imports cryptography

        return Pairing.open(
            identity,
            self._daemon,
            self._host,
            self._join_port,
            hosts=self._own_hosts,
            announce=self._announce,
            changed=self._networks_changed,
        )

    def _own_hosts(self) -> tuple[str, ...]:
        if self._host != "0.0.0.0":
            return (self._host,)
        return discovery.outer_addresses() or (discovery.LOOPBACK,)

    def _networks_changed(self) -> None:
        try:
            self._register_itself()
        except StorageFailed as error:
            log.warning("the name server's own addresses could not be kept: %s", error)

    def statistics(self) -> NameServerStatistics:
        """Return what it holds and has done so far."""
        served = self._daemon.statistics()
        return NameServerStatistics(
            self.address, self.announced, self._book.count(), served.connections, served.calls
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_book"):
            return "<NameServer: could not be made>"
        state = "closed" if self._closed else "announced" if self.announced else "not announced"
        return f"<NameServer {self.address}: {state}, {self._book.count()} names>"


def _refuse_slaves(identity: Identity) -> None:
    if not at_least(identity.claims.role, "member"):
        raise IdentityUnusable(
            "this machine is in its cluster as a slave, and nobody would believe its name server: "
            "run it on another one, or let this one join again by an invitation for members "
            "('nameserver invite')"
        )
