"""The farms that a workshop serves: who is told of what, who knows of them, and their shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from masterslave.protocol.joining import Welcome
from masterslave.slave.child.frames import DropShared
from masterslave.slave.children import Child
from masterslave.slave.shares import Shares
from masterslave.slave.work import FarmWork

__all__ = ["Farms", "Served"]


@dataclass(eq=False, slots=True)
class Served:
    """A farm that is served.

    Attributes:
        number: By which children know it; none is used twice.
        earlier: By which they knew it before its master wanted something else of them.
        work: What is held for it.
        welcome: What its master has said of it.
        on_outcomes: Called when there may be something to deliver: with a child, in the thread
            that listens to it, which it may keep while the child has nothing to do; or
            without one.
        on_lane_closed: Called before that when a lane was closed, with what the master has
            said in it and was not taken in: packed instructions, or empty.
        on_want: Called with a child that needs a shared object, its hash, whose it is, and
            whether its call was handed out by a master that is gone, in the thread that listens
            to the child.
        on_lines: Called when its tasks have printed something, in any thread.
        prepared: Children that know of it.
        knew: Those that know of it by earlier numbers.
    """

    number: int
    work: FarmWork
    welcome: Welcome
    on_outcomes: Callable[[Child | None], None]
    on_lane_closed: Callable[[bytes], None]
    on_want: Callable[[Child, bytes, str, bool], None]
    on_lines: Callable[[], None]
    prepared: set[Child] = field(default_factory=set)
    earlier: set[int] = field(default_factory=set)
    knew: set[Child] = field(default_factory=set)

    def renumber(self, number: int) -> None:
        """Have children get to know it anew."""
        self.earlier.add(self.number)
        self.knew |= self.prepared
        self.number, self.prepared = number, set()

    def post_drop(self, digests: list[bytes]) -> list[Child]:
        """Tell its children which shared objects to drop, or with none given: all of them.

        Returns:
            Those that are to be flushed for it. The others are, when they have told of what they
            run; their pipes may be full until then.
        """
        for child in self.prepared:
            child.post([DropShared(self.number, digests)])
        for child in self.knew:
            for number in self.earlier:
                child.post([DropShared(number, digests)])
        return [child for child in self.prepared | self.knew if not child.load.jobs]


class Farms:
    """Those that are served.  The workshop's lock is held in each method.

    Attributes:
        by_work: By what is held for them.
        shares: What each has used of the slave's time.
    """

    def __init__(self) -> None:
        self.by_work: dict[FarmWork, Served] = {}
        self.shares: Shares[FarmWork] = Shares()

    def add(self, farm: Served, children: Iterable[Child], now: float) -> None:
        """Serve one more, beside what *children* run for others."""
        self.by_work[farm.work] = farm
        self.shares.add(farm.work, farm.welcome.label, now)
        for child in children:
            self.note_occupant(child, now)

    def remove(self, work: FarmWork) -> Served | None:
        """Serve it no longer; returns it, if it was served."""
        self.shares.remove(work)
        return self.by_work.pop(work, None)

    def are_only(self, work: FarmWork) -> bool:
        """Tell whether no other one is served."""
        return len(self.by_work) == 1 and work in self.by_work

    def numbered(self, number: int) -> Served | None:
        """Return the one that children know by this number, if it is still served."""
        for farm in self.by_work.values():
            if farm.number == number or number in farm.earlier:
                return farm
        return None

    def those_of(self, works: Iterable[FarmWork]) -> list[Served]:
        """Return those that are still served."""
        return [self.by_work[work] for work in works if work in self.by_work]

    def note_occupant(
        self, child: Child, now: float, has_run_s: Mapping[FarmWork, float] | None = None
    ) -> None:
        """What a child runs may have changed: note for whom it works now.

        Args:
            has_run_s: How long tasks have taken that have ended since it was noted last.
        """
        if self.shares.is_alone:
            return
        job = next(iter(child.load.jobs.values()), None)
        self.shares.occupy(child, job.work if job is not None else None, now, has_run_s)

    def forget(self, child: Child) -> None:
        """It is gone, and what it knew of them."""
        for farm in self.by_work.values():
            farm.prepared.discard(child)
            farm.knew.discard(child)
