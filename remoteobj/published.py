"""What a daemon publishes: exposures by id, and the object that tells of them."""

from __future__ import annotations

import threading
from typing import Any

from remoteobj import _pyro
from remoteobj.callers import current_context
from remoteobj.dispatch import Exposure, View
from remoteobj.errors import ObjectIdTaken, ObjectUnknown
from remoteobj.exposing import LEVELS, MEMBER, expose
from remoteobj.identity import Identity
from remoteobj.streams import ItemStreams
from remoteobj.tidings import Tidings

__all__ = ["Published"]


class Published:
    """Exposures by their id; the daemon's own object is always among them.

    Threads: any.
    """

    def __init__(self, location: str, identity: Identity | None = None) -> None:
        self.location = location
        self.identity = identity
        """Whose the proxies are that arrive in calls."""
        self.streams = ItemStreams()
        self.tidings = Tidings(identity)
        self._lock = threading.Lock()
        self._exposures: dict[str, Exposure] = {}
        self.views: tuple[dict[str, View], ...] = tuple({} for _ in LEVELS)
        """For each level what its peers may call, by the object's id."""
        self.reserves = [False for _ in LEVELS]
        """For each level whether anything is published that its peers may not call."""
        self._publish(_pyro.DAEMON_ID, Exposure(_DaemonObject(self)))

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
            raise TypeError(_why_nothing(target))
        with self._lock:
            if object_id == _pyro.DAEMON_ID:
                raise ObjectIdTaken(f"{object_id!r} is the daemon's own: choose another id")
            if object_id in self._exposures:
                raise ObjectIdTaken(
                    f"{object_id!r} is published by this daemon already: unregister it first, or "
                    "choose another id"
                )
            self._publish(object_id, exposure)

    def _publish(self, object_id: str, exposure: Exposure) -> None:
        self._exposures[object_id] = exposure
        for level, views in enumerate(self.views):
            view = exposure.views[level]
            self.reserves[level] |= view.is_partial
            views[object_id] = view

    def remove(self, object_id: str) -> None:
        """Publish it no longer; an unknown id is no error, and the daemon's own one stays."""
        with self._lock:
            if object_id != _pyro.DAEMON_ID:
                self._exposures.pop(object_id, None)
                for views in self.views:
                    views.pop(object_id, None)

    def find(self, object_id: str, level: int) -> View:
        """Return what is published under an id, for peers of a level.

        Raises:
            ObjectUnknown: Nothing is.
        """
        view = self.views[level].get(object_id)
        if view is None:
            raise ObjectUnknown(f"{_pyro.NO_SUCH_OBJECT} {object_id!r} at {self.location}")
        return view

    def names(self, level: int) -> list[str]:
        """Return the id of each object of which peers of a level may call something."""
        views = self.views[level].copy()
        return [name for name, view in views.items() if any(view.members.values())]

    def metadata(self, object_id: str, level: int) -> dict[str, list[str]]:
        """Return what peers of a level may call on an object, as Pyro5's handshake tells it.

        Raises:
            ObjectUnknown: There is none of this id.
        """
        members = self.find(object_id, level).members
        return {kind: sorted(names) for kind, names in members.items()}

    def description(self, object_id: str, level: int) -> dict[str, Any]:
        """Return ``metadata``, and what only our own clients make use of."""
        view = self.find(object_id, level)
        told: dict[str, Any] = {
            **self.metadata(object_id, level),
            "parameters": view.parameters(),
        }
        if view.is_partial:
            told["is_partial"] = True
        return told


_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement


def _why_nothing(target: Any) -> str:
    """Say why nothing of it is exposed, and what to do."""
    cls: type = target if isinstance(target, type) else type(target)
    told = f"{cls.__name__} exposes nothing: mark the class or its methods with @expose"
    if target is None:
        return f"{told}; it is None: does the function that was to make it return it?"
    if _pyro.is_exposed(cls):
        return (
            f"{cls.__name__} exposes nothing: it is marked with @expose, but has no public methods "
            "or properties; what __init__ sets is not exposed, write a property for it"
        )
    if not cls.__flags__ & _HEAP_TYPE:
        return (
            f"{told}; a builtin cannot be marked: publish an object of a class of yours that has it"
        )
    return told


class _DaemonObject:
    """What every daemon publishes about itself, under the id that Pyro5's clients know."""

    def __init__(self, published: Published) -> None:
        self._published = published

    @expose(role="slave")
    def ping(self) -> None:
        """Do nothing: an answer is the answer."""

    @expose
    def info(self) -> str:
        """Say in words what this is."""
        return f"{self._published.location}: {len(self._published)} objects are published"

    @expose
    def registered(self) -> list[str]:
        """Name the objects."""
        return self._published.names(_level())

    @expose(role="slave")
    def get_metadata(self, object_id: str) -> dict[str, list[str]]:
        """Name what may be called on an object."""
        return self._published.metadata(object_id, _level())

    @expose(role="slave")
    def describe(self, object_id: str) -> dict[str, Any]:
        """Name what may be called on an object, and how; for our own clients."""
        return self._published.description(object_id, _level())

    @expose(role="slave")
    def get_next_stream_item(self, stream_id: str) -> Any:
        """Return the next item of an iterator that a method has returned."""
        return self._published.streams.next_item(stream_id)

    @expose(role="slave")
    @_pyro.oneway
    def close_stream(self, stream_id: str) -> None:
        """Let go of such an iterator."""
        self._published.streams.close(stream_id)

    @expose(role="slave")
    def revocations(self, number: int) -> Any:
        """Return the list of revocations once it is newer than the one of this number, as PEM."""
        return self._published.tidings.newer_than(number)

    @expose(role="slave")
    def note_revoked(self, number: int, crl_pem: bytes) -> None:
        """Take in the list of this number, as PEM."""
        self._published.tidings.take(number, crl_pem)

    @expose(role="slave")
    @_pyro.oneway
    def end_session(self) -> None:
        """End the session that this call belongs to: its proxy was released."""
        context = current_context()
        if context is not None:
            context.caller.end_session(context.number)


def _level() -> int:
    """Return the level of the peer whose call runs in this thread."""
    context = current_context()
    return LEVELS[MEMBER] if context is None else context.level
