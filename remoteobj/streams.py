"""Iterators that methods have returned: a caller fetches their items one by one, as Pyro5's do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from remoteobj.callers import CallContext, Session
from remoteobj.errors import WireError

__all__ = ["ItemStreams"]

_MOST_STREAMS = 10_000


class ItemStreams:
    """The open streams of a daemon, by id. A stream ends with its items, or with its caller.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._streams: dict[str, _Stream] = {}

    def open(self, items: Iterator[Any], context: CallContext) -> str:
        """Keep an iterator, and return the id under which its items are fetched."""
        stream_id = os.urandom(16).hex()
        stream = _Stream(items, threading.Lock(), context.session())
        with self._lock:
            if len(self._streams) >= _MOST_STREAMS:
                raise WireError(f"{_MOST_STREAMS} streams are open already: read some to their end")
            self._streams[stream_id] = stream
        stream.at_end = stream.session.on_end(lambda: self.close(stream_id))
        return stream_id

    def next_item(self, stream_id: str) -> Any:
        """Return the next item.

        Raises:
            StopIteration: There is none.
            WireError: The stream was closed, or never opened.
        """
        with self._lock:
            stream = self._streams.get(stream_id)
        if stream is None:
            raise WireError("item stream terminated")
        with stream.lock:
            try:
                return next(stream.items)
            except BaseException:
                self.close(stream_id)
                raise

    def close(self, stream_id: str) -> None:
        """Let go of a stream; an unknown one is no error."""
        with self._lock:
            stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.session.forget(stream.at_end)


@dataclass(slots=True)
class _Stream:
    items: Iterator[Any]
    lock: threading.Lock
    session: Session
    at_end: int = 0
