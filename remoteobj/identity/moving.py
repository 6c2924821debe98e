"""A cluster's authority is kept elsewhere, and comes back, perhaps on another machine."""

from __future__ import annotations

from remoteobj.errors import BadInput, IdentityUnusable
from remoteobj.identity.authority import Authority
from remoteobj.identity.claims import at_least
from remoteobj.identity.office import Office
from remoteobj.identity.places import stored_clusters
from remoteobj.identity.request import make_request
from remoteobj.identity.revoked import Revoked
from remoteobj.identity.sealing import Backup, seal, unseal
from remoteobj.identity.secret import Secret
from remoteobj.identity.store import Store

__all__ = ["back_up", "restore"]


def back_up(store: Store, passphrase: Secret) -> bytes:
    """Return a backup of the authority that is here, encrypted.

    Raises:
        IdentityUnusable: It is not here, or cannot be read.
        BadInput: The passphrase is short.
    Blocks: on the disk, and half a second.  Threads: any.
    """
    authority = store.authority()
    if authority is None:
        raise IdentityUnusable(
            f"the authority of {store.cluster!r} is not on this account: make the backup on the "
            "machine that has it"
        )
    backup = Backup(
        store.cluster,
        authority.key_pem.reveal(),
        authority.certificate_pem,
        store.members(),
        store.revoked().pem,
    )
    return seal(backup, passphrase)


def restore(
    data: bytes, passphrase: Secret, *, name: str, now: float, cluster: str | None = None
) -> Store:
    """Bring an authority back, on this account; who has no certificate as operator gets one.

    Args:
        data: What :func:`back_up` returned.
        passphrase: As it was given there.
        name: This host's name, for people.
        now: The time, in Unix seconds.
        cluster: What the cluster is to be called here; None: as it was called.
    Raises:
        BadInput: It is no backup, or the passphrase is wrong; or there is an authority of such a
            cluster, which is not overwritten.
        IdentityUnusable: This account is in another cluster of this name, or the disk refuses.
    Blocks: on the disk, and half a second.  Threads: any.
    """
    backup = unseal(data, passphrase)
    store = Store.named(cluster or backup.cluster)
    for known in map(Store.named, stored_clusters()):
        if known.has_authority and _is_of(known, backup.ca):
            raise BadInput(
                f"the authority of this backup is on this account, as {known.cluster!r}: a second "
                "one would know nothing of what the first does; 'nameserver leave --cluster "
                f"{known.cluster} --with-authority' first, if the backup is what is to hold"
            )
    if store.has_authority:
        raise BadInput(
            f"the authority of another cluster is on this account as {store.cluster!r}, and is not "
            "overwritten: give the restored one another name with --cluster, or 'nameserver leave "
            "--with-authority' first"
        )
    authority = Authority.from_pem(Secret(backup.key), backup.ca)
    with store.changing():
        store.write_members(backup.members)  # who signs without the book could revoke nobody
    store.save_authority(authority)
    if backup.revoked:
        store.save_revoked(Revoked.read(backup.revoked, backup.ca))
    _become_operator(store, name, now)
    return store


def _is_of(store: Store, ca_pem: bytes) -> bool:
    authority = store.authority()
    return authority is not None and authority.certificate_pem.strip() == ca_pem.strip()


def _become_operator(store: Store, name: str, now: float) -> None:
    """Have a certificate with which joining machines take this one for the host."""
    if store.is_paired and at_least(store.prove().claims.role, "operator"):
        return
    office = Office(store)
    key, request = make_request(name)
    certificate = office.issue(request, name=name, role="operator", now=now)
    store.save_identity(office.ca_pem, certificate, key)
