"""What a name server publishes: the methods of Pyro5's own, so that stock Pyro5 tools can use it.

Their shapes are Pyro5's ``nameserver.py``: ``lookup`` gives a URI, or with metadata a pair;
``list`` gives a dict of names to URIs as text, or to pairs.
"""

from __future__ import annotations

import re
import threading
from typing import Any

from nameserver.errors import NamingError
from nameserver.record import NAME_SERVER, Record, make_record
from nameserver.registry import Registry
from remoteobj import URI, expose

__all__ = ["NameService"]


@expose
class NameService:
    """The registry, for callers from any thread and any machine.

    Args:
        instance: Tells this run of a name server from every other, so that who comes back to an
            address notices that another server answers there now.
    """

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._registry = Registry()
        self._lock = threading.Lock()

    def ping(self) -> None:
        """Do nothing: an answer is the answer."""

    def instance(self) -> str:
        """Return what tells this run of the server from every other."""
        return self._instance

    def count(self) -> int:
        """Return how many names there are."""
        with self._lock:
            return self._registry.count()

    def register(self, name: str, uri: URI | str, safe: bool = False, metadata: Any = None) -> None:
        """Give an object a name; with *safe*, one that is taken stays as it is and this raises."""
        record = make_record(name, uri, metadata or ())
        with self._lock:
            self._registry.register(record, replace=not safe)

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        """Return the URI of a name, with *return_metadata* as a pair with its metadata."""
        with self._lock:
            record = self._registry.lookup(name)
        return (record.uri, set(record.metadata)) if return_metadata else record.uri

    def remove(
        self, name: str | None = None, prefix: str | None = None, regex: str | None = None
    ) -> int:
        """Forget one name, or those that begin with *prefix*, or match *regex*; return how many.

        The name server's own name stays.
        """
        names = [name] if name else list(self.list(prefix, regex)) if prefix or regex else []
        with self._lock:
            return sum(self._registry.remove(each) for each in names if each != NAME_SERVER)

    def list(
        self, prefix: str | None = None, regex: str | None = None, return_metadata: bool = False
    ) -> dict[str, Any]:
        """Return names and URIs: all, or those that begin with *prefix*, or match *regex*."""
        if prefix and regex:
            raise ValueError("give a prefix or a regular expression, not both")
        with self._lock:
            records = self._registry.list(prefix or "")
        if regex:
            records = _matching(records, regex)
        if return_metadata:
            return {record.name: (str(record.uri), set(record.metadata)) for record in records}
        return {record.name: str(record.uri) for record in records}


def _matching(records: tuple[Record, ...], regex: str) -> tuple[Record, ...]:
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise NamingError(f"{regex!r} is no regular expression: {error}") from error
    return tuple(record for record in records if pattern.match(record.name))
