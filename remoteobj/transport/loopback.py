"""A port of loopback that only this user can use: what a Unix socket is elsewhere.

Both sides prove first that they have read the same file of this user (see ``place`` and
``challenge``). A caller that cannot is a stranger, and never gets further; a daemon that cannot is
somebody who has taken the port after its daemon had ended. Then it is a plain stream.
"""

from __future__ import annotations

import os
import socket

from remoteobj.errors import ConnectionLost, PeerRefused
from remoteobj.identity.secret import Secret
from remoteobj.transport.challenge import NONCE_BYTES, Challenge, NotProven
from remoteobj.transport.stream import NOBODY, NOWAIT, THIS_USER, PlainStream

__all__ = ["LoopbackStream"]


class LoopbackStream(PlainStream):
    """See ``Stream``."""

    __slots__ = ("_challenge", "_is_daemon", "_secret")

    def __init__(self, sock: socket.socket, secret: Secret, *, server_side: bool) -> None:
        super().__init__(sock, NOBODY)
        self._secret = secret
        self._is_daemon = server_side
        self._challenge: Challenge | None = None

    def handshake(self, flags: int) -> bool:
        """See Stream; no byte is read that comes after it.

        Raises:
            PeerRefused: The caller does not know the secret.
            ConnectionLost: Whoever answers is not the daemon; or the other side has left.
        """
        if self.claims is THIS_USER:  # it is asked again until the first message has come
            return True
        challenge = self._challenge
        if challenge is None:
            nonce = os.urandom(NONCE_BYTES)
            challenge = Challenge(self._secret, nonce, is_daemon=self._is_daemon)
            self._challenge = challenge
            self._say(challenge.greeting())
        while challenge.missing:
            data = self.recv(challenge.missing, flags)
            if not data:
                raise ConnectionLost(f"{self._other} hung up before it proved who it is")
            try:
                self._say(challenge.received(data))
            except NotProven as error:
                raise self._refusal(error) from None
        self.claims, self._challenge = THIS_USER, None
        return True

    def _say(self, words: bytes) -> None:
        """Send what a new connection always takes at once, as it has sent nothing else."""
        try:
            sent = self.send(words, NOWAIT) if words else 0
        except BlockingIOError:
            sent = -1
        if sent != len(words):
            raise ConnectionLost(f"{self._other} takes nothing")

    @property
    def _other(self) -> str:
        return "the caller" if self._is_daemon else "whoever answers there"

    def _refusal(self, error: NotProven) -> ConnectionLost:
        if self._is_daemon:
            return PeerRefused(f"{error}: this port is for processes of this user, who can read it")
        return ConnectionLost(
            f"whoever answers there is not the daemon: {error}; that one has ended, and its port "
            "is somebody else's now; look its name up again"
        )
