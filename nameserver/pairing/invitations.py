"""Which tokens are taken, for which role, how often and until when (pure: ``now`` is an argument).

Of a token's secret only its hash is kept, so that who reads the file cannot join with it. The
secret has 128 bits, so that to hash it slowly would gain nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable

from msgspec import Struct

from nameserver.errors import BadInvitation, JoinRefused
from nameserver.pairing.token import SECRET_BYTES
from remoteobj.identity.claims import ROLES

__all__ = ["MOST_SECONDS", "Invitation", "Invitations"]

MOST_SECONDS = 30 * 24 * 3600.0
"""An invitation is open for no longer than that."""

_MOST_OPEN = 1000
_MOST_USES = 10_000
_ID_BYTES = 4


class Invitation(Struct):
    """What is kept of a token.

    Attributes:
        number: Names it, in hex.
        digest: SHA-256 of its secret, in hex.
        role: What machines become by it.
        ends: When it ends, in seconds since 1970.
        left: How many machines may still join by it.
    """

    number: str
    digest: str
    role: str
    ends: float
    left: int


class Invitations:
    """The open ones."""

    def __init__(self, kept: Iterable[Invitation] = ()) -> None:
        self._open = {each.number: each for each in kept}

    def invite(
        self,
        now: float,
        *,
        role: str = "member",
        uses: int = 1,
        seconds: float = 3600.0,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> tuple[bytes, bytes]:
        """Open one; returns its number and its secret.

        Raises:
            BadInvitation: No such role, or a number that is too large or too small; the message
                says which, and what is allowed.
        """
        if role not in ROLES:
            raise BadInvitation(f"{role!r} is no role: give one of {', '.join(ROLES)}")
        if not 1 <= uses <= _MOST_USES:
            raise BadInvitation(f"{uses} machines cannot be invited at once: 1 to {_MOST_USES} can")
        if not 0 < seconds <= MOST_SECONDS:
            raise BadInvitation(
                f"an invitation cannot be open for {seconds:g} s: more than 0, and "
                f"{MOST_SECONDS / 86400:g} days at most"
            )
        self.forget_ended(now)
        if len(self._open) >= _MOST_OPEN:
            raise BadInvitation(
                f"{_MOST_OPEN} invitations are open: one with --uses N invites N machines"
            )
        number, secret = draw(_ID_BYTES), draw(SECRET_BYTES)
        while number.hex() in self._open:
            number = draw(_ID_BYTES)
        self._open[number.hex()] = Invitation(
            number.hex(), _digest(secret), role, now + seconds, uses
        )
        return number, secret

    def take(self, number: bytes, secret: bytes, now: float) -> str:
        """Use one up; returns the role of who has joined by it.

        Raises:
            JoinRefused: There is none such, or it has ended or was used up. What exactly is told
                only to who has the secret.
        """
        invitation = self._open.get(number.hex())
        # One that is not there takes as long as one with another secret.
        digest = invitation.digest if invitation is not None else _digest(b"")
        if not hmac.compare_digest(digest, _digest(secret)) or invitation is None:
            raise JoinRefused(
                "the token is not taken here (any more): it was used, has ended or was withdrawn; "
                "make another one with 'nameserver invite'"
            )
        if now >= invitation.ends:
            raise JoinRefused(
                f"the token ended {now - invitation.ends:.0f} s ago: make another one with "
                "'nameserver invite' (--expires says for how long it is taken)"
            )
        invitation.left -= 1
        if not invitation.left:
            del self._open[invitation.number]
        return invitation.role

    def withdraw(self, number: str) -> bool:
        """Take one back; returns whether it was open."""
        return self._open.pop(number, None) is not None

    def forget_ended(self, now: float) -> bool:
        """Forget those that have ended; returns whether some had."""
        ended = [each.number for each in self._open.values() if now >= each.ends]
        for number in ended:
            del self._open[number]
        return bool(ended)

    def next_end(self) -> float | None:
        """Return when the next one ends; None where none is open."""
        return min((each.ends for each in self._open.values()), default=None)

    def kept(self) -> list[Invitation]:
        """Return what has to be kept, for the next start."""
        return list(self._open.values())

    def __len__(self) -> int:
        return len(self._open)


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
