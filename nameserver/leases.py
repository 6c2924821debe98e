"""Keeping names alive: what a process has registered with a lease, it renews until it ends.

The process keeps its names, not the client object that registered them: that may be closed long
before. A name goes earlier when the daemon of this process that serves its object is closed. One
thread for each name server renews all of them in one call, and registers them again
where the server has forgotten. They are taken back when the process ends.

A name that somebody else has removed or replaced stays so: the server tells it at the next renewal,
it is logged, and the name is kept no longer, until somebody registers it again.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace as replaced
from functools import partial
from typing import Any

from nameserver.kept import GOODBYE_S, Holder, Kept
from nameserver.one_by_one import OneByOne
from nameserver.record import Record
from remoteobj import DaemonClosed, RemoteObjError
from remoteobj.daemon import daemon_of
from remoteobj.uri import URI

__all__ = ["Keeper", "keeper"]

log = logging.getLogger("nameserver.leases")

_PARTS = 3  # so many tries has a renewal before the lease ends
_AWAY_S = 1.0


class Keeper:
    """Renews what this process has registered. Threads: any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Any, Kept] = {}
        self._names = OneByOne()

    def alone(
        self, key: Hashable, name: str, timeout_s: float = -1
    ) -> AbstractContextManager[bool]:
        """Let no other thread of this process change a name meanwhile.

        So what is kept, and would be registered again, is what the server was told last. Whoever
        changes a name at a server has this around the call and what is noted of it here.
        """
        return self._names.alone((key, name), timeout_s)

    def register(
        self,
        key: Hashable,
        connect: Callable[[], Holder],
        record: Record,
        lease_s: float,
        *,
        replace: bool,
        replaces: URI | None,
    ) -> Sequence[str]:
        """Register a name at a server, and keep it there; returns what could not be proved.

        This, ``release`` and what goes before ``forget`` and ``note_metadata`` is done ``alone``.

        Args:
            key: The same for the same server, called in the same way.
            connect: Makes a client of it, which is this keeper's then.
            record: The name, and what it stands for.
            lease_s: How long the server keeps it when this process is gone, in seconds.
            replace: As in ``NameServerClient.register``.
            replaces: As there.
        """
        with self._lock:
            kept = self._kept.get((key, lease_s))
            if kept is None:
                kept = self._kept[key, lease_s] = Kept(
                    connect(), lease_s, self._lock, partial(self.alone, key)
                )
                threading.Thread(
                    target=self._renew,
                    args=((key, lease_s), kept),
                    name=f"leases at {kept.server.address}",
                    daemon=True,
                ).start()
            kept.registering += 1
        owner = daemon_of(record.uri)
        try:
            unproved = kept.server.put(record, kept.lease, replace=replace, replaces=replaces)
            with self._lock:
                self._drop(key, record.name)  # a lease of another length may have kept it
                kept.records[record.name] = record
            if owner is not None:
                try:
                    owner.at_close(partial(self._let_go, key, kept, record))
                except DaemonClosed:  # while the server was dialing
                    kept.give_up(record)
            return unproved
        finally:
            with self._lock:
                kept.registering -= 1

    def release(self, key: Hashable, name: str) -> None:
        """Take a name back, if it is still this process's own.

        Raises:
            ConnectionLost, DeadlinePassed: The server is away; the name is renewed no longer.
        """
        with self._lock:
            found = [
                kept
                for (its_key, _), kept in self._kept.items()
                if its_key == key and kept.records.pop(name, None) is not None
            ]
        for kept in found:
            kept.server.release(kept.lease.id, GOODBYE_S, name)

    def forget(self, key: Hashable, name: str) -> None:
        """Keep a name no longer; the server knows."""
        with self._lock:
            self._drop(key, name)

    def note_metadata(self, key: Hashable, name: str, metadata: frozenset[str]) -> None:
        """Keep a name with other metadata; the server knows."""
        with self._lock:
            for (its_key, _), kept in self._kept.items():
                if its_key == key and name in kept.records:
                    kept.records[name] = replaced(kept.records[name], metadata=metadata)

    def _let_go(self, key: Hashable, kept: Kept, record: Record) -> None:
        """The daemon that serves the object is closing."""
        with self.alone(key, record.name, GOODBYE_S) as is_alone:
            if is_alone:
                kept.give_up(record)
            else:  # the server does not answer whoever registers it: it is given up by them
                kept.drop(record)

    def close(self) -> None:
        """Take back all names. Blocks: at most a second for each server that does not answer."""
        with self._lock:
            ended, self._kept = list(self._kept.values()), {}
        for kept in ended:
            kept.has_ended.set()
            try:
                if kept.records:
                    kept.server.release(kept.lease.id, GOODBYE_S)
            except (RemoteObjError, OSError) as error:
                log.debug("names at %s were not taken back: %s", kept.server.address, error)
            kept.server.close()

    def disown(self) -> None:
        """In a forked child: the names are the parent's, and so is whoever holds the lock."""
        self._lock = threading.Lock()
        self._names = OneByOne()
        for kept in self._kept.values():
            kept.lock = self._lock
            kept.records.clear()
        self._kept = {}

    def _drop(self, key: Hashable, name: str) -> None:
        for (its_key, _), kept in self._kept.items():
            if its_key == key:
                kept.records.pop(name, None)

    def _renew(self, key: Any, kept: Kept) -> None:
        pause_s, is_away = kept.lease.lease_s / _PARTS, False
        while not kept.has_ended.wait(min(pause_s, _AWAY_S) if is_away else pause_s):
            with self._lock:
                if not kept.records and not kept.registering:
                    if self._kept.get(key) is kept:
                        del self._kept[key]
                    kept.server.close()
                    return
            try:
                kept.renew()
                is_away = False
            except Exception as error:  # whatever answers there now, the names are to be kept
                if not is_away:
                    log.warning("names at %s are not renewed: %s", kept.server.address, error)
                is_away = True


keeper = Keeper()
"""The one of this process."""

atexit.register(keeper.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=keeper.disown)
