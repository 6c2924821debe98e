"""A wire that can be cut: a client is given its address in place of the server's."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable

__all__ = ["Relay"]


class Relay:
    """Passes on what comes, in both directions, until it is told not to.

    Args:
        target: ``host:port`` of the server, which may come and go.
    """

    def __init__(self, target: str) -> None:
        self.lead_to(target)
        self.budget: Callable[[], int] | None = None
        """Returns after how many bytes a new connection is cut; None: never."""
        self.cuts = 0
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._left: dict[socket.socket, int] = {}
        self._lock = threading.Lock()
        self._is_stalled = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname()[:2])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="relay")
        self._thread.start()

    def lead_to(self, target: str) -> None:
        """Lead each new connection there, as an address that is another machine's now."""
        host, _, port = target.rpartition(":")
        self._target = host, int(port)

    def cut(self) -> None:
        """End each connection, in the midst of whatever it carries."""
        with self._lock:
            for sock in list(self._pairs):
                self._end(sock)

    def stall(self, *, is_stalled: bool = True) -> None:
        """Pass nothing on, as a cable that was pulled; what has come by then waits."""
        with self._lock:
            self._is_stalled = is_stalled

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self.cut()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if self._is_stalled:
                        break
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._pairs:
                        self._pass_on(key.fileobj)

    def _accept(self) -> None:
        ours, _ = self._listener.accept()
        try:
            theirs = socket.create_connection(self._target, 5.0)
        except OSError:  # the server is away
            ours.close()
            return
        self._pairs[ours], self._pairs[theirs] = theirs, ours
        self._left[ours] = self._left[theirs] = self.budget() if self.budget else 1 << 60
        for sock in (ours, theirs):
            self._selector.register(sock, selectors.EVENT_READ)

    def _pass_on(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
            piece = data[: self._left[sock]]
            self._pairs[sock].sendall(piece)
        except OSError:
            data = piece = b""
        self._left[sock] -= len(piece)
        if not data or self._left[sock] == 0:
            self.cuts += bool(data)
            self._end(sock)

    def _end(self, sock: socket.socket) -> None:
        for each in (sock, self._pairs.get(sock)):
            if each is not None and self._pairs.pop(each, None) is not None:
                self._selector.unregister(each)
                del self._left[each]
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
