"""Two processes prove to each other that they know a secret, without saying it.

::

    caller                                              daemon
      | -- "RCALLS1\n", 32 random bytes --------------->  |
      | <- "RSERVE1\n", 32 random bytes, proof ---------- |   the daemon proves first
      | -- proof ---------------------------------------> |
      | -- what a connection begins with ---------------> |

A proof is HMAC-SHA256, with the secret as key, over who proves and both random numbers. Each side
chooses one of them anew, so no proof is good a second time; each direction has words of its own, so
neither side's proof is one of the other's. All sizes are fixed, and not a byte more is asked for.

Pure: no sockets, no clock, no chance.
"""

from __future__ import annotations

import hmac

from remoteobj.identity.secret import Secret

__all__ = ["NONCE_BYTES", "Challenge", "NotProven"]

NONCE_BYTES = 32
_PROOF_BYTES = 32
_CALLS, _SERVES = b"RCALLS1\n", b"RSERVE1\n"
_CALLER, _DAEMON = b"remoteobj 1: the caller ", b"remoteobj 1: the daemon "


class NotProven(Exception):
    """The other side does not know the secret, or does not speak of it at all."""


class Challenge:
    """One side of the conversation: bytes in, bytes out.

    Args:
        secret: What both should know.
        nonce: This side's random number, ``NONCE_BYTES`` of them, used for nothing else.
        is_daemon: Which side this is.
    """

    __slots__ = ("_got", "_is_daemon", "_nonce", "_nonces", "_secret", "missing")

    def __init__(self, secret: Secret, nonce: bytes, *, is_daemon: bool) -> None:
        self._secret = secret
        self._nonce = nonce
        self._is_daemon = is_daemon
        self._nonces = b""  # both, the caller's first, once they are known
        self._got = b""
        self.missing = len(_CALLS) + NONCE_BYTES + (0 if is_daemon else _PROOF_BYTES)
        """How many bytes of the other side are to be read yet; 0: it has proved what it knows."""

    def greeting(self) -> bytes:
        """Return what this side says before it has heard anything."""
        return b"" if self._is_daemon else _CALLS + self._nonce

    def received(self, data: bytes) -> bytes:
        """Take bytes of the other side, at most ``missing``; returns what to send now.

        Raises:
            NotProven: Close the connection; nothing else is said.
        """
        assert 0 < len(data) <= self.missing
        got = self._got = self._got + data
        self.missing -= len(data)
        if not self._nonces:
            begins = _CALLS if self._is_daemon else _SERVES
            if not begins.startswith(got[: len(begins)]):
                raise NotProven("what it says is not how such a conversation begins")
        if self.missing:
            return b""
        self._got = b""
        if not self._is_daemon:
            return self._heard_the_daemon(got[len(_SERVES) :])
        if not self._nonces:
            return self._heard_the_caller(got[len(_CALLS) :])
        self._check(_CALLER, got)
        return b""

    def _heard_the_caller(self, nonce: bytes) -> bytes:
        self._nonces = nonce + self._nonce
        self.missing = _PROOF_BYTES
        return _SERVES + self._nonce + self._proof_of(_DAEMON)

    def _heard_the_daemon(self, said: bytes) -> bytes:
        self._nonces = self._nonce + said[:NONCE_BYTES]
        self._check(_DAEMON, said[NONCE_BYTES:])
        return self._proof_of(_CALLER)

    def _check(self, who: bytes, proof: bytes) -> None:
        if not hmac.compare_digest(proof, self._proof_of(who)):
            raise NotProven("it does not know the secret")

    def _proof_of(self, who: bytes) -> bytes:
        return hmac.digest(self._secret.reveal(), who + self._nonces, "sha256")
