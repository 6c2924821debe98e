"""What a daemon is told when something ends; with the next call, for destructors must not wait."""

from __future__ import annotations

from collections import deque
from typing import Any

from remoteobj import _pyro
from remoteobj.errors import ConnectionLost, DeadlinePassed
from remoteobj.transport.link import Link
from remoteobj.wire import Flag, MessageType

__all__ = ["Farewell", "end_of_session", "say_farewells"]

Farewell = tuple[str, tuple[Any, ...], int]
"""A method of the daemon's own object, its arguments, and the session."""

_INVOKE, _ONEWAY = int(MessageType.INVOKE), int(Flag.ONEWAY)


def end_of_session(session: int) -> Farewell:
    """Return what tells that a session is over."""
    return "end_session", (), session


def say_farewells(farewells: deque[Farewell], link: Link, deadline: float | None) -> bool:
    """Tell what is to be told; no answer is due.

    Returns:
        False if the connection broke meanwhile: it is closed, and what was not told stays.
    """
    while farewells:
        try:
            farewell = farewells.popleft()
        except IndexError:  # another thread was quicker
            break
        method, args, session = farewell
        payload = link.payload
        try:
            data = payload.dumps_call(_pyro.DAEMON_ID, method, args, {}, session, [])
            link.send_small(_INVOKE, payload.number, _ONEWAY, 0, data, deadline)
        except (ConnectionLost, DeadlinePassed):
            farewells.appendleft(farewell)
            link.close()
            return False
    return True
