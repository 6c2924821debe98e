"""One connection of a daemon: who reads it, who writes it, and when it is put aside.

::

                 readable                      quiet for LINGER_S, or others wait
    selector ------------------> a worker reads, answers, reads ... --------> parked (selector)
       |  writable
       +----------> what could not be sent goes on

One worker at a time reads. Any thread may post an answer: it is sent at once if nobody is sending
and the socket takes it; what is left waits here, and the selector sends it when it can.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from remoteobj import forks
from remoteobj.callers import CallContext, Caller
from remoteobj.errors import RemoteObjError
from remoteobj.handshake import STOCK, Agreement
from remoteobj.server.poller import Poller
from remoteobj.settings import Settings
from remoteobj.transport import sockets
from remoteobj.transport.stream import NOWAIT, WAIT_ALL, Stream, as_views, is_large
from remoteobj.wire import SEGMENTS, Decoder, Message, encode, encode_small

if TYPE_CHECKING:
    from remoteobj.transport.shared import SharedMemory

__all__ = ["LINGER_S", "Connection"]

log = logging.getLogger("remoteobj.daemon")

LINGER_S = 0.008
"""How long a worker waits for the next call of a connection that was used just now."""

_RECV_BYTES = 64 * 1024
_WRITE_S = 0.02
_BRISK_BYTES = 64 * 1024  # what has to move meanwhile for a worker to stay with a message
_NOTHING: deque[memoryview] = deque()


class Connection:
    """Made for each socket that was accepted; ``poller`` reports when it has something to say."""

    __slots__ = (
        "_at_end",
        "_decoder",
        "_is_reading",
        "_is_sending",
        "_lock",
        "_nobody_waits",
        "_poller",
        "_sharing",
        "_unsent",
        "_untaken_bytes",
        "_wants_end",
        "_wants_read",
        "_wants_write",
        "agreement",
        "backlog",
        "blocked_since",
        "caller",
        "calls",
        "can_share",
        "context",
        "cost_of_later",
        "fd",
        "in_flight",
        "is_broken",
        "is_open",
        "is_writing",
        "most_in_flight",
        "peer",
        "recv",
        "send_some",
        "shared",
        "stream",
        "takes_plain",
    )

    def __init__(
        self,
        stream: Stream,
        poller: Poller,
        settings: Settings,
        nobody_waits: Callable[[], bool],
        at_end: Callable[[Connection], None],
    ) -> None:
        self.stream = stream
        self.recv = stream.recv
        self.send_some = stream.send
        self.fd = stream.sock.fileno()
        self.peer = sockets.peer_name(stream.sock)
        self.agreement: Agreement = STOCK
        self.caller: Caller | None = None
        self.context: CallContext | None = None
        self.calls = 0
        self.in_flight = 0
        self.most_in_flight = 1
        self.cost_of_later = 1
        self.takes_plain = False
        self.can_share = False
        self.shared: SharedMemory | None = None
        self.is_open = True
        self.is_broken = False  # nothing can be sent any more
        self.backlog: Message | None = None
        self.blocked_since: float | None = None
        self._decoder = Decoder(settings.max_handshake_bytes)
        self._poller = poller
        self._nobody_waits = nobody_waits  # for a worker: then one may stay with this
        self._at_end = at_end
        self._lock = threading.RLock()  # a signal handler may close while its thread is in here
        self._unsent: deque[memoryview] = _NOTHING
        self.is_writing = False
        self._untaken_bytes = 0
        self._is_reading = True  # by the worker that has it
        self._is_sending = False
        self._wants_read = self._wants_write = self._wants_end = False

    # Reading: by the one worker that has the connection.

    def limit_messages(self, settings: Settings) -> None:
        """The peer was let in: take the messages that have been agreed on."""
        self._decoder.max_bytes = settings.max_message_bytes
        self._decoder.takes_buffers = self.agreement.version > 0
        # The straight way reads at once what has come, and looks at no limit.
        self.takes_plain = (
            self.agreement.codec == "binary" and settings.max_message_bytes >= _RECV_BYTES
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

    @property
    def is_alone(self) -> bool:
        """Whether nothing of the peer waits or runs: what it says next is answered at once."""
        return (
            self.in_flight == 0
            and not self.is_writing
            and self.backlog is None
            and self._decoder.is_between_messages
        )

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
                    data = stream.recv(_RECV_BYTES, flags)
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
                    is_brisk = came >= _BRISK_BYTES and self._nobody_waits()
                    if until and not is_brisk and not stream.has_incoming:
                        return None
                    until, came = now + LINGER_S, 0
        return message if self.shared is None else self.shared.unwrap(message)

    def park(self, *, listen: bool = True) -> None:
        """Put it aside until it has something to say; the worker lets go of it.

        With a backlog it is not listened to, but its end is noticed.
        """
        with self._lock:
            self._is_reading = False
            self._wants_read = listen and self.backlog is None
            self._wants_end = self.backlog is not None
            self._arm()

    def resume(self) -> bool:
        """Take it for reading, because its backlog may go on; False if a worker has it."""
        with self._lock:
            if self._is_reading or not self.is_open:
                return False
            self._is_reading = True
            self._wants_read = self._wants_end = False
            return True

    def has_ended(self) -> bool:
        """Tell whether the poller has reported the peer's end, behind a backlog; then end it."""
        with self._lock:
            if self._is_reading or not self._wants_end or not self.is_open:
                return False
            self._is_reading = True
            self._wants_end = False
            return True

    def take_readable(self) -> bool:
        """Take it for reading, because the poller reports it; False if a worker has it."""
        with self._lock:
            if self._is_reading or not self._wants_read or not self.is_open:
                return False
            self._is_reading = True
            self._wants_read = False
            return True

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

    # Writing: by any thread.

    def post(self, parts: list[bytes | bytearray | memoryview]) -> None:
        """Send these, in their order, now or when the socket takes them. Never waits long."""
        self.post_views(as_views(parts))

    def post_views(self, views: list[memoryview]) -> None:
        """Send these; see ``post``."""
        with self._lock:
            if not self.is_open or self.is_broken:
                return
            self._keep(views)
            if self.is_writing:
                return
            self.is_writing = True
        self._write(may_wait=True)

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

    def post_small(
        self, kind: int, serializer: int, flags: int, sequence: int, payload: bytes, corr: bytes
    ) -> None:
        """Send a message that is nothing but a payload; see ``post``."""
        data = encode_small(kind, serializer, flags, sequence, payload, corr)
        with self._lock:
            if not self.is_open or self.is_broken:
                return
            if self.is_writing:
                self._keep([memoryview(data)])
                return
            self._send_now(data)

    def send_rest(self, data: bytes, sent: int) -> None:
        """Send what the stream did not take of a message while ``is_alone`` held."""
        with self._lock:
            self._keep_rest(data, sent)

    def _send_now(self, data: bytes) -> None:
        try:
            sent = self.send_some(data, NOWAIT)
        except sockets.QUIET:
            sent = 0
        except OSError:
            self._fail()
            return
        if sent != len(data):
            self._keep_rest(data, sent)

    def _keep_rest(self, data: bytes, sent: int) -> None:
        if not self.is_open:
            return
        if sent >= 0:
            self._keep([memoryview(data)[sent:]])
        self.is_writing = True
        self._wait_to_write()

    def take_writable(self) -> bool:
        """Take it for writing, because the poller reports it; ``write_on`` has to follow."""
        with self._lock:
            if not self._wants_write or not self.is_open:
                return False
            self._wants_write = False
            self.blocked_since = None
            return True

    def write_on(self) -> None:
        """Send what waits, since the socket takes more."""
        self._write(may_wait=False)

    def rearm(self) -> None:
        """The poller has reported one of two things that it was armed for."""
        with self._lock:
            self._arm()

    def _write(self, *, may_wait: bool) -> None:
        # Whoever has set is_writing comes here, alone; others append to the right end meanwhile.
        with self._lock:
            if not self.is_open:
                return
            self._is_sending = True
        try:
            self._write_some(may_wait=may_wait)
        finally:
            with self._lock:
                self._is_sending = False
                if not self.is_open:  # it was ended meanwhile
                    self._close()

    def _write_some(self, *, may_wait: bool) -> None:
        flags, before = NOWAIT, self._unsent_bytes()
        while True:
            try:
                is_done = self.stream.write(self._unsent, flags, time.monotonic() + _WRITE_S)
            except OSError:
                with self._lock:
                    self._fail()
                return
            if not is_done and may_wait and self._nobody_waits():
                # Stay with a message that is taken briskly, if there is nothing else to do.
                left = self._unsent_bytes()
                if flags == NOWAIT or before - left >= _BRISK_BYTES:
                    flags, before = 0, left
                    continue
            with self._lock:
                if self.is_broken:
                    return
                if not is_done:
                    self._wait_to_write()
                    return
                if not self._unsent:
                    self.is_writing = False
                    self._unsent = _NOTHING
                    return

    def _unsent_bytes(self) -> int:
        return sum(len(view) for view in list(self._unsent))

    def _keep(self, views: list[memoryview]) -> None:
        if self._unsent is _NOTHING:
            self._unsent = deque()  # 600 bytes that a quiet connection does without
        self._unsent.extend(views)

    def _wait_to_write(self) -> None:
        self._wants_write = True
        self.blocked_since = time.monotonic()
        self._untaken_bytes = sockets.untaken_bytes(self.stream.sock)
        self._arm()

    def takes_nothing(self, now: float, patience_s: float) -> bool:
        """Tell whether the peer has not taken a byte of its answers for so long.

        It may take some without the poller noticing: that waits until there is much room.
        """
        since = self.blocked_since
        if since is None or now - since <= patience_s:
            return False
        with self._lock:
            before, self._untaken_bytes = (
                self._untaken_bytes,
                sockets.untaken_bytes(self.stream.sock),
            )
            if self.blocked_since is None or self._untaken_bytes >= before:
                return self.blocked_since is not None
            self.blocked_since = now
            return False

    def _arm(self) -> None:
        if self.is_open and (self._wants_read or self._wants_write or self._wants_end):
            try:
                self._poller.arm(
                    self.fd, read=self._wants_read, write=self._wants_write, end=self._wants_end
                )
            except (OSError, ValueError):  # the daemon is closing
                self._fail()

    def _fail(self) -> None:
        """Nothing can be sent any more; the worker that reads it will find out and end it."""
        self.is_broken = True
        self.is_writing = self._wants_write = False
        self.blocked_since = None
        self._unsent = _NOTHING
        self.shut()
        if not self._is_reading and self.is_open:
            self._wants_read = True
            self._wants_write = False
            try:
                self._poller.arm(self.fd, read=True, write=False)
            except (OSError, ValueError):
                log.debug("%s is gone with its daemon", self.peer)

    # The end.

    def give_up(self) -> None:
        """Send nothing more to a peer that does not take it, and have the connection ended."""
        with self._lock:
            self._fail()

    def shut(self) -> None:
        """End both directions: whoever reads it is told. Any thread."""
        with contextlib.suppress(OSError):
            self.stream.sock.shutdown(socket.SHUT_RDWR)

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
            self._unsent = _NOTHING
            self.backlog = None
            if isinstance(why, RemoteObjError):
                log.debug("connection of %s ended: %s", self.peer, why)
            self._poller.forget(self.fd)
            # A descriptor that is closed under a thread that sends could be another peer's by then.
            if self._is_sending:
                self.shut()
            else:
                self._close()
        self._at_end(self)

    def _close(self) -> None:
        self.stream.close()
        if self.shared is not None:
            self.shared.close()

    def __repr__(self) -> str:
        return f"<Connection of {self.peer}: {'open' if self.is_open else 'closed'}>"
