"""The names of one server, for many threads: registry, storage and watchers under one lock.

A change is decided by the registry, kept by the storage, applied, and told to who waits for it, in
this order and under the lock; so nobody sees what was not kept, and a storage that fails changes
nothing. One thread ends what has its time: leases, and the patience of watchers.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace as replaced
from typing import Self

from nameserver.changes import Change, Lease, Registrant, Renewal, Revision
from nameserver.errors import NameUnknown, StorageFailed
from nameserver.leadership import Claim, Leadership, Leaderships
from nameserver.record import Record, check_metadata
from nameserver.registry import HISTORY_SIZE, Registry
from nameserver.storage import MemoryStorage, Storage
from nameserver.waiting import Answer, Waiting
from remoteobj.uri import URI

__all__ = ["Book"]

log = logging.getLogger("nameserver.book")

_RETRY_S = 1.0
_LEAST_S = 0.01


class Book:
    """What a name server knows.

    Args:
        instance: Tells this run of the server from every other.
        storage: What keeps the names.
        history_size: How many changes who watches may have missed.
        clock: Seconds that only grow, for leases.

    Raises:
        StorageFailed: The storage cannot be read.

    Blocks: what changes a name, on the storage.  Threads: any.
    """

    def __init__(
        self,
        instance: str,
        storage: Storage | None = None,
        *,
        history_size: int = HISTORY_SIZE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.instance = instance
        self._storage = storage or MemoryStorage()
        self._clock = clock
        kept = self._storage.load()
        self._registry = Registry(history_size=history_size, number=kept.number)
        self._registry.load(kept.entries, clock())
        self._leaderships = Leaderships(kept.leaderships, clock())
        self._waiting = Waiting()
        self._lock = threading.Lock()
        self._is_due = threading.Condition(self._lock)
        self._closed = False
        self._retry_at = clock()
        self._thread = threading.Thread(target=self._end_in_time, name="nameserver", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the watches, and let go of the storage. Closing again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._waiting.end_all()
            self._is_due.notify()
        self._thread.join()
        self._storage.close()

    # What is asked.

    def lookup(self, name: str) -> Record:
        """Return the record of a name.

        Raises:
            NameUnknown: There is none.
        """
        with self._lock:
            self._expire()
            return self._registry.lookup(name)

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records whose names begin with *prefix*, in the order of their names."""
        with self._lock:
            self._expire()
            return self._registry.list(prefix)

    def with_metadata(self, tags: Iterable[str], *, every: bool) -> tuple[Record, ...]:
        """Return the records that have one of these *tags*, or *every* one of them."""
        with self._lock:
            self._expire()
            return self._registry.with_metadata(tags, every=every)

    def count(self) -> int:
        """Return how many names there are."""
        with self._lock:
            self._expire()
            return self._registry.count()

    def revision(self) -> Revision:
        """Return where the server is in its life."""
        with self._lock:
            return Revision(self.instance, self._registry.number)

    # What changes something. Each raises StorageFailed where it could not be kept.

    def register(
        self,
        record: Record,
        lease: Lease | None = None,
        *,
        replace: bool = False,
        replaces: URI | None = None,
    ) -> None:
        """Take in a record; see ``Registry.register``."""
        record = replaced(record, since=time.time(), lease_s=lease.lease_s if lease else None)
        with self._lock:
            self._expire()
            decided = self._registry.register(record, lease, replace=replace, replaces=replaces)
            if not self._make(decided):
                since = self._registry.lookup(record.name).since
                self._registry.note(replaced(record, since=since))
            if lease is not None:
                self._registry.renew(lease.id, self._clock())
                self._is_due.notify()

    def set_metadata(
        self, name: str, metadata: Iterable[str], by: Registrant | None = None
    ) -> None:
        """Give a name other metadata; see ``Registry.set_metadata``."""
        tags = check_metadata(name, metadata)
        with self._lock:
            self._expire()
            self._make(self._registry.set_metadata(name, tags, by))

    def remove(self, names: Iterable[str], by: Registrant | None = None) -> int:
        """Forget names; return how many were there; see ``Registry.remove``."""
        with self._lock:
            self._expire()
            return self._make(self._registry.remove(names, by))

    def renew(self, lease: str) -> Renewal:
        """Give a lease its time anew; where there is none, its holder has to register."""
        with self._lock:
            self._expire()
            return self._registry.renew(lease, self._clock())

    def release(self, lease: str, name: str | None = None) -> int:
        """Forget the names that a lease keeps, or one of them; return how many."""
        with self._lock:
            return self._make(self._registry.release(lease, name))

    def note(self, record: Record, problem: str) -> None:
        """Take in whether a record's object answers, if the name still stands for it."""
        with self._lock, contextlib.suppress(NameUnknown):
            now = self._registry.lookup(record.name)
            if now.uri == record.uri and now.problem != problem:
                self._registry.note(replaced(now, problem=problem))

    # Who leads. What changes something raises StorageFailed where it could not be kept.

    def lead(self, claim: Claim, by: Registrant) -> Leadership:
        """Give or renew a leadership; see ``Leaderships.ask``."""
        with self._lock:
            decided = self._leaderships.ask(claim, by, self._clock())
            return self._keep(decided)

    def resign(
        self, name: str, holder: str, epoch: int, by: Registrant, *, run: str, turn: int
    ) -> bool:
        """Let a lease be over; tells whether it was the holder's still."""
        with self._lock:
            decided = self._leaderships.resigned(name, holder, epoch, by, run=run, turn=turn)
            if decided is not None:
                self._keep(decided, runs=False)
            return decided is not None

    def free(self, name: str) -> Leadership:
        """Let whoever asks take a leadership; see ``Leaderships.freed``."""
        with self._lock:
            return self._keep(self._leaderships.freed(name, self._clock()), runs=False)

    def leader(self, name: str) -> Leadership | None:
        """Return who leads a name, or led it last; None: nothing is known."""
        with self._lock:
            return self._leaderships.leader(name, self._clock())

    def leaders(self) -> Sequence[Leadership]:
        """Return who leads which names, in the order of the names."""
        with self._lock:
            return self._leaderships.all(self._clock())

    # Who waits for a change.

    def watch(
        self, prefix: str, since: Revision | None, wait_s: float, watcher: str
    ) -> Future[Answer]:
        """Tell what has changed since a revision, as soon as something has.

        Args:
            prefix: Only names that begin so.
            since: What the watcher knows; None: nothing, and all there is is listed.
            wait_s: Longest time until it is told that there is nothing, in seconds.
            watcher: By which ``unwatch`` finds it.
        """
        with self._lock:
            self._expire()
            number = self._registry.number
            changes: Sequence[Change] | None = None
            if since is not None and since.instance == self.instance:
                changes = self._registry.since(since.number, prefix)
            if changes is not None and not changes and not self._closed:
                self._is_due.notify()
                return self._waiting.add(prefix, watcher, self._clock() + wait_s, number)
            known: Future[Answer] = Future()
            if changes is None:
                known.set_result(Answer(number, records=self._registry.list(prefix)))
            else:
                known.set_result(Answer(number, changes))
            return known

    def unwatch(self, watcher: str) -> None:
        """Tell a watcher that there is nothing, so that it can end."""
        with self._lock:
            self._waiting.end(watcher)

    @property
    def watchers(self) -> int:
        """How many wait for a change now."""
        return len(self._waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Under the lock.

    def _make(self, decided: Sequence[Change]) -> int:
        """Keep changes, make them, and tell whom they concern; return how many they are."""
        if decided:
            if self._closed:
                raise StorageFailed("the name server was closed")
            self._storage.save(decided)
            self._registry.apply(decided, self._clock())
            self._waiting.tell(decided)
        return len(decided)

    def _keep(self, decided: Leadership, *, runs: bool = True) -> Leadership:
        """Keep who leads, make it so, and return what is told of it."""
        if self._closed:
            raise StorageFailed("the name server was closed")
        if self._leaderships.is_to_keep(decided):
            self._storage.save_leadership(decided)
        return self._leaderships.apply(decided, self._clock(), runs=runs)

    def _expire(self) -> None:
        now, due = self._clock(), self._registry.next_expiry()
        if due is None or due > now or now < self._retry_at or self._closed:
            return
        try:
            self._make(self._registry.expire(now))
        except Exception as error:  # it stays listed for as long as that cannot be kept
            log.error(
                "names whose leases have ended could not be removed: %s",
                error,
                exc_info=not isinstance(error, StorageFailed),
            )
            self._retry_at = now + _RETRY_S

    def _end_in_time(self) -> None:
        with self._lock:
            while not self._closed:
                self._expire()
                now = self._clock()
                self._waiting.end_until(now)
                expiry = self._registry.next_expiry()
                ends = [expiry and max(expiry, self._retry_at), self._waiting.next_end()]
                due = min((end for end in ends if end is not None), default=None)
                if due is None:
                    self._is_due.wait()
                else:
                    self._is_due.wait(max(due - now, _LEAST_S))
