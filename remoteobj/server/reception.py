"""How a peer is let in: the first message that it sends, and the answer to it.

Nothing of a stranger's message is parsed but a few KiB of plain values, by a serializer that makes
no objects.
"""

from __future__ import annotations

import logging
from typing import Any

from remoteobj import _pyro, handshake
from remoteobj.callers import Callers
from remoteobj.errors import PeerRefused, RemoteObjError, WireError
from remoteobj.identity.claims import Claims
from remoteobj.payload import SERPENT, STOCK, plain_message
from remoteobj.published import Published
from remoteobj.server.connection import Connection
from remoteobj.server.shares import Shares
from remoteobj.settings import Settings
from remoteobj.stock.formats import FORMATS
from remoteobj.transport.stream import THIS_USER
from remoteobj.wire import NO_CORRELATION, Flag, Message, MessageType

__all__ = ["Reception"]

log = logging.getLogger("remoteobj.daemon")

_CONNECT, _OK, _FAIL = MessageType.CONNECT, MessageType.CONNECT_OK, MessageType.CONNECT_FAIL


class Reception:
    """Lets peers in, or tells them why not."""

    def __init__(
        self, published: Published, callers: Callers, shares: Shares, settings: Settings
    ) -> None:
        self._published = published
        self._callers = callers
        self._shares = shares
        self._settings = settings

    def why_full(self, connection: Connection, others: int) -> str:
        """Count who is let in now to its machine's; returns why it cannot be, or nothing.

        Args:
            others: How many are let in already; the caller sees to it that it stays so.
        """
        settings, claims = self._settings, connection.stream.claims
        if others >= settings.max_connections:
            return (
                f"{settings.max_connections} connections already: release some, or raise "
                "Settings.max_connections"
            )
        share = connection.share_of_peer
        if share is not None and (claims.node or claims is THIS_USER):
            self._shares.leave(share, was_admitted=False)  # it was its address's until now
            share = self._shares.join(claims.node) if claims.node else None
            connection.share_of_peer = share
        if share is None:
            return ""
        connection.is_admitted = self._shares.admit(share, settings.max_connections_per_peer)
        if connection.is_admitted:
            return ""
        return (
            f"{settings.max_connections_per_peer} connections of this machine already: "
            "release some, or raise Settings.max_connections_per_peer"
        )

    def let_in(self, connection: Connection, message: Message, *, why_full: str) -> None:
        """Answer a peer's first message.

        Raises:
            RemoteObjError: It was refused, and told so, unless this is no first message at all.
        """
        if message.type != _CONNECT:
            raise WireError(f"a message of type {message.type} came before the handshake")
        payload = STOCK.get(message.serializer)
        claims = connection.stream.claims
        try:
            if connection.stream.refusal:
                raise PeerRefused(f"{handshake.UNTRUSTED} {connection.stream.refusal}")
            if why_full:
                raise RemoteObjError(f"{self._published.location} serves {why_full}")
            if payload is None:
                raise WireError(
                    f"serializer {name_of(message.serializer)} is refused here: use serpent"
                )
            if claims.node and message.flags & Flag.COMPRESSED:
                raise WireError("a first message that is compressed is not unpacked: send it plain")
            message = plain_message(message, self._settings.max_handshake_bytes)
            # As plain values: no object is made for a stranger, and no user's code runs.
            hello = FORMATS[payload.number].loads_plain(message.payload)
            answer = self._welcome(connection, hello, claims)
        except RemoteObjError as error:
            payload = payload or STOCK[SERPENT]
            text = payload.dumps_reply(str(error), [])
            self._answer(connection, message, _FAIL, payload.number, text)
            raise
        text = payload.dumps_reply(answer, [])
        connection.limit_messages(self._settings)
        self._answer(connection, message, _OK, payload.number, text)

    def _welcome(self, connection: Connection, hello: Any, claims: Claims) -> dict[str, Any]:
        match hello:
            case {"object": str() as object_id, **rest}:
                pass
            case _:
                raise WireError("the handshake does not name an object")
        offered = rest.get(handshake.KEY)
        connection.agreement = handshake.agree(offered)
        name = handshake.client_of(offered)
        connection.admit(claims, self._published.views)
        if offered is None:
            meta: dict[str, Any] = self._published.metadata(object_id, connection.level)
        else:
            meta = self._published.description(object_id, connection.level)
        connection.caller = self._callers.arrive(name, connection.peer, claims)
        answer = {"handshake": "hello", "meta": meta}
        if offered is not None:
            answer[handshake.KEY] = handshake.answer_of(
                connection.agreement,
                self._settings.max_message_bytes,
                self._published.tidings.number if claims.node else None,
            )
        return answer

    def dismiss(self, connection: Connection, why: str) -> None:
        """Tell a peer that was let in that it is trusted no more."""
        text = STOCK[SERPENT].dumps_reply(f"{handshake.UNTRUSTED} {why}", [])
        connection.post_small(_FAIL, SERPENT, 0, 0, text, NO_CORRELATION)

    def _answer(
        self, connection: Connection, message: Message, kind: int, serializer: int, text: bytes
    ) -> None:
        connection.post_small(kind, serializer, 0, message.sequence, text, NO_CORRELATION)


def name_of(serializer: int) -> str:
    """Name a serializer for people."""
    return repr(_pyro.SERIALIZER_NAMES.get(serializer, str(serializer)))
