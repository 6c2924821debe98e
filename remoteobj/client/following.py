"""Hear within seconds of who was revoked, wherever this process is connected over TLS.

::

    this process ── "revocations newer than 7?" ──> the name server with the authority, or
                 <── the list, once there is one ── who else it is connected to: whoever knows

One thread for each identity that pairing has stored, while a daemon serves with it or a proxy calls
with it. It asks one daemon, and waits for the answer for minutes: that costs a connection, and
nothing else. What it hears it hands on to the daemons that this process calls, so that a list
reaches those, too, who cannot ask anybody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from remoteobj import _pyro
from remoteobj.client.exchanging import call_daemon, note
from remoteobj.client.pool import Pool, pools_of
from remoteobj.client.trusting import ANY_MEMBER, Wanted
from remoteobj.errors import DeadlinePassed, RemoteObjError
from remoteobj.identity import Identity
from remoteobj.identity.revoked import Revoked
from remoteobj.settings import Settings
from remoteobj.transport.link import Link
from remoteobj.uri import URI

__all__ = ["Follower", "follow", "serve"]

_log = logging.getLogger("remoteobj")

BEGIN_S = 0.5
"""Short scripts are over before, and ask nobody."""
AGAIN_S = 1.0
"""So long after a daemon that was asked has gone; twice as long each time, up to ``_RARELY_S``."""
_RARELY_S = 30.0
_ROUND_S = 600.0
"""From one question to the next where nothing happens: who was cut off is noticed before."""
_ASIDE_S = 60.0
"""The same where the name server is away, and somebody else is asked: is it back?"""
_HAND_ON_S = 2.0
_AT_ONCE = 16
_SETTINGS = Settings(connect_timeout_s=4.0)
_AUTHORITY = Wanted(role="operator")


class Follower:
    """Made by ``follow`` and ``serve``.  Threads: any, and one of its own while it is needed."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._lock = threading.Lock()
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()  # destructors may put into it
        self._ports: dict[object, int | None] = {}  # of the daemons that serve
        self._link: Link | None = None
        self._runs = False

    def start(self) -> None:
        """Have the thread run, if it does not."""
        with self._lock:
            if self._runs:
                return
            self._runs = True
        threading.Thread(target=self._run, name="remoteobj-revoked", daemon=True).start()

    def serve(self, port: int | None) -> Callable[[], None]:
        """A daemon serves here; returns what ends that."""
        token = object()
        self._ports[token] = port
        self.start()

        def end() -> None:
            self._ports.pop(token, None)
            self.look()

        return end

    def look(self) -> None:
        """End the thread if nobody needs it any more. Takes no lock: destructors come by here."""
        if self._runs and not self._is_needed():
            self._woken.put(None)
            link = self._link
            if link is not None:
                with contextlib.suppress(OSError):
                    link.stream.sock.shutdown(socket.SHUT_RDWR)

    def _is_needed(self) -> bool:
        return bool(self._ports or pools_of(self._identity))

    def _run(self) -> None:
        pause_s = BEGIN_S
        while self._rest(pause_s):
            pause_s = AGAIN_S if self._ask_around() else min(2 * pause_s, _RARELY_S)

    def _rest(self, pause_s: float) -> bool:
        """Wait; tells whether to go on."""
        with contextlib.suppress(queue.Empty):
            self._woken.get(timeout=pause_s * (0.7 + 0.6 * os.urandom(1)[0] / 255))
        with self._lock:
            self._runs = self._is_needed()
            return self._runs

    def _ask_around(self) -> bool:
        """Ask the first one who answers, until it does no more; False where nobody does."""
        server = self._identity.server
        if server is not None and self._ask(server, _ROUND_S, _AUTHORITY):
            return True
        others = (pool.uri.location or "" for pool in pools_of(self._identity))
        return any(self._ask(other, _ASIDE_S, ANY_MEMBER) for other in others if other != server)

    def _ask(self, location: str, round_s: float, wanted: Wanted) -> bool:
        """Ask one daemon again and again; tells whether it has answered, or was silent for long."""
        begun = time.monotonic()
        ends_at = begun + round_s
        try:
            uri = _daemon_at(location)
            pool = Pool(uri, _SETTINGS, self._identity, wanted)
            number = self._identity.revoked.number
            link, _ = pool.connect(uri, None)
        except (RemoteObjError, OSError) as error:
            _log.debug("%s is not asked for revocations: %s", location, error)
            return False
        with contextlib.closing(link):
            if self._identity.revoked.number > number:  # said in the handshake already
                self._hand_on()
            if self._is_own(link):
                link.close()
                return self._stay(ends_at)
            self._link = link
            try:
                while self._is_needed():
                    newest = self._identity.revoked.number
                    told = call_daemon(link, "revocations", (newest,), ends_at)
                    if not told:  # it is closing
                        break
                    is_news = note(self._identity, told, location)
                    if is_news:
                        self._hand_on()
                    if not is_news or link.stream.refusal:
                        return False
            except DeadlinePassed:
                pass
            except Exception as error:  # whatever it has raised
                _log.debug("%s does not tell of revocations any more: %s", location, error)
                # Else one that knows nothing of this would be dialled every second.
                return time.monotonic() - begun > AGAIN_S
            finally:
                self._link = None
        return True

    def _stay(self, until: float) -> bool:
        """A daemon of this process is who would know: what it hears all hear at once."""
        with contextlib.suppress(queue.Empty):
            self._woken.get(timeout=until - time.monotonic())
            self._woken.put(None)
        return True

    def _is_own(self, link: Link) -> bool:
        """Tell whether a daemon of this process is at the other end."""
        sock = link.stream.sock
        try:
            host, port = sock.getpeername()[:2]
            return port in self._ports.values() and host == sock.getsockname()[0]
        except OSError:
            return False

    def _hand_on(self) -> None:
        """Give the list to the daemons that this process calls, some at a time: one that does not
        answer holds up no other for long.
        """
        revoked = self._identity.revoked
        waiting = deque(pools_of(self._identity))

        def tell_next() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    _tell(waiting.popleft(), revoked)

        beside = [
            threading.Thread(target=tell_next, name="remoteobj-revoked", daemon=True)
            for _ in range(min(len(waiting), _AT_ONCE) - 1)
        ]
        started = []
        for each in beside:
            with contextlib.suppress(RuntimeError):  # no thread can be started
                each.start()
                started.append(each)
        tell_next()
        for each in started:
            each.join()


def _tell(pool: Pool, revoked: Revoked) -> None:
    """Give the list to one daemon. Blocks: on the network, two seconds at most."""
    until = time.monotonic() + _HAND_ON_S
    link = None
    try:
        link = pool.take()
        if link is None:  # those that are there are in use: another one says hello
            link, _ = pool.connect(_daemon_at(pool.uri.location or ""), until)
        else:
            call_daemon(link, "note_revoked", (revoked.number, revoked.pem), until)
        pool.give(link)
    except Exception as error:  # whatever it has raised
        _log.debug("%s was not told of revocations: %s", pool.uri.location, error)
        if link is not None:
            link.close()


def _daemon_at(location: str) -> URI:
    return URI(f"PYRO:{_pyro.DAEMON_ID}@{location}")


class _Followers:
    """Those of this process, one for each identity."""

    def __init__(self) -> None:
        self.disown()

    def disown(self) -> None:
        """In a forked child: the threads are the parent's, and so is whoever holds the lock."""
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Follower] = {}

    def of(self, identity: Identity) -> Follower:
        key = (identity.ca_fingerprint, identity.claims.node)
        with self._lock:
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = Follower(identity)
            return found


_followers = _Followers()


def follow(identity: Identity) -> Callable[[], None]:
    """Proxies call with this identity; returns what is to be called when some do no more."""
    follower = _followers.of(identity)
    follower.start()
    return follower.look


def serve(identity: Identity, port: int | None) -> Callable[[], None]:
    """A daemon serves with this identity; returns what is to be called when it does no more."""
    return _followers.of(identity).serve(port)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_followers.disown)
