"""Who has a connection: a worker that reads it or, while it is quiet, the poller.

::

                readable                       quiet for LINGER_S, or others wait
    poller -------------------> a worker reads, answers, reads ... ----------> parked (poller)
      |  writable
      +-----------> what could not be sent goes on (see ``outbox``)

One worker at a time reads. A poller knows a descriptor only once, whatever it is to report of it,
so what reading and writing want of it is kept here, under the connection's one lock.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading

from remoteobj.server.poller import Poller
from remoteobj.transport import sockets
from remoteobj.transport.stream import Stream
from remoteobj.wire import Message

__all__ = ["Parkable"]

log = logging.getLogger("remoteobj.daemon")


class Parkable:
    """A connection as far as workers and the poller hand it to each other."""

    __slots__ = (
        "_is_reading",
        "_lock",
        "_poller",
        "_wants_end",
        "_wants_read",
        "_wants_write",
        "backlog",
        "fd",
        "is_open",
        "peer",
        "stream",
    )

    def __init__(self, stream: Stream, poller: Poller) -> None:
        self.stream = stream
        self.fd = stream.sock.fileno()
        self.peer = sockets.peer_name(stream.sock)
        self.is_open = True
        self.backlog: Message | None = None  # was read, and may not be answered yet
        self._poller = poller
        self._lock = threading.RLock()  # a signal handler may close while its thread is in here
        self._is_reading = True  # by the worker that has it
        self._wants_read = self._wants_write = self._wants_end = False

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

    def rearm(self) -> None:
        """The poller has reported one of two things that it was armed for."""
        with self._lock:
            self._arm()

    def give_up(self) -> None:
        """Send nothing more to a peer that does not take it, and have the connection ended."""
        with self._lock:
            self._fail()

    def shut(self) -> None:
        """End both directions: whoever reads it is told. Any thread."""
        with contextlib.suppress(OSError):
            self.stream.sock.shutdown(socket.SHUT_RDWR)

    def has_arrived(self) -> bool:
        """Tell whether the peer has said something that was not read yet."""
        return self._is_reading or sockets.has_arrived(self.stream.sock)

    def _arm(self) -> None:
        if self.is_open and (self._wants_read or self._wants_write or self._wants_end):
            try:
                self._poller.arm(
                    self.fd, read=self._wants_read, write=self._wants_write, end=self._wants_end
                )
            except (OSError, ValueError):  # the daemon is closing
                self._fail()

    def _fail(self) -> None:
        """It is of no use any more; the worker that reads it will find out and end it."""
        self.shut()
        self._wants_write = False
        if not self._is_reading and self.is_open:
            self._wants_read = True
            try:
                self._poller.arm(self.fd, read=True, write=False)
            except (OSError, ValueError):
                log.debug("%s is gone with its daemon", self.peer)
