"""Who of those that want to join is listened to: a few at a time, and who says nothing makes room.

The rules:

* At most ``most`` talk at a time, and ``most_per_address`` of one address (of one /64 where it is
  IPv6); the others wait, and it is the turn of an address that talks least.
* While all places are taken and somebody waits, who has said nothing whole for ``silent_s`` goes,
  the longest silent first. Where an address has two places more than the one that waits, its
  longest silent one goes after ``crowded_s`` already.

What a guest says was typed before, so an honest one takes a round trip for each step; and it is
only hurried while others wait. So who floods the port from some addresses holds up a guest from
another one for a moment, and not until the conversations time out.

Pure: no sockets, no clock. Threads: the caller holds a lock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Places"]

_T = TypeVar("_T")


@dataclass(slots=True)
class _Talk:
    address: str
    heard_at: float


class Places(Generic[_T]):
    """Who waits, and who talks.

    Args:
        most: How many may talk at a time.
        most_per_address: How many of one address.
        silent_s: How long one may be silent while others wait, in seconds.
        crowded_s: The same, of one whose address has several places.
    """

    def __init__(self, most: int, most_per_address: int, silent_s: float, crowded_s: float) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._silent_s = silent_s
        self._crowded_s = crowded_s
        self._waiting: dict[_T, str] = {}  # in the order in which they came
        self._talking: dict[_T, _Talk] = {}

    @property
    def talking(self) -> tuple[_T, ...]:
        """Who talks now."""
        return tuple(self._talking)

    def wait(self, guest: _T, address: str) -> None:
        """One has begun to speak, and is to be listened to when there is a place."""
        self._waiting[guest] = address

    def hear(self, guest: _T, now: float) -> None:
        """One that talks has said something whole."""
        talk = self._talking.get(guest)
        if talk is not None:
            talk.heard_at = now

    def leave(self, guest: _T) -> bool:
        """One has left, or has to; tells whether it was here."""
        waited = self._waiting.pop(guest, None) is not None
        return self._talking.pop(guest, None) is not None or waited

    def forget_one(self) -> _T | None:
        """Return one that waits, and forget it; None: nobody does."""
        guest = next(iter(self._waiting), None)
        if guest is not None:
            del self._waiting[guest]
        return guest

    def next(self, now: float) -> tuple[_T | None, _T | None]:
        """Return who may talk now, and who has to go for it; None: nobody."""
        held = Counter(talk.address for talk in self._talking.values())
        able = [
            guest
            for guest, address in self._waiting.items()
            if held[address] < self._most_per_address
        ]
        guest = min(able, key=lambda each: held[self._waiting[each]], default=None)
        if guest is None:
            return None, None
        address = self._waiting[guest]
        going = None
        if len(self._talking) >= self._most:
            going = self._most_silent(now, held, held[address])
            if going is None:
                return None, None
            del self._talking[going]
        del self._waiting[guest]
        self._talking[guest] = _Talk(address, now)
        return guest, going

    def _most_silent(self, now: float, held: Counter[str], own: int) -> _T | None:
        """Return who may be made to go by one whose address has *own* places."""
        silent = [
            (-held[talk.address], talk.heard_at, guest)
            for guest, talk in self._talking.items()
            if now - talk.heard_at
            >= (self._crowded_s if held[talk.address] >= own + 2 else self._silent_s)
        ]
        return min(silent, key=lambda each: each[:2])[2] if silent else None
