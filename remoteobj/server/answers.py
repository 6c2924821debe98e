"""What goes back to a caller: a value, what a future or a batch gave, a stream's id, an error.

No answer is larger than the daemon's ``Settings.max_message_bytes``: one that would be is answered
by an error that says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from remoteobj.errors import NotSendable, RemoteObjError, WireError
from remoteobj.handshake import STOCK as STOCK_PEER
from remoteobj.payload import BINARY, SERPENT, Payload
from remoteobj.server.connection import Connection
from remoteobj.streams import ItemStreams
from remoteobj.wire import (
    NOT_HERE,
    PLAIN_BYTES,
    SEGMENTS,
    STREAM_ANNOTATION,
    Flag,
    Message,
    MessageType,
)

__all__ = ["Answers", "without_payload"]

log = logging.getLogger("remoteobj.daemon")

_RESULT, _PING = int(MessageType.RESULT), int(MessageType.PING)
_BATCH, _CORRELATION = int(Flag.BATCH), int(Flag.CORRELATION)
_EXCEPTION, _ONEWAY = int(Flag.EXCEPTION), int(Flag.ONEWAY)
_STREAM = int(Flag.EXCEPTION | Flag.STREAM)


class Answers:
    """Writes and posts what goes back. Threads: any.

    In every method ``message`` is what is answered; its payload is not looked at.
    """

    def __init__(self, payloads: dict[int, Payload], streams: ItemStreams, max_bytes: int) -> None:
        self._payloads = payloads
        self._streams = streams
        self._max_bytes = max_bytes
        self._small_bytes = min(PLAIN_BYTES, max_bytes)

    def value(self, connection: Connection, message: Message, method: str, value: Any) -> None:
        """Answer with what a method has returned."""
        payload = self._payloads[message.serializer]
        buffers: list[memoryview] = []
        try:
            data = payload.dumps_reply(value, buffers, method)
            if not buffers and len(data) <= self._small_bytes and connection.shared is None:
                flags = message.flags & _CORRELATION
                connection.post_small(
                    _RESULT, payload.number, flags, message.sequence, data, message.correlation
                )
            else:
                self._post_large(connection, message, 0, data, buffers)
        except Exception as error:
            self.error(connection, message, error)

    def future(
        self, connection: Connection, message: Message, method: str, future: Future[Any]
    ) -> None:
        """Answer with what a future holds that is done."""
        error: BaseException | None
        try:
            error = future.exception()
        except BaseException as why:  # it was cancelled
            error = why
        if error is not None:
            self.error(connection, message, error)
        else:
            self.value(connection, message, method, future.result())

    def batch(
        self,
        connection: Connection,
        message: Message,
        payload: Payload,
        done: Future[tuple[list[Any], BaseException | None]],
    ) -> None:
        """Answer with the results of a batch, and with the error that has ended it."""
        buffers: list[memoryview] = []
        try:
            data = payload.dumps_results(*done.result(), buffers)
            self._post_large(connection, message, _BATCH, data, buffers)
        except Exception as error:
            self.error(connection, message, error)

    def stream(self, connection: Connection, message: Message, items: Iterator[Any]) -> None:
        """Answer with the id of a stream; as an error, which older releases of Pyro5 understand."""
        assert connection.context is not None
        stream_id = self._streams.open(items, connection.context)
        error = RemoteObjError("the result of the call is an iterator")
        data = self._payloads[message.serializer].dumps_error(error)
        annotations = {STREAM_ANNOTATION: stream_id.encode()}
        self._post_large(connection, message, _STREAM, data, [], annotations)

    def error(
        self,
        connection: Connection,
        message: Message,
        error: BaseException,
        *,
        is_not_here: bool = False,
    ) -> None:
        """Answer with an exception, unless nobody waits for it.

        Args:
            is_not_here: It says that this daemon has no such object, and no call has run.
        """
        if message.flags & _ONEWAY:
            log.debug("a oneway call of %s was refused: %s", connection.peer, error)
            return
        payload = self._payloads.get(message.serializer, self._payloads[SERPENT])
        if payload.number == BINARY and connection.agreement is STOCK_PEER:
            payload = self._payloads[SERPENT]
        data = payload.dumps_error(error)
        if len(data) > self._max_bytes:  # no word of "has run": it may have been refused before
            what = f"the call has failed, and its {type(error).__name__}"
            data = payload.dumps_error(self._too_large(what, len(data)))
        connection.post_message(
            Message(
                _RESULT,
                payload.number,
                _EXCEPTION,
                message.sequence,
                data,
                message.correlation,
                {NOT_HERE: b""} if is_not_here and connection.agreement is not STOCK_PEER else {},
            )
        )

    def ping(self, connection: Connection, message: Message) -> None:
        """Answer what is no call; it may ask for shared memory.

        Raises:
            WireError: It is no ping either.
        """
        if message.type != _PING:
            raise WireError(f"a message of type {message.type} came where a call was due")
        annotations: dict[str, Any] = {}
        if SEGMENTS in message.annotations:
            word = connection.share(message.annotations[SEGMENTS])
            if word is not None:
                annotations[SEGMENTS] = word
        connection.post_message(
            Message(
                message.type,
                message.serializer,
                0,
                message.sequence,
                b"pong",
                message.correlation,
                annotations,
            )
        )

    def _post_large(
        self,
        connection: Connection,
        message: Message,
        flags: int,
        data: bytes,
        buffers: list[memoryview],
        annotations: dict[str, Any] | None = None,
    ) -> None:
        size = len(data) + sum(buffer.nbytes for buffer in buffers)
        if size > self._max_bytes:
            raise self._too_large("the call has run, but its result", size)
        connection.post_message(
            Message(
                _RESULT,
                message.serializer,
                flags,
                message.sequence,
                data,
                message.correlation,
                annotations or {},
                buffers,
            )
        )

    def _too_large(self, what: str, size: int) -> NotSendable:
        return NotSendable(
            f"{what} of {size} bytes stays here: at most {self._max_bytes} are sent "
            "(Settings.max_message_bytes of the daemon)"
        )


def without_payload(message: Message) -> Message:
    """Return what an answer needs, without what the call has brought."""
    return Message(
        message.type,
        message.serializer,
        message.flags,
        message.sequence,
        b"",
        message.correlation,
    )
