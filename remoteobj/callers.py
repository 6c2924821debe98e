"""Who calls: processes at the other end, and the sessions that they have.

A session is what one proxy is to a daemon: instances of mode "session" are made for it, and
``on_disconnect`` waits for its end. Our own clients share their connections among proxies, so a
call says which session it belongs to, and a session ends when its proxy is released or when the
last connection of its process is gone. To a stock Pyro5 peer connection and session are one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from remoteobj.errors import WireError
from remoteobj.exposing import level_of
from remoteobj.identity.claims import Claims

__all__ = [
    "THIS_MACHINE",
    "CallContext",
    "Caller",
    "Callers",
    "Peer",
    "Session",
    "current_caller",
    "current_context",
    "current_peer",
    "on_disconnect",
    "serve_as",
]

log = logging.getLogger("remoteobj.dispatch")

THIS_MACHINE = "this machine"
"""What a peer is called that has no address, since it came by a Unix socket of this user."""

_MOST_SESSIONS = 100_000
_REMEMBERED = 100


class Session:
    """What belongs to one proxy: its instances, and what is to be done when it ends."""

    __slots__ = ("_callbacks", "_instances", "_lock", "_next")

    def __init__(self) -> None:
        # Several calls of it may run at a time; and an instance may ask for on_disconnect() while
        # it is being made.
        self._lock = threading.RLock()
        self._instances: dict[type, Any] = {}
        self._callbacks: dict[int, Callable[[], None]] | None = {}  # None: it has ended
        self._next = 0

    def instance(self, cls: type, make: Callable[[], Any]) -> Any:
        """Return this session's instance of *cls*, made when it is first asked for."""
        with self._lock:
            if cls not in self._instances:
                self._instances[cls] = make()
            return self._instances[cls]

    def on_end(self, callback: Callable[[], None]) -> int:
        """Call *callback* when the session ends; at once if it has ended.

        Returns a number by which ``forget`` takes it back.
        """
        with self._lock:
            if self._callbacks is not None:
                self._next += 1
                self._callbacks[self._next] = callback
                return self._next
        _call_quietly(callback)
        return 0

    def forget(self, number: int) -> None:
        """Call it no more."""
        with self._lock:
            if self._callbacks is not None:
                self._callbacks.pop(number, None)

    def end(self) -> None:
        """The caller is gone: call what waits for it, and forget the instances."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, None
            self._instances.clear()
        for callback in (callbacks or {}).values():
            _call_quietly(callback)


def _call_quietly(callback: Callable[[], None]) -> None:
    try:
        callback()
    except BaseException:  # exit() in it ends it, and nothing else
        log.exception("what on_disconnect() was given has failed; the others are called")


class Caller:
    """A process at the other end, by the connections that it has; made by ``Callers``."""

    __slots__ = ("_ended", "_lock", "_sessions", "claims", "connections", "has_ended", "name",
                 "peer")  # fmt: skip

    def __init__(self, name: str, peer: str, claims: Claims) -> None:
        self.name = name
        self.peer = peer
        self.claims = claims
        self.connections = 1
        self.has_ended = False
        self._lock = threading.RLock()
        self._sessions: dict[int, Session] = {}
        self._ended: dict[int, None] = {}  # the latest ones: a session that has ended stays so

    def session(self, number: int) -> Session:
        """Return the session of this number."""
        with self._lock:
            session = self._sessions.get(number)
            if session is None and number in self._ended:
                session = Session()  # of a call that began before the proxy was released
                session.end()
            elif session is None:
                if len(self._sessions) >= _MOST_SESSIONS:
                    raise WireError(f"{self.peer} has {_MOST_SESSIONS} sessions: release some")
                session = Session()
                if self.has_ended:
                    session.end()
                else:
                    self._sessions[number] = session
            return session

    def end_session(self, number: int) -> None:
        """A proxy was released."""
        with self._lock:
            session = self._sessions.pop(number, None)
            self._ended[number] = None
            if len(self._ended) > _REMEMBERED:
                del self._ended[next(iter(self._ended))]
        if session is not None:
            session.end()

    def end(self) -> None:
        """The last connection is gone."""
        with self._lock:
            self.has_ended = True
            sessions = list(self._sessions.values())
            self._sessions.clear()
        for session in sessions:
            session.end()


class Callers:
    """The processes that are connected to one daemon."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_name: dict[tuple[str, str, str], Caller] = {}

    def arrive(self, name: str, peer: str, claims: Claims) -> Caller:
        """Take note of a new connection; *name* is empty where the peer is a stock one.

        A name is no proof: only who claims the same takes part in what a process has here.
        """
        key = (name, claims.node, claims.role)
        with self._lock:
            caller = self._by_name.get(key) if name else None
            if caller is None:
                caller = Caller(name, peer, claims)
                if name:
                    self._by_name[key] = caller
            else:
                caller.connections += 1
            return caller

    def leave(self, caller: Caller) -> None:
        """A connection has ended; what waits for the caller's end is called with the last one."""
        with self._lock:
            caller.connections -= 1
            if caller.connections:
                return
            if caller.name:
                del self._by_name[caller.name, caller.claims.node, caller.claims.role]
        caller.end()


class CallContext:
    """On whose behalf a call runs; one for each session of a connection, not for each call."""

    __slots__ = ("caller", "claims", "level", "number", "peer")

    def __init__(self, caller: Caller, number: int, peer: str, claims: Claims) -> None:
        self.caller = caller
        self.number = number
        self.peer = peer
        """Where this connection comes from; a process may have others from elsewhere."""
        self.claims = claims
        self.level = level_of(claims.role)

    def session(self) -> Session:
        """Return the session, made when it is first needed."""
        return self.caller.session(self.number)


# A context variable, not a thread-local one: what an async method awaits runs in another thread.
_current: ContextVar[CallContext | None] = ContextVar("remoteobj_call", default=None)
serve_as = _current.set
"""Run what follows in this thread on behalf of a caller, or of nobody."""

current_context = _current.get
"""Return on whose behalf this thread runs, or None."""


def on_disconnect(callback: Callable[[], None]) -> None:
    """Have *callback* called when the caller of the method that runs now goes away.

    That is when its proxy is released or its process ends. For use inside an exposed method; it
    runs in a thread of the daemon and should be quick.

    Raises:
        RuntimeError: This thread serves no remote call.
    """
    context = _current.get()
    if context is None:
        raise RuntimeError("on_disconnect() works inside a method that is being called remotely")
    context.session().on_end(callback)


def current_peer() -> str:
    """Return the address of the caller of the method that runs now, or "this process".

    It is ``THIS_MACHINE`` for a process of this user that came by the Unix socket, or by what
    stands for it.
    """
    context = _current.get()
    return context.peer if context is not None else "this process"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who calls, as far as that is proven.

    Attributes:
        node: The machine's id in its cluster; empty where no certificate says it: a process of this
            user on this machine, or a caller by plain TCP.
        role: What it may call: ``"slave"``, ``"member"`` or ``"operator"``. This user is an
            operator; who comes by plain TCP is a member, whoever that is.
        name: The machine's name, for people; nothing is decided by it.
        address: Where it comes from, as ``current_peer()`` gives it.
    """

    node: str
    role: str
    name: str
    address: str


def current_caller() -> Peer:
    """Return who calls the method that runs now; this user, where no remote call is served.

    Blocks: no.  Threads: any; a thread that a method has started serves no call.
    """
    context = _current.get()
    if context is None:
        return Peer("", "operator", "", "this process")
    claims = context.claims
    return Peer(claims.node, claims.role, claims.name, context.peer)
