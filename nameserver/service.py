"""What a name server publishes: Pyro5's own methods, and beside them what those cannot say.

The shapes of the first are those of Pyro5's ``nameserver.py``, so that stock Pyro5 tools can use
it: ``lookup`` gives a URI, or with metadata a pair; ``list`` gives a dict of names to URIs as text,
or to pairs. The others take and give plain values, see ``record.to_plain``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from nameserver.book import Book
from nameserver.changes import Lease, Revision
from nameserver.errors import NamingError
from nameserver.record import Record, make_record, to_plain, to_text
from nameserver.waiting import Answer
from remoteobj import URI, expose

__all__ = ["MAX_LEASE_S", "MAX_WAIT_S", "MIN_LEASE_S", "NameService"]

MIN_LEASE_S, MAX_LEASE_S = 1.0, 86_400.0
MAX_WAIT_S = 60.0


@expose
class NameService:
    """The names of a server, for callers from any thread and any machine."""

    def __init__(self, book: Book) -> None:
        self._book = book

    # As Pyro5 has them.

    def ping(self) -> None:
        """Do nothing: an answer is the answer."""

    def count(self) -> int:
        """Return how many names there are."""
        return self._book.count()

    def register(self, name: str, uri: URI | str, safe: bool = False, metadata: Any = None) -> None:
        """Give an object a name; with *safe*, one that is taken stays as it is and this raises."""
        self._book.register(make_record(name, uri, metadata or ()), replace=not safe)

    def set_metadata(self, name: str, metadata: Any) -> None:
        """Give a name other metadata."""
        self._book.set_metadata(name, metadata or ())

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        """Return the URI of a name, with *return_metadata* as a pair with its metadata."""
        record = self._book.lookup(name)
        return (record.uri, set(record.metadata)) if return_metadata else record.uri

    def remove(
        self, name: str | None = None, prefix: str | None = None, regex: str | None = None
    ) -> int:
        """Forget one name, or those that begin with *prefix*, or match *regex*; return how many.

        The name server's own name stays.
        """
        names = [name] if name else list(self.list(prefix, regex)) if prefix or regex else []
        return self._book.remove(names)

    def list(
        self, prefix: str | None = None, regex: str | None = None, return_metadata: bool = False
    ) -> dict[str, Any]:
        """Return names and URIs: all, or those that begin with *prefix*, or match *regex*."""
        if prefix and regex:
            raise ValueError("give a prefix or a regular expression, not both")
        records = self._book.list(prefix or "")
        return _as_pyro(_matching(records, regex) if regex else records, return_metadata)

    def yplookup(
        self, meta_all: Any = None, meta_any: Any = None, return_metadata: bool = True
    ) -> dict[str, Any]:
        """Return the names with all, or any, of these metadata; none where none are given."""
        if meta_all and meta_any:
            raise ValueError("give meta_all or meta_any, not both")
        tags = meta_all or meta_any or ()
        if isinstance(tags, str):
            raise TypeError("metadata are a set of texts, not one text")
        if not tags:
            return {}
        return _as_pyro(self._book.with_metadata(tags, every=bool(meta_all)), return_metadata)

    # What those cannot say.

    def instance(self) -> str:
        """Return what tells this run of the server from every other."""
        return self._book.instance

    def find(self, name: str) -> str:
        """Return the record of a name, as ``record.to_text`` writes it."""
        return to_text(self._book.lookup(name))

    def records(self, prefix: str = "") -> Any:
        """Return the records whose names begin with *prefix*, in the order of their names."""
        return [to_plain(record) for record in self._book.list(prefix)]

    def put(
        self,
        name: str,
        uri: str,
        metadata: Any,
        lease: tuple[str, float] | None,
        replace: bool,
        replaces: str | None,
    ) -> None:
        """Give an object a name, for as long as a lease is renewed if there is one."""
        self._book.register(
            make_record(name, uri, metadata),
            _lease(*lease) if lease else None,
            replace=replace,
            replaces=URI(replaces) if replaces else None,
        )

    def renew(self, lease: str) -> bool:
        """Give a lease its time anew; False where there is none, so that its holder registers."""
        return self._book.renew(lease)

    def release(self, lease: str) -> int:
        """Forget the names that a lease keeps; return how many."""
        return self._book.release(lease)

    def watch(
        self, prefix: str, instance: str, number: int, wait_s: float, watcher: str
    ) -> Future[Any]:
        """Tell what has changed since a revision, as soon as something has, at most in *wait_s*.

        Returns:
            A dict of the server's ``instance``, the ``number`` of the last change that is told, and
            ``changes``: pairs of a kind and a record; or ``records``: all there is.
        """
        since = Revision(instance, number) if instance else None
        wait_s = min(max(wait_s, 0.0), MAX_WAIT_S)
        return _then_plain(self._book.watch(prefix, since, wait_s, watcher), self._book.instance)

    def unwatch(self, watcher: str) -> None:
        """Tell a watcher that there is nothing, so that it can end."""
        self._book.unwatch(watcher)


def _lease(lease: str, lease_s: float) -> Lease:
    if not MIN_LEASE_S <= lease_s <= MAX_LEASE_S:
        raise NamingError(
            f"a lease of {lease_s:g} s: from {MIN_LEASE_S:g} to {MAX_LEASE_S:g} s are possible"
        )
    return Lease(lease, float(lease_s))


def _then_plain(answer: Future[Answer], instance: str) -> Future[Any]:
    plain: Future[Any] = Future()
    answer.add_done_callback(lambda done: plain.set_result(_plain(done.result(), instance)))
    return plain


def _plain(answer: Answer, instance: str) -> dict[str, Any]:
    told: dict[str, Any] = {"instance": instance, "number": answer.number}
    if answer.records is not None:
        told["records"] = [to_plain(record) for record in answer.records]
    else:
        told["changes"] = [
            [change.kind, change.number, to_plain(change.record)] for change in answer.changes
        ]
    return told


def _as_pyro(records: Iterable[Record], return_metadata: bool) -> dict[str, Any]:
    if return_metadata:
        return {record.name: (str(record.uri), set(record.metadata)) for record in records}
    return {record.name: str(record.uri) for record in records}


def _matching(records: Iterable[Record], regex: str) -> Iterable[Record]:
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise NamingError(f"{regex!r} is no regular expression: {error}") from error
    return tuple(record for record in records if pattern.match(record.name))
