"""The short code that is read from one screen and typed at another (pure).

Six digits, which can be guessed; so a code dies after a minute, after three attempts, and with the
first machine that joins by it. An attempt counts as soon as it could tell somebody something.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable

from nameserver.errors import BadToken

__all__ = ["CODE_SECONDS", "Code", "draw_code", "read_code"]

CODE_SECONDS = 60.0
ATTEMPTS = 3

_DIGITS = 6
_GROUP = 3


class Code:
    """A code that is open.

    Attributes:
        digits: It, without the dash.
        role: What the machine becomes by it.
        ends: When it dies, on the clock of who made it.
    """

    def __init__(self, digits: str, role: str, now: float, seconds: float = CODE_SECONDS) -> None:
        self.digits = digits
        self.role = role
        self.ends = now + seconds
        self._attempts_left = ATTEMPTS
        self._is_used = False

    def is_open(self, now: float) -> bool:
        """Tell whether somebody may try it."""
        return not self._is_used and self._attempts_left > 0 and now < self.ends

    def try_once(self, now: float) -> bool:
        """Count an attempt; returns whether there was one left."""
        if not self.is_open(now):
            return False
        self._attempts_left -= 1
        return True

    def use(self, now: float) -> bool:
        """A guess was right; returns whether it is the first one, and in time."""
        if self._is_used or now >= self.ends:
            return False
        self._is_used = True
        return True

    def close(self) -> None:
        """Let it die now."""
        self.ends = -math.inf

    def seconds_left(self, now: float) -> float:
        """Return for how long it lives yet; 0: it is dead."""
        return self.ends - now if self.is_open(now) else 0.0

    @property
    def is_used(self) -> bool:
        """Whether a machine has joined by it."""
        return self._is_used

    @property
    def attempts(self) -> int:
        """How many attempts there were."""
        return ATTEMPTS - self._attempts_left

    def text(self) -> str:
        """Return it as people read it: ``481-223``; it is a secret while it is open."""
        return f"{self.digits[:_GROUP]}-{self.digits[_GROUP:]}"

    def __repr__(self) -> str:
        return f"<Code for a {self.role}>"


def draw_code(role: str, now: float, *, below: Callable[[int], int] = secrets.randbelow) -> Code:
    """Make a code; *now* is on any clock that only goes on."""
    return Code(f"{below(10**_DIGITS):0{_DIGITS}}", role, now)


def read_code(text: str) -> str:
    """Return the digits of a code as somebody has typed it.

    Raises:
        BadToken: It is none. Nothing of it is repeated in the message.
    """
    digits = re.sub(r"[\s.-]", "", text)
    if not re.fullmatch(rf"[0-9]{{{_DIGITS}}}", digits):
        raise BadToken(
            "this is no code: it has six digits, such as 305-118; 'nameserver pair' shows it"
        )
    return digits
