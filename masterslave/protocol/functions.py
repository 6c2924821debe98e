"""Functions on their way: what they are called there, and which of them a slave still has."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

__all__ = ["NAMED", "KnownFunctions", "hash_of"]

NAMED = b"N"
"""First byte of a function that is only named: the name follows, and a slave's handler does it."""

_MAX_FUNCTIONS = 256
_MAX_FUNCTIONS_BYTES = 64 * 1024 * 1024
"""What is kept of functions that were sent, at each slave and child: a script may make a closure
over data for every task."""


def hash_of(pickled: bytes) -> bytes:
    """Return the name that a pickled function travels under."""
    return hashlib.blake2b(pickled, digest_size=16).digest()


class KnownFunctions:
    """The functions that somebody has been sent and keeps: those that were used last.

    Both sides have one, and apply the same rule to the same batches, so that they agree.

    Args:
        max_count: Most functions that are kept.
        max_bytes: Most bytes of them, pickled; the last one is kept in any case.
    """

    def __init__(
        self, max_count: int = _MAX_FUNCTIONS, max_bytes: int = _MAX_FUNCTIONS_BYTES
    ) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._sizes: OrderedDict[bytes, int] = OrderedDict()
        self._bytes = 0

    def __contains__(self, function: bytes) -> bool:
        return function in self._sizes

    def use(self, function: bytes, size: int) -> list[bytes]:
        """A task uses this function, of *size* bytes; returns those that are forgotten for it."""
        if function not in self._sizes:
            self._sizes[function] = size
            self._bytes += size
        self._sizes.move_to_end(function)
        forgotten = []
        while len(self._sizes) > 1 and (
            len(self._sizes) > self._max_count or self._bytes > self._max_bytes
        ):
            oldest, oldest_size = self._sizes.popitem(last=False)
            self._bytes -= oldest_size
            forgotten.append(oldest)
        return forgotten

    def forget_all(self) -> None:
        """What the other side knows is in doubt: everything is sent anew.

        What is used from now on is at both sides what was used last, so the other one, which may
        know more, keeps it for as long as this one believes.
        """
        self._sizes.clear()
        self._bytes = 0
