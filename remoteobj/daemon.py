"""The serving side: a daemon publishes objects and answers the calls that come in.

One thread accepts; each connection has a thread that reads a call, runs it and answers. A peer is
let in by Pyro's handshake, of which a few KiB are read under a deadline, as serpent and as nothing
else: marshal is refused before a byte of it is parsed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from remoteobj import _pyro, handshake, runtime, transport
from remoteobj.dispatch import Session
from remoteobj.errors import (
    DaemonClosed,
    DeadlinePassed,
    InsecureRefused,
    InsecureWarning,
    NotSendable,
    RemoteObjError,
    WireError,
)
from remoteobj.published import Published
from remoteobj.settings import Settings
from remoteobj.transport import Link
from remoteobj.uri import URI
from remoteobj.wire import Flag, Message, MessageType

__all__ = ["Daemon", "DaemonStatistics"]

log = logging.getLogger("remoteobj.daemon")

_CLOSE_S = 2.0  # how long close() waits for calls that run
_SIGNAL_S = 0.5  # how long Ctrl-C may go unnoticed
_REFUSED_AT_ONCE = 16  # peers beyond max_connections that are told so; more are just closed


@dataclass(frozen=True, slots=True)
class DaemonStatistics:
    """What a daemon has done so far, and does now."""

    objects: int
    connections: int
    connections_refused: int
    calls: int


class Daemon:
    """Publishes objects, on a Unix socket of this user or on TCP.

    Args:
        host: None serves this user's processes on this machine, on a Unix socket in a private
            directory. An address of this machine serves TCP there.
        port: TCP port; 0 takes a free one.
        insecure: Serve plain TCP: anyone who reaches the port may call. Warned about.
        settings: Limits.

    Raises:
        InsecureRefused: A host without ``insecure=True``.
        AddressUnusable: The port is in use, or the host is not this machine's.

    Threads: any thread may register, unregister and close.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        insecure: bool = False,
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._lock = threading.Lock()
        self._closing = threading.RLock()  # a signal handler may close while close() runs
        self._pid = os.getpid()
        self._links: dict[Link, threading.Thread] = {}
        self._oneways: set[threading.Thread] = set()
        self._calls = self._refused = 0
        self._closed = threading.Event()
        self._acceptor: threading.Thread | None = None
        self._socket_lock: runtime.LockedFile | None = None
        if host is None:
            self._listener, path, self._socket_lock = transport.listen_privately()
            self._base = URI.of_unix(_pyro.DAEMON_ID, path)
        else:
            if not insecure:
                raise InsecureRefused(
                    f"serving on {host} without encryption needs insecure=True: anyone who reaches "
                    "the port may call; leave host out to serve this user's processes only"
                )
            self._listener = transport.listen_tcp(host, port)
            try:
                bound = self._listener.getsockname()[1]
                self._base = URI.of_tcp(_pyro.DAEMON_ID, host, bound)
                warnings.warn(
                    f"plain TCP on {self._base.location}: anyone who reaches this port may call "
                    "these objects, and read and change what is sent",
                    InsecureWarning,
                    stacklevel=2,
                )
            except BaseException:  # a warning may have been made an error
                self._listener.close()
                raise

        self._published = Published(self.location)

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
            object_id: Id in this daemon, without spaces; made up where None.
        Raises:
            ObjectIdTaken: The id is in use here: unregister it, or choose another.
            BadURI: The id has a space or an ``@`` in it.
            TypeError: Nothing of it is exposed.
            DaemonClosed: It serves no longer.
        """
        object_id = object_id or f"obj_{uuid.uuid4().hex}"
        uri = self.uri_of(object_id)
        self._check_open()
        self._published.add(target, object_id)
        return uri

    def unregister(self, object_id: str) -> None:
        """Publish an object no longer; calls that run are finished."""
        self._published.remove(object_id)

    def uri_of(self, object_id: str) -> URI:
        """Return the URI that an id has, or would have, in this daemon."""
        return URI(f"PYRO:{object_id}@{self.location}")

    def start(self) -> None:
        """Serve in the background; returns at once. Starting again does nothing.

        Raises:
            DaemonClosed: It was closed; a daemon does not come back.
        """
        with self._lock:
            self._check_open()
            if self._acceptor is None:
                self._acceptor = threading.Thread(
                    target=self._accept, name=f"remoteobj-accept {self.location}", daemon=True
                )
                self._acceptor.start()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise DaemonClosed(f"the daemon at {self.location} was closed: make a new one")

    def serve_forever(self) -> None:
        """Serve until ``close()`` is called from another thread, or Ctrl-C.

        Blocks: until then.
        """
        with contextlib.suppress(DaemonClosed):
            self.start()
        # A signal that comes just before the wait does not interrupt it: Python looks after it.
        while not self._closed.wait(_SIGNAL_S):
            pass

    def close(self) -> None:
        """Stop serving: end every connection and every thread. Closing again does nothing.

        In a forked child it does nothing: the daemon is its parent's.

        Blocks: on calls that run, at most two seconds.
        """
        if os.getpid() != self._pid:
            return
        # A method that closes its own daemon does not wait for whoever closes it and waits for it.
        is_ours = threading.current_thread() in self._threads()
        if not self._closing.acquire(blocking=not is_ours):
            return
        try:
            self._close()
        finally:
            self._closing.release()

    def _close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()
        deadline = time.monotonic() + _CLOSE_S
        for thread in self._threads():
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._socket_lock is not None:
            self._socket_lock.path.with_suffix(".sock").unlink(missing_ok=True)
            self._socket_lock.remove()

    def _threads(self) -> set[threading.Thread]:
        with self._lock:
            acceptor = {self._acceptor} if self._acceptor else set()
            return {*self._links.values(), *self._oneways, *acceptor}

    def statistics(self) -> DaemonStatistics:
        """Return what it has done so far."""
        with self._lock:
            return DaemonStatistics(
                len(self._published), len(self._links), self._refused, self._calls
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = (
            "closed" if self._closed.is_set() else "serving" if self._acceptor else "not started"
        )
        return f"<Daemon {self.location}: {state}, {len(self._published)} objects>"

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if self._closed.is_set():
                    return
                log.warning("cannot accept a connection: %s", error)
                self._closed.wait(0.05)  # out of file descriptors: the next one may be closed soon
                continue
            link = Link(sock, self._settings.max_handshake_bytes)
            if not self._start_serving(link):
                link.close()

    def _start_serving(self, link: Link) -> bool:
        with self._lock:
            too_many = len(self._links) - self._settings.max_connections
            self._refused += too_many >= 0
            if self._closed.is_set() or too_many >= _REFUSED_AT_ONCE:
                return False
            thread = threading.Thread(
                target=self._serve,
                args=(link, too_many >= 0),
                name=f"remoteobj-serve {link.peer}",
                daemon=True,
            )
            try:
                thread.start()  # under the lock: close() joins no thread that was not started
            except RuntimeError as error:
                log.warning("cannot serve %s: %s", link.peer, error)
                return False
            self._links[link] = thread
            return True

    def _serve(self, link: Link, is_full: bool) -> None:
        session = Session(link.peer)
        try:
            if self._let_in(link, is_full):
                link.limit_messages(self._settings.max_message_bytes)
                while True:
                    self._answer(link, session, link.receive())
        except (RemoteObjError, ConnectionError) as error:
            log.debug("connection of %s ended: %s", link.peer, error)
        except Exception:
            log.exception("connection of %s ended", link.peer)
        finally:
            link.close()
            with self._lock:
                self._links.pop(link, None)
            session.end()

    def _let_in(self, link: Link, is_full: bool) -> bool:
        try:
            message = link.receive(time.monotonic() + self._settings.handshake_timeout_s)
        except DeadlinePassed:
            log.warning("%s connected and said nothing: closed", link.peer)
            return False
        transport.refuse_wrong_message(message, MessageType.CONNECT)
        try:
            if is_full:
                raise RemoteObjError(
                    f"{self.location} serves {self._settings.max_connections} connections already: "
                    "release some, or raise Settings.max_connections"
                )
            transport.refuse_other_serializers(message)
            match _pyro.loads(message.payload):
                case {"object": str() as object_id, **rest}:
                    link.agreement = handshake.agree(rest.get(handshake.KEY))
                    answer: dict[str, Any] = {
                        "handshake": "hello",
                        "meta": self._published.metadata(object_id),
                    }
                    if handshake.KEY in rest:
                        answer[handshake.KEY] = handshake.answer_of(link.agreement)
                case _:
                    raise WireError("the handshake does not name an object")
        except RemoteObjError as error:
            text = _pyro.dumps(str(error))
            link.send(Message(MessageType.CONNECT_FAIL, _pyro.SERPENT, 0, message.sequence, text))
            return False
        payload = _pyro.dumps(answer)
        link.send(Message(MessageType.CONNECT_OK, _pyro.SERPENT, 0, message.sequence, payload))
        return True

    def _answer(self, link: Link, session: Session, message: Message) -> None:
        transport.refuse_wrong_message(message, MessageType.INVOKE, MessageType.PING)
        if message.type == MessageType.PING:
            link.send(Message(MessageType.PING, message.serializer, 0, message.sequence, b"pong"))
            return
        with self._lock:
            self._calls += 1
        try:
            payload, flags = self._run(session, message), 0
        except BaseException as error:  # exit() in a method ends the call, not the connection
            payload, flags = _pyro.dumps_exception(error), Flag.EXCEPTION
        if message.flags & Flag.ONEWAY:
            return
        flags |= message.flags & Flag.BATCH
        reply = Message(
            MessageType.RESULT, _pyro.SERPENT, flags, message.sequence, payload, message.correlation
        )
        link.send(reply)

    def _run(self, session: Session, message: Message) -> bytes:
        transport.refuse_other_serializers(message)
        object_id, method, args, kwargs = _pyro.loads_call(message.payload)
        exposure = self._published.find(object_id)
        if message.flags & Flag.BATCH:
            raise NotSendable("batches of calls are not served yet: make the calls one by one")
        if message.flags & Flag.ONEWAY:
            call = partial(exposure.call, session, method, args, kwargs)
            self._start_oneway(method, call)
            return b""
        result = exposure.call(session, method, args, kwargs)
        try:
            return _pyro.dumps(result)
        except NotSendable as error:
            raise NotSendable(f"{method}() has run, but its result stays here: {error}") from None

    def _start_oneway(self, method: str, call: Callable[[], Any]) -> None:
        def run() -> None:
            try:
                call()
            except Exception:
                log.exception("oneway call of %s failed; its caller does not wait", method)
            finally:
                with self._lock:
                    self._oneways.discard(threading.current_thread())

        thread = threading.Thread(target=run, name=f"remoteobj-oneway {method}", daemon=True)
        with self._lock:
            if not self._closed.is_set():
                thread.start()
                self._oneways.add(thread)
