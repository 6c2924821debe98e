"""Which of the script's modules a child has, as pure rules.

A child has the modules of one code set. It takes a set with more, and of a farm whose set has grown
the earlier ones, too. For any other it is no use, since it may have imported another version of a
module: another child has to run that.
"""

from __future__ import annotations

from masterslave.codeset import Entry, code_of, unpack_entries
from masterslave.slave.child.frames import Equip
from masterslave.slave.work import Job

__all__ = ["STAY_S", "Equipment"]

STAY_S = 0.5
"""How far farms with other modules may fall behind, at least, before a child is replaced for them,
in seconds of slots. Each of two has a slot for twice that; another child costs a tenth of a
second."""

_LONGEST_STAY_S = 2.0
_COST_PART = 0.2
"""Most of a stay that may go into importing, where that makes it no longer than the longest."""


class Equipment:
    """The script's modules in one child.

    Attributes:
        stay_s: How far other farms may fall behind before they are worth another child.
    """

    def __init__(self) -> None:
        self.stay_s = STAY_S
        self._is_new = True
        self._has: set[tuple[int, bytes]] = set()
        """Farms, and names of their sets."""
        self._modules: dict[str, Entry] = {}
        self._sources: set[bytes] = set()
        self._farm = 0
        """Whose set it has."""

    def fits(self, farm: int, job: Job) -> bool:
        """Tell whether the child may run a job of this farm, told of ``frame_for`` it."""
        code = code_of(job.pickled)
        if (farm, code) in self._has:
            return True
        ours, wanted = self._modules, job.work.modules_of(code)
        if farm == self._farm and len(wanted) < len(ours):
            return wanted.items() <= ours.items()
        return wanted.items() >= ours.items()

    def note_run(self, seconds: float) -> None:
        """A task has taken so long; the first one with new modules imports them."""
        if self._is_new:
            self._is_new = False
            self.stay_s = min(max(STAY_S, seconds / _COST_PART), _LONGEST_STAY_S)

    def frame_for(self, farm: int, job: Job) -> Equip | None:
        """Return what the child has to be told before a job that fits; None for nothing."""
        code = code_of(job.pickled)
        if (farm, code) in self._has:
            return None
        wanted = job.work.modules_of(code)
        if len(wanted) > len(self._modules) or not self._has:
            self._has.clear()  # other farms' sets go without these
            self._modules, self._farm, self._is_new = wanted, farm, True
        self._has.add((farm, code))
        if not code:
            return None
        content = job.work.code
        needed = {entry.source for entry in unpack_entries(content[code])} & content.keys()
        sources = {each: content[each] for each in needed - self._sources}
        self._sources |= needed
        return Equip(content[code], sources)
