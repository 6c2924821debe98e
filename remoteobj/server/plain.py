"""The straight way: calls of plain, small values, which are nearly all, with nothing in between.

What it does is what ``calls`` does, and can be understood there; whatever is not plain is handed
over to that, and a call that was begun here may end there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from remoteobj.deferred import DeferredReply
from remoteobj.payload import BINARY, NESTED, OUT_OF_BAND_BYTES, PLAIN, read_call, write_plain
from remoteobj.server.calls import CallRunner, context_of
from remoteobj.server.connection import Connection
from remoteobj.server.shares import TURN
from remoteobj.transport.sockets import QUIET
from remoteobj.transport.stream import NOWAIT
from remoteobj.wire import (
    HEADER_BYTES,
    PLAIN_BYTES,
    SIMPLE,
    SIMPLE_AT,
    SUFFIX,
    SUFFIX_AT,
    Message,
    MessageType,
    prefix_of,
)

__all__ = ["PlainRunner"]

_NO_KWARGS: dict[str, Any] = {}
_INVOKE = int(MessageType.INVOKE)
_CALL, _REPLY = prefix_of(_INVOKE, BINARY), prefix_of(int(MessageType.RESULT), BINARY)
_simple, _simple_at = SIMPLE.pack, SIMPLE.unpack_from


class PlainRunner:
    """Runs the plain calls of a daemon, in its workers.

    Args:
        runner: Who does what turns out not to be plain.
    """

    def __init__(self, runner: CallRunner) -> None:
        self.is_closing = False
        self._dispose = runner.dispose
        self._defer = runner.defer
        self._answer_error = runner.answers.error

    def run(  # noqa: PLR0911, PLR0912, PLR0915 - each function more is one more for every call
        self, connection: Connection, nobody_waits: Callable[[], bool]
    ) -> bool:
        """Answer calls for as long as they come one by one, whole, and with nothing but a payload.

        This is ``CallRunner.run`` once more, straight: a header that is compared instead of
        unpacked, no message made of it, no lock, since nobody else sends meanwhile.

        Args:
            connection: One that ``takes_plain`` and ``is_between_messages``.
            nobody_waits: Tells whether to wait for the next call, or to look and leave.
        Returns:
            Whether the peer is quiet; else something is to be read that has to go the long way.
        Raises:
            EOFError: The peer has closed the connection.
            OSError: The connection broke.
        """
        recv, send, views = connection.recv, connection.send_some, connection.views
        context, lingers = connection.context, connection.lingers
        has_deferred = not connection.is_alone
        left = TURN
        while not self.is_closing:
            if nobody_waits():
                flags = 0 if lingers else NOWAIT
            elif left:
                flags, left = NOWAIT, left - 1
            else:  # its turn is over
                return False
            try:
                data = recv(PLAIN_BYTES, flags)
            except QUIET:
                return True
            if not data:
                raise EOFError
            if has_deferred:
                if not connection.is_alone:  # somebody may be writing that answer just now
                    connection.feed(data)
                    return False
                has_deferred = False
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
            view = views.get(object_id)
            if kwargs or view is None or not NESTED.isdisjoint(map(type, args)):
                connection.feed(data)
                return False
            if context is None or context.number != session:
                context = context_of(connection, session)
            connection.calls += 1
            try:
                value = view.call(context, method, args, _NO_KWARGS)
            except BaseException as error:  # exit() in a method ends the call, not the connection
                head = Message(_INVOKE, BINARY, 0, sequence, b"")
                self._answer_error(connection, head, error)
                if connection.is_alone:
                    continue
                return False
            if type(value) in PLAIN or (type(value) is bytes and len(value) < OUT_OF_BAND_BYTES):
                try:
                    answer = write_plain(value)
                except (UnicodeEncodeError, OverflowError):
                    answer = b""
                if 0 < len(answer) <= PLAIN_BYTES:
                    reply = _REPLY + _simple(sequence, len(answer), 0) + SUFFIX + answer
                    try:
                        sent = send(reply, NOWAIT)
                    except QUIET:
                        sent = 0
                    if sent == len(reply):
                        continue
                    connection.send_rest(reply, sent)
                    return False
            head = Message(_INVOKE, BINARY, 0, sequence, b"")
            if type(value) is DeferredReply:
                self._defer(connection, head, method, value)
                has_deferred = True
                continue
            self._dispose(connection, head, method, value)
            if not connection.is_alone:
                return False
        return True
