"""What a daemon publishes: exposures by id, and the object that tells of them."""

from __future__ import annotations

import threading
from typing import Any

from remoteobj import _pyro
from remoteobj.dispatch import Exposure
from remoteobj.errors import ObjectIdTaken, ObjectUnknown

__all__ = ["Published"]


class Published:
    """Exposures by their id; the daemon's own object is always among them.

    Threads: any.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._lock = threading.Lock()
        self._exposures = {_pyro.DAEMON_ID: Exposure(_DaemonObject(self))}

    def __len__(self) -> int:
        return len(self._exposures) - 1

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
            if object_id in self._exposures:
                raise ObjectIdTaken(
                    f"{object_id!r} is published by this daemon already: unregister it first, or "
                    "choose another id"
                )
            self._exposures[object_id] = exposure

    def remove(self, object_id: str) -> None:
        """Publish it no longer; an unknown id is no error."""
        with self._lock:
            self._exposures.pop(object_id, None)

    def find(self, object_id: str) -> Exposure:
        """Return what is published under an id.

        Raises:
            ObjectUnknown: Nothing is.
        """
        exposure = self._exposures.get(object_id)
        if exposure is None:
            raise ObjectUnknown(f"{_pyro.NO_SUCH_OBJECT} {object_id!r} at {self._location}")
        return exposure

    def metadata(self, object_id: str) -> dict[str, list[str]]:
        """Return what may be called on an object, as Pyro5's handshake tells it.

        Raises:
            ObjectUnknown: There is none of this id.
        """
        members = self.find(object_id).members
        return {kind: sorted(names) for kind, names in members.items()}


class _DaemonObject:
    """What every daemon publishes about itself, under the id that Pyro5's clients know."""

    def __init__(self, published: Published) -> None:
        self._published = published

    @_pyro.expose
    def ping(self) -> None:
        """Do nothing: an answer is the answer."""

    @_pyro.expose
    def get_metadata(self, object_id: str) -> dict[str, list[str]]:
        """Name what may be called on an object."""
        return self._published.metadata(object_id)
