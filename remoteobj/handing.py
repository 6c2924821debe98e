"""A connection that is handed to another process, which makes calls over it in this one's name.

Only connections over a Unix socket can be: one over TLS is more than its socket.
"""

from __future__ import annotations

import socket
import time
from typing import NamedTuple

from remoteobj.errors import RemoteObjError
from remoteobj.payload import BINARY, write_plain
from remoteobj.proxy import Proxy
from remoteobj.transport import sockets
from remoteobj.wire import SUFFIX, MessageType, prefix_of

__all__ = ["HandedOver", "hand_over"]

_OPEN_S = 1.0
_ARGUMENT = b"\0argument"


class HandedOver(NamedTuple):
    """A connection, and how a call of one method with one bytes argument is written for it.

    A call is ``prefix``; its number, the length of its payload and 0 (``!HII``); ``suffix``; and
    the payload: ``before``, the argument as MessagePack, ``after``. The answer looks the same with
    ``answer_prefix``; its payload is the value as MessagePack.

    Attributes:
        number: Of the last call that was made; the next one has the number after it, of 16 bits.
    """

    sock: socket.socket
    prefix: bytes
    answer_prefix: bytes
    suffix: bytes
    before: bytes
    after: bytes
    number: int


def hand_over(proxy: Proxy, method: str) -> HandedOver | None:
    """Take a connection of a proxy for another process; None: there is none that could go.

    Another one is open when it goes: with the last one, the daemon would take it that this process
    has ended. One by which large messages come in shared memory stays, and a new one goes.

    The socket is the caller's to close.

    Blocks: to open another one, at most 1 s.  Threads: any.
    """
    session = proxy._channel.session
    pool = session.pool
    link = pool.take() if pool is not None else None
    if pool is None or link is None:
        return None
    shares_memory = link.shared is not None or link.wants_share
    if not sockets.is_local(link.stream.sock) or not (link.takes_plain or shares_memory):
        session.give(link)
        return None
    if shares_memory or not pool.has_idle:
        try:
            other = session.open(time.monotonic() + _OPEN_S)
        except RemoteObjError:
            session.give(link)
            return None
        if shares_memory:
            link, other = other, link
        session.give(other)
    call = write_plain((session.object_id, method, (_ARGUMENT,), None, session.number))
    before, after = call.split(write_plain(_ARGUMENT))
    sock = link.stream.sock
    sockets.set_timeout(sock, socket.SO_RCVTIMEO, 0.0)
    return HandedOver(
        sock,
        prefix_of(MessageType.INVOKE, BINARY),
        prefix_of(MessageType.RESULT, BINARY),
        SUFFIX,
        before,
        after,
        link.sequence,
    )
