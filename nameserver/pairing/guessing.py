"""How both sides come from a short code to a key that nobody between them has.

SPAKE2 turns a code into a key, and gives who does not know the code one guess. Both sides put into
it what they see: the guest the certificate that the host has shown it, the host its own; and the
request that the one has sent and the other has got. So a machine in the middle, which has to show
another certificate or ask for another key, comes to other keys on its two sides, and to none that
helps: Python's ssl cannot export a secret of the channel, which would be the other way.

Source: RFC 9382 (SPAKE2); the proofs are its key confirmation, with HMAC-SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from nameserver.errors import JoinRefused

__all__ = ["GuestKey", "HostKey"]


class _Key:
    """One side's way to the key."""

    def __init__(self, exchange: Any, seen: bytes) -> None:
        self._exchange = exchange
        self._seen = seen
        self.element: bytes = exchange.start()
        self._key = b""

    def agree(self, element: bytes) -> None:
        """Take the other side's part.

        Raises:
            JoinRefused: It is none.
        """
        try:
            self._key = self._exchange.finish(element)
        except Exception as error:  # the library has no root of its own for what it finds wrong
            raise JoinRefused("what is there does not speak the protocol of joining") from error

    def _proof(self, side: bytes, *said: bytes) -> bytes:
        digest = hashlib.sha256(self._seen)
        for part in said:
            digest.update(hashlib.sha256(part).digest())
        return hmac.digest(self._key, b"remoteobj join " + side + digest.digest(), "sha256")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class GuestKey(_Key):
    """The guest's side: who types the code.

    Args:
        digits: The code.
        host: The certificate that the host has shown, as DER.
        request: The signing request that is sent.
    """

    def __init__(self, digits: str, host: bytes, request: bytes) -> None:
        from spake2 import SPAKE2_A

        ids = _ids(host, request)
        super().__init__(SPAKE2_A(digits.encode(), idA=ids[0], idB=ids[1]), b"".join(ids))

    def proof(self) -> bytes:
        """Return what shows the host that this side has the key; the guest says it first."""
        return self._proof(b"guest")

    def check(self, proof: bytes, ca: bytes, certificate: bytes) -> None:
        """Check that the host has the key, and has said these.

        Raises:
            JoinRefused: It has not.
        """
        if not hmac.compare_digest(proof, self._proof(b"host", ca, certificate)):
            raise JoinRefused(
                "the host does not know the code, so it is not the one that shows it: look whether "
                "another cluster is pairing in this network, and try again"
            )


class HostKey(_Key):
    """The host's side: who shows the code; arguments as for the guest."""

    def __init__(self, digits: str, host: bytes, request: bytes) -> None:
        from spake2 import SPAKE2_B

        ids = _ids(host, request)
        super().__init__(SPAKE2_B(digits.encode(), idA=ids[0], idB=ids[1]), b"".join(ids))

    def is_proof(self, proof: bytes) -> bool:
        """Tell whether the guest has the key."""
        return hmac.compare_digest(proof, self._proof(b"guest"))

    def proof(self, ca: bytes, certificate: bytes) -> bytes:
        """Return what shows the guest that this side has the key, and has said these."""
        return self._proof(b"host", ca, certificate)


def _ids(host: bytes, request: bytes) -> tuple[bytes, bytes]:
    return (
        b"host " + hashlib.sha256(host).digest(),
        b"guest " + hashlib.sha256(request).digest(),
    )
