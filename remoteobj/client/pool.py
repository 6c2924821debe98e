"""The connections of this process to one daemon, which all its proxies share."""

from __future__ import annotations

import itertools
import os
import socket
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from remoteobj import _pyro, forks, handshake
from remoteobj.client.answers import raise_refusal
from remoteobj.client.exchanging import exchange
from remoteobj.client.farewells import Farewell
from remoteobj.client.idle import IdleLinks
from remoteobj.client.metadata import Metadata, read_metadata
from remoteobj.client.trusting import Wanted
from remoteobj.errors import ConnectionLost, DeadlinePassed, ObjectUnknown, WireError
from remoteobj.identity import Identity
from remoteobj.payload import STOCK, binary, plain_message
from remoteobj.settings import Settings
from remoteobj.transport import sockets
from remoteobj.transport.link import Link
from remoteobj.transport.stream import PlainStream, Stream
from remoteobj.uri import URI
from remoteobj.wire import Message, MessageType

if TYPE_CHECKING:
    from remoteobj.identity.secret import Secret

__all__ = ["Pool", "pool_of", "pools_of"]

_SERPENT = STOCK[_pyro.SERPENT]


class Pool(IdleLinks):
    """Connections that are not in use, and how to open another; made by ``pool_of``."""

    def __init__(
        self, uri: URI, settings: Settings, identity: Identity | None, wanted: Wanted
    ) -> None:
        super().__init__()
        self.settings = settings
        self.identity = identity
        self._wanted = wanted
        self._open: weakref.WeakSet[Link] = weakref.WeakSet()  # those over TLS, idle or not
        self.sessions: set[int] = set()
        """Those of the proxies that use it."""
        self.farewells: deque[Farewell] = deque()
        """What is to be told with the next call: destructors put it here, they must not wait."""
        self.no_session: Callable[[], None] | None = None
        """Called where no proxy uses it any more, by destructors, too."""
        self.numbers = itertools.count(1)
        self.uri = uri
        self._binary = binary(settings.max_depth, identity)
        self._client = os.urandom(16).hex()

    def __del__(self) -> None:
        self.close_idle()

    def leave(self, session: int) -> None:
        """A proxy uses it no more. Destructors come by here."""
        self.sessions.discard(session)
        if not self.sessions and self.no_session is not None:
            self.no_session()

    def end_refused(self) -> None:
        """Close the connections to a daemon that was revoked; calls that wait are told why."""
        for link in list(self._open):
            if link.stream.refusal:
                link.refuse(f"the daemon at {self.uri.location}: {link.stream.refusal}")

    def disown(self) -> None:
        """In a forked child: the connections are the parent's, and so is the name."""
        self._idle.clear()
        self._client = os.urandom(16).hex()

    def connect(self, uri: URI, deadline: float | None) -> tuple[Link, Metadata]:
        """Open a connection, and learn what may be called on the object that *uri* names.

        Raises:
            ConnectionLost: Nobody answers there, or does not let us in; ``executed`` is "no".
            DeadlinePassed: Not in time; ``executed`` is "no".
            ObjectUnknown: The daemon has no such object.
        """
        until = time.monotonic() + self.settings.connect_timeout_s
        if deadline is not None:
            until = min(until, deadline)
        left_s = until - time.monotonic()
        sock, secret = sockets.connect(self.uri, left_s, self.settings.source_host)
        try:
            link = Link(self._make_stream(sock, secret), self.settings.max_message_bytes)
        except BaseException:
            sockets.close(sock)
            raise
        try:
            link.secure(until)
            self._wanted.check(link.stream, uri.location or "", self.identity)
            if link.stream.claims.node:
                self._open.add(link)
            metadata = self._shake_hands(link, uri, until)
            if link.agreement.revoked is not None:
                exchange(link, self.identity, until)
                self._wanted.check(link.stream, uri.location or "", self.identity)
            return link, metadata
        except DeadlinePassed as error:
            link.close()
            raise DeadlinePassed(
                f"{uri.location} took the connection, but did not say hello in time: is it a "
                "daemon of remoteobj or Pyro5, was its start() called, and is it not overloaded?",
                executed="no",
            ) from error
        except ConnectionLost as error:
            link.close()
            error.executed = "no"
            raise
        except BaseException:
            link.close()
            raise

    def _make_stream(self, sock: socket.socket, secret: Secret | None) -> Stream:
        if secret is not None:
            with forks.whole:
                from remoteobj.transport.loopback import LoopbackStream

            return LoopbackStream(sock, secret, server_side=False)
        if self.identity is None or sockets.is_local(sock):
            return PlainStream(sock)
        with forks.whole:
            from remoteobj.transport.tls_stream import TlsStream

        return TlsStream(sock, self.identity, server_side=False)

    def _shake_hands(self, link: Link, uri: URI, deadline: float) -> Metadata:
        hello = {
            "handshake": "hello",
            "object": uri.object,
            handshake.KEY: handshake.offer(self._client),
        }
        link.send_small(
            MessageType.CONNECT,
            _SERPENT.number,
            0,
            0,
            _SERPENT.dumps_reply(hello, []),
            deadline,
        )
        reply = link.receive(deadline)
        if reply.type not in (MessageType.CONNECT_OK, MessageType.CONNECT_FAIL):
            raise WireError(f"a message of type {reply.type} came where the handshake was due")
        if reply.type == MessageType.CONNECT_FAIL:
            raise_refusal(reply)
        answer = _read_answer(plain_message(reply, self.settings.max_message_bytes))
        if reply.type == MessageType.CONNECT_FAIL:
            if _pyro.says_object_unknown(answer):
                raise ObjectUnknown(f"there is no object {uri.object!r} at {uri.location}")
            raise ConnectionLost(f"{link.peer} refused the connection: {answer}", executed="no")
        metadata = read_metadata(answer.get("meta") if isinstance(answer, dict) else None)
        link.agree(handshake.read_answer(answer.get(handshake.KEY)))
        if link.agreement.codec == "binary":
            link.payload = self._binary
        else:
            link.payload = STOCK[_NUMBERS[self.settings.stock_serializer]]
        return metadata


_NUMBERS = {payload.name: payload.number for payload in STOCK.values()}


def _read_answer(reply: Message) -> Any:
    if reply.serializer != _SERPENT.number:
        return "refused"
    return _SERPENT.loads_reply(reply.payload, ())


def _end_refused() -> None:
    """An identity trusts somebody no more: close what leads there, within any pool."""
    for pool in list(_pools.values()):
        pool.end_refused()


_pools: weakref.WeakValueDictionary[Any, Pool] = weakref.WeakValueDictionary()
_watched: weakref.WeakValueDictionary[int, Identity] = weakref.WeakValueDictionary()


def pool_of(uri: URI, settings: Settings, identity: Identity | None, wanted: Wanted) -> Pool:
    """Return the pool for the daemon where *uri* is, the same for the same way to call it."""
    key = (uri.location, settings, identity, wanted)
    with forks.whole:
        pool = _pools.get(key)
        if pool is None:
            pool = _pools[key] = Pool(uri, settings, identity, wanted)
            if identity is not None and id(identity) not in _watched:
                _watched[id(identity)] = identity
                identity.on_change(_end_refused)
        return pool


def pools_of(identity: Identity) -> list[Pool]:
    """Return those with which this identity calls somebody over TLS, and that proxies use."""
    pools = [pool for pool in list(_pools.values()) if pool.sessions and pool.uri.sockname is None]
    return [pool for pool in pools if pool.identity and pool.identity.is_node_of(identity)]


def _disown_pools() -> None:
    for pool in list(_pools.values()):
        pool.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_pools)
