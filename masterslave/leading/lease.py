"""What a master knows of its own lease: bookkeeping, without a clock or a network."""

from __future__ import annotations

from dataclasses import dataclass

from nameserver.leadership import acts_until

__all__ = ["OwnLease", "Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was sent: when, and what it says of the successor."""

    at: float
    successor: str
    node: str
    wish: int


class OwnLease:
    """Until when a master acts, and whom the name server may have as its successor.

    A master *alone*, of whom the name server has said that it has no successor, needs no lease:
    nobody else would be given it. From the moment that a request is sent which names one, it
    needs it.

    Args:
        lease_s: What is asked for each time, in seconds.
    """

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self.until = float("-inf")
        """By the clock that is told to ``sends``."""

        self.successor, self.node = "", ""
        """As it is wanted."""

        self.said_yes_to = 0
        """Number of the last wish that the name server has said yes to."""

        self._wish = 0
        self._is_alone = False

    def wish(self, successor: str, node: str) -> int:
        """Want another successor; returns the number of this wish."""
        self.successor, self.node = successor, node
        self._wish += 1
        return self._wish

    @property
    def has_wish(self) -> bool:
        """Whether the name server has not said yes to the last wish."""
        return self.said_yes_to < self._wish

    def sends(self, now: float) -> Sent:
        """Note that a request is sent now, and return what it says.

        A successor is not named when the lease does not run: it is renewed first.
        """
        names = self.successor
        if self._is_alone and now >= self.until:
            names = ""
        if names:
            self._is_alone = False
        is_wanted = names == self.successor
        return Sent(now, names, self.node if names else "", self._wish if is_wanted else 0)

    def granted(self, sent: Sent) -> None:
        """The name server has said yes."""
        self.until = max(self.until, acts_until(sent.at, self.lease_s))
        self.said_yes_to = max(self.said_yes_to, sent.wish)
        self._is_alone = not sent.successor

    def acts(self, now: float) -> bool:
        """Tell whether the master may act."""
        return self._is_alone or now < self.until

    def left_s(self, now: float) -> float:
        """Return how long the lease runs on, at most; 0 where it is over."""
        return max(0.0, self.until - now)

    def end(self) -> None:
        """It is given up."""
        self.until, self._is_alone = float("-inf"), False
