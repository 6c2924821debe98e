"""Which of thousands of sockets can be read or written: epoll on Linux, selectors elsewhere.

What was reported is not reported again until it is armed again, so that one worker at a time has
a connection.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import threading
from typing import Protocol

from remoteobj import runtime

__all__ = ["EpollPoller", "Poller", "SelectorPoller", "make_poller"]

Event = tuple[int, bool, bool]
"""A file descriptor; whether it can be read (or has failed); whether it can be written."""


class Poller(Protocol):
    """Threads: any may arm and wake, one waits."""

    def arm(self, fd: int, *, read: bool, write: bool, end: bool = False) -> None:
        """Report this descriptor once; none of the three reports it no more.

        Args:
            fd: The descriptor.
            read: When it can be read.
            write: When it can be written.
            end: When the peer has closed, though there is something to read; reported as readable,
                where the system can tell.
        """
        ...

    def forget(self, fd: int) -> None:
        """Drop a descriptor that is about to be closed."""
        ...

    def wait(self, timeout_s: float | None) -> list[Event]:
        """Wait for events, until ``wake``, or at most *timeout_s*."""
        ...

    def wake(self) -> None:
        """Have ``wait`` return."""
        ...

    def close(self) -> None:
        """Close what it has opened; nobody waits any more."""
        ...


def make_poller() -> Poller:
    """Return the best one of this system."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()


class _Bell:
    """Wakes a thread that waits for descriptors."""

    def __init__(self) -> None:
        self._ear, self._clapper = socket.socketpair()
        for sock in (self._ear, self._clapper):
            sock.setblocking(False)
            runtime.disown_in_child(sock)

    def fileno(self) -> int:
        return self._ear.fileno()

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it rings already; closed: nobody listens
            self._clapper.send(b"!")

    def hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._ear.recv(1024):
                pass

    def close(self) -> None:
        self._ear.close()
        self._clapper.close()


class EpollPoller:
    """Linux: armed by any thread without waking the one that waits."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._bell = _Bell()
        self._bell_fd = self._bell.fileno()
        self._epoll.register(self._bell_fd, select.EPOLLIN)
        self._known: set[int] = set()

    def arm(self, fd: int, *, read: bool, write: bool, end: bool = False) -> None:
        """See Poller."""
        mask = select.EPOLLONESHOT | select.EPOLLIN * read | select.EPOLLOUT * write
        mask |= select.EPOLLRDHUP * end
        if fd in self._known:
            self._epoll.modify(fd, mask)
        else:
            self._known.add(fd)
            self._epoll.register(fd, mask)

    def forget(self, fd: int) -> None:
        """See Poller."""
        if fd in self._known:
            self._known.discard(fd)
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(fd)

    def wait(self, timeout_s: float | None) -> list[Event]:
        """See Poller."""
        events = []
        for fd, mask in self._epoll.poll(timeout_s):
            if fd == self._bell_fd:
                self._bell.hush()
            else:
                events.append((fd, bool(mask & ~select.EPOLLOUT), bool(mask & select.EPOLLOUT)))
        return events

    def wake(self) -> None:
        """See Poller."""
        self._bell.ring()

    def close(self) -> None:
        """See Poller."""
        self._epoll.close()
        self._bell.close()


class SelectorPoller:
    """Elsewhere: what is armed while somebody waits takes a turn through the bell."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._bell = _Bell()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._orders: dict[int, int] = {}

    def arm(self, fd: int, *, read: bool, write: bool, end: bool = False) -> None:
        """See Poller; the end behind data is not seen here."""
        with self._lock:
            self._orders[fd] = selectors.EVENT_READ * read | selectors.EVENT_WRITE * write
        self._bell.ring()

    def forget(self, fd: int) -> None:
        """See Poller."""
        self.arm(fd, read=False, write=False)

    def wait(self, timeout_s: float | None) -> list[Event]:
        """See Poller."""
        self._obey()
        events = []
        for key, mask in self._selector.select(timeout_s):
            if key.fileobj is self._bell:
                self._bell.hush()
                continue
            events.append(
                (key.fd, bool(mask & selectors.EVENT_READ), bool(mask & selectors.EVENT_WRITE))
            )
            self._selector.unregister(key.fd)
        return events

    def _obey(self) -> None:
        with self._lock:
            orders, self._orders = self._orders, {}
        for fd, mask in orders.items():
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(fd)
            if mask:
                with contextlib.suppress(ValueError, OSError):  # closed meanwhile
                    self._selector.register(fd, mask)

    def wake(self) -> None:
        """See Poller."""
        self._bell.ring()

    def close(self) -> None:
        """See Poller."""
        self._selector.close()
        self._bell.close()
