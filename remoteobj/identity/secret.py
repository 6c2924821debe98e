"""Bytes that nobody should see by accident: in a ``repr``, a log, a traceback, or on the wire."""

from __future__ import annotations

import hmac
from typing import NoReturn

from remoteobj.errors import NotSendable

__all__ = ["Secret"]


class Secret:
    """A private key or a word that was shared; only :meth:`reveal` gives its bytes.

    It compares in constant time, and can be neither pickled nor copied.
    """

    __slots__ = ("_bytes",)

    def __init__(self, data: bytes) -> None:
        self._bytes = bytes(data)

    def reveal(self) -> bytes:
        """Return the bytes; do not keep them in a variable for longer than needed."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes, other._bytes)

    __hash__ = None  # type: ignore[assignment]  # it is no key of anything

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise NotSendable("a secret does not travel: it stays in the process that made or read it")
