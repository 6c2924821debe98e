"""What a daemon publishes: exposures by id, and the object that tells of them."""

from __future__ import annotations

import threading
from typing import Any

from remoteobj import _pyro
from remoteobj.callers import current_context
from remoteobj.dispatch import Exposure
from remoteobj.errors import ObjectIdTaken, ObjectUnknown
from remoteobj.streams import ItemStreams

__all__ = ["Published"]


class Published:
    """Exposures by their id; the daemon's own object is always among them.

    Threads: any.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.streams = ItemStreams()
        self._lock = threading.Lock()
        self.exposures = {_pyro.DAEMON_ID: Exposure(_DaemonObject(self))}

    def __len__(self) -> int:
        return len(self.exposures) - 1

    def add(self, target: Any, object_id: str) -> None:
        """Publish an object or a class.

        Raises:
            ObjectIdTaken: The id is in use.
            TypeError: Nothing of it is exposed.
        """
        exposure = Exposure(target)
        if not exposure.members["methods"] and not exposure.members["attrs"]:
            name = target.__name__ if isinstance(target, type) else type(target).__name__
            raise TypeError(f"{name} exposes nothing: mark the class or its methods with @expose")
        with self._lock:
            if object_id in self.exposures:
                raise ObjectIdTaken(
                    f"{object_id!r} is published by this daemon already: unregister it first, or "
                    "choose another id"
                )
            self.exposures[object_id] = exposure

    def remove(self, object_id: str) -> None:
        """Publish it no longer; an unknown id is no error."""
        with self._lock:
            self.exposures.pop(object_id, None)

    def find(self, object_id: str) -> Exposure:
        """Return what is published under an id.

        Raises:
            ObjectUnknown: Nothing is.
        """
        exposure = self.exposures.get(object_id)
        if exposure is None:
            raise ObjectUnknown(f"{_pyro.NO_SUCH_OBJECT} {object_id!r} at {self.location}")
        return exposure

    def names(self) -> list[str]:
        """Return every id."""
        return list(self.exposures)

    def metadata(self, object_id: str) -> dict[str, list[str]]:
        """Return what may be called on an object, as Pyro5's handshake tells it.

        Raises:
            ObjectUnknown: There is none of this id.
        """
        members = self.find(object_id).members
        return {kind: sorted(names) for kind, names in members.items()}

    def description(self, object_id: str) -> dict[str, Any]:
        """Return ``metadata``, and what only our own clients make use of."""
        return {
            **self.metadata(object_id),
            "parameters": self.find(object_id).parameters(),
        }


class _DaemonObject:
    """What every daemon publishes about itself, under the id that Pyro5's clients know."""

    def __init__(self, published: Published) -> None:
        self._published = published

    @_pyro.expose
    def ping(self) -> None:
        """Do nothing: an answer is the answer."""

    @_pyro.expose
    def info(self) -> str:
        """Say in words what this is."""
        return f"{self._published.location}: {len(self._published)} objects are published"

    @_pyro.expose
    def registered(self) -> list[str]:
        """Name the objects."""
        return self._published.names()

    @_pyro.expose
    def get_metadata(self, object_id: str) -> dict[str, list[str]]:
        """Name what may be called on an object."""
        return self._published.metadata(object_id)

    @_pyro.expose
    def describe(self, object_id: str) -> dict[str, Any]:
        """Name what may be called on an object, and how; for our own clients."""
        return self._published.description(object_id)

    @_pyro.expose
    def get_next_stream_item(self, stream_id: str) -> Any:
        """Return the next item of an iterator that a method has returned."""
        return self._published.streams.next_item(stream_id)

    @_pyro.expose
    @_pyro.oneway
    def close_stream(self, stream_id: str) -> None:
        """Let go of such an iterator."""
        self._published.streams.close(stream_id)

    @_pyro.expose
    @_pyro.oneway
    def end_session(self) -> None:
        """End the session that this call belongs to: its proxy was released."""
        context = current_context()
        if context is not None:
            context.caller.end_session(context.number)
