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
from nameserver.search import NEEDS_INSECURE, Search, known_address
from remoteobj import URI, InsecureRefused, InsecureWarning, RemoteObjError

__all__ = ["locate", "resolve"]

WHAT_TO_DO = (
    "start one with 'nameserver run --host ADDRESS --insecure', "
    "or say where it is with REMOTEOBJ_NAMESERVER=host:port"
)

RESOLVE_TIMEOUT_S = 5.0


def locate(
    address: str | None = None,
    *,
    timeout_s: float = 5.0,
    insecure: bool = False,
    interfaces: Sequence[str] | None = None,
) -> NameServerClient:
    """Find a name server that answers.

    Args:
        address: ``host:port``; where None, what ``REMOTEOBJ_NAMESERVER`` says; where that is not
            set, the first server announced by zeroconf that answers over TCP.
        timeout_s: Longest time to look, in seconds.
        insecure: Plain TCP may be spoken. Warned about.
        interfaces: Addresses of the interfaces to look on; None takes ``REMOTEOBJ_INTERFACES``, and
            where that is not set, all.
    Raises:
        NameServerNotFound: None answered in time; the message says what was tried, and what to do.
        InsecureRefused: The address is known, but nobody said ``insecure=True``.
        BadURI: The address is none.

    Blocks: on the network, at most *timeout_s*; about 0.1 s where one is announced.  Threads: any.
    """
    client = _find(address, timeout_s, insecure, interfaces)
    if not client.address.startswith("./u:"):
        warnings.warn(
            f"plain TCP to the name server {client.address}: anyone on the way can read and change "
            "names and addresses",
            InsecureWarning,
            stacklevel=2,
        )
    return client


def _find(
    address: str | None, timeout_s: float, insecure: bool, interfaces: Sequence[str] | None
) -> NameServerClient:
    known, how = known_address(address)
    if known is not None:
        client = NameServerClient(known, insecure=insecure, how=how, quiet=True)
        try:
            client.ping(timeout_s=timeout_s)
        except InsecureRefused as error:
            raise InsecureRefused(f"the name server at {known} {NEEDS_INSECURE}") from error
        except (RemoteObjError, OSError, AttributeError) as error:
            raise NameServerNotFound(
                f"no name server at {known} ({how}): {error}; {WHAT_TO_DO}"
            ) from error
        return client
    return _search(timeout_s, insecure, interfaces)


def _search(timeout_s: float, insecure: bool, interfaces: Sequence[str] | None) -> NameServerClient:
    found: queue.SimpleQueue[NameServerClient | None] = queue.SimpleQueue()
    try:
        search = Search(
            found.put, lambda _address: found.put(None), insecure=insecure, interfaces=interfaces
        )
    except NamingError as error:
        raise NameServerNotFound(str(error)) from error
    client = None
    try:
        # None says that a server was seen and refused: nothing else can be found without insecure.
        with contextlib.suppress(queue.Empty):
            client = found.get(timeout=timeout_s)
    finally:
        search.close()
        while not found.empty():  # who answered second
            second = found.get()
            if second is not None:
                second.close()
    if client is None:
        raise NameServerNotFound(_what_was_tried(search, timeout_s))
    return client


def _what_was_tried(search: Search, timeout_s: float) -> str:
    problems = search.problems()
    where = ", ".join(search.interfaces)
    if NEEDS_INSECURE in problems.values():
        seen = ", ".join(each for each, problem in problems.items() if problem == NEEDS_INSECURE)
        return f"a name server was seen at {seen}, but it {NEEDS_INSECURE}"
    seen = "; ".join(f"{address} was announced, but {why}" for address, why in problems.items())
    return (
        f"no name server found within {timeout_s:g} s by zeroconf on {where} "
        f"({seen or 'nobody announces one'}): {WHAT_TO_DO}"
    )


def resolve(name: str, address: str | None) -> URI:
    """Look up ``PYRONAME:name`` for ``Proxy``: on this machine, then at the name server.

    A name server on plain TCP is asked only where ``REMOTEOBJ_INSECURE=1`` is set: a proxy's own
    ``insecure=True`` speaks of the object, not of who tells its address.

    Args:
        name: The name.
        address: The part behind the ``@``: this name server, and no other place, is asked.
    Raises:
        NameUnknown: Nobody knows the name.
        NameServerNotFound: It is not a name of this machine, and there is no name server.
    """
    if address is None:
        with Directory() as directory, contextlib.suppress(NameUnknown):
            return directory.lookup(name).uri
    insecure = os.environ.get("REMOTEOBJ_INSECURE", "") not in ("", "0")
    try:
        client = _find(address, RESOLVE_TIMEOUT_S, insecure, None)
    except NameServerNotFound as error:
        where = "cannot be looked up" if address else "is no name of this machine"
        raise NameServerNotFound(f"{name!r} {where}, and {error}") from error
    with client:
        return client.lookup(name).uri
