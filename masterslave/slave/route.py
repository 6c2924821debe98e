"""From where the pieces of one blob come: from another slave as long as that gives them.

The master names the slave, and the hash of each piece. Whatever that slave does, it costs a bounded
time, and no wrong byte is taken: after a few such slaves all the rest comes from the master.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from msgspec import structs

from masterslave.protocol.encoding import encode
from masterslave.protocol.fetching import (
    FINE,
    LOST,
    MAX_PIECE_BYTES,
    WRONG,
    BlobAnswer,
    BlobAsk,
    Piece,
    PieceAsk,
    hash_of_piece,
)
from remoteobj import URI, Identity, Proxy, Settings, release
from remoteobj.runtime import is_private_dir, path_of

__all__ = ["Route"]

_MOST_GIVERS = 3
_PIECE_S = 15.0
"""How long a piece may be on its way to a slave that is to give it, in seconds."""

_ASK_AGAIN_S = 0.02

_SETTINGS = Settings(
    connect_timeout_s=2.0, call_timeout_s=5.0, max_message_bytes=MAX_PIECE_BYTES + 64 * 1024
)


class Route:
    """Takes the pieces of one blob, in order.  Threads: one.

    Args:
        ask: The blob.
        ask_master: Where it is: blocks and raises as a call of the master does.
        identity: Who this machine is, for slaves on other machines.
        over: Set when nobody needs it any more.
    """

    def __init__(
        self,
        ask: BlobAsk,
        ask_master: Callable[[BlobAsk], BlobAnswer],
        *,
        identity: Identity | None,
        over: threading.Event,
    ) -> None:
        self._ask, self._ask_master = ask, ask_master
        self._identity, self._over = identity, over
        self._givers_left = _MOST_GIVERS
        self._is_asked = False
        self._address = ""
        self._giver: Proxy | None = None
        self._first = 0
        self._hashes: tuple[bytes, ...] = ()
        self._given: dict[str, int] = {}

    def take(self, number: int, piece: Piece) -> bytes | None:
        """Return a piece that another slave has given; None: it is to be taken from the master.

        Blocks: for some 20 s for each of three slaves at most, and on the master.
        """
        how = FINE
        while not self._over.is_set():
            if how != FINE or self._is_to_ask(number):
                self._ask_anew(number, how)
            if self._giver is None:
                return None
            data, how = self._take_there(piece, self._hashes[number - self._first])
            if how == FINE:
                self._given[self._address] = self._given.get(self._address, 0) + len(data)
                return data
        return None

    def close(self) -> None:
        """Tell the master what was given by whom."""
        self._let_go()
        if self._given:
            self._ask_master(structs.replace(self._ask, given=self._given))

    def _is_to_ask(self, number: int) -> bool:
        if not self._is_asked:
            return True
        return self._giver is not None and number >= self._first + len(self._hashes)

    def _ask_anew(self, number: int, how: int) -> None:
        """Ask the master who gives the pieces from this one on; *how* is who has given them."""
        self._is_asked = True
        if how != FINE:
            self._givers_left -= 1
        ask = structs.replace(self._ask, fetches=number, giver=self._address, how=how)
        answer = self._ask_master(ask)
        self._first, self._hashes = number, answer.hashes
        if how == FINE and answer.hashes and answer.giver == self._address:
            return
        self._let_go()
        if self._givers_left > 0 and answer.hashes:
            self._giver = _find(answer.giver, self._identity)
            self._address = answer.giver

    def _let_go(self) -> None:
        if self._giver is not None:
            release(self._giver)
        self._giver, self._address = None, ""

    def _take_there(self, piece: Piece, expected: bytes) -> tuple[bytes, int]:
        assert self._giver is not None
        message = encode(PieceAsk("", self._ask.digest, piece.part, piece.offset, piece.size))
        deadline = time.monotonic() + _PIECE_S
        data = None
        try:
            while data is None and time.monotonic() < deadline:
                data = self._giver.piece(message)
                if data is None and self._over.wait(_ASK_AGAIN_S):  # it is on its way there
                    break
        except Exception:  # closed, silent, or no slave at all: it is not the only one
            return b"", LOST
        if not data:
            return b"", LOST
        if isinstance(data, bytes) and hash_of_piece(data) == expected:
            return data, FINE
        return b"", WRONG


def _find(address: str, identity: Identity | None) -> Proxy | None:
    """Return the giver at an address; None if it must not be asked."""
    uri = URI(address)
    if uri.sockname is not None and not is_private_dir(path_of(uri.sockname).parent):
        return None
    return Proxy(uri, identity=identity, role="slave", settings=_SETTINGS)
