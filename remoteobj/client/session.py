"""A session with the daemon where one object is: who it is, and the connections for its calls."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from remoteobj import _pyro, forks
from remoteobj.client.answers import check_reply
from remoteobj.client.farewells import Farewell, end_of_session, say_farewells
from remoteobj.client.idle import IdleLinks
from remoteobj.client.metadata import Metadata, read_metadata
from remoteobj.client.pool import Pool, pool_of
from remoteobj.client.trusting import Wanted
from remoteobj.errors import (
    BadURI,
    ConnectionLost,
    DeadlinePassed,
    InsecureRefused,
    ObjectUnknown,
    WireError,
)
from remoteobj.handshake import STOCK
from remoteobj.identity import AUTO, HOW_TO_PAIR, Auto, Identity, choose_identity
from remoteobj.settings import Settings
from remoteobj.transport.link import Link
from remoteobj.uri import URI
from remoteobj.wire import Flag, MessageType

__all__ = ["Found", "Session", "resolvers"]


class Found(NamedTuple):
    """Where the object of a name is.

    Attributes:
        uri: Its address.
        node: The machine that has to answer there; None: any of the cluster.
    """

    uri: URI
    node: str | None = None


resolvers: list[Callable[[str, str | None, Identity | Auto | None], URI | Found]] = []
"""Looks up ``PYRONAME:name``, once nameserver has been imported."""

_INVOKE, _EXCEPTION = int(MessageType.INVOKE), int(Flag.EXCEPTION)
_SPARE_S = 0.2


class Session:
    """What one proxy, and what is derived from it, has of a daemon. It begins with the first call.

    Threads: any.
    """

    def __init__(
        self,
        uri: URI,
        *,
        insecure: bool,
        identity: Identity | Auto | None,
        settings: Settings,
        wanted: Wanted,
    ) -> None:
        self.object_id = uri.object  # for PYRONAME it is only known when the name was looked up
        self.pool: Pool | None = None
        self.number = 0
        self.metadata: Metadata | None = None
        self._uri = uri
        self._insecure = insecure
        self._identity = identity
        self._settings = settings
        self._wanted = wanted
        self._address = Found(uri)
        # A stock daemon takes a connection for a session, so these are not shared.
        self._is_stock = False
        self._own = IdleLinks()
        self._own_farewells: deque[Farewell] = deque()

    def take(self, deadline: float | None) -> tuple[Link, bool]:
        """Return a connection, and whether it is a new one; ``metadata`` is known then."""
        pool = self.pool
        if pool is not None and self.metadata is not None:
            link = pool.take()
            if link is not None and say_farewells(pool.farewells, link, deadline):
                return link, False
            while (link := self._own.take()) is not None:
                if say_farewells(self._own_farewells, link, deadline):
                    return link, False
        elif pool is None:
            pool = self._join_pool()
            link = pool.take()
            if link is not None and self._learn(link, deadline):
                return link, False
        return self.open(deadline), True

    def open(self, deadline: float | None) -> Link:
        """Return a new connection, to where the object is now."""
        link, self.metadata = self._join_pool().connect(self._address.uri, deadline)
        self._is_stock = link.agreement is STOCK
        return link

    def give(self, link: Link) -> None:
        """Take a connection back that is between two calls."""
        if not link.is_settled():  # more came than was asked for: do not take it for answers
            link.close()
        elif link.agreement is STOCK:
            self._own.give(link)
        elif (pool := self.pool) is not None:
            pool.give(link)
        else:  # released meanwhile
            link.close()

    def drop(self, link: Link, error: BaseException) -> None:
        """Close a connection under a call. If it is the last one, another one is opened before.

        Else the daemon would take it for the end of this process, and end all its sessions.
        """
        pool = self.pool
        is_alive = not isinstance(error, ConnectionLost | WireError)
        if is_alive and pool is not None and not self._is_stock and not pool.has_idle:
            with contextlib.suppress(Exception):
                until = time.monotonic() + _SPARE_S
                pool.give(pool.connect(_of_daemon(self._address.uri), until)[0])
        link.close()

    def later(self, farewell: str, *args: Any) -> None:
        """Tell the daemon, with the next call, what a destructor must not wait to tell."""
        if self._is_stock:
            self._own_farewells.append((farewell, args, 0))
        elif self.pool is not None:
            self.pool.farewells.append((farewell, args, self.number))

    def release(self) -> None:
        """Close the connections that no other proxy uses, and end the session."""
        pool = self.pool
        self._own.close_idle()
        if pool is None:
            return
        pool.leave(self.number)
        if not pool.sessions:
            pool.close_idle()
        elif not self._is_stock:
            pool.farewells.append(end_of_session(self.number))
            until = time.monotonic() + self._settings.connect_timeout_s
            with contextlib.suppress(ConnectionLost, DeadlinePassed, WireError):
                link = pool.take() or pool.connect(_of_daemon(self._address.uri), until)[0]
                if say_farewells(pool.farewells, link, until):
                    pool.give(link)
        self.pool = None

    def __del__(self) -> None:
        # Links in use hold on to the session, so none is closed under a call. No call is made here.
        if hasattr(self, "_own"):
            self._own.close_idle()
            if self.pool is not None:
                self.pool.leave(self.number)
                if not self._is_stock:
                    self.pool.farewells.append(end_of_session(self.number))
                if not self.pool.sessions:
                    self.pool.close_idle()

    def _join_pool(self) -> Pool:
        """Return the pool for where the object is now, with this session in it."""
        address = self._resolve()
        wanted = self._wanted
        if wanted.node is None and address.node is not None and not self._insecure:
            wanted = replace(wanted, node=address.node)
        identity = self._identity_for(address.uri, wanted)
        pool = pool_of(address.uri, self._settings, identity, wanted)
        with forks.whole:
            if pool is not self.pool:
                if self.pool is not None:
                    self.pool.leave(self.number)
                self._address, self.object_id = address, address.uri.object
                self.number = next(pool.numbers)
                pool.sessions.add(self.number)
                self.pool = pool
        if identity is not None and identity.cluster is not None and address.uri.sockname is None:
            with forks.whole:
                from remoteobj.client.following import follow

            pool.no_session = follow(identity)
        return pool

    def _resolve(self) -> Found:
        uri, node = self._uri, None
        if uri.protocol == "PYRONAME":
            if not resolvers:
                raise BadURI(f"{uri} is a name: import nameserver, which can look it up")
            found = resolvers[0](uri.object, uri.location, self._identity)
            uri, node = found if isinstance(found, Found) else (found, None)
        return Found(uri, node)

    def _identity_for(self, uri: URI, wanted: Wanted) -> Identity | None:
        """Return who this side is there. A Unix socket needs nobody, so nothing is read for it."""
        identity = self._identity
        if uri.sockname is not None and wanted.node is None and identity == AUTO:
            return None
        who = choose_identity(identity, self._insecure)
        if uri.sockname is None and not self._insecure and who is None:
            raise InsecureRefused(
                f"calling {uri} needs an identity: {HOW_TO_PAIR}; or pass identity= (--identity at "
                "the command line); or insecure=True (--insecure): without encryption anyone on "
                "the way can read and change what is sent"
            )
        return who

    def follow(self) -> bool:
        """Look the name up again; tells whether its object is somewhere else now."""
        if self._uri.protocol != "PYRONAME" or self._resolve() == self._address:
            return False
        with forks.whole:
            if self.pool is not None:
                self.pool.leave(self.number)
            self.pool = self.metadata = None
        return True

    def _learn(self, link: Link, deadline: float | None) -> bool:
        """Ask over a connection that is there what may be called; False if it breaks."""
        payload = link.payload
        data = payload.dumps_call(_pyro.DAEMON_ID, "describe", (self.object_id,), {}, 0, [])
        link.sequence = sequence = link.sequence + 1 & 0xFFFF
        try:
            link.send_small(_INVOKE, payload.number, 0, sequence, data, deadline)
            reply = link.receive(deadline)
            check_reply(reply, sequence)
        except ConnectionLost:
            link.close()
            return False
        except BaseException:
            link.close()
            raise
        if reply.flags & _EXCEPTION:
            self.give(link)
            error = payload.loads_error(reply.payload)
            if _pyro.says_object_unknown(error):
                raise ObjectUnknown(
                    f"there is no object {self.object_id!r} at {self._address.uri.location}"
                )
            raise error
        self.metadata = read_metadata(payload.loads_reply(reply.payload, ()))
        return True


def _of_daemon(uri: URI) -> URI:
    """Return where the daemon's own object is, where *uri* is."""
    return URI(f"PYRO:{_pyro.DAEMON_ID}@{uri.location}")
