"""The slots of a slave: gives waiting tasks to children, and replaces children that die.

::

    link (poll thread)  --take_in, assign-->  Workshop  --frames-->  Child, one a slot
    link (deliver)      <--outcomes--------   a child's own thread: told, refill, deliver
                                              clock: what is overdue, what is to be killed

Who hears a child gives it the next tasks at once, and then has its outcomes delivered; a task goes
through no other thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from masterslave.protocol.hand_outs import Stop
from masterslave.protocol.joining import Welcome
from masterslave.protocol.outcomes import PostMortem
from masterslave.slave.child.frames import DropShared, Ready, Unstarted, Want
from masterslave.slave.children import Child, Frame, LaneClosed, Told
from masterslave.slave.deaths import after_death
from masterslave.slave.lanes import Lanes
from masterslave.slave.load import Pace
from masterslave.slave.minding import Minder
from masterslave.slave.offer import NamedTasks
from masterslave.slave.posting import post_farm, post_jobs
from masterslave.slave.printer import Printer
from masterslave.slave.reports import note_report
from masterslave.slave.shares import Shares
from masterslave.slave.staff import Staff, end_all
from masterslave.slave.work import FarmWork, Job
from remoteobj.handing import HandedOver

__all__ = ["Workshop"]

_BRIEF_S = 0.001
"""Below this, it does not pay to let another thread ask for more meanwhile, in seconds."""


_STAY_S = 2.0
"""Farms with other modules than a child has wait for so long for it, in seconds, while there is
something to do for those that have these: another child costs a tenth of a second."""


@dataclass(eq=False, slots=True)
class _Farm:
    number: int
    work: FarmWork
    welcome: Welcome
    on_outcomes: Callable[[Child | None], None]
    on_lane_closed: Callable[[bytes], None]
    on_want: Callable[[Child, bytes, str], None]
    prepared: set[Child] = field(default_factory=set)


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
        self._farms: dict[FarmWork, _Farm] = {}
        self._numbers = 0
        self._shares: Shares[FarmWork] = Shares()
        self._pace = Pace()
        self._children: list[Child] = []
        self.lanes = Lanes()
        self._printer = Printer(self.lock, self.lanes, shows=shows_output)
        self._minder = Minder(self.lock, self._children, share_bytes)
        self._staff = Staff(
            self._children,
            slots,
            lambda: make_child(self._heard, self._died, self._printer.take),
            self.lock,
            self._minder.clock,
            tear_down=bool(self._named.by_name),
        )

    @property
    def all_children(self) -> list[Child]:
        """Its processes; the lock is held."""
        return self._children

    @property
    def labels(self) -> dict[FarmWork, str]:
        """Of the farms that it serves; the lock is held."""
        return {work: farm.welcome.label for work, farm in self._farms.items()}

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
        on_want: Callable[[Child, bytes, str], None] = lambda child, digest, origin: None,
        on_lines: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve one more farm.

        Args:
            work: What is held for it.
            welcome: What its master has said of it.
            on_outcomes: Called when there may be something to deliver: with a child, in the thread
                that listens to it, which it may keep while the child has nothing to do; or
                without one.
            on_lane_closed: Called before that when a lane was closed, with what the master has
                said in it and was not taken in: packed instructions, or empty.
            on_want: Called with a child that needs a shared object, its hash, and whose it is, in
                the thread that listens to the child.
            on_lines: Called when its tasks have printed something, in any thread.
        """
        with self.lock:
            self._numbers += 1
            self._farms[work] = _Farm(
                self._numbers, work, welcome, on_outcomes, on_lane_closed, on_want
            )
            self._printer.add(self._numbers, work, welcome, on_lines)
            self.lanes.close()
            now = time.monotonic()
            self._shares.add(work, welcome.label, now)
            for child in self._children:
                self._note_occupant(child, now)

    def remove(self, work: FarmWork) -> None:
        """Serve this farm no longer; what runs for it is stopped."""
        with self.lock:
            farm = self._farms.pop(work, None)
            self._printer.remove(work)
            self._shares.remove(work)
            self.lanes.close(work, is_unwanted=True)
            work.waiting.clear()
            work.give_back_running(self._jobs_of(work))
            self._minder.stop(lambda job: job.work is work)
            idle = [] if farm is None else _post_drop(farm, [])
        for child in idle:
            child.flush()

    def drop_shared(self, work: FarmWork, digests: list[bytes]) -> None:
        """Have children let go of shared objects of this farm, when they have a moment."""
        with self.lock:
            farm = self._farms.get(work)
            idle = _post_drop(farm, digests) if farm is not None and digests else []
        for child in idle:
            child.flush()

    def names_in(self, work: FarmWork, digests: Collection[bytes]) -> set[bytes]:
        """Return those of these hashes that what is here of a farm will look for."""
        with self.lock:
            packed = {job.task.arguments for job in (*work.waiting, *self._jobs_of(work))}
            packed |= {job.pickled for job in (*work.waiting, *self._jobs_of(work))}
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
            for child in self._children:
                numbers = [number for number, job in child.load.jobs.items() if is_meant(job)]
                for number in numbers:
                    child.load.jobs[number].is_recalled = True
                if numbers:
                    child.reclaim(numbers)

    def give_back_unstarted(self, work: FarmWork) -> None:
        """Hand back what was given to children of this farm, and has not been started."""
        with self.lock:
            self.lanes.close(work)
            for child in self._children:
                numbers = [n for n, job in child.load.jobs.items() if job.work is work]
                if len(numbers) > 1:
                    child.reclaim(numbers)

    def give_back_running(self, work: FarmWork) -> None:
        """Hand back what runs of this farm, and stop it."""
        with self.lock:
            self.lanes.close(work, is_unwanted=True)
            work.give_back_running(self._jobs_of(work))
            self._minder.stop(lambda job: job.work is work)

    def assign(self) -> None:
        """Give waiting tasks to children, first to those that have nothing to do."""
        with self.lock:
            children = self.assign_locked()
        for child in children:
            child.flush()

    def assign_locked(self) -> list[Child]:
        """Do the same, with the lock held; returns the children that are to be flushed then."""
        now = time.monotonic()
        children = self._children
        if len(children) > 1:
            children = sorted(children, key=lambda child: len(child.load.jobs))
        for place, child in enumerate(children):
            self._fill(child, now, len(children) - place)
        return children.copy()

    def open_lane(
        self, work: FarmWork, child: Child, slave: str, handed: HandedOver, patience_s: float
    ) -> bool:
        """Have a child that has nothing to do ask the master itself; tells whether it does."""
        with self.lock:
            farm = self._farms.get(work)
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
        return self.slots == 1 and len(self._farms) == 1 and work in self._farms

    def is_brief(self, work: FarmWork) -> bool:
        """Tell whether what the only child holds will have ended in a moment; the lock is held."""
        if not self.is_alone(work):
            return False
        expected_s = sum([child.load.expected_s for child in self._children])
        return expected_s < _BRIEF_S

    def close(self) -> None:
        """End every child. Blocks until they are gone."""
        with self.lock:
            children = self._staff.dismiss()
            may_finish = [one for one in children if not one.load.jobs and self._named.by_name]
        self._minder.clock.close()
        end_all(children, may_finish)

    def _fill(self, child: Child, now: float, among: int) -> None:
        """Post what the child is to be given now, as one of so many; the lock is held."""
        load = child.load
        while child.is_ready and not (child.is_doomed or (child.is_overdue and load.jobs)):
            work = self._choose(child, now)
            if work is None:
                return
            farm = self._farms[work]
            head = work.waiting[0]
            is_new = head.task.function != load.last_function
            if is_new and not child.equipment.fits(farm.number, head):
                self._replace(child)
                return
            most = -(-len(work.waiting) // among)
            welcome = farm.welcome
            limit = welcome.max_tasks_per_child
            if limit:
                given = load.given.get(farm.number, 0)
                most = _fitting(work.waiting, limit - given, most) or int(not given)
                if not most:
                    child.is_doomed = True
                    self._staff.retire(child)
                    return
            first = load.calls
            was_idle = not load.jobs
            taken = load.take(work.waiting, self._pace, most)
            if not taken:
                return
            work.running += len(taken)
            self._minder.watch(taken)
            if limit:
                load.given[farm.number] = load.given.get(farm.number, 0) + sum(
                    job.task.count for job in taken
                )
            self._shares.give(work, sum([job.expected_s for job in taken]))
            if was_idle:
                child.heard_at, child.is_overdue = now, False
                self._note_occupant(child, now)
            if child not in farm.prepared:
                farm.prepared.add(child)
                post_farm(child, farm.number, welcome, self._named)
            if is_new and (equip := child.equipment.frame_for(farm.number, head, now)):
                child.post([equip])
            post_jobs(child, farm.number, first, taken)
            if len(load.jobs) > 1:
                self._minder.clock.wake()
            if work.waiting:  # it has its part of them
                return

    def _choose(self, child: Child, now: float) -> FarmWork | None:
        """Return for which farm a child is to run something; the lock is held."""
        if self._shares.is_alone or now - child.equipment.since > _STAY_S:
            return self._shares.choose(_has_waiting, now)

        def suits(work: FarmWork) -> bool:
            return child.equipment.fits(self._farms[work].number, work.waiting[0])

        return self._shares.choose(_has_waiting, now, suits)

    def _replace(self, child: Child) -> None:
        """What comes next needs other versions of modules than the child has; the lock is held.

        It ends first what it has.
        """
        if child in self.lanes:
            self.lanes.close()
        elif not child.load.jobs:
            child.is_doomed = True
            self._staff.retire(child)

    def _heard(self, child: Child, frame: Frame) -> None:
        """A child has said something; in its own thread."""
        told: Iterable[_Farm] = ()
        with self.lock:
            now = time.monotonic()
            match frame:
                case Told():
                    child.heard_at, child.is_overdue = now, False
                    told = self._told(child, frame, now)
                    self._fill(child, now, self.slots)
                case Unstarted():
                    told = self._take_back(child, frame.numbers, now)
                case LaneClosed():
                    told = self._lane_closed(child, frame, now)
                    self._fill(child, now, self.slots)
                case Want():
                    child.waits = True
                    told = [farm for farm in self._farms.values() if farm.number == frame.farm]
                case Ready():
                    child.is_ready = True
                    self._fill(child, now, self.slots)
            if child.is_doomed and not child.load.jobs:
                self._staff.retire(child)
        child.flush()
        if type(frame) is Unstarted:
            self.assign()
        for farm in told:
            if type(frame) is Want:
                farm.on_want(child, frame.digest, frame.origin)
                continue
            if type(frame) is LaneClosed:
                farm.on_lane_closed(frame.answer)
            farm.on_outcomes(child)

    def _lane_closed(self, child: Child, frame: LaneClosed, now: float) -> Iterable[_Farm]:
        """Go on as before a lane."""
        work, job = self.lanes.take_back(child, frame)
        if job is not None:
            self._minder.watch([job])
            child.heard_at, child.is_overdue = now, False
            self._shares.give(work, job.expected_s)
            if job.is_unwanted:
                self._minder.stop(lambda one: one is job)
        farm = self._farms.get(work)
        return (farm,) if farm is not None else ()

    def _told(self, child: Child, told: Told, now: float) -> Iterable[_Farm]:
        """Note what became of calls; returns the farms that are to hear of it."""
        works = note_report(child.load, told, self._pace, self._shares)
        self._note_occupant(child, now)
        return [self._farms[work] for work in works if work in self._farms]

    def _take_back(self, child: Child, numbers: list[int], now: float) -> Iterable[_Farm]:
        """Calls were not started after all."""
        jobs = [job for number in numbers if (job := child.load.drop(number)) is not None]
        self._note_occupant(child, now)
        return self._sort_out(jobs, FarmWork.put_back)

    def _sort_out(
        self, jobs: list[Job], put: Callable[[FarmWork, list[Job]], None]
    ) -> Iterable[_Farm]:
        """Put jobs back, each to its farm; returns the farms that are to hear of it."""
        by_work: dict[FarmWork, list[Job]] = {}
        for job in jobs:
            by_work.setdefault(job.work, []).append(job)
        for work, mine in by_work.items():
            self._shares.take(work, sum(job.expected_s for job in mine))
            put(work, mine)
        return [self._farms[work] for work in by_work if work in self._farms]

    def _note_occupant(self, child: Child, now: float) -> None:
        if self._shares.is_alone:
            return
        job = next(iter(child.load.jobs.values()), None)
        self._shares.occupy(child, job.work if job is not None else None, now)

    def _died(self, child: Child, how: str, output: str) -> None:
        """A child is gone; in its own thread."""
        post_mortem = PostMortem(how, output)
        with self.lock:
            now = time.monotonic()
            for farm in self._farms.values():
                farm.prepared.discard(child)
            lane_of = self.lanes.mourn(child, post_mortem)
            told: set[_Farm] = set()
            for jobs, put in after_death(child, post_mortem):
                told.update(self._sort_out(jobs, put))
            self._note_occupant(child, now)
            if lane_of is not None and lane_of in self._farms:
                told.add(self._farms[lane_of])
            self._staff.bury(child, in_vain=not child.load.calls)
        self.assign()
        for farm in told:
            if lane_of is farm.work:
                farm.on_lane_closed(b"")
            farm.on_outcomes(None)

    def _jobs_of(self, work: FarmWork) -> list[Job]:
        return [
            job for child in self._children for job in child.load.jobs.values() if job.work is work
        ]


def _post_drop(farm: _Farm, digests: list[bytes]) -> list[Child]:
    """Tell a farm's children what to drop; returns those that are to be flushed for it.

    The others are, when they have told of what they run; their pipes may be full until then.
    """
    for child in farm.prepared:
        child.post([DropShared(farm.number, digests)])
    return [child for child in farm.prepared if not child.load.jobs]


def _fitting(waiting: Iterable[Job], left: int, most: int) -> int:
    """Return how many tasks the next hand-outs have: about *most*, and no more than *left*."""
    count = 0
    for job in waiting:
        if count >= most or count + job.task.count > left:
            break
        count += job.task.count
    return count


def _has_waiting(work: FarmWork) -> bool:
    return bool(work.waiting)
