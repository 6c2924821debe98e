"""One connection of a daemon: what its peer may do, what is read from it, and its end.

Who has it is the matter of ``parking``, what is to be sent that of ``outbox``; all three are one
object, because they share one lock and are what every call passes through.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from remoteobj import forks
from remoteobj.callers import THIS_MACHINE, CallContext, Caller
from remoteobj.dispatch import View
from remoteobj.errors import RemoteObjError
from remoteobj.exposing import level_of
from remoteobj.handshake import STOCK, Agreement
from remoteobj.identity.claims import Claims
from remoteobj.server.outbox import BRISK_BYTES, Outbox
from remoteobj.server.poller import Poller
from remoteobj.server.shares import Share
from remoteobj.settings import Settings
from remoteobj.transport import sockets
from remoteobj.transport.stream import NOBODY, NOWAIT, THIS_USER, WAIT_ALL, Stream, is_large
from remoteobj.wire import PLAIN_BYTES, SEGMENTS, Decoder, Message, encode

if TYPE_CHECKING:
    from remoteobj.transport.shared import SharedMemory

__all__ = ["LINGER_S", "Connection"]

log = logging.getLogger("remoteobj.daemon")

LINGER_S = 0.008
"""How long a worker waits for the next call of a connection that was used just now."""


class Connection(Outbox):
    """Made for each socket that was accepted; ``poller`` reports when it has something to say."""

    __slots__ = (
        "_at_end",
        "_decoder",
        "_quiet_since",
        "_sharing",
        "agreement",
        "caller",
        "calls",
        "can_share",
        "claims",
        "context",
        "cost_of_later",
        "in_flight",
        "is_admitted",
        "level",
        "lingers",
        "most_in_flight",
        "recv",
        "share_of_peer",
        "shared",
        "takes_plain",
        "views",
    )

    def __init__(
        self,
        stream: Stream,
        poller: Poller,
        settings: Settings,
        nobody_waits: Callable[[], bool],
        at_end: Callable[[Connection], None],
    ) -> None:
        super().__init__(stream, poller, nobody_waits)
        self.recv = stream.recv
        self.agreement: Agreement = STOCK
        self.caller: Caller | None = None
        self.context: CallContext | None = None
        self.claims: Claims = NOBODY  # until it is let in
        self.level = 0
        self.views: dict[str, View] = {}
        self.calls = 0
        self.in_flight = 0
        self.most_in_flight = 1
        self.lingers = True
        self._quiet_since = 0.0
        self.cost_of_later = 1
        self.takes_plain = False
        self.can_share = False
        self.is_admitted = False  # and counted to its peer's
        self.share_of_peer: Share | None = None  # of the daemon's threads; None: it is this user
        self.shared: SharedMemory | None = None
        self._decoder = Decoder(settings.max_handshake_bytes)
        self._at_end = at_end

    # What its peer may do.

    def shake_hands(self) -> bool:
        """Go on with the stream's handshake, without waiting; True when it is done.

        Raises:
            EOFError: The peer has closed the connection.
            RemoteObjError: It is refused.
        """
        try:
            return self.stream.handshake(NOWAIT)
        except sockets.QUIET:
            return False
        finally:
            if self.stream.has_outgoing:
                self.post([])

    def admit(self, claims: Claims, views: Sequence[dict[str, View]]) -> None:
        """Let it call what its role may call, of what is published for each level."""
        self.claims = claims
        if claims is THIS_USER:  # it may have come by loopback
            self.peer = THIS_MACHINE
        self.level = level_of(claims.role)
        self.views = views[self.level]

    def limit_messages(self, settings: Settings) -> None:
        """The peer was let in: take the messages that have been agreed on."""
        self._decoder.max_bytes = settings.max_message_bytes
        self._decoder.takes_buffers = self.agreement.version > 0
        # The straight way reads at once what has come, and looks at no limit.
        self.takes_plain = (
            self.agreement.codec == "binary" and settings.max_message_bytes >= PLAIN_BYTES
        )
        self.can_share = self.agreement.version > 0 and sockets.is_local(self.stream.sock)
        self.most_in_flight = settings.max_calls_in_flight
        # A stock peer expects its answers in order: nothing overtakes one that comes later.
        self.cost_of_later = 1 if self.agreement.version > 0 else settings.max_calls_in_flight

    def share(self, word: bytes | bytearray | memoryview) -> bytes | None:
        """Begin with shared memory, because the peer asks for it; returns the word to answer with.

        None: it cannot be. The peer sends nothing that needs it before it has the answer.
        """
        if not self.can_share:
            return None
        with forks.whole:
            from remoteobj.segments import are_supported
            from remoteobj.transport.shared import (
                SharedMemory,
                SharedStream,
                read_limit,
                word_of_limit,
            )

        self.can_share = False
        if not are_supported():
            return None
        max_bytes = self._decoder.max_bytes
        stream = SharedStream(self.stream.sock)
        self.stream, self.recv, self.takes_plain = stream, stream.recv, False
        self._sharing = threading.Lock()
        self.shared = SharedMemory(stream, max_bytes, read_limit(word))
        return word_of_limit(max_bytes)

    # Reading: by the one worker that has the connection.

    @property
    def is_between_messages(self) -> bool:
        """Whether all that has been read of the peer has been taken in."""
        return self.backlog is None and self._decoder.is_between_messages

    @property
    def is_alone(self) -> bool:
        """Whether nothing of the peer waits or runs: what it says next is answered at once."""
        return self.in_flight == 0 and not self.is_writing and self.is_between_messages

    def begin_to_read(self) -> int:
        """A worker takes it up; returns what ``quiet_down`` wants to know."""
        if not self.lingers and time.monotonic() - self._quiet_since < LINGER_S:
            self.lingers = True
        return self.calls

    def quiet_down(self, calls: int) -> None:
        """Put it aside, as its peer is quiet.

        To wait for a peer costs a wake-up more if nothing comes, so it ``lingers`` only as long as
        its calls follow each other.
        """
        self._quiet_since = time.monotonic() - LINGER_S * self.lingers  # it was waited for
        self.lingers = self.lingers and self.calls - calls > 1
        self.park()

    def feed(self, data: bytes) -> None:
        """Take in what was received."""
        self._decoder.feed(data)

    def read(self, *, wait: bool) -> Message | None:
        """Return the next message, or None if the peer is quiet.

        Args:
            wait: Whether to wait for it for ``LINGER_S``.
        Raises:
            EOFError: The peer has closed the connection.
            OSError: The connection broke.
            WireError: What came is no message.
        """
        decoder, stream = self._decoder, self.stream
        flags = 0 if wait else NOWAIT
        until, came = 0.0, 0
        message = None if decoder.is_between_messages else decoder.next_message()
        while message is None:
            target = decoder.target()
            try:
                if target is None:
                    data = stream.recv(PLAIN_BYTES, flags)
                    count = len(data)
                    if data:
                        decoder.feed(data)
                else:
                    count = stream.recv_into(target, flags | WAIT_ALL)
                    decoder.filled(count)
            except sockets.QUIET:
                return None
            finally:
                target = None
                if stream.has_outgoing:
                    self.post([])
            if not count:
                raise EOFError
            message = decoder.next_message()
            if message is None:  # stay with a message that comes briskly, and with no other
                now, came = time.monotonic(), came + count
                if now >= until:
                    is_brisk = came >= BRISK_BYTES and self._nobody_waits()
                    if until and not is_brisk and not stream.has_incoming:
                        return None
                    until, came = now + LINGER_S, 0
        return message if self.shared is None else self.shared.unwrap(message)

    # Writing: by any thread; more of it in ``Outbox``.

    def post_message(self, message: Message) -> None:
        """Send a message; see ``post``.

        Raises:
            NotSendable: It is too large for the protocol; nothing was sent.
        """
        if self.shared is not None:
            with self._sharing:  # what is lent leaves in the order in which it was lent
                self.post_views(self.shared.views_of(message))
            return
        if self.can_share and is_large(message.buffers):
            annotations = {**message.annotations, SEGMENTS: b""}  # the next one could be shared
            message = msgspec.structs.replace(message, annotations=annotations)
        self.post(encode(message))

    # Calls that are answered later.

    def begin(self, cost: int) -> None:
        """A call runs on while the next ones are read."""
        with self._lock:
            self.in_flight += cost

    def finish(self, cost: int) -> None:
        """Such a call is over."""
        with self._lock:
            self.in_flight -= cost

    @property
    def may_call(self) -> bool:
        """Whether another call of this peer may be run now."""
        return self.in_flight < self.most_in_flight and self.blocked_since is None

    # The end.

    @property
    def is_done(self) -> bool:
        """Whether nothing runs for it and nothing is to be sent."""
        return not (self.in_flight or self.is_writing or self._unsent)

    def end_if_idle(self) -> bool:
        """Close it if nothing runs for it and nothing is to be sent; tells whether it is closed."""
        with self._lock:
            if self.is_open and (self._is_reading or not self.is_done):
                return False
            self._is_reading = True  # nobody takes it any more
        self.end(None)
        return True

    def end(self, why: BaseException | None) -> None:
        """Close it; by the worker that has it, or when nobody has. Ending again does nothing."""
        with self._lock:
            if not self.is_open:
                return
            self.is_open = False
            self.backlog = None
            if isinstance(why, RemoteObjError):
                log.debug("connection of %s ended: %s", self.peer, why)
            self._poller.forget(self.fd)
            self._end_sending()
        self._at_end(self)

    def _close(self) -> None:
        super()._close()
        if self.shared is not None:
            self.shared.close()

    def __repr__(self) -> str:
        return f"<Connection of {self.peer}: {'open' if self.is_open else 'closed'}>"
