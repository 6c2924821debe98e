"""Whom the authority of a cluster has signed for: the book that ``nameserver members`` shows.

It is a value: each act returns a new one. The times are Unix seconds, and come from the caller.

* A node is in the book once, under its newest certificate; those before it stay until they expire.
* A revoked node stays revoked: it gets no renewal, and joins again as another node.
* The number of the list of revocations only grows. It is not below the time of the last change, so
  that an authority that was brought back from a backup is not taken for an old one.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from remoteobj.errors import BadInput
from remoteobj.identity.claims import check_name, check_node, check_role
from remoteobj.identity.revoked import Entry

__all__ = ["Member", "Membership", "Older"]


class Older(msgspec.Struct, frozen=True):
    """A certificate of a node that was renewed before it expired."""

    serial: str
    expires: float


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A node that the authority has signed for, and its newest certificate.

    Attributes:
        node: Its id, the same for all of its certificates.
        name: The host's name, for people.
        role: What it may do.
        serial: Number of its newest certificate, in lower-case hex.
        issued: When that was signed, in Unix seconds.
        expires: When that ends, in Unix seconds.
        revoked_at: Since when it is revoked, in Unix seconds; None: it is not.
        older: Its certificates before that, which have not expired yet.
    """

    node: str
    name: str
    role: str
    serial: str
    issued: float
    expires: float
    revoked_at: float | None = None
    older: tuple[Older, ...] = ()


class Membership(msgspec.Struct, frozen=True):
    """All members of a cluster, and the number of its list of revocations."""

    members: tuple[Member, ...] = ()
    number: int = 0

    def add(self, member: Member) -> Membership:
        """Note a node that joined.

        Raises:
            BadInput: A node of this id is in the book; or a part is none.
        """
        check_node(member.node), check_name(member.name), check_role(member.role)
        if any(known.node == member.node for known in self.members):
            raise BadInput(f"node {member.node} is a member already: draw another id")
        return msgspec.structs.replace(self, members=(*self.members, member))

    def renew(self, node: str, *, serial: str, issued: float, expires: float) -> Membership:
        """Note a new certificate of a node.

        Raises:
            BadInput: The node is not in the book, or was revoked: it has to join again.
        """
        member = self.of_node(node)
        if member.revoked_at is not None:
            raise BadInput(f"{_text(member)} was revoked: invite it and let it join again")
        still = tuple(old for old in member.older if old.expires > issued)
        renewed = msgspec.structs.replace(
            member,
            serial=serial,
            issued=issued,
            expires=expires,
            older=(*still, Older(member.serial, member.expires)),
        )
        return self._with(renewed)

    def revoke(self, node_or_name: str, now: float) -> Membership:
        """Note that a node is not to be let in any more; again, it changes nothing.

        Raises:
            BadInput: As from :meth:`find`.
        """
        member = self.find(node_or_name)
        if member.revoked_at is not None:
            return self
        changed = self._with(msgspec.structs.replace(member, revoked_at=now))
        return msgspec.structs.replace(changed, number=self.next_number(now))

    def revoke_nodes(self, nodes: frozenset[str], now: float) -> Membership:
        """Note what a list of revocations says that is newer than this book, as after a restore."""
        changed = self
        for member in self.members:
            if member.node in nodes:
                changed = changed.revoke(member.node, now)
        return changed

    def find(self, node_or_name: str) -> Member:
        """Return the member that has this id or name.

        Raises:
            BadInput: There is none; or several have the name: give the id of one, as listed.
        """
        found = [member for member in self.members if member.node == node_or_name]
        found = found or [member for member in self.members if member.name == node_or_name]
        if len(found) > 1:
            in_use = [member for member in found if member.revoked_at is None]
            found = in_use if len(in_use) == 1 else found
        if not found:
            raise BadInput(
                f"no member is called {node_or_name!r}: 'nameserver members' lists names and ids"
            )
        if len(found) > 1:
            listed = ", ".join(f"{member.node} ({member.role})" for member in found)
            raise BadInput(
                f"{len(found)} members are called {node_or_name!r}; give the id of one: {listed}"
            )
        return found[0]

    def of_node(self, node: str) -> Member:
        """Return the member that has this id.

        Raises:
            BadInput: There is none: it has to join.
        """
        for member in self.members:
            if member.node == node:
                return member
        raise BadInput(f"no member has the id {node}: let that machine join")

    def entries(self) -> list[Entry]:
        """Return what the list of revocations has to say."""
        return [
            Entry(serial, member.node, member.revoked_at)
            for member in self.members
            if member.revoked_at is not None
            for serial in (member.serial, *(old.serial for old in member.older))
        ]

    def next_number(self, now: float) -> int:
        """Return the number of the next list of revocations."""
        return max(self.number + 1, int(now))

    def without_expired(self, now: float) -> Membership:
        """Return the book without those that left without a word: expired, and never revoked."""
        return self._keep(lambda member: member.revoked_at is not None or member.expires > now)

    def _with(self, changed: Member) -> Membership:
        members = tuple(changed if old.node == changed.node else old for old in self.members)
        return msgspec.structs.replace(self, members=members)

    def _keep(self, is_kept: Callable[[Member], bool]) -> Membership:
        return msgspec.structs.replace(self, members=tuple(filter(is_kept, self.members)))


def _text(member: Member) -> str:
    return f"{member.name!r} (node {member.node})"
