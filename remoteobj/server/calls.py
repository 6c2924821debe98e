"""From a message to its answer: the call is run, at once or later, and what it gives is written.

What a method returns decides how it is answered: a value now; a ``concurrent.futures.Future``, or
what an ``async def`` gives, when it is ready, and no thread waits for it; an iterator as a stream
whose items the caller fetches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from inspect import iscoroutine
from typing import Any

from remoteobj.callers import CallContext, serve_as
from remoteobj.errors import NotSendable, RemoteObjError, WireError
from remoteobj.handshake import STOCK as STOCK_PEER
from remoteobj.payload import (
    BINARY,
    NESTED,
    PLAIN,
    SERPENT,
    Payload,
    plain_message,
    read_call,
    write_plain,
)
from remoteobj.published import Published
from remoteobj.server.batch import AT_ONCE, Batch
from remoteobj.server.connection import Connection
from remoteobj.server.coroutines import Coroutines
from remoteobj.server.reception import name_of
from remoteobj.settings import Settings
from remoteobj.transport.sockets import QUIET
from remoteobj.transport.stream import NOWAIT
from remoteobj.wire import (
    HEADER_BYTES,
    SEGMENTS,
    SIMPLE,
    SIMPLE_AT,
    STREAM_ANNOTATION,
    SUFFIX,
    SUFFIX_AT,
    Flag,
    Message,
    MessageType,
    prefix_of,
)

__all__ = ["CallRunner"]

log = logging.getLogger("remoteobj.daemon")

_SMALL_BYTES = 64 * 1024
_RECV_BYTES = 64 * 1024
_NO_KWARGS: dict[str, Any] = {}
_INVOKE, _RESULT = int(MessageType.INVOKE), int(MessageType.RESULT)
_ONEWAY, _BATCH = int(Flag.ONEWAY), int(Flag.BATCH)
_CHANGED = int(Flag.COMPRESSED | Flag.KEEP_SERIALIZED)
_CORRELATION = int(Flag.CORRELATION)
_SPECIAL = _ONEWAY | _BATCH
_CALL, _REPLY = prefix_of(_INVOKE, BINARY), prefix_of(_RESULT, BINARY)
_simple, _simple_at = SIMPLE.pack, SIMPLE.unpack_from


class CallRunner:
    """Runs the calls of a daemon, in its workers."""

    def __init__(
        self,
        published: Published,
        payloads: dict[int, Payload],
        submit: Callable[[Callable[[], None]], None],
        coroutines: Coroutines,
        settings: Settings,
        resume: Callable[[Connection], None],
    ) -> None:
        self._published = published
        self.is_closing = False
        self._payloads = payloads
        self._submit = submit
        self._coroutines = coroutines
        self._max_bytes = settings.max_message_bytes
        self._resume = resume

    def run_plain(  # noqa: PLR0911, PLR0912 - each function more is one more for every call
        self, connection: Connection, nobody_waits: Callable[[], bool]
    ) -> bool:
        """Answer calls for as long as they come one by one, whole, and with nothing but a payload.

        This is ``run`` once more, straight, for what is called most: a header that is compared
        instead of unpacked, no message made of it, no lock, since nobody else sends meanwhile.

        Args:
            nobody_waits: Tells whether to wait for the next call, or to look and leave.
        Returns:
            Whether the peer is quiet; else something is to be read that has to go the long way.
        Raises:
            EOFError: The peer has closed the connection.
            OSError: The connection broke.
        """
        recv, send, exposures = connection.recv, connection.send_some, self._published.exposures
        context = connection.context
        while not self.is_closing:
            try:
                data = recv(_RECV_BYTES, 0 if nobody_waits() else NOWAIT)
            except QUIET:
                return True
            if not data:
                raise EOFError
            if not (data.startswith(_CALL) and data.startswith(SUFFIX, SUFFIX_AT)):
                connection.feed(data)
                return False
            sequence, size, annotations = _simple_at(data, SIMPLE_AT)
            if annotations or len(data) != HEADER_BYTES + size:
                connection.feed(data)
                return False
            try:
                object_id, method, args, kwargs, session = read_call(data[HEADER_BYTES:])
            except Exception:  # the long way finds the words
                connection.feed(data)
                return False
            exposure = exposures.get(object_id)
            if kwargs or exposure is None or not NESTED.isdisjoint(map(type, args)):
                connection.feed(data)
                return False
            if context is None or context.number != session:
                context = _context_of(connection, session)
            connection.calls += 1
            try:
                value = exposure.call(context, method, args, _NO_KWARGS)
            except BaseException as error:  # exit() in a method ends the call, not the connection
                head = Message(_INVOKE, BINARY, 0, sequence, b"")
                self._answer_error(connection, head, error)
                if connection.is_alone:
                    continue
                return False
            if type(value) in PLAIN:
                try:
                    answer = write_plain(value)
                except (UnicodeEncodeError, OverflowError):
                    answer = b""
                if 0 < len(answer) <= _SMALL_BYTES:
                    reply = _REPLY + _simple(sequence, len(answer), 0) + SUFFIX + answer
                    try:
                        sent = send(reply, NOWAIT)
                    except QUIET:
                        sent = 0
                    if sent == len(reply):
                        continue
                    connection.send_rest(reply, sent)
                    return False
            self._dispose(connection, Message(_INVOKE, BINARY, 0, sequence, b""), method, value)
            if not connection.is_alone:
                return False
        return True

    def run(self, connection: Connection, message: Message) -> None:
        """Answer one message of a peer that was let in.

        Raises:
            WireError: It is no message that may come now: close the connection.
        """
        if message.type != _INVOKE:
            self._answer_ping(connection, message)
            return
        connection.calls += 1
        method = ""
        try:
            payload = self._payload_of(connection, message)
            if message.flags & _CHANGED:
                message = plain_message(message, self._max_bytes)
            if message.flags & _SPECIAL:
                self._run_special(connection, message, payload)
                return
            object_id, method, args, kwargs, session = payload.loads_call(
                message.payload, message.buffers
            )
            exposure = self._published.find(object_id)
            value = exposure.call(_context_of(connection, session), method, args, kwargs)
            del args, kwargs
        except BaseException as error:  # exit() in a method ends the call, not the connection
            self._answer_error(connection, message, error)
            return
        self._dispose(connection, message, method, value)

    def _dispose(self, connection: Connection, message: Message, method: str, value: Any) -> None:
        """Answer with what a method has returned, whatever it is."""
        try:
            if type(value) in AT_ONCE or not self._is_special(connection, message, method, value):
                self._answer(connection, message, method, value)
        except BaseException as error:
            self._answer_error(connection, message, error)

    def _payload_of(self, connection: Connection, message: Message) -> Payload:
        number = message.serializer
        payload = self._payloads.get(number)
        if payload is None or (number == BINARY and connection.agreement is STOCK_PEER):
            raise WireError(f"serializer {name_of(number)} is refused here: use serpent")
        return payload

    def _run_special(self, connection: Connection, message: Message, payload: Payload) -> None:
        if not message.flags & _BATCH:
            object_id, method, args, kwargs, session = payload.loads_call(
                message.payload, message.buffers
            )
            exposure = self._published.find(object_id)
            if method not in exposure.members["methods"]:
                raise exposure.unknown(method)
            context = _context_of(connection, session)
            self._run_apart(
                connection, method, context, partial(exposure.call, context, method, args, kwargs)
            )
            return
        object_id, made, session = payload.loads_batch(message.payload, message.buffers)
        exposure = self._published.find(object_id)
        context = _context_of(connection, session)
        call = partial(exposure.call, context)
        batch = Batch(call, made, self._future_of, partial(self._submit_as, context))
        if message.flags & _ONEWAY:
            self._run_apart(connection, "batch", context, batch.go_on_for_future)
            return
        batch.go_on()
        answer = partial(self._answer_batch, connection, _without_payload(message), payload)
        if batch.done.done():
            answer(batch.done)
        else:
            self._later(connection, batch.done, answer)

    def _is_special(
        self, connection: Connection, message: Message, method: str, value: Any
    ) -> bool:
        """Answer what is not a value, and tell whether it was."""
        future = self._future_of(value)
        if future is not None:
            answer = partial(self._answer_later, connection, _without_payload(message), method)
            if future.done():
                answer(future)
            else:
                self._later(connection, future, answer)
            return True
        if isinstance(value, Iterator):
            self._answer_stream(connection, message, value)
            return True
        return False

    def _future_of(self, value: Any) -> Future[Any] | None:
        if isinstance(value, Future):
            return value
        if iscoroutine(value):
            return self._coroutines.run(value)
        return None

    def _later(
        self, connection: Connection, future: Future[Any], answer: Callable[[Future[Any]], None]
    ) -> None:
        """Answer when the future is done, in a worker; no thread waits for it."""
        cost = connection.cost_of_later
        connection.begin(cost)

        def answer_now() -> None:
            serve_as(None)  # this worker served somebody else
            try:
                answer(future)
            finally:
                connection.finish(cost)
                self._resume(connection)

        future.add_done_callback(lambda _: self._submit(answer_now))

    def _run_apart(
        self,
        connection: Connection,
        method: str,
        context: CallContext,
        call: Callable[[], Any],
    ) -> None:
        """Run what nobody waits for beside the next calls of the connection."""
        connection.begin(1)

        def over() -> None:
            connection.finish(1)
            self._resume(connection)

        def run() -> None:
            future: Future[Any] | None = None
            try:
                future = self._future_of(call())
            except BaseException:
                log.exception("oneway call of %s failed; its caller does not wait", method)
            if future is None:
                over()
            else:
                future.add_done_callback(partial(_log_failure, method))
                future.add_done_callback(lambda _: self._submit(over))

        self._submit_as(context, run)

    def _submit_as(self, context: CallContext, job: Callable[[], Any]) -> None:
        def run() -> None:
            serve_as(context)
            job()

        self._submit(run)

    def _answer(self, connection: Connection, message: Message, method: str, value: Any) -> None:
        payload = self._payloads[message.serializer]
        buffers: list[memoryview] = []
        try:
            data = payload.dumps_reply(value, buffers, method)
            if not buffers and len(data) <= _SMALL_BYTES and connection.shared is None:
                flags = message.flags & _CORRELATION
                connection.post_small(
                    _RESULT, payload.number, flags, message.sequence, data, message.correlation
                )
            else:
                self._post_large(connection, message, 0, data, buffers, {})
        except Exception as error:
            self._answer_error(connection, message, error)

    def _post_large(
        self,
        connection: Connection,
        message: Message,
        flags: int,
        data: bytes,
        buffers: list[memoryview],
        annotations: dict[str, Any],
    ) -> None:
        size = len(data) + sum(buffer.nbytes for buffer in buffers)
        if size > self._max_bytes:
            raise NotSendable(
                f"the call has run, but its result of {size} bytes stays here: at most "
                f"{self._max_bytes} are sent (Settings.max_message_bytes of the daemon)"
            )
        connection.post_message(
            Message(
                _RESULT,
                message.serializer,
                flags,
                message.sequence,
                data,
                message.correlation,
                annotations,
                buffers,
            )
        )

    def _answer_later(
        self, connection: Connection, message: Message, method: str, future: Future[Any]
    ) -> None:
        error: BaseException | None
        try:
            error = future.exception()
        except BaseException as why:  # it was cancelled
            error = why
        if error is not None:
            self._answer_error(connection, message, error)
        else:
            self._answer(connection, message, method, future.result())

    def _answer_batch(
        self,
        connection: Connection,
        message: Message,
        payload: Payload,
        done: Future[tuple[list[Any], BaseException | None]],
    ) -> None:
        buffers: list[memoryview] = []
        try:
            data = payload.dumps_results(*done.result(), buffers)
            self._post_large(connection, message, _BATCH, data, buffers, {})
        except Exception as error:
            self._answer_error(connection, message, error)

    def _answer_stream(
        self, connection: Connection, message: Message, items: Iterator[Any]
    ) -> None:
        """Answer with the id of a stream; as an error, which older releases of Pyro5 understand."""
        assert connection.context is not None
        stream_id = self._published.streams.open(items, connection.context)
        error = RemoteObjError("the result of the call is an iterator")
        data = self._payloads[message.serializer].dumps_error(error)
        flags = int(Flag.EXCEPTION | Flag.STREAM)
        annotations = {STREAM_ANNOTATION: stream_id.encode()}
        self._post_large(connection, message, flags, data, [], annotations)

    def _answer_error(self, connection: Connection, message: Message, error: BaseException) -> None:
        if message.flags & _ONEWAY:
            log.debug("a oneway call of %s was refused: %s", connection.peer, error)
            return
        payload = self._payloads.get(message.serializer, self._payloads[SERPENT])
        if payload.number == BINARY and connection.agreement is STOCK_PEER:
            payload = self._payloads[SERPENT]
        reply = Message(
            _RESULT,
            payload.number,
            int(Flag.EXCEPTION),
            message.sequence,
            payload.dumps_error(error),
            message.correlation,
        )
        connection.post_message(reply)

    def _answer_ping(self, connection: Connection, message: Message) -> None:
        if message.type != MessageType.PING:
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


def _context_of(connection: Connection, session: int) -> CallContext:
    """Return on whose behalf a call runs, and have this thread serve as that."""
    context = connection.context
    if context is None or context.number != session:
        assert connection.caller is not None
        context = connection.context = CallContext(connection.caller, session)
    serve_as(context)
    return context


def _without_payload(message: Message) -> Message:
    """Return what an answer needs, without what the call has brought."""
    return Message(
        message.type,
        message.serializer,
        message.flags,
        message.sequence,
        b"",
        message.correlation,
    )


def _log_failure(method: str, future: Future[Any]) -> None:
    if not future.cancelled() and future.exception() is not None:
        log.error("oneway call of %s failed: %s", method, future.exception())
