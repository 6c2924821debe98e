"""Find a name server: where one is said to be, else whichever announced one answers first."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence

from nameserver.asking import prove, reason_of
from nameserver.client import NameServerClient
from nameserver.clusters import HOW_TO_CHOOSE, chosen_cluster
from nameserver.directory import Directory
from nameserver.errors import NameServerNotFound, NameUnknown, NamingError
from nameserver.finding import Finding
from nameserver.search import Search, known_address
from remoteobj import (
    URI,
    BadInput,
    BadURI,
    Identity,
    InsecureRefused,
    InsecureWarning,
    PeerRefused,
    RemoteObjError,
)
from remoteobj.identity import AUTO, HOW_TO_PAIR, Auto, choose_identity
from remoteobj.proxy import Found

__all__ = ["locate", "resolve"]

WHAT_TO_DO = (
    "start one with 'nameserver run{}', or say where it is with REMOTEOBJ_NAMESERVER=host:port"
)

NEEDS_EITHER = (
    f"is on TCP, where this machine has to prove who it is: {HOW_TO_PAIR}; or pass identity= "
    "(--identity at the command line); or, if it speaks plain TCP and you trust everyone on the "
    "network, insecure=True (--insecure at the command line, REMOTEOBJ_INSECURE=1 for PYRONAME)"
)

RESOLVE_TIMEOUT_S = 5.0


def locate(
    address: str | None = None,
    *,
    cluster: str | None = None,
    timeout_s: float = 5.0,
    identity: Identity | Auto | None = AUTO,
    insecure: bool = False,
    interfaces: Sequence[str] | None = None,
) -> NameServerClient:
    """Find a name server that answers.

    Where it was found the last time is asked too, while the networks are searched.

    Args:
        address: ``host:port``; where None, what ``REMOTEOBJ_NAMESERVER`` says; where that is not
            set, the first server announced by zeroconf that answers over TCP.
        cluster: The server has to be of this one; None takes what ``REMOTEOBJ_CLUSTER`` says, and
            where that is not set, the cluster of the stored identity, where that is used, and else
            the only cluster that there is.
        timeout_s: Longest time to look, in seconds.
        identity: Who this process is: TLS is spoken then, and the server has to be of its cluster.
            Without a word it is who this account became by pairing; None: nobody.
        insecure: Plain TCP may be spoken. Warned about.
        interfaces: Addresses of the interfaces to look on; None takes ``REMOTEOBJ_INTERFACES``, and
            where that is not set, all.
    Raises:
        NameServerNotFound: None answered in time, or there are several clusters and none was
            chosen; the message says what was tried or found, and what to do.
        InsecureRefused: The address is known, and neither an identity nor ``insecure=True`` was
            given.
        BadURI: The address is none.
        BadName: That is no name of a cluster.
        BadInput: An identity and ``insecure=True`` were both given.
        IdentityUnusable: This account is in several clusters of which none was chosen; or what
            pairing has stored cannot be used.

    Blocks: on the network, at most *timeout_s*; 0.4 s where a server is announced, of which 0.3 s
        are for hearing of other clusters; a tenth of that with *cluster*, where one was found
        before.  Threads: any.
    """
    client = _find(address, cluster, timeout_s, identity, insecure, interfaces)
    if client.is_plain:
        warnings.warn(
            f"plain TCP to the name server {client.address}: anyone on the way can read and change "
            "names and addresses",
            InsecureWarning,
            stacklevel=2,
        )
    return client


def _find(
    address: str | None,
    cluster: str | None,
    timeout_s: float,
    identity: Identity | Auto | None,
    insecure: bool,
    interfaces: Sequence[str] | None,
) -> NameServerClient:
    cluster = chosen_cluster(cluster)
    known, how = known_address(address)
    if known is not None and known.startswith("./u:"):
        identity = None if identity == AUTO else identity
    identity = choose_identity(identity, insecure, cluster)
    if identity is not None and cluster in (None, identity.cluster):
        cluster = identity.founded_as
    if known is None:
        return _search(cluster, timeout_s, identity, insecure, interfaces)
    try:
        found = prove(known, how, identity=identity, insecure=insecure, timeout_s=timeout_s)
    except InsecureRefused as error:
        raise InsecureRefused(f"the name server at {known} {NEEDS_EITHER}") from error
    except (BadURI, BadInput):
        raise
    except (RemoteObjError, OSError, AttributeError) as error:
        why = reason_of(error)
        what_to_do = "" if isinstance(error, PeerRefused) else f"; {_what_to_do(insecure)}"
        raise NameServerNotFound(f"no name server at {known} ({how}): {why}{what_to_do}") from error
    if cluster is not None and found.cluster not in ("", cluster):
        found.client.close()
        raise NameServerNotFound(
            f"the name server at {known} ({how}) is of the cluster {found.cluster!r}, not of "
            f"{cluster!r}: choose one or the other ({HOW_TO_CHOOSE})"
        )
    return found.client


def _search(
    cluster: str | None,
    timeout_s: float,
    identity: Identity | None,
    insecure: bool,
    interfaces: Sequence[str] | None,
) -> NameServerClient:
    try:
        finding = Finding(
            identity=identity, insecure=insecure, interfaces=interfaces, cluster=cluster
        )
    except NamingError as error:
        raise NameServerNotFound(str(error)) from error
    found = finding.find(timeout_s)
    if found is None:
        raise NameServerNotFound(_what_was_tried(finding.search, cluster, timeout_s, insecure))
    return found.client


def _what_was_tried(
    search: Search | None, cluster: str | None, timeout_s: float, insecure: bool
) -> str:
    refused = search.refused() if search else {}
    if refused:
        by_reason: dict[str, list[str]] = {}
        for address, why in refused.items():
            by_reason.setdefault(why, []).append(address)
        said = [
            f"a name server was seen at {', '.join(addresses)}, but {why}"
            for why, addresses in by_reason.items()
        ]
        return "; ".join([*said, *_others(search)])
    wanted = f" of the cluster {cluster!r}" if cluster else ""
    return (
        f"no name server{wanted} found within {timeout_s:g} s by zeroconf on "
        f"{_where(search)} ({_what_was_seen(search)}): {_what_to_do(insecure)}"
    )


def _where(search: Search | None) -> str:
    watched = ", ".join(search.interfaces if search else ()) or "no interface"
    failed = search.unwatched().items() if search else ()
    return "; ".join([watched, *(f"not on {address}: {why}" for address, why in failed)])


def _what_was_seen(search: Search | None) -> str:
    if search is None:
        return "nobody announces one"
    seen = [f"{address} was announced, but {why}" for address, why in search.problems().items()]
    return "; ".join([*seen, *_others(search)]) or "nobody announces one"


def _others(search: Search | None) -> list[str]:
    others = search.others().items() if search else ()
    return [f"{address} is of the cluster {cluster!r}" for address, cluster in others]


def _what_to_do(insecure: bool) -> str:
    return WHAT_TO_DO.format(" --host ADDRESS --insecure" if insecure else "")


def resolve(name: str, address: str | None, identity: Identity | Auto | None = AUTO) -> URI | Found:
    """Look up ``PYRONAME:name`` for ``Proxy``: on this machine, then at the name server.

    A name server on plain TCP is asked only where ``REMOTEOBJ_INSECURE=1`` is set, and no identity
    was given: a proxy's own
    ``insecure=True`` speaks of the object, not of who tells its address.

    Args:
        name: The name.
        address: The part behind the ``@``: this name server, and no other place, is asked.
        identity: The proxy's own: the name server is asked over TLS then.
    Returns:
        Where the object is; beside it, which machine has to answer there, if the name server has
        proven that to us.
    Raises:
        NameUnknown: Nobody knows the name.
        NameServerNotFound: It is not a name of this machine, and there is no name server.
    """
    if address is None:
        with Directory() as directory, contextlib.suppress(NameUnknown):
            return directory.lookup(name).uri
    is_given = isinstance(identity, Identity)
    insecure = not is_given and os.environ.get("REMOTEOBJ_INSECURE", "") not in ("", "0")
    try:
        client = _find(address, None, RESOLVE_TIMEOUT_S, identity, insecure, None)
    except NameServerNotFound as error:
        where = "cannot be looked up" if address else "is no name of this machine"
        raise NameServerNotFound(f"{name!r} {where}, and {error}") from error
    with client:
        record = client.lookup(name)
        return record.uri if client.is_plain else Found(record.uri, record.answering_node)
