"""The way to one remote object: how its calls are made, and made again where that is safe."""

from __future__ import annotations

import time
from typing import Any

from remoteobj import _pyro
from remoteobj.client.answers import NotHere, explain, prepare_error, read_answer
from remoteobj.client.items import RemoteItems
from remoteobj.client.metadata import Metadata
from remoteobj.client.session import Session, resolvers
from remoteobj.client.trusting import ANY_MEMBER, Wanted
from remoteobj.errors import (
    ConnectionLost,
    DeadlinePassed,
    NotSendable,
    ObjectUnknown,
    PeerRefused,
    WireError,
)
from remoteobj.identity import Auto, Identity
from remoteobj.settings import Settings
from remoteobj.transport.link import Link
from remoteobj.uri import URI
from remoteobj.wire import PLAIN_BYTES, SEGMENTS, Flag, Message, MessageType

__all__ = ["Channel", "prepare_error", "resolvers"]

_INVOKE = int(MessageType.INVOKE)
_ONEWAY, _BATCH, _EXCEPTION = int(Flag.ONEWAY), int(Flag.BATCH), int(Flag.EXCEPTION)

Answer = tuple[Link, Message, int]
"""What has come to a call: over which connection, the message, and the call's sequence number."""


class Channel:
    """What a proxy, and what is derived from it, share: the object, and a session with its daemon.

    Threads: any.
    """

    def __init__(
        self,
        uri: URI,
        *,
        insecure: bool,
        identity: Identity | Auto | None,
        settings: Settings,
        wanted: Wanted = ANY_MEMBER,
    ) -> None:
        self.uri = uri
        self.insecure = insecure
        self.identity = identity
        self.settings = settings
        self.wanted = wanted
        self.session = Session(
            uri, insecure=insecure, identity=identity, settings=settings, wanted=wanted
        )

    def metadata(self, timeout_s: float | None = None) -> Metadata:
        """Return the names that may be called, asking the daemon the first time."""
        session = self.session
        if session.metadata is None:
            session.give(session.take(_deadline(timeout_s))[0])
        assert session.metadata is not None
        return session.metadata

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
        session = self.session
        link, is_fresh = session.take(deadline)
        metadata = session.metadata
        assert metadata is not None
        buffers: list[memoryview] = []
        try:
            data = link.payload.dumps_call(
                session.object_id,
                method,
                args,
                kwargs,
                session.number,
                buffers,
                metadata.parameters.get(method, ()),
            )
            self._check_size(link, method, data, buffers)
        except BaseException:  # nothing was sent
            session.give(link)
            raise
        flags = _ONEWAY if method in metadata.oneway else 0
        answer = self._ask(link, is_fresh, method, flags, data, buffers, deadline, timeout_s)
        if answer is None:
            return None
        return self.finish_call(*answer, method, args, kwargs, timeout_s, deadline)

    def finish_call(
        self,
        link: Link,
        reply: Message,
        sequence: int,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout_s: float | None,
        deadline: float | None,
    ) -> Any:
        """``finish``; once more where the object of a name is somewhere else now."""
        try:
            return self.finish(link, reply, sequence, method, timeout_s)
        except NotHere as error:
            if not self.session.follow():
                raise ObjectUnknown(str(error)) from None
        return self._call(method, args, kwargs, timeout_s, deadline)

    def call_batch(
        self,
        calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
        timeout_s: float | None,
        *,
        oneway: bool,
    ) -> tuple[list[Any], BaseException | None]:
        """Make calls in one message; returns the results, and what ended them if one failed."""
        deadline, session = _deadline(timeout_s), self.session
        link, is_fresh = session.take(deadline)
        assert session.metadata is not None
        buffers: list[memoryview] = []
        try:
            data = link.payload.dumps_batch(
                session.object_id, calls, session.number, buffers, session.metadata.parameters
            )
            self._check_size(link, "batch", data, buffers)
        except BaseException:
            session.give(link)
            raise
        flags = _BATCH | _ONEWAY if oneway else _BATCH
        answer = self._ask(link, is_fresh, "batch", flags, data, buffers, deadline, timeout_s)
        try:
            results = None if answer is None else self.finish(*answer, "batch", timeout_s)
        except NotHere as error:
            if not session.follow():
                raise ObjectUnknown(str(error)) from None
            return self.call_batch(calls, timeout_s, oneway=oneway)
        return results or ([], None)

    def call_daemon(self, method: str, args: tuple[Any, ...], timeout_s: float | None) -> Any:
        """Call the object that every daemon publishes of itself."""
        return self.finish(*self.ask_daemon(method, args, timeout_s), method, timeout_s)

    def ask_daemon(self, method: str, args: tuple[Any, ...], timeout_s: float | None) -> Answer:
        """Call that object; ``finish`` has to follow.

        So the caller knows of an error here that no answer has come, and of one there that it has.
        """
        deadline, session = _deadline(timeout_s), self.session
        link, is_fresh = session.take(deadline)
        data = link.payload.dumps_call(_pyro.DAEMON_ID, method, args, {}, session.number, [])
        answer = self._ask(link, is_fresh, method, 0, data, [], deadline, timeout_s)
        assert answer is not None
        return answer

    def _ask(
        self,
        link: Link,
        is_fresh: bool,
        method: str,
        flags: int,
        data: bytes,
        buffers: list[memoryview],
        deadline: float | None,
        timeout_s: float | None,
    ) -> Answer | None:
        """Send a call, and wait for its answer; once more on a new connection if it did not run.

        None for a oneway call.
        """
        session, payload = self.session, link.payload
        while True:
            link.sequence = sequence = link.sequence + 1 & 0xFFFF
            try:
                if deadline is not None and time.monotonic() >= deadline:
                    raise DeadlinePassed("there was no time to send it", executed="no")
                if link.wants_share:
                    link.share(deadline)
                    link.sequence = sequence = link.sequence + 1 & 0xFFFF
                if not buffers and len(data) <= PLAIN_BYTES:
                    link.send_small(_INVOKE, payload.number, flags, sequence, data, deadline)
                else:
                    link.send(
                        Message(_INVOKE, payload.number, flags, sequence, data, buffers=buffers),
                        deadline,
                    )
                if flags & _ONEWAY:
                    session.give(link)
                    return None
                return link, link.receive(deadline), sequence
            except BaseException as error:
                session.drop(link, error)
                if type(error) is ConnectionLost and error.executed == "no" and not is_fresh:
                    link, is_fresh = session.open(deadline), True
                    if link.payload is payload:
                        continue
                    session.give(link)
                explain(error, method, self.uri, timeout_s)
                raise

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
        explain(error, method, self.uri, timeout_s)
        try:
            raise error
        finally:
            del error  # else it and this frame hold each other

    def finish(
        self, link: Link, reply: Message, sequence: int, method: str, timeout_s: float | None
    ) -> Any:
        """Give the connection back, and return or raise what the answer says."""
        try:
            value, error = read_answer(
                reply, link.payload, sequence, method, self.settings.max_message_bytes
            )
        except (WireError, PeerRefused):  # it does not speak as it should, or with us no more
            link.close()
            raise
        except BaseException:
            self.session.give(link)
            raise
        if link.can_share and SEGMENTS in reply.annotations:  # the daemon would like to
            link.wants_share, link.takes_plain = True, False
        self.session.give(link)
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
        self.session.release()

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


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s
