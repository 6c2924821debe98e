"""What the name server that has a cluster's authority does for its machines, as a remote object."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nameserver.pairing.host import Host
from remoteobj import current_caller, expose
from remoteobj.errors import BadInput
from remoteobj.identity.membership import Member
from remoteobj.identity.revoked import Revoked

__all__ = ["AuthorityService"]


@expose(role="operator")
class AuthorityService:
    """Invites machines, lists and revokes them: for operators; all may renew and ask.

    Args:
        host: Lets machines in.
        changed: Told of each new list of revocations.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        host: Host,
        changed: Callable[[Revoked], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._host, self._changed, self._clock = host, changed, clock

    def invite(self, role: str = "member", uses: int = 1, seconds: float = 3600.0) -> str:
        """Open an invitation; returns the token's text, which is a secret."""
        return self._host.invite(role, uses, seconds).text()

    def open_code(self, role: str = "member") -> dict[str, Any]:
        """Open a code, in the place of one that was open.

        Returns:
            Its ``code``, the ``seconds`` for which it lives, and the ``addresses`` where to join.
        """
        code = self._host.open_code(role)
        return {
            "code": code.text(),
            "seconds": code.seconds_left(self._host.monotonic()),
            "addresses": self._host.addresses(),
        }

    def code_state(self, code: str) -> dict[str, Any]:
        """Return what has become of a code: whether it is ``open``, ``used``; its ``attempts``."""
        return self._host.code_state(code)

    def close_code(self, code: str) -> bool:
        """Take back a code before it dies; returns whether it was open."""
        return self._host.close_code(code)

    def withdraw(self) -> int:
        """Close all invitations and the code; returns how many there were."""
        return self._host.withdraw()

    def members(self) -> list[dict[str, Any]]:
        """Return who is in the cluster, the revoked ones too."""
        return [_plain(member) for member in self._host.office.members().members]

    def revoke(self, node_or_name: str) -> dict[str, Any]:
        """Let a machine in nowhere any more; returns who it is.

        Raises:
            BadInput: There is none such, or several; or it is the one that has the authority.
        """
        office, now = self._host.office, self._clock()
        if office.members().find(node_or_name).node == self._host.node:
            raise BadInput(
                "the machine that has the cluster's authority cannot be revoked: 'nameserver leave "
                "--with-authority' there ends the cluster"
            )
        member = office.revoke(node_or_name, now=now)
        self._changed(office.revocations(now=now))
        return _plain(member)

    @expose(role="slave")
    def renew(self, request: bytes) -> bytes:
        """Return the caller's next certificate, as PEM.

        Raises:
            BadInput: The request is none; or the caller is no member of this authority's.
        """
        node = current_caller().node
        if not node:
            raise BadInput("only a machine of the cluster has a certificate that can be renewed")
        return self._host.office.renew(node, bytes(request), now=self._clock())

    @expose(role="slave")
    def revocations(self) -> bytes:
        """Return the list of what is revoked, as PEM; empty: nothing is."""
        return self._host.office.revocations(now=self._clock()).pem


def _plain(member: Member) -> dict[str, Any]:
    return {
        "node": member.node,
        "name": member.name,
        "role": member.role,
        "issued": member.issued,
        "expires": member.expires,
        "revoked_at": member.revoked_at,
    }
