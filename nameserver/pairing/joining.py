"""The side that comes: this machine becomes one of a cluster's, by a token or by a code."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from nameserver import discovery
from nameserver.errors import JoinRefused
from nameserver.pairing.codes import read_code
from nameserver.pairing.guest_side import CodeGuest, Guest, TokenGuest, fingerprint_of
from nameserver.pairing.messages import encode
from nameserver.pairing.service import CONVERSATION_S, receive
from nameserver.pairing.token import Token
from nameserver.remembered import Memory, Remembered
from remoteobj.errors import BadInput, BadURI, RemoteObjError
from remoteobj.identity import Identity
from remoteobj.identity.places import stored_clusters
from remoteobj.identity.private import read_private
from remoteobj.identity.request import make_request
from remoteobj.identity.store import Store
from remoteobj.uri import URI, join_address

__all__ = ["Newcomer", "cluster_of", "join_by_code", "join_by_token"]

_CONNECT_S = 3.0
SEARCH_S = 5.0
_OTHERS_S = 0.5
"""So long it is looked for others, once one was found, in seconds."""

_Begin = Callable[[bytes, bytes, str, Callable[[], float]], Guest]


class Newcomer(Struct, frozen=True):
    """What has become of this machine.

    Attributes:
        identity: Who it is now, as it is stored.
        host: Where it has joined, as ``host:port``.
    """

    identity: Identity
    host: str


def join_by_token(token: Token, *, name: str | None = None, cluster: str | None = None) -> Newcomer:
    """Join, and store the identity on this account.

    Args:
        token: From ``read_token``.
        name: What this machine is called; None: the host's name.
        cluster: What the cluster is to be called here; None: as it is called there.

    Raises:
        JoinRefused: The host cannot be reached, is another one, or says no; or the clock is wrong.
        IdentityUnusable: What would be got cannot be stored, which is tried before anything is used
            up; the message says why.
        BadInput: *name* or *cluster* is none.

    Blocks: up to some 10 s.  Threads: any.
    """

    def begin(host: bytes, request: bytes, name: str, clock: Callable[[], float]) -> Guest:
        return TokenGuest(token, host, request, name, clock)

    addresses = [join_address(host, token.port) for host in token.hosts]
    return _join(addresses, begin, name, cluster)


def cluster_of(token: Token) -> str | None:
    """Return what the token's cluster is called here, if this account is in it already."""
    return _known_as(token.fingerprint)


def _known_as(fingerprint: bytes) -> str | None:
    """Return what the cluster of this CA is called here, if this account is in it."""
    for cluster in stored_clusters():
        ca = read_private(Store.named(cluster).ca_path, is_secret=False)
        if ca is not None and fingerprint_of(ca) == fingerprint:
            return cluster
    return None


def join_by_code(
    code: str,
    *,
    at: str | None = None,
    name: str | None = None,
    cluster: str | None = None,
    timeout_s: float = SEARCH_S,
) -> Newcomer:
    """Join by a code that another machine shows, and store the identity on this account.

    Args:
        code: Its six digits.
        at: Where, as ``host:port``; None: it is looked for by zeroconf.
        name: What this machine is called; None: the host's name.
        cluster: Which cluster is meant, where several are pairing in this network.
        timeout_s: Longest time to look for it.

    Raises:
        BadToken: That is no code.
        JoinRefused, IdentityUnusable, BadInput: As for a token.

    Blocks: up to *timeout_s* and some 10 s more.  Threads: any.
    """
    digits = read_code(code)

    def begin(host: bytes, request: bytes, name: str, clock: Callable[[], float]) -> Guest:
        return CodeGuest(digits, host, request, name, clock)

    addresses = _search(cluster, timeout_s) if at is None else [_check_at(at)]
    return _join(addresses, begin, name, cluster)


def _check_at(at: str) -> str:
    try:
        URI(f"PYRO:join@{at}")
    except BadURI:
        raise BadInput(
            f"{at!r} is no address where machines join: it looks like 192.168.1.20:9091, and "
            "'nameserver pair' prints it"
        ) from None
    return at


def _join(
    addresses: Sequence[str], begin: _Begin, name: str | None, cluster: str | None
) -> Newcomer:
    name = name or socket.gethostname().partition(".")[0]
    key, request = make_request(name)
    connection, address = _connect(addresses)
    ends = time.monotonic() + CONVERSATION_S
    try:
        with connection:
            connection.do_handshake()
            shown = connection.getpeercert(binary_form=True) or b""
            guest = begin(shown, request, name, time.time)
            while guest.joined is None:
                answer = guest.answer(receive(connection, ends))
                if guest.joined is None:
                    _prepare(guest, cluster)
                if answer is not None:
                    connection.sendall(encode(answer))
    except OSError as error:
        if isinstance(error, RemoteObjError):
            raise
        raise JoinRefused(
            f"the conversation with {address} broke off ({error}): look whether an invitation or "
            "a code is still open there, and try again"
        ) from error
    store = Store.named(cluster or guest.joined.cluster)
    store.save_identity(guest.joined.ca, guest.joined.certificate, key)
    identity = Identity.stored(store.cluster)
    _remember(guest.joined.server_port, address, identity)
    return Newcomer(identity, address)


def _remember(port: int, address: str, identity: Identity) -> None:
    """Have the name server found where it was joined, also where no multicast reaches it."""
    host, cluster = URI(f"PYRO:join@{address}").host, identity.founded_as
    if port and host is not None and cluster is not None:
        server = join_address(host, port)
        Memory("tls", cluster).note(Remembered(server, cluster))
        identity.note_server(server)


def _prepare(guest: Guest, cluster: str | None) -> None:
    """See that what is asked for can be kept, before the host is asked and counts it as used."""
    known = _known_as(fingerprint_of(guest.ca))
    if known is not None:
        raise JoinRefused(
            f"this account is in that cluster already, as {known!r}: it need not join again; to "
            f"come back after it was revoked, or in another role, 'nameserver leave --cluster "
            f"{known}' first. Nothing was used up"
        )
    store = Store.named(cluster or guest.cluster)
    if store.is_paired:
        raise JoinRefused(
            f"this account is in another cluster that is called {store.cluster!r}: give this one "
            "another name with --cluster, or 'nameserver leave' the other. Nothing was used up"
        )
    store.try_writing()


def _connect(addresses: Sequence[str]) -> tuple[ssl.SSLSocket, str]:
    """Return a connection to the first address that answers, without its handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the guest's side checks what is shown, by token or code
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    problems = []
    for address in addresses:
        try:
            where = URI(f"PYRO:join@{address}")
            plain = socket.create_connection((where.host, where.port), _CONNECT_S)
        except OSError as error:
            problems.append(f"{address}: {error}")
            continue
        plain.settimeout(CONVERSATION_S)
        return context.wrap_socket(plain, do_handshake_on_connect=False), address
    raise JoinRefused(
        f"nobody answers where machines join ({'; '.join(problems)}): is an invitation or a code "
        "open there ('nameserver invite', 'nameserver pair'), does a firewall let the port "
        "through, and are both machines in one network?"
    )


def _search(cluster: str | None, timeout_s: float) -> list[str]:
    """Return where a host is that shows a code; with several of them nothing is guessed."""
    found: dict[str, dict[str, str]] = {}  # by its id: addresses, and of which cluster
    changed = threading.Condition()

    def seen(sighting: discovery.Sighting) -> None:
        if sighting.transport != "join" or (cluster and sighting.cluster != cluster):
            return
        with changed:
            addresses = found.setdefault(sighting.server_id, {})
            addresses.update(dict.fromkeys(sighting.addresses, sighting.cluster))
            changed.notify()

    with contextlib.closing(discovery.browse(seen, lambda _: None)), changed:
        changed.wait_for(lambda: found, timeout_s)
        changed.wait_for(lambda: len(found) > 1, _OTHERS_S)
        hosts = list(found.values())
    if not hosts:
        of, way_out = "", ""
        if cluster:
            of = f" of a cluster {cluster!r}"
            way_out = "; with that, --cluster is what the cluster is to be called here"
        raise JoinRefused(
            f"no machine in this network shows a code{of} (looked for {timeout_s:g} s): run "
            f"'nameserver pair' there, or give --at HOST:PORT, which it prints{way_out}"
        )
    if len(hosts) > 1:
        names = ", ".join(f"{of} at {at}" for each in hosts for at, of in [*each.items()][:1])
        raise JoinRefused(
            f"several machines show a code ({names}): say which with --cluster or --at"
        )
    return list(hosts[0])
