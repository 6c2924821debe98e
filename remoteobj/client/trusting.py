"""Which daemon is good enough for a proxy: of which node, in which role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from remoteobj.errors import BadInput, PeerRefused
from remoteobj.exposing import MEMBER
from remoteobj.identity import Identity
from remoteobj.identity.claims import ROLES, Claims, at_least, check_node
from remoteobj.transport.stream import ANYBODY, THIS_USER, Stream

__all__ = ["ANY_MEMBER", "AnotherNode", "Wanted", "wanted"]


class AnotherNode(PeerRefused):
    """A daemon of the cluster answers, on another machine than the one that was meant."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a proxy calls.

    Attributes:
        node: The machine whose certificate it has to be; None: any of the cluster.
        role: What it has to be at least. A slave is nobody's server unless that is asked for.
    """

    node: str | None = None
    role: str = MEMBER

    def check(self, stream: Stream, where: str, identity: Identity | None) -> None:
        """Look whether a daemon is good enough, before anything is said to it.

        Args:
            stream: The connection to it, its handshake being done.
            where: Its address, for the error.
            identity: Who this side is.
        Raises:
            PeerRefused: It is not; the message says why, and what to do.
        """
        claims = stream.claims
        if stream.refusal:
            raise PeerRefused(f"the daemon at {where} is not trusted: {stream.refusal}")
        if self.node is not None:
            self._check_node(claims, where, identity)
        if not at_least(claims.role, self.role):
            who = f"{claims.name!r} (node {claims.node})" if claims.node else "whoever that is"
            raise PeerRefused(
                f"the daemon at {where} is {who} in the role {claims.role!r}, and {self.role!r} is "
                "needed there: somebody else may have taken the address; if that machine is meant, "
                f"give it a certificate of that role, or pass role={claims.role!r} to Proxy"
            )

    def _check_node(self, claims: Claims, where: str, identity: Identity | None) -> None:
        if claims is ANYBODY:
            raise PeerRefused(
                f"the daemon at {where} is to be node {self.node}, which plain TCP cannot prove: "
                "give identity= instead of insecure=True"
            )
        node = claims.node
        if claims is THIS_USER and identity is not None:
            node = identity.claims.node  # a Unix socket leads to this machine
        if node != self.node:
            found = f"node {node} ({claims.name})" if claims.node else "this machine"
            raise AnotherNode(
                f"the daemon at {where} is {found}, not node {self.node}: the address is somebody "
                "else's now, or somebody poses as it; look its name up again"
            )


ANY_MEMBER: Final = Wanted()
"""What is asked for where nothing is said."""


def wanted(node: str | None, role: str | None) -> Wanted:
    """Return what ``Proxy(node=..., role=...)`` asks for.

    Raises:
        BadInput: That is no node's id, or no role.
    """
    if role is not None and role not in ROLES:
        raise BadInput(f"role={role!r}: it is one of {', '.join(ROLES)}")
    return Wanted(None if node is None else check_node(node), role or MEMBER)
