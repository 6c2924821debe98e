"""From a message to its answer: the call is run, at once, later or apart.

What a method returns decides how it is answered: a value now; a ``concurrent.futures.Future``, or
what an ``async def`` gives, when it is ready, and no thread waits for it; an iterator as a stream
whose items the caller fetches. A oneway call is run apart: nobody waits for it, and the next calls
of its connection do not either.

This is the long way, which every call may go; ``plain`` is the same for those that are plain, and
``answers`` writes what goes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from functools import partial
from inspect import iscoroutine
from typing import Any

from remoteobj.callers import CallContext, serve_as
from remoteobj.deferred import DeferredReply
from remoteobj.errors import ObjectUnknown, WireError
from remoteobj.handshake import STOCK as STOCK_PEER
from remoteobj.payload import BINARY, Payload, plain_message
from remoteobj.published import Published
from remoteobj.server.answers import Answers, without_payload
from remoteobj.server.batch import AT_ONCE, Batch
from remoteobj.server.connection import Connection
from remoteobj.server.coroutines import Coroutines
from remoteobj.server.reception import name_of
from remoteobj.settings import Settings
from remoteobj.wire import Flag, Message, MessageType

__all__ = ["CallRunner", "context_of"]

log = logging.getLogger("remoteobj.daemon")

_INVOKE = int(MessageType.INVOKE)
_ONEWAY, _BATCH = int(Flag.ONEWAY), int(Flag.BATCH)
_CHANGED = int(Flag.COMPRESSED | Flag.KEEP_SERIALIZED)
_SPECIAL = _ONEWAY | _BATCH


class CallRunner:
    """Runs the calls of a daemon, in its workers."""

    def __init__(
        self,
        published: Published,
        payloads: dict[int, Payload],
        submit: Callable[[Callable[[], None]], None],
        submit_of: Callable[[Connection, Callable[[], None]], None],
        coroutines: Coroutines,
        settings: Settings,
        resume: Callable[[Connection], None],
    ) -> None:
        self.answers = Answers(payloads, published.streams, settings.max_message_bytes)
        self._published = published
        self._reserves = published.reserves
        self._payloads = payloads
        self._submit = submit
        self._submit_of = submit_of
        self._coroutines = coroutines
        self._max_bytes = settings.max_message_bytes
        self._resume = resume

    def run(self, connection: Connection, message: Message) -> None:
        """Answer one message of a peer that was let in.

        Raises:
            WireError: It is no message that may come now: close the connection.
        """
        if message.type != _INVOKE:
            self.answers.ping(connection, message)
            return
        connection.calls += 1
        method, view = "", None
        try:
            payload = self._payload_of(connection, message)
            if message.flags & _CHANGED:
                message = plain_message(message, self._max_bytes)
            if self._reserves[connection.level]:
                self._check_role(connection, message, payload)
            if message.flags & _SPECIAL:
                self._run_special(connection, message, payload)
                return
            object_id, method, args, kwargs, session = payload.loads_call(
                message.payload, message.buffers
            )
            view = self._published.find(object_id, connection.level)
            value = view.call(context_of(connection, session), method, args, kwargs)
            del args, kwargs
        except BaseException as error:  # exit() in a method ends the call, not the connection
            is_not_here = view is None and isinstance(error, ObjectUnknown)
            self.answers.error(connection, message, error, is_not_here=is_not_here)
            return
        self.dispose(connection, message, method, value)

    def dispose(self, connection: Connection, message: Message, method: str, value: Any) -> None:
        """Answer with what a method has returned, whatever it is."""
        try:
            if type(value) in AT_ONCE or not self._is_special(connection, message, method, value):
                self.answers.value(connection, message, method, value)
        except BaseException as error:
            self.answers.error(connection, message, error)

    def _payload_of(self, connection: Connection, message: Message) -> Payload:
        number = message.serializer
        payload = self._payloads.get(number)
        if payload is None or (number == BINARY and connection.agreement is STOCK_PEER):
            raise WireError(f"serializer {name_of(number)} is refused here: use serpent")
        return payload

    def _check_role(self, connection: Connection, message: Message, payload: Payload) -> None:
        """Look whether the peer may make these calls, before an argument of them is read."""
        read = payload.heads_of_batch if message.flags & _BATCH else payload.head_of_call
        object_id, calls = read(message.payload)
        view = self._published.views[connection.level].get(object_id)
        if view is not None and view.is_partial:
            for method, name in calls:
                view.check(method, name)

    def _run_special(self, connection: Connection, message: Message, payload: Payload) -> None:
        if not message.flags & _BATCH:
            object_id, method, args, kwargs, session = payload.loads_call(
                message.payload, message.buffers
            )
            view = self._published.find(object_id, connection.level)
            if method not in view.members["methods"]:
                raise view.unknown(method)
            context = context_of(connection, session)
            self._run_apart(
                connection, method, context, partial(view.call, context, method, args, kwargs)
            )
            return
        object_id, made, session = payload.loads_batch(message.payload, message.buffers)
        view = self._published.find(object_id, connection.level)
        context = context_of(connection, session)
        call = partial(view.call, context)
        batch = Batch(call, made, self._future_of, partial(self._submit_as, context))
        if message.flags & _ONEWAY:
            self._run_apart(connection, "batch", context, batch.go_on_for_future)
            return
        batch.go_on()
        answer = partial(self.answers.batch, connection, without_payload(message), payload)
        if batch.done.done():
            answer(batch.done)
        else:
            self._later(connection, batch.done, answer)

    def _is_special(
        self, connection: Connection, message: Message, method: str, value: Any
    ) -> bool:
        """Answer what is not a value, and tell whether it was."""
        if isinstance(value, DeferredReply):
            self.defer(connection, message, method, value)
            return True
        future = self._future_of(value)
        if future is not None:
            answer = partial(self.answers.future, connection, without_payload(message), method)
            if future.done():
                answer(future)
            else:
                self._later(connection, future, answer)
            return True
        if isinstance(value, Iterator):
            self.answers.stream(connection, message, value)
            return True
        return False

    def _future_of(self, value: Any) -> Future[Any] | None:
        if isinstance(value, Future):
            return value
        if isinstance(value, DeferredReply):  # of a call within a batch, or of a oneway call
            future: Future[Any] = Future()
            try:
                value.belong_to("a method of a batch, or one that is oneway,")
            except InvalidStateError as error:
                future.set_exception(error)
            else:
                value.when_set(future.set_result)
            return future
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

    def defer(
        self, connection: Connection, message: Message, method: str, reply: DeferredReply
    ) -> None:
        """Have whoever sets a reply answer with it."""
        message = without_payload(message)
        try:
            reply.belong_to(f"{method}()")
        except InvalidStateError as error:
            self.answers.error(connection, message, error)
            return
        cost = connection.cost_of_later
        connection.begin(cost)

        def answer(value: Any) -> None:
            try:
                self.answers.value(connection, message, method, value)
            finally:
                connection.finish(cost)
                self._resume(connection)

        reply.when_set(answer)

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
            serve_as(context)
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

        self._submit_of(connection, run)

    def _submit_as(self, context: CallContext, job: Callable[[], Any]) -> None:
        def run() -> None:
            serve_as(context)
            job()

        self._submit(run)


def context_of(connection: Connection, session: int) -> CallContext:
    """Return on whose behalf a call runs, and have this thread serve as that."""
    context = connection.context
    if context is None or context.number != session:
        assert connection.caller is not None
        context = connection.context = CallContext(
            connection.caller, session, connection.peer, connection.claims
        )
    serve_as(context)
    return context


def _log_failure(method: str, future: Future[Any]) -> None:
    if not future.cancelled() and future.exception() is not None:
        log.error("oneway call of %s failed: %s", method, future.exception())
