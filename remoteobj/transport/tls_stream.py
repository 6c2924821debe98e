"""A socket with TLS over it: what is read and written goes through a ``TlsEngine``.

The engine has a lock of its own and does no I/O, so one thread may read while another one writes:
nobody holds that lock while a socket is waited for. Ciphertext leaves in the order in which the
engine made it, because only one thread at a time writes (see ``Connection`` and ``Link``).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque

from remoteobj.errors import PeerRefused
from remoteobj.identity import Identity
from remoteobj.identity.claims import Claims, claims_in
from remoteobj.payload import SERPENT, STOCK
from remoteobj.tls import TlsEngine
from remoteobj.transport import sockets
from remoteobj.transport.stream import NOBODY, NOWAIT
from remoteobj.wire import NO_CORRELATION, MessageType, encode_small

__all__ = ["TlsStream"]

_PLAIN = b"PYRO"  # how a message begins that is not encrypted
_SMALL_BYTES = 32 * 1024  # more would be a mapping of its own for each message
_BULK_BYTES = 256 * 1024
_CHUNK_BYTES = 256 * 1024


def _answer_to_plain() -> bytes:
    """Return what tells a peer in its own words that TLS is spoken here."""
    serpent = STOCK[SERPENT]
    text = serpent.dumps_reply("TLS is spoken here: give an identity= of this cluster", [])
    return encode_small(MessageType.CONNECT_FAIL, SERPENT, 0, 0, text, NO_CORRELATION)


class TlsStream:
    """See ``Stream``."""

    __slots__ = ("_cipher", "_engine", "_fault", "_has_begun", "_identity", "_open", "_recv",
                 "_seal", "_send", "_server_side", "claims", "sock")  # fmt: skip

    claims: Claims

    def __init__(self, sock: socket.socket, identity: Identity, *, server_side: bool) -> None:
        self.sock = sock
        self._identity = identity
        self._server_side = server_side
        self._recv, self._send = sock.recv, sock.send
        self._has_begun = False
        self._fault = ""
        self._cipher = memoryview(b"")  # what the socket did not take yet

    def _begin(self) -> None:
        """Make what TLS needs: 20 KiB, which one that never says a word does not get."""
        identity, is_server = self._identity, self._server_side
        context = identity.server_context() if is_server else identity.client_context()
        engine = TlsEngine(context, server_side=is_server, peer=sockets.peer_name(self.sock))
        self._open, self._seal = engine.open, engine.seal
        self._engine = engine
        self._has_begun = True

    @property
    def refusal(self) -> str:
        """See Stream; what was revoked since is found here, too."""
        return self._fault or self._identity.refuses(self.claims) or ""

    def _meet(self) -> None:
        """Note who the peer is, since its certificate is one of the cluster's."""
        try:
            self.claims = claims_in(self._engine.peer_certificate())
        except PeerRefused as error:  # it is told in words, by who reads its first message
            self._fault, self.claims = str(error), NOBODY

    @property
    def has_incoming(self) -> bool:
        """See Stream."""
        return self._engine.has_incoming

    @property
    def has_outgoing(self) -> bool:
        """See Stream."""
        return self._has_begun and self._engine.has_outgoing

    def handshake(self, flags: int) -> bool:
        """See Stream.

        Raises:
            PeerRefused: One side does not trust the other.
        """
        if not self._has_begun:
            self._begin()
        engine = self._engine
        if not engine.handshake():
            if engine.has_outgoing:
                return False
            if self._receive(_SMALL_BYTES, flags).startswith(_PLAIN):
                with contextlib.suppress(OSError):
                    self.sock.send(_answer_to_plain(), NOWAIT)
            if not engine.handshake():
                return False
        self._meet()
        return True

    def recv(self, size: int, flags: int) -> bytes:
        """See Stream."""
        engine = self._engine
        data = None if engine.is_dry else engine.read(size)
        if data is None:
            data = self._open(self._recv(_SMALL_BYTES, flags))
            if data is None:
                data = engine.read(size)
                if data is None:  # a part of a record: whoever has a deadline looks at it now
                    raise sockets.QUIET
        return data

    def recv_into(self, view: memoryview, flags: int) -> int:
        """See Stream."""
        count = self._engine.read_into(view)
        if count is None:
            self._receive(_BULK_BYTES, flags & NOWAIT)
            count = self._engine.read_into(view)
            if count is None:
                raise sockets.QUIET
        return count

    def _receive(self, size: int, flags: int) -> bytes:
        data = self.sock.recv(size, flags)
        if data:
            self._engine.received(data)
        else:
            self._engine.received_eof()
        return data

    def send(self, data: bytes, flags: int) -> int:
        """See Stream."""
        cipher = self._seal(data)
        try:
            sent = self._send(cipher, flags)
        except sockets.QUIET:
            sent = 0
        if sent == len(cipher):
            return len(data)
        self._cipher = memoryview(cipher)[sent:]
        return -1

    def write(self, waiting: deque[memoryview], flags: int, until: float | None = None) -> bool:
        """See Stream."""
        while True:
            if until is not None and time.monotonic() >= until:
                return False
            while self._cipher:
                try:
                    sent = self.sock.send(self._cipher, flags)
                except sockets.QUIET:
                    return False
                self._cipher = self._cipher[sent:]
            self._encrypt_some(waiting)
            self._cipher = memoryview(self._engine.take_outgoing())
            if not self._cipher:
                return True

    def _encrypt_some(self, waiting: deque[memoryview]) -> None:
        size = 0
        while waiting and size < _CHUNK_BYTES:
            view = waiting[0]
            part = view[: _CHUNK_BYTES - size]
            self._engine.write(part)
            size += len(part)
            if len(part) == len(view):
                waiting.popleft()
            else:
                waiting[0] = view[len(part) :]

    def close(self) -> None:
        """See Stream; the peer is told, if the socket takes it at once."""
        with contextlib.suppress(OSError):
            if self._has_begun and not self._cipher:
                self._engine.close_notify()
                self.sock.send(self._engine.take_outgoing(), NOWAIT)
        sockets.close(self.sock)
