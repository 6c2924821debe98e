"""A farm's cache, which is opened when the first task asks for it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from masterslave.errors import JournalUnusable
from masterslave.farm.handlers import OwnHandlers
from masterslave.farm.travelling import LocalCode
from remoteobj import forks

if TYPE_CHECKING:
    from masterslave.farm.caching.cache import Cache

__all__ = ["Cached"]

log = logging.getLogger("masterslave")


class Cached:
    """Opens the cache of one farm, and says in the end what was found there.  Threads: any.

    Args:
        limit: Bytes that the results of all scripts of this user may take.
        data_only: Whether results that only pickle can read are refused.
    """

    def __init__(
        self, label: str, code: LocalCode, handlers: OwnHandlers, *, limit: int, data_only: bool
    ) -> None:
        self._label = label
        self._code = code
        self._handlers = handlers
        self._limit = limit
        self._data_only = data_only
        self._lock = threading.Lock()
        self._is_wanted = True
        self._cache: Cache | None = None

    def open(self) -> Cache | None:
        """Return the cache; None where there can be none, which was logged.

        Blocks: the first time on the disk, for seconds where there are millions of results.
        """
        if self._cache is None and self._is_wanted:
            with forks.whole:  # only those pay for SQLite who have one
                from masterslave.farm.caching.cache import Cache
            with self._lock:
                if self._cache is None and self._is_wanted:
                    try:
                        self._cache = Cache(
                            self._code,
                            self._handlers.by_task,
                            limit=self._limit,
                            data_only=self._data_only,
                        )
                    except (JournalUnusable, OSError) as error:
                        self._is_wanted = False
                        log.warning("farm %r: nothing is cached: %s", self._label, error)
        return self._cache

    def close(self) -> None:
        """Write what waits. Blocks: on the disk."""
        with self._lock:
            self._is_wanted = False
            cache, self._cache = self._cache, None
        if cache is None:
            return
        cache.close()
        if cache.found:
            log.warning(
                "farm %r: %d results were in the cache of %s",
                self._label, cache.found, cache.script,
            )  # fmt: skip
