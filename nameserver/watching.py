"""Following the names of a server: each change as it comes, also across a lost connection."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self

from nameserver.changes import Event, Kind, Revision
from nameserver.errors import NamingError
from nameserver.record import Record, from_plain
from remoteobj import ConnectionLost, DeadlinePassed, RemoteObjError

__all__ = ["Source", "Watch"]

log = logging.getLogger("nameserver.watching")

WAIT_S = 5.0
"""How long the server keeps a question that it has no answer to, in seconds; a server whose cable
was pulled is noticed when no answer has come by then, and some more."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_GOODBYE_S, _AGAIN_S = 1.0, 0.05
_LIST_S = 1.0  # how often a server is listed that cannot tell
_KINDS: tuple[Kind, ...] = ("registered", "changed", "removed", "expired")


class Source(Protocol):
    """What a watch asks, and has for itself."""

    @property
    def address(self) -> str:
        """Where it is."""

    def changes(
        self, prefix: str, since: Revision | None, wait_s: float, watcher: str
    ) -> dict[str, Any] | None:
        """Return what the server tells; None where it cannot, so that it has to be listed."""

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records."""

    def unwatch(self, watcher: str) -> None:
        """Have the question that waits at the server answered now."""

    def close(self) -> None:
        """Close the connections; using it again opens new ones."""


class Watch:
    """Iterates over what happens to the names of a server; made by ``NameServerClient.watch``.

    It begins with what is registered already, each as an event of the kind "registered". Renewals
    of leases are no events. When the connection is lost it goes on as soon as there is one: no
    change is told twice. Where the server was started anew, or was away for too long to remember
    all, what has become of each name is told, and not what has happened in between.

    Blocks: the iterator, until something happens or ``close()``.
    Threads: one iterates; any may close.
    """

    def __init__(
        self,
        source: Source,
        prefix: str,
        on_event: Callable[[Event], None] | None = None,
        patience_s: float = math.inf,
    ) -> None:
        self._source = source
        self._patience_s = patience_s
        self._prefix = prefix
        self._watcher = secrets.token_hex(8)
        self._known: dict[str, Record] = {}
        self._revision: Revision | None = None
        self._ready: deque[Event] = deque()
        self._closed = threading.Event()
        self._turn = threading.Condition()
        self._is_asking = False
        self._thread: threading.Thread | None = None
        if on_event is not None:
            self._thread = threading.Thread(
                target=self._follow, args=(on_event,), name=f"watch {prefix}", daemon=True
            )
            self._thread.start()

    @property
    def revision(self) -> Revision | None:
        """What is known; None before the first answer."""
        return self._revision

    def close(self) -> None:
        """Watch no longer: the iterator ends. Closing again does nothing.

        Blocks: with a callback, until it has returned, at most 2 s.
        """
        with self._turn:
            if self._closed.is_set():
                return
            self._closed.set()
        self._end_question()
        self._source.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_LONGEST_PAUSE_S)

    def begin(self) -> Self:
        """Take in what is registered now, so that whatever happens from now on is told.

        Without it a watch begins when its iterator is asked for the first time; one with a callback
        begins by itself.

        Raises:
            ConnectionLost, DeadlinePassed: The server is not there.

        Blocks: on the network, for one answer.  Threads: the one that iterates.
        """
        if self._revision is None and not self._closed.is_set():
            self._ask()
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while not self._closed.is_set():
            if self._ready:
                return self._ready.popleft()
            self._ask()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Watch of {self._prefix + '*'!r} at {self._source.address}: {self._revision}>"

    def _follow(self, on_event: Callable[[Event], None]) -> None:
        try:
            for event in self:
                try:
                    on_event(event)
                except Exception:
                    log.exception("what was to be done with %s failed", event)
        except RemoteObjError:
            log.exception("names at %s are not watched any more", self._source.address)

    def _end_question(self) -> None:
        """Have the server answer now; again, where the question had not come there yet."""
        deadline = time.monotonic() + _GOODBYE_S
        while self._is_asking and time.monotonic() < deadline:
            try:
                self._source.unwatch(self._watcher)
            except (RemoteObjError, OSError, AttributeError) as error:
                log.debug("the watch at %s was not taken back: %s", self._source.address, error)
            with self._turn:
                self._turn.wait_for(lambda: not self._is_asking, _AGAIN_S)

    def _changes(self) -> dict[str, Any] | None:
        with self._turn:  # so that whoever closes knows of each question
            if self._closed.is_set():
                raise ConnectionLost("the watch was closed", executed="no")
            self._is_asking = True
        try:
            return self._source.changes(self._prefix, self._revision, WAIT_S, self._watcher)
        finally:
            with self._turn:
                self._is_asking = False
                self._turn.notify_all()

    def _ask(self) -> None:
        pause_s, since = _FIRST_PAUSE_S, 0.0
        while not self._closed.is_set():
            try:
                self._take(self._changes())
                return
            except (ConnectionLost, DeadlinePassed) as error:
                if self._closed.is_set():
                    return
                is_new = self._revision is None  # it was never there
                if pause_s == _FIRST_PAUSE_S:
                    since = time.monotonic()
                if is_new or time.monotonic() - since >= self._patience_s:
                    raise
                if pause_s == _FIRST_PAUSE_S:
                    log.warning("the name server at %s is away: %s", self._source.address, error)
                self._closed.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _take(self, told: dict[str, Any] | None) -> None:
        match told:
            case None:
                if self._revision is not None and self._closed.wait(_LIST_S):
                    return
                self._relist(self._source.list(self._prefix), Revision("", 0))
            case {"instance": str(instance), "number": int(number), "records": [*records]}:
                self._relist(map(from_plain, records), Revision(instance, number))
            case {"instance": str(instance), "number": int(number), "changes": [*changes]}:
                for kind, own_number, plain in changes:
                    self._note(kind, from_plain(plain), Revision(instance, own_number))
                self._revision = Revision(instance, number)
            case _:
                raise NamingError(f"{self._source.address} tells of changes in an unknown form")

    def _relist(self, records: Iterable[Record], revision: Revision) -> None:
        """Take in all there is, and tell what has become of what was known."""
        gone = dict(self._known)
        for record in records:
            before = gone.pop(record.name, None)
            if before is None:
                self._note("registered", record, revision)
            elif (before.uri, before.metadata, before.hosts) != (
                record.uri,
                record.metadata,
                record.hosts,
            ):
                self._note("changed", record, revision)
        for record in gone.values():
            self._note("removed", record, revision)
        self._revision = revision

    def _note(self, kind: Kind, record: Record, revision: Revision) -> None:
        if kind not in _KINDS:  # of a later release
            return
        if kind in ("removed", "expired"):
            self._known.pop(record.name, None)
        else:
            self._known[record.name] = record
        self._ready.append(Event(kind, record, revision))
