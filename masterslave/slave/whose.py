"""Whose tasks a slave runs: who a farm's owner is, as far as that is proven, and whom it allows.

A farm at a Unix socket is this user's. One at a TCP address is whoever the certificate says that
answers there: the name in the farm's record is its own word, and proves nothing. Where the name
server has noted which machine registered the farm, none but that one may answer.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

from masterslave.naming import FarmRecord
from remoteobj import URI, ConnectionLost, Identity, PeerRefused
from remoteobj.identity import Claims, at_least, claims_in

__all__ = ["LOCAL", "THIS_USER", "Allowed", "Owner", "Refusals", "Refused", "owner_at"]

LOCAL = "local"
"""The name of this user, on this machine."""

_TIMEOUT_S = 5.0
_SEEN_S = 5.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a farm is.

    Attributes:
        node: Of the machine that its master runs on; empty: this user's, on this machine.
        name: Of that machine, as its certificate says.
    """

    node: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} (node {self.node})" if self.node else "this user"


THIS_USER = Owner()


class Allowed:
    """Whose tasks are run.

    Args:
        names: Names or nodes of machines, or "local"; none: everybody's.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = tuple(dict.fromkeys(names))
        self._names = {name.casefold() for name in self.names}

    def includes(self, owner: Owner) -> bool:
        """Tell whether this owner's tasks are run."""
        if not self._names:
            return True
        if not owner.node:
            return LOCAL in self._names
        return bool(self._names & {owner.name.casefold(), owner.node} - {LOCAL})


@dataclass(frozen=True, slots=True)
class Refused:
    """A farm that is not served, because of whose it is."""

    farm: FarmRecord
    owner: Owner

    def __str__(self) -> str:
        return f"{self.farm.label} of {self.owner}"


class Refusals:
    """The farms that are not served.  Threads: one at a time."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bool], tuple[Refused, float]] = {}

    def add(self, refused: Refused, now: float) -> None:
        """This one is not served, found in this way."""
        self._seen[_key(refused.farm)] = refused, now

    def has(self, farm: FarmRecord, now: float) -> bool:
        """Tell whether a farm that was found (again) is not served."""
        found = self._seen.get(_key(farm))
        if found is not None:
            self._seen[_key(farm)] = found[0], now
        return found is not None

    def now(self, now: float) -> tuple[Refused, ...]:
        """Return those that are still found."""
        return tuple(one for one, seen in self._seen.values() if now - seen < _SEEN_S)


def _key(farm: FarmRecord) -> tuple[str, bool]:
    """The same farm may be found at its socket, as this user's, and at an address."""
    return farm.farm, farm.uri.sockname is None


def owner_at(uri: URI, identity: Identity | None, node: str = "") -> Owner:
    """Return who answers at a farm's address.

    Args:
        node: The machine that has to; empty: any that may have a farm.
    Raises:
        PeerRefused: Nobody of this cluster does, or one who may have no farm: a slave, one that was
            revoked, or another machine than the one that registered it.
        ConnectionLost: Nobody does, or not in time.
    Blocks: on the network, about 5 s at most.  Threads: any.
    """
    if uri.sockname is not None:
        return THIS_USER
    if identity is None:
        raise PeerRefused(f"{uri.location} cannot prove who it is without an identity here")
    import ssl

    try:
        with (
            socket.create_connection((uri.host or "", uri.port or 0), _TIMEOUT_S) as sock,
            identity.client_context().wrap_socket(sock) as stream,
        ):
            shown = stream.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise PeerRefused(
            f"whoever answers at {uri.location} is not of this cluster: {error.verify_message}"
        ) from error
    except OSError as error:
        raise ConnectionLost(f"{uri.location} did not say who it is: {error}") from error
    claims = claims_in(shown)  # what it raises is a ConnectionLost too, and must not become another
    _check(claims, uri, identity, node)
    return Owner(claims.node, claims.name)


def _check(claims: Claims, uri: URI, identity: Identity, node: str) -> None:
    """Refuse who may be of this cluster, and is no farm's master nevertheless."""
    who, why = Owner(claims.node, claims.name), identity.refuses(claims)
    if why is None and not at_least(claims.role, "member"):
        why = f"its role is {claims.role!r}, and a farm's script runs on a member's machine"
    elif why is None and node and claims.node != node:
        why = (
            f"the farm was registered by node {node}: the address is another machine's now, or "
            "that one poses as it"
        )
    if why is not None:
        raise PeerRefused(f"{who} answers at {uri.location}: {why}")
