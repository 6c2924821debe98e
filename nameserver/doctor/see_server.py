"""See how the name server is reached from here, and whether it reaches an object here."""

from __future__ import annotations

import re
import secrets
import socket
import time
import warnings
from contextlib import suppress

from nameserver.changes import Lease
from nameserver.client import NameServerClient
from nameserver.clusters import cluster_in
from nameserver.doctor.facts import Card, Dialled, Found, Missing, Visit
from nameserver.doctor.see_machine import network_of
from nameserver.errors import NamingError
from nameserver.networks import is_loopback_address
from nameserver.record import NAME_SERVER, make_record
from nameserver.search import known_address
from remoteobj import (
    URI,
    BadURI,
    Daemon,
    Identity,
    InsecureRefused,
    InsecureWarning,
    PeerRefused,
    RemoteObjError,
    expose,
)

__all__ = ["TEST_PREFIX", "missing_of", "see_found", "visit"]

TEST_PREFIX = "doctor-test."
"""How the names begin that stand for an object of the doctor's, for a moment."""

LEASE_S = 10.0
"""If the doctor is killed, its name is gone after so many seconds."""

_DIAL_S = 2.0
_WHAT_TO_DO = re.compile(r"[:;] (?=start one with )")  # which the doctor says better


@expose
class Patient:
    """An object that is there to be called; it holds nothing and does nothing."""

    def is_well(self) -> bool:
        """Answer."""
        return True


def missing_of(error: RemoteObjError, address: str | None) -> Missing:
    """Say what is known of a name server that ``locate`` did not find.

    Blocks: on a connection to it, where somebody says where it is, at most 2 s.
    """
    said = str(error).splitlines()[0]
    cause = error.__cause__
    is_refused = isinstance(error, InsecureRefused) or isinstance(
        cause, InsecureRefused | PeerRefused
    )
    known, _ = known_address(address)
    if known is None:
        return Missing(
            _WHAT_TO_DO.split(said)[0],
            is_refused or "was seen at" in said,
            "say which is meant" in said,
        )
    with suppress(BadURI):
        uri = URI(f"PYRO:{NAME_SERVER}@{known}")
        if uri.host is not None:
            dialled = _dial(uri.host, uri.port or 0)
            return Missing(said, is_refused, False, uri.host, uri.port, dialled)
    return Missing(said, is_refused)


def see_found(client: NameServerClient) -> Found:
    """Ask a name server, and say how quick it is."""
    before = time.perf_counter()
    client.ping()
    answer_s = time.perf_counter() - before
    cluster = cluster_in(client.lookup(NAME_SERVER).metadata)  # each knows itself
    is_stock = not client.instance()
    about = client.about()
    return Found(
        client.address,
        client.how,
        answer_s,
        cluster,
        is_stock,
        about.get("release", ""),
        about.get("python", ""),
    )


def visit(
    client: NameServerClient, cards: tuple[Card, ...], identity: Identity | None
) -> Visit | None:
    """Have the name server call an object here; None where it calls nobody.

    The object is served, and its name registered with a short lease, for as long as this takes.

    Blocks: on the network; a server that does not reach it says so after 2 s.
    """
    host = _host_towards(client, cards)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureWarning)  # nothing is at stake
            daemon = Daemon(host, identity=identity, insecure=identity is None)
        with daemon:
            uri = daemon.register(Patient())
            daemon.start()
            seen = Visit(uri.location or "", network_of(cards, host))
            return _register(client, uri, seen)
    except (RemoteObjError, OSError) as error:
        return Visit(host, network_of(cards, host), refused=str(error).splitlines()[0])


def _register(client: NameServerClient, uri: URI, seen: Visit) -> Visit:
    name = f"{TEST_PREFIX}{secrets.token_hex(8)}"
    lease = Lease(secrets.token_hex(16), LEASE_S)
    before = time.time()
    try:
        failures = tuple(
            client.put(make_record(name, uri), lease, replace=False, replaces=None)
        )  # fmt: skip
        after = time.time()
        record = client.lookup(name)
    except NamingError as error:
        return Visit(seen.address, seen.network, refused=str(error).splitlines()[0])
    finally:
        with suppress(RemoteObjError, OSError):
            client.release(lease.id, _DIAL_S)
    hosts = tuple(f"{host}:{uri.port}" for host in record.hosts)
    ahead_s = None if record.since is None else _outside(record.since, before, after)
    return Visit(seen.address, seen.network, hosts, failures, ahead_s=ahead_s)


def _outside(moment: float, begin: float, end: float) -> float:
    """Return by how much a moment lies after or, negative, before a stretch of time."""
    return moment - end if moment > end else min(moment - begin, 0.0)


def _host_towards(client: NameServerClient, cards: tuple[Card, ...]) -> str:
    """Return the address of this machine that others would be given, seen from the server."""
    uri = URI(f"PYRO:{NAME_SERVER}@{client.address}")
    host = "127.0.0.1"
    if uri.host is not None:
        family = socket.AF_INET6 if ":" in uri.host else socket.AF_INET
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((uri.host, uri.port or 0))  # sends nothing, but finds the way
            host = sock.getsockname()[0]
    outer = [card.address for card in cards if card.kind == "usable" and card.is_chosen]
    return outer[0] if outer and is_loopback_address(host) else host


def _dial(host: str, port: int) -> Dialled:
    try:
        socket.create_connection((host, port), timeout=_DIAL_S).close()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "timed out"
    except socket.gaierror:
        return "unknown host"
    except OSError:
        return "unreachable"
    return "answers"
