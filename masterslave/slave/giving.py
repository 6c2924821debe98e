"""What a slave gives to other slaves: pieces of shared objects that it has fetched itself.

It is opened by ``masterslave slave --serve`` alone. It reads, and does nothing else; what it gives
is no secret to who knows the blob's name, which master and slaves tell each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from masterslave.errors import CodeRefused
from masterslave.protocol.encoding import decode
from masterslave.protocol.fetching import GIVER_ID, MAX_PIECE_BYTES, PieceAsk
from remoteobj import URI, Daemon, Identity, Settings, expose

__all__ = ["Giver"]

WAIT_S = 2.0
"""How long a piece is waited for that is on its way here; then who asks may ask again."""

_SETTINGS = Settings(
    max_message_bytes=MAX_PIECE_BYTES + 64 * 1024, max_connections=512, max_threads=128
)

Read = Callable[[PieceAsk, float], "bytes | None"]
"""Reads some of a blob, as ``Coming.read`` does."""


class Giver:
    """Serves in the background until it is closed.

    Args:
        host: Address of this machine to listen on, with an identity; None: this user's processes
            on this machine, on a Unix socket.
        port: TCP port; 0 takes a free one.

    Raises:
        CodeRefused: An address without an identity.
        AddressUnusable: The address is not this machine's, or the port is in use.

    Threads: any.
    """

    def __init__(self, host: str | None, port: int = 0, *, identity: Identity | None) -> None:
        if host is not None and identity is None:
            raise CodeRefused(
                f"a slave cannot give shared objects on {host} without --identity: they are "
                "pickled, and what is pickled does not cross plain TCP; leave the address out to "
                "give them to this user's slaves on this machine"
            )
        self._lock = threading.Lock()
        self._readers: list[Read] = []
        self._daemon = (
            Daemon(settings=_SETTINGS)
            if host is None
            else Daemon(host, port, identity=identity, settings=_SETTINGS)
        )
        self.uri: URI = self._daemon.register(self, GIVER_ID)
        self._daemon.start()

    def add(self, read: Read) -> None:
        """Give what this reads, too."""
        with self._lock:
            self._readers.append(read)

    def remove(self, read: Read) -> None:
        """Give it no longer."""
        with self._lock:
            self._readers = [each for each in self._readers if each != read]

    def close(self) -> None:
        """Serve no longer. Blocks on calls that run, at most two seconds."""
        self._daemon.close()

    @expose(role="slave")
    def piece(self, message: bytes) -> bytes | None:
        """Return some of a blob (``PieceAsk``); empty if it is not here, None if it is to come."""
        ask = decode(message, PieceAsk)
        if not 0 < ask.size <= MAX_PIECE_BYTES or ask.offset < 0 or ask.part < 0:
            return b""
        with self._lock:
            readers = list(self._readers)
        comes = False
        for read in readers:
            data = read(ask, WAIT_S)
            if data:
                return data
            comes = comes or data is None
        return None if comes else b""
