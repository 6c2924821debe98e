"""What this account has of one cluster, on disk: the only place where identities do I/O.

::

    ca.pem        the authority's certificate: whoever it signs for is let in
    node.pem      this machine's certificate and its key, in one file: they change at once
    revoked.pem   the newest list of revocations that was seen
    server        where the name server that has the authority was last
    ca.key        the authority's key, on one machine of the cluster
    members.json  whom it signed for, there as well

The directory has mode 0700 and the files 0600, which is checked whenever they are read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from remoteobj.errors import BadInput, IdentityUnusable
from remoteobj.identity.membership import Membership
from remoteobj.identity.places import IDENTITY_FILE, cluster_in_use, directory_of
from remoteobj.identity.private import check_private, locked, read_private, write_private
from remoteobj.identity.proof import Proof, prove
from remoteobj.identity.revoked import NOTHING_REVOKED, Revoked
from remoteobj.identity.secret import Secret
from remoteobj.unreadable import UNREADABLE

if TYPE_CHECKING:
    from remoteobj.identity.authority import Authority

__all__ = ["Store"]

_KEY = "ca.key"
_SERVER = "server"
_TRIAL_BYTES = 8192
_BESIDE = ("members.json", "revoked.pem", _SERVER, "invitations.json")
"""What goes with a cluster that is left; the last one is the name server's own."""


class Store:
    """One cluster's directory on this account; the methods name what is wrong with its files.

    All methods raise IdentityUnusable where a file is open to others, somebody else's, damaged or
    cannot be written; the message has the way out. They block on the disk; any thread may call
    them, and other processes may use the same directory meanwhile.

    Attributes:
        directory: Where it is.
        cluster: What the cluster is called: the directory's name.
    """

    __slots__ = ("cluster", "directory")

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cluster = directory.name

    @classmethod
    def of(cls, cluster: str | None = None) -> Store:
        """Return the store of the cluster that is meant, which this account is in.

        Raises:
            IdentityUnusable, BadInput: As :func:`remoteobj.identity.places.cluster_in_use` says.
        """
        return cls(directory_of(cluster_in_use(cluster)))

    @classmethod
    def named(cls, cluster: str) -> Store:
        """Return the store of a cluster that this account may not be in yet."""
        return cls(directory_of(cluster))

    @property
    def identity_path(self) -> Path:
        """Where certificate and key are, whether they exist or not."""
        return self.directory / IDENTITY_FILE

    @property
    def ca_path(self) -> Path:
        """Where the authority's certificate is, whether it exists or not."""
        return self.directory / "ca.pem"

    @property
    def is_paired(self) -> bool:
        """Whether this account is in the cluster."""
        return self.identity_path.exists()

    @property
    def has_authority(self) -> bool:
        """Whether the cluster's authority is here."""
        return (self.directory / _KEY).exists() and self.ca_path.exists()

    def prove(self) -> Proof:
        """Read this machine's identity; :class:`~remoteobj.identity.Identity` is made of it."""
        self._check()
        self._read(IDENTITY_FILE)  # so that a link or an open file is refused
        return prove(*map(str, (self.ca_path, self.identity_path, self.identity_path)))

    def try_writing(self) -> None:
        """Write as much as an identity is, and delete it: where that fails, keeping one would.

        Raises:
            IdentityUnusable: The disk is full or read-only, or the directory is not this user's.
        """
        with locked(self.directory):
            trial = self.directory / "trial"
            write_private(trial, bytes(_TRIAL_BYTES))
            trial.unlink()

    def save_identity(self, ca_pem: bytes, certificate_pem: bytes, key: Secret) -> None:
        """Keep what joining or a renewal has brought, if it proves itself.

        Raises:
            IdentityUnusable: The parts do not fit, or are not valid now (set the clock); or the
                account is in a cluster of this name with another authority: leave it before.
        """
        with locked(self.directory):
            known = self._read("ca.pem", is_secret=False)
            if known is not None and known.strip() != ca_pem.strip():
                raise IdentityUnusable(
                    f"this account is in another cluster that is called {self.cluster!r} "
                    f"({self.directory}): 'nameserver leave' it first, or give one another name"
                )
            if known is None:
                write_private(self.ca_path, ca_pem)
            together = certificate_pem.rstrip() + b"\n" + key.reveal()
            write_private(self.identity_path, together, check=self._check_identity)

    def _check_identity(self, path: Path) -> None:
        try:
            prove(str(self.ca_path), str(path), str(path))
        except IdentityUnusable as error:
            raise IdentityUnusable(str(error).replace(str(path), self.identity_path.name)) from None

    def revoked(self) -> Revoked:
        """Return the newest list of revocations that was kept, its signature checked."""
        self._check()
        crl, ca = self._read("revoked.pem"), self._read("ca.pem", is_secret=False)
        if crl is None or ca is None:
            return NOTHING_REVOKED
        try:
            return Revoked.read(crl, ca)
        except IdentityUnusable as error:
            path = self.directory / "revoked.pem"
            raise IdentityUnusable(f"{path}: {error}; or delete the file, then it is") from None

    def save_revoked(self, revoked: Revoked) -> bool:
        """Keep a list of revocations; False: the one that is there is as new."""
        with locked(self.directory):
            if revoked.number <= self.revoked().number:
                return False
            write_private(self.directory / "revoked.pem", revoked.pem)
            return True

    def server(self) -> str | None:
        """Return where the authority's name server was last, as ``host:port``; None: not known."""
        kept = self._read(_SERVER)
        return None if kept is None else kept.decode("utf-8", "replace").strip() or None

    def note_server(self, address: str) -> None:
        """Remember where the authority's name server is."""
        if address != self.server():
            with locked(self.directory):
                write_private(self.directory / _SERVER, f"{address}\n".encode())

    def authority(self) -> Authority | None:
        """Return the cluster's authority; None: it is on another machine."""
        from remoteobj.identity.authority import Authority

        self._check()
        key, ca = self._read(_KEY), self._read("ca.pem", is_secret=False)
        return None if key is None or ca is None else Authority.from_pem(Secret(key), ca)

    def save_authority(self, authority: Authority) -> None:
        """Keep an authority that was made or moved here.

        Raises:
            IdentityUnusable: The directory belongs to another authority's cluster.
        """
        with locked(self.directory):
            known = self._read("ca.pem", is_secret=False)
            if known is not None and known.strip() != authority.certificate_pem.strip():
                raise IdentityUnusable(
                    f"{self.directory} belongs to another authority's cluster: 'nameserver leave' "
                    "it first, or give one another name"
                )
            self._write_authority(authority)

    def found(self, make: Callable[[], Authority]) -> None:
        """Keep the authority that *make* returns, unless one is here; of several at once one does.

        Raises:
            IdentityUnusable: Another machine has the authority of a cluster of this name.
        """
        with locked(self.directory):
            if self.has_authority:
                return
            if self.ca_path.exists():
                raise IdentityUnusable(
                    f"the authority of {self.cluster!r} is on another machine: 'nameserver leave' "
                    "that cluster first, or give the new one another name"
                )
            self._write_authority(make())  # a key without a certificate has signed for nobody

    def _write_authority(self, authority: Authority) -> None:
        write_private(self.directory / _KEY, authority.key_pem.reveal())
        write_private(self.ca_path, authority.certificate_pem)

    def members(self) -> Membership:
        """Return whom the authority has signed for; nobody, where it is not here."""
        self._check()
        data = self._read("members.json")
        if data is None:
            return Membership()
        try:
            return msgspec.json.decode(data, type=Membership)
        except UNREADABLE as error:
            raise IdentityUnusable(
                f"{self.directory / 'members.json'} is damaged ({error}): put the one of the last "
                "backup there"
            ) from error

    @contextlib.contextmanager
    def changing(self) -> Iterator[Store]:
        """Hold the lock, so that what is read and then saved here is one step.

        Inside, only :meth:`members`, :meth:`write_members` and the other readers may be used.
        """
        with locked(self.directory):
            yield self

    def write_members(self, members: Membership) -> None:
        """Keep whom the authority has signed for; inside :meth:`changing` only."""
        write_private(self.directory / "members.json", msgspec.json.encode(members))

    def leave(self, *, with_authority: bool = False) -> None:
        """Forget the cluster: key and certificates are deleted; leaving twice does nothing.

        Raises:
            BadInput: The authority is here, and *with_authority* was not said: without it nobody
                can join, be renewed or be revoked any more. Make a backup, then say so.
        """
        if not self.directory.exists():
            return
        if (self.directory / _KEY).exists() and not with_authority:
            raise BadInput(
                f"the authority of {self.cluster!r} is here, and without it nobody can join or be "
                "renewed: 'nameserver backup' it, then leave with --with-authority"
            )
        with locked(self.directory):
            for name in (IDENTITY_FILE, _KEY, *_BESIDE, "ca.pem"):
                (self.directory / name).unlink(missing_ok=True)

    def _check(self) -> None:
        check_private(self.directory)

    def _read(self, name: str, *, is_secret: bool = True) -> bytes | None:
        return read_private(self.directory / name, is_secret=is_secret)

    def __repr__(self) -> str:
        return f"Store({str(self.directory)!r})"
