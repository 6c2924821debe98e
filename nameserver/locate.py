"""Find a name server: where one is said to be, else whichever announced one answers first."""

from __future__ import annotations

import contextlib
import os
import queue
import warnings
from collections.abc import Sequence

from nameserver.client import NameServerClient
from nameserver.directory import Directory
from nameserver.errors import NameServerNotFound, NameUnknown, NamingError
from nameserver.search import Search, known_address, reason_of
from remoteobj import (
    URI,
    Identity,
    InsecureRefused,
    InsecureWarning,
    PeerRefused,
    RemoteObjError,
)

__all__ = ["locate", "resolve"]

WHAT_TO_DO = (
    "start one with 'nameserver run --host ADDRESS {}', "
    "or say where it is with REMOTEOBJ_NAMESERVER=host:port"
)

NEEDS_EITHER = (
    "is on TCP: pass identity= (--identity at the command line) if it speaks TLS; if it speaks "
    "plain TCP, pass insecure=True (--insecure at the command line, REMOTEOBJ_INSECURE=1 for "
    "PYRONAME), where you trust everyone on the network"
)

RESOLVE_TIMEOUT_S = 5.0


def locate(
    address: str | None = None,
    *,
    timeout_s: float = 5.0,
    identity: Identity | None = None,
    insecure: bool = False,
    interfaces: Sequence[str] | None = None,
) -> NameServerClient:
    """Find a name server that answers.

    Args:
        address: ``host:port``; where None, what ``REMOTEOBJ_NAMESERVER`` says; where that is not
            set, the first server announced by zeroconf that answers over TCP.
        timeout_s: Longest time to look, in seconds.
        identity: Who this process is: TLS is spoken then, and the server has to be of its cluster.
        insecure: Plain TCP may be spoken. Warned about.
        interfaces: Addresses of the interfaces to look on; None takes ``REMOTEOBJ_INTERFACES``, and
            where that is not set, all.
    Raises:
        NameServerNotFound: None answered in time; the message says what was tried, and what to do.
        InsecureRefused: The address is known, and neither an identity nor ``insecure=True`` was
            given.
        BadURI: The address is none.
        BadInput: An identity and ``insecure=True`` were both given.

    Blocks: on the network, at most *timeout_s*; about 0.1 s where one is announced.  Threads: any.
    """
    client = _find(address, timeout_s, identity, insecure, interfaces)
    if identity is None and not client.address.startswith("./u:"):
        warnings.warn(
            f"plain TCP to the name server {client.address}: anyone on the way can read and change "
            "names and addresses",
            InsecureWarning,
            stacklevel=2,
        )
    return client


def _find(
    address: str | None,
    timeout_s: float,
    identity: Identity | None,
    insecure: bool,
    interfaces: Sequence[str] | None,
) -> NameServerClient:
    known, how = known_address(address)
    if known is None:
        return _search(timeout_s, identity, insecure, interfaces)
    client = NameServerClient(known, identity=identity, insecure=insecure, how=how, quiet=True)
    try:
        client.ping(timeout_s=timeout_s)
    except InsecureRefused as error:
        raise InsecureRefused(f"the name server at {known} {NEEDS_EITHER}") from error
    except (RemoteObjError, OSError, AttributeError) as error:
        why = reason_of(error)
        what_to_do = "" if isinstance(error, PeerRefused) else f"; {_what_to_do(identity)}"
        raise NameServerNotFound(f"no name server at {known} ({how}): {why}{what_to_do}") from error
    return client


def _search(
    timeout_s: float,
    identity: Identity | None,
    insecure: bool,
    interfaces: Sequence[str] | None,
) -> NameServerClient:
    found: queue.SimpleQueue[NameServerClient | None] = queue.SimpleQueue()

    def note_refused(_address: str, _why: str) -> None:
        if identity is None and not insecure:
            found.put(None)  # nobody can be asked, so that there is nothing to wait for

    try:
        search = Search(
            found.put, note_refused, identity=identity, insecure=insecure, interfaces=interfaces
        )
    except NamingError as error:
        raise NameServerNotFound(str(error)) from error
    client = None
    try:
        with contextlib.suppress(queue.Empty):
            client = found.get(timeout=timeout_s)
    finally:
        search.close()
        while not found.empty():  # who answered second
            second = found.get()
            if second is not None:
                second.close()
    if client is None:
        raise NameServerNotFound(_what_was_tried(search, timeout_s, identity))
    return client


def _what_was_tried(search: Search, timeout_s: float, identity: Identity | None) -> str:
    refused = search.refused()
    if refused:
        by_reason: dict[str, list[str]] = {}
        for address, why in refused.items():
            by_reason.setdefault(why, []).append(address)
        return "; ".join(
            f"a name server was seen at {', '.join(addresses)}, but {why}"
            for why, addresses in by_reason.items()
        )
    where = ", ".join(search.interfaces)
    problems = search.problems().items()
    seen = "; ".join(f"{address} was announced, but {why}" for address, why in problems)
    return (
        f"no name server found within {timeout_s:g} s by zeroconf on {where} "
        f"({seen or 'nobody announces one'}): {_what_to_do(identity)}"
    )


def _what_to_do(identity: Identity | None) -> str:
    how = "--insecure" if identity is None else "--identity CA CERTIFICATE KEY"
    return WHAT_TO_DO.format(how)


def resolve(name: str, address: str | None, identity: Identity | None = None) -> URI:
    """Look up ``PYRONAME:name`` for ``Proxy``: on this machine, then at the name server.

    A name server on plain TCP is asked only where ``REMOTEOBJ_INSECURE=1`` is set: a proxy's own
    ``insecure=True`` speaks of the object, not of who tells its address.

    Args:
        name: The name.
        address: The part behind the ``@``: this name server, and no other place, is asked.
        identity: The proxy's own: the name server is asked over TLS then.
    Raises:
        NameUnknown: Nobody knows the name.
        NameServerNotFound: It is not a name of this machine, and there is no name server.
    """
    if address is None:
        with Directory() as directory, contextlib.suppress(NameUnknown):
            return directory.lookup(name).uri
    insecure = identity is None and os.environ.get("REMOTEOBJ_INSECURE", "") not in ("", "0")
    try:
        client = _find(address, RESOLVE_TIMEOUT_S, identity, insecure, None)
    except NameServerNotFound as error:
        where = "cannot be looked up" if address else "is no name of this machine"
        raise NameServerNotFound(f"{name!r} {where}, and {error}") from error
    with client:
        return client.lookup(name).uri
