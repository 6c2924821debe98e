"""The serving side: a daemon publishes objects and answers the calls that come in.

How it does so is in ``remoteobj.server``: one thread waits for whoever has something to say, and
workers serve them, so that thousands of quiet connections cost neither threads nor much memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
import time
import uuid
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from remoteobj import _pyro, forks, runtime
from remoteobj.codec.leaves import shown
from remoteobj.errors import BadInput, BadURI, DaemonClosed, InsecureRefused, InsecureWarning
from remoteobj.identity import AUTO, HOW_TO_PAIR, Auto, Identity, choose_identity, refuse_both
from remoteobj.published import Published
from remoteobj.server.engine import Engine
from remoteobj.settings import Settings
from remoteobj.transport import sockets
from remoteobj.transport.stream import PlainStream, Stream
from remoteobj.uri import URI

if TYPE_CHECKING:
    from remoteobj.identity.secret import Secret

__all__ = ["Daemon", "DaemonStatistics", "daemon_of"]

log = logging.getLogger("remoteobj.daemon")

_ID = re.compile(r"[^\s@]+")
_CLOSE_S = 2.0  # how long close() waits for calls that run
_SIGNAL_S = 0.5  # how long Ctrl-C may go unnoticed


@dataclass(frozen=True, slots=True)
class DaemonStatistics:
    """What a daemon has done so far, and does now."""

    objects: int
    connections: int
    connections_refused: int
    handshakes_crowded_out: int
    calls: int
    threads: int
    turns_held_back: int
    """How often a connection had to wait because its peer held its share of the threads."""


class Daemon:
    """Publishes objects, on a Unix socket of this user or on TCP.

    Args:
        host: None serves this user's processes on this machine, on a Unix socket in a private
            directory; where there are none (Windows), on loopback, with a secret in a file there.
            An address of this machine serves TCP there.
        port: TCP port; 0 takes a free one.
        identity: Who this process is: TCP is TLS then, for peers of the same cluster only. Without
            a word it is who this account became by pairing, where *host* is given; None: nobody.
        insecure: Serve plain TCP: anyone who reaches the port may call. Warned about.
        settings: Limits.

    Raises:
        BadInput: A port or an identity without a host; an identity together with ``insecure``.
        InsecureRefused: A host without an identity, and without ``insecure=True``.
        IdentityUnusable: This account is in several clusters of which none was chosen; or what
            pairing has stored cannot be used.
        AddressUnusable: The port is in use, or the host is not this machine's; or, without a host,
            the path of this user's private directory cannot be that of a socket.
        RuntimeDirUnsafe: Without a host: that directory is not this user's alone.

    Threads: any thread may register, unregister and close.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        identity: Identity | Auto | None = AUTO,
        insecure: bool = False,
        settings: Settings | None = None,
    ) -> None:
        refuse_both(identity, insecure)
        if host is None:
            identity = None if identity == AUTO else identity
        else:
            identity = choose_identity(identity, insecure)
        self._settings = settings or Settings()
        self._identity = identity
        self._lock = threading.RLock()
        self._closing = threading.RLock()  # a signal handler may close while close() runs
        self._pid = os.getpid()
        self._is_started = False
        self._closed = threading.Event()
        self._at_close: list[Callable[[], object]] = []
        self._socket_lock: runtime.LockedFile | None = None
        self._secret: Secret | None = None
        if host is None and (port or identity is not None):
            given = "identity=" if identity is not None else "port="
            raise BadInput(f"{given} is for TCP: give host= too, an address of this machine")
        if host is None:
            self._listener, sockname, self._socket_lock, self._secret = sockets.listen_privately()
            self._base = URI.of_unix(_pyro.DAEMON_ID, sockname)
        else:
            if identity is None and not insecure:
                raise InsecureRefused(
                    f"serving on {host} needs an identity: {HOW_TO_PAIR}; or pass identity=; or "
                    "insecure=True: without encryption anyone who reaches the port may call; leave "
                    "host out to serve this user's processes only"
                )
            self._listener = sockets.listen_tcp(host, port)
            self._base = URI.of_tcp(_pyro.DAEMON_ID, host, self._listener.getsockname()[1])
            if insecure:
                self._warn()
        self._published = Published(self.location, identity)
        self._engine = engine = Engine(
            self._listener, self._published, self._settings, self._stream
        )
        self._forget = None if identity is None else identity.on_change(engine.end_refused)
        _daemons.add(self)

    def _warn(self) -> None:
        try:
            warnings.warn(
                f"plain TCP on {self._base.location}: anyone who reaches this port may call "
                "these objects, and read and change what is sent",
                InsecureWarning,
                stacklevel=3,
            )
        except BaseException:  # a warning may have been made an error
            self._listener.close()
            raise

    def _stream(self, sock: socket.socket) -> Stream:
        if self._secret is not None:
            with forks.whole:
                from remoteobj.transport.loopback import LoopbackStream

            return LoopbackStream(sock, self._secret, server_side=True)
        if self._identity is None or sockets.is_local(sock):
            return PlainStream(sock)
        with forks.whole:
            from remoteobj.transport.tls_stream import TlsStream

        return TlsStream(sock, self._identity, server_side=True)

    @property
    def location(self) -> str:
        """Where this daemon listens: ``host:port`` or ``./u:/path/of.sock``."""
        return self._base.location or ""

    @property
    def port(self) -> int | None:
        """The TCP port, or None on a Unix socket."""
        return self._base.port

    def register(self, target: Any, object_id: str | None = None) -> URI:
        """Publish an object, or a class whose instances are made as ``@behavior`` says.

        Args:
            target: Its class, or methods of it, are marked with ``@expose``.
            object_id: Id in this daemon, without spaces; made up where None. An object may have
                several.
        Raises:
            ObjectIdTaken: The id is in use here: unregister it, or choose another.
            BadURI: The id is no text, or is empty, or has a space or an ``@`` in it.
            TypeError: Nothing of it is exposed; the message says what to do.
            DaemonClosed: It serves no longer: make a new daemon.
        """
        if object_id is None:
            object_id = f"obj_{uuid.uuid4().hex}"
        uri = self.uri_of(object_id)
        self._check_open()
        self._published.add(target, object_id)
        return uri

    def unregister(self, object_id: str) -> None:
        """Publish an object no longer; calls that run are finished. An unknown id is no error.

        Raises:
            BadURI: The id is no text.
        """
        _check_text(object_id)
        self._published.remove(object_id)

    def uri_of(self, object_id: str) -> URI:
        """Return the URI that an id has, or would have, in this daemon.

        Raises:
            BadURI: It is none: see ``register``.
        """
        _check_text(object_id)
        if not _ID.fullmatch(object_id):
            raise BadURI(
                f"{object_id!r} cannot be the id of an object: it is text without spaces and '@', "
                "such as 'shop.warehouse'"
            )
        return URI(f"PYRO:{object_id}@{self.location}")

    def start(self) -> None:
        """Serve in the background; returns at once. Starting again does nothing.

        Raises:
            DaemonClosed: It was closed; a daemon does not come back.
        """
        with self._lock:
            self._check_open()
            if not self._is_started:
                self._is_started = True
                self._engine.start()
                self._follow()

    def _follow(self) -> None:
        """Hear of who was revoked, where pairing has stored who this is."""
        if self._identity is not None and self._identity.cluster is not None:
            with forks.whole:
                from remoteobj.client.following import serve

            self._at_close.append(serve(self._identity, self.port))

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise DaemonClosed(f"the daemon at {self.location} was closed: make a new one")

    def serve_forever(self) -> None:
        """Serve until ``close()`` is called from another thread, or until Ctrl-C, which closes it.

        Ctrl-C is how one ends it, and no error: what follows in the script is run. A second one,
        while calls that run are waited for, raises KeyboardInterrupt.

        Blocks: until then, and as ``close`` does.  Threads: Ctrl-C reaches the main thread only.
        """
        try:
            with contextlib.suppress(DaemonClosed):
                self.start()
            # A signal that comes just before the wait does not interrupt it: Python looks after it.
            while not self._closed.wait(_SIGNAL_S):
                pass
        except KeyboardInterrupt:
            self.close()

    def close(self) -> None:
        """Stop serving: end every connection and every thread. Closing again does nothing.

        In a forked child it does nothing: the daemon is its parent's.

        Blocks: on calls that run, at most two seconds.
        """
        if os.getpid() != self._pid:
            return
        # A method that closes its own daemon does not wait for whoever closes it and waits for it.
        is_ours = self._engine.has(threading.current_thread())
        if not self._closing.acquire(blocking=not is_ours):
            return
        try:
            self._close()
        finally:
            self._closing.release()

    def at_close(self, callback: Callable[[], object]) -> None:
        """Have *callback* called when the daemon is closed, before its connections are.

        Raises:
            DaemonClosed: It was closed.
        """
        with self._lock:
            self._check_open()
            self._at_close.append(callback)

    def _close(self) -> None:
        with self._lock:  # start() is over, or refuses
            self._closed.set()
            callbacks, self._at_close = self._at_close, []
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("what was to be done at the end of the daemon has failed")
        if self._forget is not None:
            self._forget()
        self._published.tidings.close()
        self._engine.close(time.monotonic() + _CLOSE_S)
        self._listener.close()
        if self._socket_lock is not None:
            runtime.remove_socket(self._socket_lock)

    def statistics(self) -> DaemonStatistics:
        """Return what it has done so far."""
        engine = self._engine
        return DaemonStatistics(
            len(self._published),
            engine.connections,
            engine.refused,
            engine.crowded_out,
            engine.calls,
            engine.threads,
            engine.held_back,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_engine"):
            return "<Daemon: could not be made>"
        state = (
            "closed" if self._closed.is_set() else "serving" if self._is_started else "not started"
        )
        return f"<Daemon {self.location}: {state}, {len(self._published)} objects>"


_daemons: weakref.WeakSet[Daemon] = weakref.WeakSet()


def daemon_of(uri: URI) -> Daemon | None:
    """Return the daemon of this process that serves what *uri* names; None if there is none."""
    for daemon in list(_daemons):
        is_ours = daemon._pid == os.getpid() and not daemon._closed.is_set()
        if is_ours and daemon.location == uri.location:
            return daemon
    return None


def _check_text(object_id: Any) -> None:
    if not isinstance(object_id, str):
        raise BadURI(
            f"the id of an object is text, such as 'shop.warehouse', not {shown(object_id)}; in "
            "register(object, id) the object comes first"
        )
