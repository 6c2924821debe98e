"""What is to be sent over one connection, in the order in which it was posted.

Any thread may post: it sends at once if nobody is sending and the socket takes it; what is left
waits here, and goes on when the poller reports that the socket takes more. So no thread waits for a
peer that takes its answers slowly, and ``blocked_since`` says for how long it has taken nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from remoteobj.server.parking import Parkable
from remoteobj.server.poller import Poller
from remoteobj.transport import sockets
from remoteobj.transport.stream import NOWAIT, Stream, as_views
from remoteobj.wire import encode_small

__all__ = ["BRISK_BYTES", "Outbox"]

BRISK_BYTES = 64 * 1024
"""What has to move meanwhile for a worker to stay with a message that is on its way."""

_WRITE_S = 0.02
_NOTHING: deque[memoryview] = deque()


class Outbox(Parkable):
    """A connection as far as it is written to."""

    __slots__ = (
        "_is_sending",
        "_nobody_waits",
        "_unsent",
        "_untaken_bytes",
        "blocked_since",
        "is_broken",
        "is_writing",
        "send_some",
    )

    def __init__(self, stream: Stream, poller: Poller, nobody_waits: Callable[[], bool]) -> None:
        super().__init__(stream, poller)
        self.send_some = stream.send
        self.is_writing = False  # something waits to be sent; it is one thread's, or the poller's
        self.is_broken = False  # nothing can be sent any more
        self.blocked_since: float | None = None
        self._is_sending = False  # a thread is inside the socket
        self._nobody_waits = nobody_waits  # for a worker: then one may stay with this
        self._unsent: deque[memoryview] = _NOTHING
        self._untaken_bytes = 0

    # Posting: by any thread.

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

    def _keep(self, views: list[memoryview]) -> None:
        if self._unsent is _NOTHING:
            self._unsent = deque()  # 600 bytes that a quiet connection does without
        self._unsent.extend(views)

    # Writing: by the one thread that has set ``is_writing``, or that the poller's report goes to.

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

    def _write(self, *, may_wait: bool) -> None:
        # Alone in here; others append to the right end meanwhile.
        with self._lock:
            if not self.is_open:
                return
            self._is_sending = True
        try:
            self._write_some(may_wait=may_wait)
        except BaseException:  # Ctrl-C: nobody knows what has left, and nobody would go on
            with self._lock:
                self._fail()
            raise
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
                if flags == NOWAIT or before - left >= BRISK_BYTES:
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

    # The end.

    def _fail(self) -> None:
        """Nothing can be sent any more."""
        self.is_broken = True
        self.is_writing = False
        self.blocked_since = None
        self._unsent = _NOTHING
        super()._fail()

    def _end_sending(self) -> None:
        """Drop what waits, and close, at once or when the thread that sends comes back.

        A descriptor that is closed under it could be another peer's by then.
        """
        self._unsent = _NOTHING
        if self._is_sending:
            self.shut()
        else:
            self._close()

    def _close(self) -> None:
        self.stream.close()
