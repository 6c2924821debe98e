"""TLS without sockets: ciphertext in, bytes out; bytes in, ciphertext out.

::

    socket ─> received() ─> incoming ─┐           ┌─> outgoing ─> take_outgoing() ─> socket
                                      │ SSLObject │
    caller <─ read(), read_into() <───┘           └── write() <─ caller

One thread reads a connection while others write to it. ``SSLSocket`` does not stand that (CPython
3.11 lets both into OpenSSL at once), so all happens here under one lock; and because nothing here
waits for the network, the lock is held for no longer than it takes to encrypt.

Whoever drives it keeps these rules:

* Ciphertext leaves in the order in which it was made: hold a lock of your own from ``write()``
  until what ``take_outgoing()`` gave was sent. There may be something to send after a handshake
  step, a read or an error, too: ``has_outgoing`` tells.
* Read until None before more is received, or waited for: a socket with nothing to read does not
  mean that nothing is left here. Then what waits here is at most one record and what was just
  received, whatever the peer sends. ``handshake()`` comes first, until it is True.
* After PeerRefused, send what is outgoing, because it tells the peer why. Then shut down sending,
  and drop what still arrives for a while: a socket that is closed before it was read empty takes
  the alert back.
* In TLS 1.3 a client has finished before the server has looked at its certificate, so that a
  server's no arrives at the client's first read. If sending fails there, read: that tells why.

This module is imported where an identity is used, and not before, because ``ssl`` costs 5 ms.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable
from typing import Any, Final, cast

from remoteobj.errors import ConnectionLost, Executed, PeerRefused
from remoteobj.identity import name_in
from remoteobj.tls.reasons import NO_TLS, TOO_MUCH, Why, why_ended, why_no_handshake

__all__ = ["MAX_HANDSHAKE_BYTES", "TlsEngine"]

MAX_HANDSHAKE_BYTES: Final = 64 * 1024
"""What a peer may send before it is let in. Certificates make 2 KiB; with its last part of the
handshake it may send calls already, as much as one ``recv()`` takes."""

_RECORD_BYTES = 16 * 1024
_FIRST_BYTES = (21, 22)  # an alert or a handshake: with a record of these every connection begins


class TlsEngine:
    """One side of one TLS connection; any thread may call any method.

    Args:
        context: From :class:`~remoteobj.identity.Identity`: its server's or its client's.
        server_side: Whether this side accepted the connection.
        peer: How errors call the other side, such as ``"10.0.0.7:9090"``.
        max_handshake_bytes: What the peer may send before it is let in, in bytes.
    """

    __slots__ = (
        "_failure",
        "_handshake_bytes_left",
        "_has_begun",
        "_incoming",
        "_is_done",
        "_is_refusal",
        "_is_server",
        "_lock",
        "_look_inside",
        "_outgoing",
        "_peer",
        "_read",
        "_read_into",
        "_tls",
        "_write",
        "is_dry",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        peer: str = "the peer",
        max_handshake_bytes: int = MAX_HANDSHAKE_BYTES,
    ) -> None:
        self._lock = threading.Lock()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._read, self._write = self._tls.read, self._tls.write
        self.is_dry = False
        """Whether ``read`` can have nothing before more is received."""
        # With a buffer it returns how much it read, which the types of the standard library deny.
        self._read_into = cast(Callable[[int, memoryview], int], self._tls.read)
        self._is_server = server_side
        self._peer = peer
        self._handshake_bytes_left = max_handshake_bytes
        self._is_done = False  # the handshake, as far as this side knows
        self._has_begun = False  # something has arrived
        self._look_inside = False  # OpenSSL may have bytes though nothing is incoming
        self._failure = ""  # what every later call says: OpenSSL calls a failed stream an ended one
        self._is_refusal = False

    def handshake(self) -> bool:
        """Go on with the handshake; True when it is done, False when more must be received.

        Raises:
            PeerRefused: One side does not trust the other, or the peer does not speak TLS 1.3; the
                message says which, and what to do. Send what is outgoing, then close.
            ConnectionLost: The peer closed the connection; ``executed`` is "no".
        """
        with self._lock:
            if self._failure:
                raise self._error("no")
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return False
            except ssl.SSLError as error:
                self._fail_handshake(error)
                raise self._error("no") from error
            self._is_done = True
            return True

    def received(self, data: bytes | bytearray | memoryview) -> None:
        """Take in ciphertext that arrived."""
        with self._lock:
            self.is_dry = False
            if self._is_done or self._may_begin_with(data):
                self._incoming.write(data)

    def received_eof(self) -> None:
        """Note that nothing more will arrive; the next step or read says what that means."""
        with self._lock:
            self.is_dry = False
            self._incoming.write_eof()

    def read(self, max_bytes: int) -> bytes | None:
        """Return what one record holds, at most *max_bytes*.

        Returns:
            None when more must be received; ``b""`` when the peer has said that it is finished.

        Raises:
            PeerRefused: The server refused this client's certificate; it read no call.
            ConnectionLost: The stream was cut or changed on the way.
        """
        # Python takes memory for all that it is asked for, and a record holds no more than this.
        size = max_bytes if max_bytes < _RECORD_BYTES else _RECORD_BYTES
        with self._lock:
            if self._failure:
                raise self._error("maybe")
            incoming = self._incoming
            if not (incoming.pending or self._look_inside or incoming.eof):
                return None
            try:
                data = self._tls.read(size)
            except ssl.SSLWantReadError:
                self._look_inside = False
                return None
            except ssl.SSLError as error:
                self._fail(error)
                raise self._error("maybe") from error
            self._look_inside = len(data) == size or not data
            return data

    def read_into(self, view: memoryview) -> int | None:
        """Fill *view*, which is one of bytes and not empty, with what is there.

        Returns:
            How many bytes that is; None when more must be received; 0 when the peer has said that
            it is finished.

        Raises:
            PeerRefused, ConnectionLost: As from :meth:`read`.
        """
        filled, size, incoming = 0, len(view), self._incoming
        with self._lock:
            self.is_dry = False
            if self._failure:
                raise self._error("maybe")
            try:
                while filled < size and (incoming.pending or self._look_inside or incoming.eof):
                    count = self._read_into(size - filled, view[filled:])
                    self._look_inside = count in (0, size - filled)
                    if not count:
                        return filled
                    filled += count
            except ssl.SSLWantReadError:
                self._look_inside = False
            except ssl.SSLError as error:
                self._fail(error)
                if not filled:
                    raise self._error("maybe") from error
            return filled or None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt *data*; give some 64 KiB at once, and send what is outgoing in between.

        As much memory stays with the connection as ever was outgoing or incoming at once, and
        readers wait meanwhile.

        Raises:
            PeerRefused: The server refused this client's certificate.
            ConnectionLost: The connection has failed or was closed here; ``executed`` is "no",
                because the peer never had the whole message.
        """
        with self._lock:
            if self._failure:
                raise self._error("no")
            try:
                self._tls.write(data)
            except ssl.SSLWantReadError:
                raise RuntimeError("write() before the handshake is done") from None
            except ssl.SSLError as error:
                self._fail(error)
                raise self._error("no") from error

    def seal(self, data: bytes) -> bytes:
        """``write`` and ``take_outgoing`` in one step, for small messages; raises as ``write``."""
        with self._lock:
            if self._failure:
                raise self._error("no")
            try:
                self._write(data)
            except ssl.SSLError as error:
                self._fail(error)
                raise self._error("no") from error
            return self._outgoing.read()

    def open(self, data: bytes) -> bytes | None:
        """``received`` and ``read`` in one step, when the handshake is done; raises as ``read``.

        None, also for no data, which is the end: ask ``read``.
        """
        size = len(data)
        with self._lock:
            if not size:
                self.is_dry = False
                self._incoming.write_eof()
                return None
            self._incoming.write(data)
            if self._failure:
                self.is_dry = False
                return None
            try:
                opened = self._read(size)
            except ssl.SSLWantReadError:
                self._look_inside = False
                return None
            except ssl.SSLError as error:
                self._fail(error)
                raise self._error("maybe") from error
            self._look_inside = len(opened) == size or not opened
            self.is_dry = not (self._look_inside or self._incoming.pending)
            return opened

    def take_outgoing(self) -> bytes:
        """Return the ciphertext that is to be sent now, and forget it."""
        with self._lock:
            return self._outgoing.read()

    @property
    def has_incoming(self) -> bool:
        """Tell whether ``read`` may find something before more is received."""
        return self._incoming.pending > 0 or self._look_inside

    @property
    def has_outgoing(self) -> bool:
        """Tell whether there is ciphertext to be sent."""
        return self._outgoing.pending > 0  # one number is read: that needs no lock

    def close_notify(self) -> None:
        """Tell the peer that this side is finished, and end both directions here.

        What arrived and was not read is lost. Send what is outgoing, then close.
        """
        with self._lock:
            if self._failure:
                return
            with contextlib.suppress(ssl.SSLError):  # it would wait for the peer's, or was not open
                self._tls.unwrap()
            self._failure = f"the connection to {self._peer} was closed here"

    def peer_certificate(self) -> dict[str, Any]:
        """Return the peer's certificate as ``ssl`` shows it, when the handshake is done."""
        with self._lock:
            return self._tls.getpeercert() or {}

    @property
    def peer_name(self) -> str:
        """The name in the peer's certificate."""
        return name_in(self.peer_certificate())

    def __repr__(self) -> str:
        side = "server" if self._is_server else "client"
        state = self._failure or ("open" if self._is_done else "handshake")
        return f"<TlsEngine {side} with {self._peer}: {state}>"

    def _may_begin_with(self, data: bytes | bytearray | memoryview) -> bool:
        """Tell whether a peer that is not let in yet may send this; if not, the handshake fails."""
        if not self._has_begun and len(data):
            self._has_begun = True
            if data[0] not in _FIRST_BYTES:
                self._note(NO_TLS)
        self._handshake_bytes_left -= len(data)
        if self._handshake_bytes_left < 0:
            self._note(TOO_MUCH)
        return not self._failure

    def _fail_handshake(self, error: ssl.SSLError) -> None:
        self._note(why_no_handshake(error, has_begun=self._has_begun))

    def _fail(self, error: ssl.SSLError) -> None:
        self._note(why_ended(error, is_server=self._is_server))

    def _note(self, why: Why) -> None:
        self._failure = why.words.format(peer=self._peer)
        self._is_refusal = why.is_refusal

    def _error(self, executed: Executed) -> ConnectionLost:
        """Make the error that this connection has failed with, anew for each thread."""
        if self._is_refusal:
            return PeerRefused(self._failure)
        return ConnectionLost(self._failure, executed=executed)
