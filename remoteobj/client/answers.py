"""What comes of a call: a value, an exception, a stream of items; or nothing, which is told."""

from __future__ import annotations

from typing import Any

from remoteobj import _pyro
from remoteobj.errors import (
    ConnectionLost,
    DeadlinePassed,
    Executed,
    ObjectUnknown,
    PeerRefused,
    WireError,
)
from remoteobj.handshake import UNTRUSTED
from remoteobj.payload import STOCK, Payload, plain_message
from remoteobj.uri import URI
from remoteobj.wire import NOT_HERE, STREAM_ANNOTATION, Flag, Message, MessageType

__all__ = ["NotHere", "check_reply", "explain", "prepare_error", "raise_refusal", "read_answer"]

_RESULT = int(MessageType.RESULT)
_EXCEPTION, _STREAM, _BATCH = int(Flag.EXCEPTION), int(Flag.STREAM), int(Flag.BATCH)
_CHANGED = int(Flag.COMPRESSED | Flag.KEEP_SERIALIZED)


def check_reply(reply: Message, sequence: int) -> None:
    """Look whether this is the answer to the call with this sequence number.

    Raises:
        WireError: It is not.
        PeerRefused: The daemon says that it trusts this side no more.
    """
    if reply.type != _RESULT:
        raise_refusal(reply, executed="maybe")
        raise WireError(f"a message of type {reply.type} came where an answer was due")
    if reply.sequence != sequence:
        raise WireError("an answer came to another call than the one that was made")


def raise_refusal(message: Message, *, executed: Executed = "no") -> None:
    """Raise PeerRefused where a message says that the daemon does not trust this side."""
    payload = STOCK[_pyro.SERPENT]
    if message.type != MessageType.CONNECT_FAIL or message.serializer != payload.number:
        return
    told = str(payload.loads_reply(message.payload, ())) if not message.flags & _CHANGED else ""
    if told.startswith(UNTRUSTED):
        raise PeerRefused(f"the daemon says: {told}", executed=executed)


def read_answer(
    reply: Message, payload: Payload, sequence: int, method: str, max_bytes: int
) -> tuple[Any, BaseException | None]:
    """Return what the method has returned, and what it, or the daemon, has raised.

    The value is the id of the stream where an answer is flagged as an exception, but holds none.

    Raises:
        WireError: This is no answer to that call: close the connection.
        Exception: It cannot be rebuilt here; the connection is as it should be.
    """
    check_reply(reply, sequence)
    if reply.flags & _CHANGED:
        reply = plain_message(reply, max_bytes)
    if reply.flags & _EXCEPTION:
        stream_id = _stream_of(reply)
        return stream_id, None if stream_id else _error_of(reply, payload)
    if reply.serializer != payload.number:
        raise WireError(
            f"the answer to {method}() came in serializer {reply.serializer}; "
            f"{payload.name} was asked for"
        )
    loads = payload.loads_results if reply.flags & _BATCH else payload.loads_reply
    return loads(reply.payload, reply.buffers), None


class NotHere(ObjectUnknown):
    """The daemon has no such object: the call did not run."""


def _stream_of(reply: Message) -> str:
    """Return the id of the stream that an answer announces, or none."""
    stream_id = reply.annotations.get(STREAM_ANNOTATION)
    if not reply.flags & _STREAM or stream_id is None:
        return ""
    return bytes(stream_id).decode("ascii", "replace")


def _error_of(reply: Message, payload: Payload) -> BaseException:
    if reply.serializer != payload.number:  # it could not read what it was sent
        if reply.serializer not in STOCK:
            raise WireError(f"an error came in serializer {reply.serializer}, unasked")
        payload = STOCK[reply.serializer]
    error = payload.loads_error(reply.payload)
    if not isinstance(error, BaseException):
        raise WireError("the answer is marked as an error, but holds none")
    if NOT_HERE in reply.annotations:
        return NotHere(str(error))
    return error


def prepare_error(error: BaseException) -> BaseException:
    """Give an exception that arrived a note with its remote traceback."""
    lines = getattr(error, _pyro.TRACEBACK_ATTRIBUTE, None) or ()
    error.add_note("Remote traceback:\n" + "".join(str(line) for line in lines).rstrip())
    if isinstance(error, ConnectionLost | DeadlinePassed):
        error.executed = "maybe"  # the method lost a peer of its own: this call did run
    return error


def explain(error: BaseException, method: str, uri: URI, timeout_s: float | None) -> None:
    """Raise in words what was lost with a connection, and whether the call has run.

    Nothing is raised where the error says that itself, or has nothing to do with a connection.
    """
    if isinstance(error, ConnectionLost) and not isinstance(error, PeerRefused):
        end = "it did not run" if error.executed == "no" else "it may have run"
        raise ConnectionLost(
            f"the connection was lost during {method}() of {uri} ({error}); {end}",
            executed=error.executed,
        ) from error
    if isinstance(error, DeadlinePassed):
        end = "it did not run" if error.executed == "no" else "it may still run"
        raise DeadlinePassed(
            f"{method}() of {uri} gave no answer within {timeout_s:g} s; {end}",
            executed=error.executed,
        ) from error
