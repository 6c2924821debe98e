"""How leaderships travel: plain values, which any release and any peer can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nameserver.errors import NamingError
from nameserver.leadership import (
    LEAST_LEASE_S,
    MOST_LEASE_S,
    Claim,
    Leadership,
    Manner,
)

__all__ = ["claim_from", "from_plain", "plain_claim", "to_plain"]

_MOST_CHARACTERS = 200
_MOST = 2**62


def plain_claim(claim: Claim) -> list[Any]:
    """Return what travels of a claim."""
    return [
        claim.name,
        claim.holder,
        claim.epoch,
        claim.lease_s,
        claim.manner.value,
        claim.successor,
        claim.successor_node,
        claim.run,
        claim.turn,
    ]


def claim_from(plain: Any) -> Claim:
    """Return the claim that was sent; a later release may have sent more.

    Raises:
        NamingError: It is none.
    """
    try:
        name, holder, epoch, lease_s, manner, successor, node, run, turn = plain[:9]
        for text in (name, holder, successor, node, run):
            if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
                raise TypeError(f"a text of at most {_MOST_CHARACTERS} characters is wanted")
        claim = Claim(
            name,
            holder,
            _number("an epoch", epoch),
            float(lease_s),
            Manner(manner),
            successor,
            node,
            run,
            _number("a turn", turn),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise NamingError(f"{_short(plain)} asks for no leadership: {error}") from error
    if not name or not holder or holder == successor:
        raise NamingError(
            "a leadership has a name, a holder, and a successor that is another one, or none"
        )
    if not LEAST_LEASE_S <= claim.lease_s <= MOST_LEASE_S or math.isnan(claim.lease_s):
        raise NamingError(
            f"a lease of {claim.lease_s:g} s: from {LEAST_LEASE_S:g} to {MOST_LEASE_S:g} s are "
            "possible for a leadership"
        )
    return claim


def to_plain(leadership: Leadership) -> list[Any]:
    """Return what travels of a leadership: what others may know of it."""
    return [
        leadership.name,
        leadership.epoch,
        leadership.holder,
        leadership.successor,
        leadership.node,
        leadership.left_s,
        leadership.lease_s,
        leadership.successor_node,
    ]


def from_plain(plain: Sequence[Any]) -> Leadership:
    """Return the leadership that was sent; a later release may have sent more.

    Raises:
        NamingError: It is none.
    """
    try:
        name, epoch, holder, successor, node, left_s, lease_s, successor_node = plain[:8]
        return Leadership(
            str(name),
            _number("an epoch", epoch),
            str(holder),
            str(successor),
            str(node),
            float(left_s),
            float(lease_s),
            str(successor_node),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise NamingError(f"{_short(plain)} is no leadership: {error}") from error


def _number(what: str, number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _MOST:
        raise ValueError(f"{what} is a number from 0 to 2**62")
    return number


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
