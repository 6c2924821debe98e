"""The slots of a slave: its children, and the farms for which they run tasks.

::

    link (poll thread)  --take_in, assign-->  Workshop, Filler  --frames-->  Child, one a slot
    link (deliver)      <--outcomes---------  Listener, in a child's own thread: told, refill,
                                              deliver
                                              clock: what is overdue, what is to be killed
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from itertools import count

from masterslave.protocol.hand_outs import Stop
from masterslave.protocol.joining import Welcome
from masterslave.slave.children import Child
from masterslave.slave.filling import Filler
from masterslave.slave.lanes import Lanes
from masterslave.slave.listening import Listener
from masterslave.slave.load import Pace
from masterslave.slave.minding import Minder
from masterslave.slave.offer import NamedTasks
from masterslave.slave.posting import says_the_same
from masterslave.slave.printer import Printer
from masterslave.slave.served import Farms, Served
from masterslave.slave.staff import Staff, end_all
from masterslave.slave.work import FarmWork, Job
from remoteobj.handing import HandedOver

__all__ = ["Workshop"]

_BRIEF_S = 0.001
"""Below this, it does not pay to let another thread ask for more meanwhile, in seconds."""


class Workshop:
    """Runs the tasks of any number of farms in a fixed number of child processes.

    ``lock`` guards everything in here and in the ``FarmWork`` of each farm.

    Args:
        slots: Number of child processes.
        make_child: Starts one; tests make theirs.
        named: Tasks that the children have handlers for.
        shows_output: Whether what tasks print is shown on this process's standard error, too.
        share_bytes: What memory a child may take, with what its tasks start; 0: any.
    """

    def __init__(
        self,
        slots: int,
        *,
        make_child: Callable[..., Child] = Child,
        named: NamedTasks | None = None,
        shows_output: bool = False,
        share_bytes: int = 0,
    ) -> None:
        self._named = named or NamedTasks()
        self.slots = slots
        self.opened_at = time.monotonic()
        self.lock = threading.Lock()
        self.all_children: list[Child] = []
        """Its processes; the lock is held."""
        self.lanes = Lanes()
        self._farms = Farms()
        self._numbers = count(1)
        self._printer = Printer(self.lock, self._farms, self.lanes, shows=shows_output)
        self._minder = Minder(self.lock, self.all_children, share_bytes)
        self._staff = Staff(
            self.all_children,
            slots,
            lambda: make_child(self._listener.heard, self._listener.died, self._printer.take),
            self.lock,
            self._minder.clock,
            tear_down=bool(self._named.by_name),
        )
        pace = Pace()
        self._filler = Filler(
            self.all_children,
            self._farms,
            pace,
            self.lanes,
            self._staff,
            self._minder,
            self._named,
        )
        self._listener = Listener(
            self.lock,
            self._farms,
            pace,
            self.lanes,
            self._filler,
            self._staff,
            self._minder,
            self.assign,
        )

    @property
    def labels(self) -> dict[FarmWork, str]:
        """Of the farms that it serves; the lock is held."""
        return {work: farm.welcome.label for work, farm in self._farms.by_work.items()}

    def open(self) -> None:
        """Start the children."""
        with self.lock:
            self._staff.fill_up()

    def add(
        self,
        work: FarmWork,
        welcome: Welcome,
        on_outcomes: Callable[[Child | None], None],
        on_lane_closed: Callable[[bytes], None] = lambda answer: None,
        on_want: Callable[[Child, bytes, str, bool], None] = lambda *want: None,
        on_lines: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve one more farm; the arguments are those of ``Served``."""
        with self.lock:
            farm = Served(
                next(self._numbers), work, welcome, on_outcomes, on_lane_closed, on_want, on_lines
            )
            work.lines.is_wanted = welcome.output
            self._staff.tear_down |= bool(welcome.handlers.tasks)
            self.lanes.close()
            self._farms.add(farm, self.all_children, time.monotonic())

    def turn_to(
        self,
        work: FarmWork,
        on_outcomes: Callable[[Child | None], None],
        on_lane_closed: Callable[[bytes], None],
        on_lines: Callable[[], None],
        welcome: Welcome | None = None,
    ) -> None:
        """Tell somebody else of this farm from now on; what runs goes on.

        Args:
            welcome: What another master of it has said of it; None: there is none now.
        """
        with self.lock:
            self.lanes.close(work)
            farm = self._farms.by_work[work]
            farm.on_outcomes, farm.on_lane_closed = on_outcomes, on_lane_closed
            farm.on_lines = on_lines
            if welcome is None:
                return
            if not says_the_same(welcome, farm.welcome):
                farm.renumber(next(self._numbers))
            farm.welcome = welcome
            work.lines.is_wanted = welcome.output
            self._staff.tear_down |= bool(welcome.handlers.tasks)

    def remove(self, work: FarmWork) -> None:
        """Serve this farm no longer; what runs for it is stopped."""
        with self.lock:
            farm = self._farms.remove(work)
            work.waiting.clear()
            self._give_back_running(work)
            idle = [] if farm is None else farm.post_drop([])
        for child in idle:
            child.flush()

    def drop_shared(self, work: FarmWork, digests: list[bytes]) -> None:
        """Have children let go of shared objects of this farm, when they have a moment."""
        with self.lock:
            farm = self._farms.by_work.get(work)
            idle = farm.post_drop(digests) if farm is not None and digests else []
        for child in idle:
            child.flush()

    def names_in(self, work: FarmWork, digests: Collection[bytes]) -> set[bytes]:
        """Return those of these hashes that what is here of a farm will look for."""
        with self.lock:
            jobs = [*work.waiting, *self._jobs_of(work)]
            packed = {job.task.arguments for job in jobs} | {job.pickled for job in jobs}
        return {digest for digest in digests if any(digest in each for each in packed)}

    def stop(self, work: FarmWork, stops: Iterable[Stop]) -> None:
        """Drop hand-outs, and stop those that run, by ending the processes that run them."""
        with self.lock:
            is_meant = work.stop(stops)
            for job in self._jobs_of(work):
                if is_meant(job):
                    job.is_unwanted = True
            self._minder.stop(is_meant)
            self.lanes.stop(work, is_meant)

    def recall(self, work: FarmWork, stops: Iterable[Stop]) -> None:
        """Give hand-outs back that have not been started."""
        with self.lock:
            is_meant = work.recall(stops)
            for child in self.all_children:
                numbers = child.load.numbers_of(is_meant)
                for number in numbers:
                    child.load.jobs[number].is_recalled = True
                if numbers:
                    child.reclaim(numbers)

    def give_back_unstarted(self, work: FarmWork) -> None:
        """Hand back what was given to children of this farm, and has not been started."""
        with self.lock:
            self.lanes.close(work)
            for child in self.all_children:
                numbers = child.load.numbers_of(lambda job: job.work is work)
                if len(numbers) > 1:
                    child.reclaim(numbers)

    def give_back_running(self, work: FarmWork) -> None:
        """Hand back what runs of this farm, and stop it."""
        with self.lock:
            self._give_back_running(work)

    def assign(self) -> None:
        """Give waiting tasks to children, first to those that have nothing to do."""
        with self.lock:
            children = self.assign_locked()
        for child in children:
            child.flush()

    def assign_locked(self) -> list[Child]:
        """Do the same, with the lock held; returns the children that are to be flushed then."""
        now = time.monotonic()
        children = self.all_children
        if len(children) > 1:
            children = sorted(children, key=lambda child: len(child.load.jobs))
        for place, child in enumerate(children):
            self._filler.fill(child, now, len(children) - place)
        return children.copy()

    def open_lane(
        self, work: FarmWork, child: Child, slave: str, handed: HandedOver, patience_s: float
    ) -> bool:
        """Have a child that has nothing to do ask the master itself; tells whether it does."""
        with self.lock:
            farm = self._farms.by_work.get(work)
            if (
                farm is None
                or child not in farm.prepared
                or child.is_doomed
                or farm.welcome.max_tasks_per_child
                or work.is_limited  # a lane knows of no limits
                or not self.is_alone(work)
            ):
                return False
            frame = self.lanes.open(
                child, work, farm=farm.number, slave=slave, handed=handed, patience_s=patience_s
            )
        is_open = child.open_lane(frame, handed.sock)
        if not is_open:
            with self.lock:
                self.lanes.forget(child)
        return is_open

    def is_alone(self, work: FarmWork) -> bool:
        """Tell whether nobody but this farm gives tasks, to the only slot; the lock is held."""
        return self.slots == 1 and self._farms.are_only(work)

    def is_brief(self, work: FarmWork) -> bool:
        """Tell whether what the only child holds will have ended in a moment; the lock is held."""
        if not self.is_alone(work):
            return False
        return sum([child.load.expected_s for child in self.all_children]) < _BRIEF_S

    def close(self) -> None:
        """End every child. Blocks until they are gone."""
        with self.lock:
            children = self._staff.dismiss()
            may_finish = [one for one in children if not one.load.jobs and self._staff.tear_down]
        self._minder.clock.close()
        end_all(children, may_finish)

    def _give_back_running(self, work: FarmWork) -> None:
        self.lanes.close(work, is_unwanted=True)
        work.give_back_running(self._jobs_of(work))
        self._minder.stop(lambda job: job.work is work)

    def jobs_of(self, work: FarmWork) -> list[Job]:
        """Return what children have of a farm; the lock is held."""
        return self._jobs_of(work) + self.lanes.jobs_of(work)

    def _jobs_of(self, work: FarmWork) -> list[Job]:
        return [
            job
            for child in self.all_children
            for job in child.load.jobs.values()
            if job.work is work
        ]
