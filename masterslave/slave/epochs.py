"""Which masters a slave believes: of one farm, none that is earlier than one that it has seen."""

from __future__ import annotations

import threading
from collections import OrderedDict

from masterslave.protocol.joining import Welcome

__all__ = ["Epochs"]

_MOST = 10_000


class Epochs:
    """The highest epoch of each farm that is kept, as its masters have said in their welcomes.

    A master that was succeeded may not know it yet, because it was stopped, or cut off; what it
    hands out is not taken. Records of name servers are not noted here: only who has let the slave
    in may say which epoch it is.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._highest: OrderedDict[str, int] = OrderedDict()

    def of(self, farm_id: str) -> int:
        """Return the highest that was seen of a farm; 0: none."""
        with self._lock:
            return self._highest.get(farm_id, 0)

    def note(self, welcome: Welcome) -> str:
        """Take in a master's welcome; returns why it is not believed, in words; empty: it is."""
        if not welcome.farm_id:
            return ""
        with self._lock:
            highest = self._highest.get(welcome.farm_id, 0)
            if welcome.epoch < highest:
                return (
                    f"was succeeded: it has epoch {welcome.epoch}, and a master of the same farm "
                    f"with epoch {highest} was here"
                )
            if welcome.epoch:
                self._highest[welcome.farm_id] = welcome.epoch
                self._highest.move_to_end(welcome.farm_id)
                if len(self._highest) > _MOST:
                    self._highest.popitem(last=False)
        return ""
