"""The serving side: a daemon publishes objects and answers the calls that come in.

One thread accepts; each connection has a thread that reads a call, runs it and answers. A peer is
let in by Pyro's handshake, of which a few KiB are read under a deadline, as serpent and as nothing
else: marshal is refused before a byte of it is parsed.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import traceback
import uuid
import warnings
from dataclasses import dataclass
from typing import Any, Self

from remoteobj import _pyro, runtime, transport
from remoteobj.dispatch import Exposure, Session
from remoteobj.errors import (
    AddressUnusable,
    DeadlinePassed,
    InsecureRefused,
    InsecureWarning,
    NotSendable,
    ObjectIdTaken,
    ObjectUnknown,
    RemoteObjError,
    WireError,
)
from remoteobj.settings import Settings
from remoteobj.transport import Link
from remoteobj.uri import URI
from remoteobj.wire import Flag, Message, MessageType

__all__ = ["Daemon", "DaemonStatistics"]

log = logging.getLogger("remoteobj.daemon")


@dataclass(frozen=True, slots=True)
class DaemonStatistics:
    """What a daemon has done so far, and does now."""

    objects: int
    connections: int
    connections_refused: int
    calls: int


class _DaemonObject:
    """What every daemon publishes about itself, under the id that Pyro5's clients know."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    @_pyro.expose
    def ping(self) -> None:
        """Do nothing: an answer is the answer."""

    @_pyro.expose
    def get_metadata(self, object_id: str) -> dict[str, list[str]]:
        """Name what may be called on an object."""
        return self._daemon._metadata(object_id)


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
        self._exposures: dict[str, Exposure] = {_pyro.DAEMON_ID: Exposure(_DaemonObject(self))}
        self._links: dict[Link, threading.Thread] = {}
        self._calls = self._refused = 0
        self._closed = threading.Event()
        self._acceptor: threading.Thread | None = None
        self._socket_lock: runtime.LockedFile | None = None
        if host is None:
            self._listener, self._base = self._listen_unix()
        else:
            if not insecure:
                raise InsecureRefused(
                    f"serving on {host} without encryption needs insecure=True: anyone who reaches "
                    "the port may call; leave host out to serve this user's processes only"
                )
            self._listener = transport.listen_tcp(host, port)
            bound = self._listener.getsockname()[1]
            self._base = URI.of_tcp(_pyro.DAEMON_ID, host, bound)
            warnings.warn(
                f"plain TCP on {self._base.location}: anyone who reaches this port may call these "
                "objects, and read and change what is sent",
                InsecureWarning,
                stacklevel=2,
            )

    def _listen_unix(self) -> tuple[socket.socket, URI]:
        if not runtime.host_has_unix_sockets():
            raise AddressUnusable(
                "this system has no Unix sockets: give host='127.0.0.1', insecure=True"
            )
        path, self._socket_lock = runtime.new_socket_path()
        return transport.listen_unix(str(path)), URI.of_unix(_pyro.DAEMON_ID, str(path))

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
            TypeError: Nothing of it is exposed.
        """
        object_id = object_id or f"obj_{uuid.uuid4().hex}"
        exposure = Exposure(target)
        if not exposure.members["methods"] and not exposure.members["attrs"]:
            name = target.__name__ if isinstance(target, type) else type(target).__name__
            raise TypeError(f"{name} exposes nothing: mark the class or its methods with @expose")
        uri = self.uri_of(object_id)
        with self._lock:
            if object_id in self._exposures:
                raise ObjectIdTaken(f"{object_id!r} is published by this daemon already")
            self._exposures[object_id] = exposure
        return uri

    def unregister(self, object_id: str) -> None:
        """Publish an object no longer; calls that run are finished."""
        with self._lock:
            self._exposures.pop(object_id, None)

    def uri_of(self, object_id: str) -> URI:
        """Return the URI that an id has, or would have, in this daemon."""
        return URI(f"PYRO:{object_id}@{self.location}")

    def start(self) -> None:
        """Serve in the background; returns at once. Starting again does nothing."""
        with self._lock:
            if self._acceptor is None and not self._closed.is_set():
                self._acceptor = threading.Thread(
                    target=self._accept, name=f"remoteobj-accept {self.location}", daemon=True
                )
                self._acceptor.start()

    def serve_forever(self) -> None:
        """Serve until ``close()`` is called from another thread, or Ctrl-C.

        Blocks: until then.
        """
        self.start()
        self._closed.wait()

    def close(self) -> None:
        """Stop serving: end every connection and every thread. Closing again does nothing.

        Blocks: on calls that run, at most two seconds.
        """
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            links, acceptor = dict(self._links), self._acceptor
        for link in links:
            link.close()
        deadline = time.monotonic() + 2.0
        for thread in [*links.values(), *([acceptor] if acceptor else [])]:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._socket_lock is not None:
            self._socket_lock.path.with_suffix(".sock").unlink(missing_ok=True)
            self._socket_lock.remove()

    def statistics(self) -> DaemonStatistics:
        """Return what it has done so far."""
        with self._lock:
            return DaemonStatistics(
                len(self._exposures) - 1, len(self._links), self._refused, self._calls
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = (
            "closed" if self._closed.is_set() else "serving" if self._acceptor else "not started"
        )
        return f"<Daemon {self.location}: {state}, {len(self._exposures) - 1} objects>"

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
            thread = threading.Thread(
                target=self._serve, args=(link,), name=f"remoteobj-serve {link.peer}", daemon=True
            )
            with self._lock:
                full = len(self._links) >= self._settings.max_connections
                self._refused += full
                if not full and not self._closed.is_set():
                    self._links[link] = thread
            if link in self._links:
                thread.start()
            else:
                link.close()

    def _serve(self, link: Link) -> None:
        session = Session(link.peer)
        try:
            if self._let_in(link):
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

    def _let_in(self, link: Link) -> bool:
        try:
            message = link.receive(time.monotonic() + self._settings.handshake_timeout_s)
        except DeadlinePassed:
            log.warning("%s connected and said nothing: closed", link.peer)
            return False
        transport.refuse_wrong_message(message, MessageType.CONNECT)
        try:
            _refuse_other_serializers(message)
            match _pyro.loads(message.payload):
                case {"object": str() as object_id, **_rest}:
                    answer: Any = {"handshake": "hello", "meta": self._metadata(object_id)}
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
        _refuse_other_serializers(message)
        self._calls += 1
        try:
            payload, flags = self._run(session, message), 0
        except Exception as error:
            payload, flags = _pack_exception(error), Flag.EXCEPTION
        if not message.flags & Flag.ONEWAY:
            link.send(
                Message(
                    MessageType.RESULT,
                    _pyro.SERPENT,
                    flags | message.flags & Flag.BATCH,
                    message.sequence,
                    payload,
                    message.correlation,
                )
            )

    def _run(self, session: Session, message: Message) -> bytes:
        object_id, method, args, kwargs = _pyro.loads_call(message.payload)
        exposure = self._exposure(object_id)
        if message.flags & Flag.BATCH:
            raise NotSendable("batches of calls are not served yet: make the calls one by one")
        if message.flags & Flag.ONEWAY:
            threading.Thread(
                target=_run_oneway, args=(exposure, session, method, args, kwargs), daemon=True
            ).start()
            return b""
        return _pyro.dumps(exposure.call(session, method, args, kwargs))

    def _exposure(self, object_id: str) -> Exposure:
        exposure = self._exposures.get(object_id)
        if exposure is None:
            raise ObjectUnknown(f"there is no object {object_id!r} at {self.location}")
        return exposure

    def _metadata(self, object_id: str) -> dict[str, list[str]]:
        members = self._exposure(object_id).members
        return {kind: sorted(names) for kind, names in members.items()}


def _refuse_other_serializers(message: Message) -> None:
    if message.serializer != _pyro.SERPENT or message.flags & (
        Flag.KEEP_SERIALIZED | Flag.COMPRESSED
    ):
        name = _pyro.SERIALIZER_NAMES.get(message.serializer, str(message.serializer))
        raise WireError(f"serializer {name!r} is refused here: use serpent, uncompressed")


def _run_oneway(
    exposure: Exposure, session: Session, method: str, args: Any, kwargs: dict[str, Any]
) -> None:
    try:
        exposure.call(session, method, args, kwargs)
    except Exception:
        log.exception("oneway call of %s failed; its caller does not wait for an answer", method)


def _pack_exception(error: Exception) -> bytes:
    lines = traceback.format_exception(error)
    return _pyro.dumps(_pyro.describe_exception(error, lines))
