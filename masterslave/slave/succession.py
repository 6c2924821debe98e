"""Masters of a farm that come one after the other: how a link is, and who is next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from masterslave.slave.keeping import Countdown, Happening, State, state_after
from remoteobj import URI

__all__ = ["Succession", "Successor"]

_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Successor:
    """Another master of a farm that is kept, or the same one again.

    Attributes:
        node: Which machine it has to be on, by its certificate; None: any of the cluster.
        is_same: It is the one that did not answer.
        who: It, for people.
        on_joined: Called when it has let the slave in.
        on_useless: Called when it did not, and is not to be tried again.
    """

    uri: URI
    node: str | None
    is_same: bool
    who: str
    on_joined: Callable[[], None]
    on_useless: Callable[[], None]


class Succession:
    """The state of one link, by the rules of ``keeping``.  Threads: any.

    Attributes:
        state: The link's.
        changed: Guards it; notified when there is something to look at.
        is_told_to_drop: Whether nothing is kept any more.
        kept_since: When (monotonic) the last master was given up; None: there is one.
    """

    def __init__(self) -> None:
        self.state = State.JOINING
        self.changed = threading.Condition()
        self.is_told_to_drop = False
        self.kept_since: float | None = None
        self._offered: Successor | None = None

    def step(self, happening: Happening, *, keeps: bool = False) -> State:
        """Something has happened; returns how the link is then."""
        with self.changed:
            self.state = state_after(self.state, happening, keeps=keeps)
            if self.state is State.SERVING:
                self.kept_since = None
            elif self.state is State.KEPT and self.kept_since is None:
                self.kept_since = time.monotonic()
            return self.state

    def wants(self, *, is_over: bool) -> bool:
        """Tell whether a master that was found is of use.

        Args:
            is_over: The one that is served owes an answer, or was succeeded; and the one that was
                found is another.
        """
        with self.changed:
            if self._offered is not None or self.is_told_to_drop:
                return False
            return self.state is State.KEPT or (self.state is State.SERVING and is_over)

    def offer(self, successor: Successor) -> bool:
        """Go on with this one; tells whether another one has to be left for it."""
        with self.changed:
            self._offered = successor
            self.changed.notify_all()
            return self.state is State.SERVING

    def tell_to_drop(self) -> bool:
        """Keep nothing any more; tells whether something was kept."""
        with self.changed:
            self.is_told_to_drop = True
            self.changed.notify_all()
            return self.state is State.KEPT

    def wait(self, countdown: Countdown) -> Successor | Happening:
        """Wait until a master is offered, the time is up, or all is to be dropped."""
        while True:
            left_s = countdown.left_s(time.monotonic())
            with self.changed:
                self.changed.wait_for(
                    lambda: self._offered or self.is_told_to_drop, min(left_s, _LOOK_S)
                )
                offered, self._offered = self._offered, None
            if self.is_told_to_drop:
                return Happening.TOLD_TO_DROP
            if offered is not None:
                return offered
            if not left_s:
                return Happening.TIME_IS_UP
