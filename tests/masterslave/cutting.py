"""A wire between slaves and a master that is cut at each message in turn."""

from __future__ import annotations

import socket
from collections import defaultdict

from tests.nameserver.relay import Relay

__all__ = ["CuttingRelay"]


class CuttingRelay(Relay):
    """Cuts its first connection at the first message, the second one at the second, and so on.

    Args:
        target: ``host:port`` of the master's door.
        delivers: Whether the message at which a connection is cut still arrives.
        most: From this connection on, none is cut.
    """

    def __init__(self, target: str, *, delivers: bool, most: int) -> None:
        self._delivers, self._most = delivers, most
        self._connections = 0
        self._messages: dict[socket.socket, int] = defaultdict(int)
        self._limits: dict[socket.socket, int] = {}
        super().__init__(target)

    def _accept(self) -> None:
        before = set(self._pairs)
        super()._accept()
        ours = next((sock for sock in self._pairs if sock not in before), None)
        if ours is not None:
            self._connections += 1
            limit = self._connections if self._connections < self._most else 1 << 60
            self._limits[ours] = self._limits[self._pairs[ours]] = limit

    def _pass_on(self, sock: socket.socket) -> None:
        other = self._pairs[sock]
        self._messages[sock] += 1
        count = self._messages[sock] + self._messages[other]
        if count < self._limits[sock]:
            super()._pass_on(sock)
            return
        if self._delivers:
            super()._pass_on(sock)
        self.cuts += 1
        self._end(sock)
        self._messages.pop(sock, None)
        self._messages.pop(other, None)
