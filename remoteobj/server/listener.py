"""The socket on which callers arrive, also while the process has no file descriptor for them.

Nobody can be let in then; who arrives waits in the system's queue. A poller would report that again
and again, so it is not asked for ``_REST_S``. Nobody sleeps meanwhile: the thread that waits for
callers waits for all connections.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterator

from remoteobj.server.poller import Poller

__all__ = ["Listener"]

log = logging.getLogger("remoteobj.daemon")

_ACCEPT_AT_ONCE = 64
_REST_S = 0.05


class Listener:
    """A listening socket. Threads: the one that waits at the poller; any may close."""

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        self.fd = sock.fileno()
        self._sock = sock
        self._poller = poller
        self._rests_until: float | None = None
        self._is_in_trouble = False  # and has said so
        self._is_closed = False
        sock.setblocking(False)

    def listen(self) -> None:
        """Have the poller report the next caller, unless it rests."""
        if self._rests_until is None:
            self._poller.arm(self.fd, read=True, write=False)

    def tick(self, now: float) -> bool:
        """Listen again when the rest is over; tells whether to call this again soon."""
        if self._rests_until is None:
            return False
        if now >= self._rests_until:
            self._rests_until = None
            self.listen()
        return self._rests_until is not None

    def accept(self) -> Iterator[socket.socket]:
        """Let in those who have arrived, as far as that is possible; ``listen`` has to follow."""
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except BlockingIOError:  # nobody waits any more
                self._is_in_trouble = False
                return
            except ConnectionAbortedError:  # it has left
                continue
            except OSError as error:
                self._rest(error)
                return
            yield sock

    def _rest(self, why: OSError) -> None:
        """Try again later: a descriptor may be closed by then."""
        if self._is_closed:
            return
        self._rests_until = time.monotonic() + _REST_S
        if not self._is_in_trouble:
            log.warning("cannot accept connections for now: %s", why)
            self._is_in_trouble = True

    def close(self) -> None:
        """Let in nobody else; the socket itself is its maker's to close."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
