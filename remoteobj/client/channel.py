"""The way to one remote object: its calls, made over the connections of a pool."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from remoteobj import _pyro, forks
from remoteobj.client.items import RemoteItems
from remoteobj.client.metadata import Metadata, read_metadata
from remoteobj.client.pool import Farewell, Pool, pool_of
from remoteobj.errors import (
    BadURI,
    ConnectionLost,
    DeadlinePassed,
    InsecureRefused,
    NotSendable,
    ObjectUnknown,
    WireError,
)
from remoteobj.handshake import STOCK as STOCK_PEER
from remoteobj.identity import Identity
from remoteobj.payload import STOCK, Payload, plain_message
from remoteobj.settings import Settings
from remoteobj.transport.link import Link
from remoteobj.uri import URI
from remoteobj.wire import SEGMENTS, STREAM_ANNOTATION, Flag, Message, MessageType

__all__ = ["Channel", "prepare_error", "resolvers"]

resolvers: list[Callable[[str, str | None, Identity | None], URI]] = []
"""Looks up ``PYRONAME:name``, once nameserver has been imported."""

_INVOKE, _RESULT = int(MessageType.INVOKE), int(MessageType.RESULT)
_ONEWAY, _BATCH = int(Flag.ONEWAY), int(Flag.BATCH)
_EXCEPTION, _STREAM = int(Flag.EXCEPTION), int(Flag.STREAM)
_CHANGED = int(Flag.COMPRESSED | Flag.KEEP_SERIALIZED)
_SPARE_S = 0.2
_SMALL_BYTES = 64 * 1024
_DAEMON = _pyro.DAEMON_ID


class Channel:
    """What a proxy, and what is derived from it, share: the object, and a session with it.

    Threads: any.
    """

    def __init__(
        self, uri: URI, *, insecure: bool, identity: Identity | None, settings: Settings
    ) -> None:
        self.uri = uri
        self.insecure = insecure
        self.identity = identity
        self.settings = settings
        self._address = uri
        self.object_id = uri.object  # for PYRONAME it is only known when the name was looked up
        self.pool: Pool | None = None
        self.session = 0
        self._metadata: Metadata | None = None
        # A stock daemon takes a connection for a session, so these are not shared.
        self._is_stock = False
        self._own: deque[Link] = deque()
        self._own_farewells: deque[Farewell] = deque()

    def metadata(self, timeout_s: float | None = None) -> Metadata:
        """Return the names that may be called, asking the daemon the first time."""
        if self._metadata is None:
            deadline = _deadline(timeout_s)
            self._give(self._take(deadline)[0])
        assert self._metadata is not None
        return self._metadata

    def call(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], timeout_s: float | None
    ) -> Any:
        """Make one call and wait for its answer."""
        return self._call(method, args, kwargs, timeout_s, _deadline(timeout_s))

    def _call(
        self,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout_s: float | None,
        deadline: float | None,
    ) -> Any:
        link, is_fresh = self._take(deadline)
        metadata = self._metadata
        assert metadata is not None
        buffers: list[memoryview] = []
        try:
            data = link.payload.dumps_call(
                self.object_id,
                method,
                args,
                kwargs,
                self.session,
                buffers,
                metadata.parameters.get(method, ()),
            )
            self._check_size(link, method, data, buffers)
        except BaseException:  # nothing was sent
            self._give(link)
            raise
        flags = _ONEWAY if method in metadata.oneway else 0
        return self._exchange(link, is_fresh, method, flags, data, buffers, deadline, timeout_s)

    def call_batch(
        self,
        calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
        timeout_s: float | None,
        *,
        oneway: bool,
    ) -> tuple[list[Any], BaseException | None]:
        """Make calls in one message; returns the results, and what ended them if one failed."""
        deadline = _deadline(timeout_s)
        link, is_fresh = self._take(deadline)
        assert self._metadata is not None
        buffers: list[memoryview] = []
        try:
            data = link.payload.dumps_batch(
                self.object_id, calls, self.session, buffers, self._metadata.parameters
            )
            self._check_size(link, "batch", data, buffers)
        except BaseException:
            self._give(link)
            raise
        flags = _BATCH | _ONEWAY if oneway else _BATCH
        answer = self._exchange(link, is_fresh, "batch", flags, data, buffers, deadline, timeout_s)
        return answer or ([], None)

    def call_daemon(self, method: str, args: tuple[Any, ...], timeout_s: float | None) -> Any:
        """Call the object that every daemon publishes of itself."""
        deadline = _deadline(timeout_s)
        link, is_fresh = self._take(deadline)
        data = link.payload.dumps_call(_DAEMON, method, args, {}, self.session, [])
        return self._exchange(link, is_fresh, method, 0, data, [], deadline, timeout_s)

    def later(self, farewell: str, *args: Any) -> None:
        """Tell the daemon, with the next call, what a destructor must not wait to tell."""
        if self._is_stock:
            self._own_farewells.append((farewell, args, 0))
        elif self.pool is not None:
            self.pool.farewells.append((farewell, args, self.session))

    def _exchange(
        self,
        link: Link,
        is_fresh: bool,
        method: str,
        flags: int,
        data: bytes,
        buffers: list[memoryview],
        deadline: float | None,
        timeout_s: float | None,
    ) -> Any:
        """Send a call, and read its answer; once more on a new connection if it did not run."""
        payload = link.payload
        while True:
            link.sequence = sequence = link.sequence + 1 & 0xFFFF
            try:
                if deadline is not None and time.monotonic() >= deadline:
                    raise DeadlinePassed("there was no time to send it", executed="no")
                if link.wants_share:
                    link.share(deadline)
                    link.sequence = sequence = link.sequence + 1 & 0xFFFF
                if not buffers and len(data) <= _SMALL_BYTES:
                    link.send_small(_INVOKE, payload.number, flags, sequence, data, deadline)
                else:
                    link.send(
                        Message(_INVOKE, payload.number, flags, sequence, data, buffers=buffers),
                        deadline,
                    )
                if flags & _ONEWAY:
                    self._give(link)
                    return None
                reply = link.receive(deadline)
            except BaseException as error:
                self.drop(link, error)
                if type(error) is ConnectionLost and error.executed == "no" and not is_fresh:
                    link, is_fresh = self._open(deadline), True
                    if link.payload is payload:
                        continue
                    self._give(link)
                self._tell(error, method, timeout_s)
                raise
            return self.finish(link, reply, sequence, method, timeout_s)

    def drop(self, link: Link, error: BaseException) -> None:
        """Close a connection under a call. If it is the last one, another one is opened before.

        Else the daemon would take it for the end of this process, and end all its sessions.
        """
        pool = self.pool
        is_alive = not isinstance(error, ConnectionLost | WireError)
        if is_alive and pool is not None and not self._is_stock and not pool.has_idle:
            with contextlib.suppress(Exception):
                until = time.monotonic() + _SPARE_S
                pool.give(pool.connect(_of_daemon(self._address), until)[0])
        link.close()

    def recover(
        self,
        error: BaseException,
        method: str,
        args: tuple[Any, ...],
        timeout_s: float | None,
        deadline: float | None,
    ) -> Any:
        """Call again where the call did not run, else raise what happened."""
        if type(error) is ConnectionLost and error.executed == "no":
            return self._call(method, args, {}, timeout_s, deadline)
        self._tell(error, method, timeout_s)
        try:
            raise error
        finally:
            del error  # else it and this frame hold each other

    def _tell(self, error: BaseException, method: str, timeout_s: float | None) -> None:
        """Raise in words what was lost with a connection, and whether the call has run."""
        if isinstance(error, ConnectionLost):
            end = "it did not run" if error.executed == "no" else "it may have run"
            raise ConnectionLost(
                f"the connection was lost during {method}() of {self.uri}; {end}",
                executed=error.executed,
            ) from error
        if isinstance(error, DeadlinePassed):
            end = "it did not run" if error.executed == "no" else "it may still run"
            raise DeadlinePassed(
                f"{method}() of {self.uri} gave no answer within {timeout_s:g} s; {end}",
                executed=error.executed,
            ) from error

    def finish(
        self, link: Link, reply: Message, sequence: int, method: str, timeout_s: float | None
    ) -> Any:
        """Give the connection back, and return or raise what the answer says."""
        payload = link.payload
        error: BaseException | None = None
        try:
            _check_reply(reply, sequence)
            if reply.flags & _CHANGED:
                reply = plain_message(reply, self.settings.max_message_bytes)
            if reply.flags & _EXCEPTION:
                value = stream_id = _stream_of(reply)
                error = None if stream_id else _error_of(reply, payload)
            elif reply.serializer != payload.number:
                raise WireError(
                    f"the answer to {method}() came in serializer {reply.serializer}; "
                    f"{payload.name} was asked for"
                )
            else:
                loads = payload.loads_results if reply.flags & _BATCH else payload.loads_reply
                value = loads(reply.payload, reply.buffers)
        except WireError:  # it does not speak as it should
            link.close()
            raise
        except BaseException:
            self._give(link)
            raise
        if link.can_share and SEGMENTS in reply.annotations:  # the daemon would like to
            link.wants_share, link.takes_plain = True, False
        self._give(link)
        if error is not None:
            try:
                raise prepare_error(error)
            finally:
                del error  # else it and this frame hold each other, and what the call has carried
        if reply.flags & _EXCEPTION:
            return RemoteItems(self, value, timeout_s)
        return value

    def release(self) -> None:
        """Close the connections that no other proxy uses, and end the session."""
        pool = self.pool
        _close_all(self._own)
        if pool is None:
            return
        pool.sessions.discard(self.session)
        if not pool.sessions:
            pool.close_idle()
        elif not self._is_stock:
            pool.farewells.append(("end_session", (), self.session))
            until = time.monotonic() + self.settings.connect_timeout_s
            with contextlib.suppress(ConnectionLost, DeadlinePassed, WireError):
                link = pool.take() or pool.connect(_of_daemon(self._address), until)[0]
                if self._say_farewells(pool.farewells, link, until):
                    pool.give(link)
        self.pool = None

    def __del__(self) -> None:
        # Links in use hold on to the channel, so none is closed under a call. No call is made here.
        if hasattr(self, "_own"):
            _close_all(self._own)
            if self.pool is not None:
                self.pool.sessions.discard(self.session)
                if not self._is_stock:
                    self.pool.farewells.append(("end_session", (), self.session))
                if not self.pool.sessions:
                    self.pool.close_idle()

    def _take(self, deadline: float | None) -> tuple[Link, bool]:
        """Return a connection, and whether it is a new one; what may be called is known then."""
        pool = self.pool
        if pool is not None and self._metadata is not None:
            link = pool.take()
            if link is not None and self._say_farewells(pool.farewells, link, deadline):
                return link, False
            while self._own:
                link = self._own.pop()
                if not link.is_quiet():
                    link.close()
                elif self._say_farewells(self._own_farewells, link, deadline):
                    return link, False
        elif pool is None:
            pool = self._join_pool()
            link = pool.take()
            if link is not None and self._learn(link, deadline):
                return link, False
        return self._open(deadline), True

    def _join_pool(self) -> Pool:
        """Return the pool for where the object is now, with a session of this channel in it."""
        address = self._resolve()
        pool = pool_of(address, self.settings, self.identity)
        with forks.whole:
            if pool is not self.pool:
                if self.pool is not None:
                    self.pool.sessions.discard(self.session)
                self._address, self.object_id = address, address.object
                self.session = next(pool.numbers)
                pool.sessions.add(self.session)
                self.pool = pool
        return pool

    def _open(self, deadline: float | None) -> Link:
        link, self._metadata = self._join_pool().connect(self._address, deadline)
        self._is_stock = link.agreement is STOCK_PEER
        return link

    def _learn(self, link: Link, deadline: float | None) -> bool:
        """Ask over a connection that is there what may be called; False if it breaks."""
        data = link.payload.dumps_call(_DAEMON, "describe", (self.object_id,), {}, 0, [])
        link.sequence = sequence = link.sequence + 1 & 0xFFFF
        try:
            link.send_small(_INVOKE, link.payload.number, 0, sequence, data, deadline)
            reply = link.receive(deadline)
            _check_reply(reply, sequence)
        except ConnectionLost:
            link.close()
            return False
        except BaseException:
            link.close()
            raise
        if reply.flags & _EXCEPTION:
            self._give(link)
            error = link.payload.loads_error(reply.payload)
            if _pyro.says_object_unknown(error):
                raise ObjectUnknown(
                    f"there is no object {self.object_id!r} at {self._address.location}"
                )
            raise error
        self._metadata = read_metadata(link.payload.loads_reply(reply.payload, ()))
        return True

    def _give(self, link: Link) -> None:
        if not link.is_settled():  # more came than was asked for: do not take it for answers
            link.close()
        elif link.agreement is STOCK_PEER:
            self._own.append(link)
        elif (pool := self.pool) is not None:
            pool.give(link)
        else:  # released meanwhile
            link.close()

    def _say_farewells(
        self, farewells: deque[Farewell], link: Link, deadline: float | None
    ) -> bool:
        """Tell what is to be told; no answer is due. False if the connection broke meanwhile."""
        while farewells:
            try:
                farewell = farewells.popleft()
            except IndexError:  # another thread was quicker
                break
            method, args, session = farewell
            try:
                data = link.payload.dumps_call(_DAEMON, method, args, {}, session, [])
                link.send_small(_INVOKE, link.payload.number, _ONEWAY, 0, data, deadline)
            except (ConnectionLost, DeadlinePassed):
                farewells.appendleft(farewell)
                link.close()
                return False
        return True

    def _resolve(self) -> URI:
        uri = self.uri
        if uri.protocol == "PYRONAME":
            if not resolvers:
                raise BadURI(f"{uri} is a name: import nameserver, which can look it up")
            uri = resolvers[0](uri.object, uri.location, self.identity)
        if uri.sockname is None and not self.insecure and self.identity is None:
            raise InsecureRefused(
                f"calling {uri} needs an identity= (--identity at the command line), or "
                "insecure=True (--insecure): without encryption anyone on the way can read and "
                "change what is sent"
            )
        return uri

    def _check_size(self, link: Link, method: str, data: bytes, buffers: list[memoryview]) -> None:
        size = len(data) + sum(buffer.nbytes for buffer in buffers)
        theirs = link.agreement.max_bytes
        if size > self.settings.max_message_bytes:
            limit, whose = self.settings.max_message_bytes, ""
        elif theirs is not None and size > theirs:
            limit, whose = theirs, " of the daemon"
        else:
            return
        raise NotSendable(
            f"{method}() with {size} bytes of arguments: at most {limit} are sent "
            f"(Settings.max_message_bytes{whose})"
        )


def _of_daemon(uri: URI) -> URI:
    """Return where the daemon's own object is, where *uri* is."""
    return URI(f"PYRO:{_DAEMON}@{uri.location}")


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _close_all(links: deque[Link]) -> None:
    with contextlib.suppress(IndexError):
        while True:
            links.pop().close()


def _stream_of(reply: Message) -> str:
    """Return the id of the stream that an answer announces, or none."""
    stream_id = reply.annotations.get(STREAM_ANNOTATION)
    if not reply.flags & _STREAM or stream_id is None:
        return ""
    return bytes(stream_id).decode("ascii", "replace")


def _error_of(reply: Message, payload: Payload) -> BaseException:
    """Return what the method, or the daemon, has raised.

    Raises:
        WireError: The answer holds no exception.
    """
    if reply.serializer != payload.number:  # it could not read what it was sent
        if reply.serializer not in STOCK:
            raise WireError(f"an error came in serializer {reply.serializer}, unasked")
        payload = STOCK[reply.serializer]
    error = payload.loads_error(reply.payload)
    if not isinstance(error, BaseException):
        raise WireError("the answer is marked as an error, but holds none")
    return error


def _check_reply(reply: Message, sequence: int) -> None:
    if reply.type != _RESULT:
        raise WireError(f"a message of type {reply.type} came where an answer was due")
    if reply.sequence != sequence:
        raise WireError("an answer came to another call than the one that was made")


def prepare_error(error: BaseException) -> BaseException:
    """Give an exception that arrived a note with its remote traceback."""
    lines = getattr(error, _pyro.TRACEBACK_ATTRIBUTE, None) or ()
    error.add_note("Remote traceback:\n" + "".join(str(line) for line in lines).rstrip())
    if isinstance(error, ConnectionLost | DeadlinePassed):
        error.executed = "maybe"  # the method lost a peer of its own: this call did run
    return error
