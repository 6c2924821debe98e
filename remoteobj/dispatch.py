"""From a call's words to a method of the user's: what is exposed, and on which instance.

No sockets here. A user's object is only read: nothing is written into it, so objects with
``__slots__`` work, and one object may be published by two daemons.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from remoteobj import _pyro

__all__ = ["Exposure", "Session", "current_peer", "exposed_members", "on_disconnect"]

log = logging.getLogger("remoteobj.dispatch")


def exposed_members(cls: type) -> dict[str, frozenset[str]]:
    """Return the names that may be called on instances of *cls*: methods, oneway, attrs."""
    methods, oneway, attrs = set(), set(), set()
    for name in dir(cls):
        if _pyro.is_private(name):
            continue
        member = inspect.getattr_static(cls, name, None)
        if isinstance(member, staticmethod | classmethod):
            member = member.__func__
        if inspect.isdatadescriptor(member):
            if any(
                _pyro.is_exposed(getattr(member, part, None)) for part in ("fget", "fset", "fdel")
            ):
                attrs.add(name)
        elif inspect.isroutine(member) and _pyro.is_exposed(member):
            methods.add(name)
            if _pyro.is_oneway(member):
                oneway.add(name)
    return {"methods": frozenset(methods), "oneway": frozenset(oneway), "attrs": frozenset(attrs)}


class Session:
    """What belongs to one connection: its instances, and what is to be done when it ends."""

    __slots__ = ("_callbacks", "_instances", "_lock", "peer")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self._lock = threading.Lock()  # a oneway call runs beside the next call
        self._instances: dict[type, Any] = {}
        self._callbacks: list[Callable[[], None]] | None = []  # None: the connection has ended

    def instance(self, cls: type, make: Callable[[], Any]) -> Any:
        """Return this connection's instance of *cls*, made when it is first asked for."""
        with self._lock:
            if cls not in self._instances:
                self._instances[cls] = make()
            return self._instances[cls]

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call *callback* when the connection ends; at once if it has ended."""
        with self._lock:
            if self._callbacks is not None:
                self._callbacks.append(callback)
                return
        _call_quietly(callback)

    def end(self) -> None:
        """The connection is gone: call what waits for it, and forget the instances."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, None
            self._instances.clear()
        for callback in callbacks or ():
            _call_quietly(callback)


def _call_quietly(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        log.exception("what on_disconnect() was given has failed; the others are called")


class _Current(threading.local):
    session: Session | None = None


_current = _Current()


def on_disconnect(callback: Callable[[], None]) -> None:
    """Have *callback* called when the connection of the call that runs now ends.

    For use inside an exposed method. It runs in a thread of the daemon and should be quick.

    Raises:
        RuntimeError: This thread serves no remote call.
    """
    if _current.session is None:
        raise RuntimeError("on_disconnect() works inside a method that is being called remotely")
    _current.session.on_end(callback)


def current_peer() -> str:
    """Return the address of the caller of the method that runs now, or "this process"."""
    return _current.session.peer if _current.session else "this process"


class Exposure:
    """One object, or one class that makes objects, as a daemon publishes it."""

    __slots__ = ("_cls", "_is_class", "_lock", "_single", "_target", "members")

    def __init__(self, target: Any) -> None:
        self._target = target
        self._is_class = isinstance(target, type)
        self._cls: type[Any] = target if self._is_class else type(target)
        self._lock = threading.Lock()
        self._single: Any = None
        self.members: dict[str, frozenset[str]] = exposed_members(self._cls)

    def call(
        self, session: Session, method: str, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Run one call. No instance is made for a name that is not exposed.

        Raises:
            AttributeError: The name is not exposed.
        """
        _current.session = session
        try:
            match method, args:
                case "__getattr__", [str() as name]:
                    self._check_exposed("attrs", name)
                    return getattr(self._servant(session), name)
                case "__setattr__", [str() as name, value]:
                    self._check_exposed("attrs", name)
                    return setattr(self._servant(session), name, value)
            self._check_exposed("methods", method)
            return getattr(self._servant(session), method)(*args, **kwargs)
        finally:
            _current.session = None

    def _check_exposed(self, kind: str, name: str) -> None:
        if name not in self.members[kind]:
            word = "method" if kind == "methods" else "attribute"
            raise AttributeError(f"{self._cls.__name__} exposes no {word} {name!r}")

    def _servant(self, session: Session) -> Any:
        if not self._is_class:
            return self._target
        mode, creator = _pyro.instancing_of(self._cls)
        make: Callable[[], Any] = partial(creator, self._cls) if creator else self._cls
        match mode:
            case "single":
                with self._lock:
                    if self._single is None:
                        self._single = make()
                    return self._single
            case "session":
                return session.instance(self._cls, make)
            case _:
                return make()
