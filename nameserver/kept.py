"""The names that one lease keeps at one server: renewed together, registered again, given up."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from nameserver.changes import Lease, Renewal
from nameserver.errors import NamingError, StorageFailed
from nameserver.record import Record
from remoteobj import RemoteObjError
from remoteobj.uri import URI

__all__ = ["GOODBYE_S", "Holder", "Kept"]

log = logging.getLogger("nameserver.leases")

GOODBYE_S = 1.0
"""Longest wait for a server that a name is taken back from, in seconds."""


class Holder(Protocol):
    """A name server, as far as leases go."""

    @property
    def address(self) -> str:
        """Where it is."""

    def put(
        self, record: Record, lease: Lease, *, replace: bool, replaces: URI | None
    ) -> Sequence[str]:
        """Register with a lease; returns what could not be proved."""

    def renew(self, lease: str) -> Renewal:
        """Renew a lease; tells what has become of it."""

    def release(self, lease: str, timeout_s: float, name: str | None = None) -> None:
        """Give up a lease and all its names, or one of them."""

    def close(self) -> None:
        """Close the connections."""


class Kept:
    """What one lease keeps.

    Args:
        server: Where.
        lease_s: How long the server keeps it without a word, in seconds.
        lock: Guards ``records`` and ``registering``, together with the table that this is in.
        alone: Lets no other thread of this process change a name meanwhile.
    """

    def __init__(
        self,
        server: Holder,
        lease_s: float,
        lock: threading.Lock,
        alone: Callable[[str], AbstractContextManager[bool]],
    ) -> None:
        self.server = server
        self.lease = Lease(secrets.token_hex(16), lease_s)
        self.lock = lock
        self.records: dict[str, Record] = {}
        self.registering = 0
        self.has_ended = threading.Event()
        self._alone = alone
        self._forgotten: set[str] = set()  # to be registered again; the renewing thread's own

    def renew(self) -> None:
        """Renew the lease, and register again what the server has forgotten.

        Raises:
            Exception: The server is away, or whoever answers there is none: try again.
        """
        if not self._renew():
            with self.lock:
                self._forgotten.update(self.records)
        for name in sorted(self._forgotten):
            if self.has_ended.is_set():
                return
            with self._alone(name):
                self._put_again(name)
            self._forgotten.discard(name)  # else it is tried again

    def give_up(self, record: Record) -> None:
        """Take a name back, unless it stands for something else by now."""
        if not self.drop(record):
            return
        try:
            self.server.release(self.lease.id, GOODBYE_S, record.name)
        except (RemoteObjError, OSError) as error:
            log.debug("%s was not taken back from %s: %s", record.name, self.server.address, error)

    def drop(self, record: Record) -> bool:
        """Keep a name no longer, unless it stands for something else by now."""
        with self.lock:
            held = self.records.get(record.name)
            is_there = held is not None and held.uri == record.uri
            if is_there:
                del self.records[record.name]
        return is_there

    def _renew(self) -> bool:
        """Renew, and keep no longer what was taken; False where the server knows nothing of it."""
        with self.lock:
            before = dict(self.records)
        told = self.server.renew(self.lease.id)
        for name in sorted(told.taken & before.keys()):
            with self.lock:
                is_taken = self.records.get(name) is before[name]  # and not registered since
                if is_taken:
                    del self.records[name]
            if is_taken:
                log.warning(
                    "%s was removed or replaced by somebody else at the name server at %s: this "
                    "process keeps it no longer; register it again if it is to be there",
                    name,
                    self.server.address,
                )
        return told.is_known

    def _put_again(self, name: str) -> None:
        with self.lock:
            record = self.records.get(name)
        if record is None or self.has_ended.is_set():
            return
        try:
            self.server.put(record, self.lease, replace=False, replaces=None)
        except StorageFailed:  # its disk is full now
            raise
        except NamingError as error:
            log.warning("%s is not registered any more: %s", name, error)
            self.drop(record)
            return
        with self.lock:
            is_wanted = name in self.records
        if not is_wanted:  # its daemon was closed meanwhile
            self.server.release(self.lease.id, GOODBYE_S, name)
