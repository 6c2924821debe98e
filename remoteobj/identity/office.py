"""The authority at work on the machine that has it: it signs, and keeps its book on disk.

What it signs is in the book before anyone gets it, so that whatever was issued can be revoked. A
revocation is in the book before the list of it is signed; after a crash in between the list is
signed when it is asked for.
"""

from __future__ import annotations

import secrets

from remoteobj.errors import IdentityUnusable
from remoteobj.identity.authority import Authority
from remoteobj.identity.checking import read_certificate
from remoteobj.identity.clusters import check_cluster
from remoteobj.identity.membership import Member, Membership
from remoteobj.identity.places import config_dir
from remoteobj.identity.private import locked
from remoteobj.identity.request import make_request
from remoteobj.identity.revoked import Revoked
from remoteobj.identity.store import Store

__all__ = ["Office", "found_cluster"]


class Office:
    """Signs for one cluster; any thread may call it, and processes may do so at once.

    All methods block on the disk, and raise IdentityUnusable where :class:`Store` does, and
    BadInput where :class:`Authority` and :class:`Membership` do.

    Args:
        store: Where the authority is.
    Raises:
        IdentityUnusable: It is not there: use the machine that has it, or restore its backup.
    """

    __slots__ = ("_authority", "_store")

    def __init__(self, store: Store) -> None:
        authority = store.authority()
        if authority is None:
            raise IdentityUnusable(
                f"the authority of {store.cluster!r} is not on this account: do this on the "
                "machine that has it, or 'nameserver restore' its backup here"
            )
        self._store, self._authority = store, authority

    @property
    def cluster(self) -> str:
        """What the cluster is called."""
        return self._store.cluster

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate."""
        return self._authority.certificate_pem

    @property
    def fingerprint(self) -> str:
        """SHA-256 of that certificate, in hex."""
        return self._authority.fingerprint

    def issue(
        self, request_pem: bytes, *, name: str, role: str, now: float, days: float = 365
    ) -> bytes:
        """Sign for a machine that joins, as a new node; returns the certificate as PEM."""
        with self._store.changing():
            book = self._store.members().without_expired(now)
            node = secrets.token_hex(8)
            pem = self._authority.sign(
                request_pem, node=node, name=name, role=role, now=now, days=days
            )
            serial, expires = read_certificate(pem)
            member = Member(
                node=node, name=name, role=role, serial=serial, issued=now, expires=expires
            )
            self._store.write_members(book.add(member))
        return pem

    def renew(self, node: str, request_pem: bytes, *, now: float, days: float = 365) -> bytes:
        """Sign for a member again, with its name and role of before; a revoked one is refused."""
        with self._store.changing():
            book = self._store.members()
            known = book.of_node(node)
            pem = self._authority.sign(
                request_pem, node=node, name=known.name, role=known.role, now=now, days=days
            )
            serial, expires = read_certificate(pem)
            self._store.write_members(book.renew(node, serial=serial, issued=now, expires=expires))
        return pem

    def revoke(self, node_or_name: str, *, now: float) -> Member:
        """Refuse a member from now on; give :meth:`revocations` to all that are connected."""
        with self._store.changing():
            book = self._store.members().revoke(node_or_name, now)
            self._store.write_members(book)
        self.revocations(now=now)
        return book.find(node_or_name)

    def members(self) -> Membership:
        """Return all members, the revoked ones too."""
        return self._store.members()

    def revocations(self, *, now: float) -> Revoked:
        """Return the newest list, signed (before the first: number 0, no ``pem``).

        A list on disk that is newer than the book, as after a restore, is taken into the book.
        """
        with self._store.changing():
            book, kept = self._store.members(), self._store.revoked()
            merged = book.revoke_nodes(kept.nodes, now)
            if merged != book:
                self._store.write_members(merged)
            if merged.number <= kept.number or not merged.number:
                return kept
        pem = self._authority.revocations(merged.entries(), merged.number, now)
        signed = Revoked.read(pem, self.ca_pem)
        self._store.save_revoked(signed)
        return signed

    def __repr__(self) -> str:
        return f"Office({self.cluster!r})"


def found_cluster(cluster: str, *, name: str, now: float, role: str = "operator") -> Office:
    """Make a cluster on this account, with this machine as its first member, or return it.

    Args:
        cluster: What it is called.
        name: This host's name, for people.
        now: The time, in Unix seconds.
        role: What this machine may do.
    Raises:
        IdentityUnusable: This account is in a cluster of this name whose authority is elsewhere;
            or as from :class:`Store`.
        BadInput: *cluster* is no name, or the clock is wrong: set it.
    Blocks: on the disk.  Threads: any; of several processes at once one founds it.
    """
    store = Store.named(check_cluster(cluster))
    with locked(config_dir()):  # not the store's own lock, which each step below takes by itself
        store.found(lambda: Authority.create(cluster, now))
        office = Office(store)
        if not store.is_paired:
            key, request = make_request(name)
            certificate = office.issue(request, name=name, role=role, now=now)
            store.save_identity(office.ca_pem, certificate, key)
    return office
