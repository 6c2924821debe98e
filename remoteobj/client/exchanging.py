"""Two members of a cluster meet: whoever has the newer list of revocations hands it over."""

from __future__ import annotations

import logging
from typing import Any

from remoteobj import _pyro
from remoteobj.client.answers import read_answer
from remoteobj.errors import ConnectionLost, DeadlinePassed, IdentityUnusable, WireError
from remoteobj.identity import Identity
from remoteobj.transport.link import Link
from remoteobj.wire import Message, MessageType

__all__ = ["call_daemon", "exchange", "note"]

_log = logging.getLogger("remoteobj")
_INVOKE = int(MessageType.INVOKE)
_MOST_BYTES = 8 * 1024 * 1024


def exchange(link: Link, identity: Identity | None, deadline: float | None) -> None:
    """Bring both sides to the newer list, over a connection where the daemon has told its number.

    Raises:
        ConnectionLost, DeadlinePassed, WireError: As from a call.
    """
    theirs = link.agreement.revoked
    if theirs is None or identity is None or theirs == identity.revoked.number:
        return
    ours = identity.revoked
    try:
        if theirs < ours.number:
            call_daemon(link, "note_revoked", (ours.number, ours.pem), deadline)
        else:
            note(identity, call_daemon(link, "revocations", (ours.number,), deadline), link.peer)
    except (ConnectionLost, DeadlinePassed, WireError):
        raise
    except Exception as error:  # what the daemon has raised: its disk may be full
        _log.warning("lists of revocations were not exchanged with %s: %s", link.peer, error)


def note(identity: Identity, crl_pem: Any, peer: str) -> bool:
    """Take in what a daemon has sent; tells whether that was news, of our authority."""
    number = identity.revoked.number
    try:
        identity.note_revoked(crl_pem)
    except IdentityUnusable as error:
        _log.warning("a list of revocations came from %s: %s", peer, error)
    return identity.revoked.number > number


def call_daemon(link: Link, method: str, args: tuple[Any, ...], deadline: float | None) -> Any:
    """Call the object that every daemon publishes of itself; the connection is nobody else's now.

    Raises:
        ConnectionLost, DeadlinePassed, WireError: As from a call; and what the method has raised.
    """
    payload = link.payload
    buffers: list[memoryview] = []
    data = payload.dumps_call(_pyro.DAEMON_ID, method, args, {}, 0, buffers)
    link.sequence = sequence = link.sequence + 1 & 0xFFFF
    link.send(Message(_INVOKE, payload.number, 0, sequence, data, buffers=buffers), deadline)
    value, error = read_answer(link.receive(deadline), payload, sequence, method, _MOST_BYTES)
    if error is not None:
        raise error
    return value
