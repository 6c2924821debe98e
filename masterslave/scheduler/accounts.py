"""The accounts of the ledger: which tasks are open, wait, or are out, and with whom."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import Counter, OrderedDict, defaultdict, deque
from heapq import heappop

from masterslave.scheduler.entries import (
    CANCELLED,
    DONE,
    OPEN,
    Ask,
    Key,
    Line,
    Moment,
    Out,
    Seat,
    Submission,
)
from masterslave.scheduler.estimates import WINDOW, bar_of
from masterslave.scheduler.events import HandOut, Terms
from masterslave.scheduler.feeding import Feeding
from masterslave.scheduler.shares import SWEEP_S, Shares

__all__ = ["Accounts"]


class Accounts:
    """What follows from events and orders, and the faults that were found in them.

    Attributes:
        now: The time of the last event.
        moment: What the last event has to lead to.
        faults: What broke a promise, by words for it.
        status: Of each task.
    """

    def __init__(self, feeding: Feeding) -> None:
        self.feeding = feeding
        self.now = 0.0
        self.moment = Moment()
        self.faults: defaultdict[str, list[object]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.status = bytearray()
        self.latest = array("l")
        """Number of the latest hand-out of each task."""
        self.holder: list[str] = []
        """Who was handed it."""
        self.earlier: dict[Key, str] = {}
        """Who was handed those before it: by task and number."""
        self.submissions: list[Submission] = []
        self._firsts: list[int] = []
        self.losses: Counter[int] = Counter()
        self.retried: Counter[int] = Counter()
        self.doubled: set[int] = set()
        self.suspects: set[int] = set()
        self.failed_at: defaultdict[int, list[str]] = defaultdict(list)
        self.against: Counter[str] = Counter()
        self.out: dict[Key, Out] = {}
        self.cover: tuple[dict[int, Key], dict[int, Key]] = ({}, {})
        """Which hand-outs a task is out in: its first, and its second one."""
        self.waiting: Counter[tuple[Ask, int]] = Counter()
        """Tasks that wait, by what they ask for and by priority; ``waiting_of``: by the former."""
        self.waiting_of: Counter[Ask] = Counter()
        self.waiting_count = 0
        self.last_waited: dict[Ask, float] = {}
        self.partial: set[int] = set()
        """Functions that some slave cannot run."""
        self.slots_of: dict[Ask, int] = {}
        """Slots of all slaves that get tasks and meet what is asked for."""
        self.delayed: dict[int, float] = {}
        self._dues: list[tuple[float, int]] = []
        self.seats: dict[str, Seat] = {}
        self.heard: OrderedDict[str, float] = OrderedDict()
        self.free_slots = 0
        self.free_seats: dict[str, Seat] = {}
        self.able = 0
        self.recalls = 0
        self.last_fresh: dict[Line, tuple[int, int, int]] = {}
        self.followers: dict[int, list[Submission]] = {}
        self._released = 0
        self._touched: dict[str, Seat] = {}
        self._know_nothing()

    def _know_nothing(self) -> None:
        self.owners: defaultdict[tuple[Ask, int], Counter[str]] = defaultdict(Counter)
        """Whose tasks wait, and how many, by what they ask for and by priority."""
        self.shares = Shares(self.feeding.feed_ahead_s)
        """What each owner uses; nobody is taken to have used more."""
        self.waits_since: dict[Line, dict[str, float]] = {}
        """What each owner had used when the tasks of one began to wait in a line."""
        self.longest_s = SWEEP_S
        """What a hand-out took, at most."""
        self.known: Counter[int] = Counter()
        """Outcomes of each function."""
        self.known_since: dict[int, float] = {}
        """Since when the bar of each function is as low as it is."""
        self.fastest: dict[int, float] = {}
        self.latest_s: defaultdict[int, deque[float]] = defaultdict(deque)
        """What the last ones of each function took, per item; ``ordered``: the same, sorted."""
        self.ordered: defaultdict[int, list[float]] = defaultdict(list)

    def ask_of(self, terms: Terms) -> Ask:
        """Return what tasks on these terms ask of a slave."""
        function = terms.function if terms.function in self.partial else -1
        ask = terms.needs, terms.tags, function
        if ask not in self.slots_of:
            self._count_slots(ask)
        return ask

    def free_slots_for(self, ask: Ask) -> int:
        """Return how many slots are free for such tasks."""
        return sum(seat.free for seat in self.free_seats.values() if seat.can_take(ask))

    def _count_slots(self, ask: Ask) -> None:
        seats = self.seats.values()
        self.slots_of[ask] = sum(seat.able_slots for seat in seats if seat.meets(ask))

    def was_handed(self, slave: str, task: int, attempt: int) -> bool:
        """Tell whether a slave was handed this attempt at a task."""
        if attempt == self.latest[task]:
            return self.holder[task] == slave
        return self.earlier.get((task, attempt)) == slave

    def is_open(self, task: int) -> bool:
        """Tell whether a task was submitted and has no end yet."""
        return task < len(self.status) and self.status[task] == OPEN

    def is_covered(self, task: int) -> bool:
        """Tell whether a task is out."""
        return task in self.cover[0] or task in self.cover[1]

    def next_due(self) -> float | None:
        """Return when the next delay ends."""
        dues = self._dues
        while dues and self.delayed.get(dues[0][1]) != dues[0][0]:
            heappop(dues)
        return dues[0][0] if dues else None

    def submission_of(self, task: int) -> Submission:
        """Return what a task was submitted with."""
        return self.submissions[bisect_right(self._firsts, task) - 1]

    def patience_s(self, out: Out) -> float:
        """Return how long a hand-out may run before it may be tried a second time."""
        function = out.terms.function
        if self.known[function] < 3:
            return float("inf")
        bar_s = bar_of(self.ordered[function]) * len(out.tasks)
        return max(self.feeding.straggler_factor * bar_s, self.feeding.straggler_min_s)

    def _hear(self, name: str) -> None:
        if name in self.heard:
            self.heard[name] = self.now
            self.heard.move_to_end(name)

    def _learn(self, function: int, item_s: float) -> None:
        self.known[function] += 1
        if self.known[function] == 3:
            self.known_since[function] = self.now
        self.fastest[function] = min(self.fastest.get(function, item_s), item_s)
        latest_s, ordered = self.latest_s[function], self.ordered[function]
        bar_before_s = bar_of(ordered) if ordered else 0.0
        latest_s.append(item_s)
        insort(ordered, item_s)
        if len(latest_s) > WINDOW:
            del ordered[bisect_left(ordered, latest_s.popleft())]
        if bar_of(ordered) < bar_before_s and function in self.known_since:
            self.known_since[function] = self.now

    def _end_attempt(
        self, hand_out: HandOut, slave: str, took_s: float | None = None
    ) -> Out | None:
        """Note that a hand-out is not out any more; returns what it was, None if it was not out,
        or with another slave.
        """
        key = (hand_out.task, hand_out.attempt)
        out = self.out.get(key)
        if out is None or len(out.tasks) != hand_out.count or out.slave != slave:
            return None
        del self.out[key]
        if took_s is None:
            took_s = 0.0 if out.since is None else self.now - out.since
        self.shares.settle(key, took_s)
        self.longest_s = max(self.longest_s, took_s)
        self.moment.stops.discard(key)
        seat = self.seats.get(out.slave)
        if seat is not None:
            self._unseat_hand_out(seat, key, out)
        first, second = self.cover
        freed = 0
        for task in out.tasks:
            if first.get(task) == key:
                if task in second:
                    first[task] = second.pop(task)
                    continue
                del first[task]
            elif second.get(task) == key:
                del second[task]
                continue
            else:
                continue
            freed += self.status[task] == OPEN
        if freed:
            self._wait(self.submission_of(out.tasks.start), freed)
        return out

    def _unseat_hand_out(self, seat: Seat, key: Key, out: Out) -> None:
        if key in seat.started:
            self._unstart(seat, key, out)
        else:
            del seat.ahead[key]
            seat.leave_ahead(out)
        self._end_recall(seat, key)
        self._touch(seat.name)

    def _end(self, tasks: range, status: int) -> None:
        """Note that tasks have ended, all of one submission."""
        waited = 0
        for task in tasks:
            if not self.is_open(task):
                continue
            self.status[task] = status
            if status == CANCELLED:
                self.moment.follow.discard(task)
            keys = [key for key in (cover.pop(task, None) for cover in self.cover) if key]
            for key in keys:
                self.out[key].open -= 1
                if status == CANCELLED:
                    self.moment.thinned.add(key)
                if not self.out[key].open:
                    self.moment.stops.add(key)
                    self.moment.thinned.discard(key)
            if not keys:
                waited += self.delayed.pop(task, None) is None
            for submission in self.followers.pop(task, ()):
                has_failed = status != DONE or task in self.moment.failed
                self._note_predecessor(submission, task, has_failed=has_failed)
        submission = self.submission_of(tasks.start)
        if waited and not submission.blocked_by:
            self._wait(submission, -waited)

    def _note_predecessor(self, submission: Submission, task: int, *, has_failed: bool) -> None:
        """Note that a task has ended that a submission was to follow."""
        if task not in submission.blocked_by:
            return
        of_it = filter(self.is_open, range(submission.first, submission.stop))
        if has_failed:
            self.moment.follow.update(of_it)
            return
        submission.blocked_by.discard(task)
        if not submission.blocked_by:
            self._released += 1
            submission.turn = len(self.status), 0, self._released
            self._ask_again(submission)
            self._wait(submission, sum(1 for _ in of_it))

    def _ask_again(self, submission: Submission) -> None:
        """If nobody is able to run what is submitted, all who could are asked anew."""
        ask = self.ask_of(submission.terms)
        if ask[2] >= 0 and not any(seat.meets(ask) for seat in self.seats.values()):
            for seat in self.seats.values():
                if seat.could_meet(ask):
                    seat.unable.discard(ask[2])
                    self._touch(seat.name)
            for known in self.slots_of:
                self._count_slots(known)

    def _wait(self, submission: Submission, count: int) -> None:
        ask = self.ask_of(submission.terms)
        submission.waiting += count
        line = (ask, submission.terms.priority)
        self.waiting[line] += count
        self.waiting_of[ask] += count
        self.waiting_count += count
        if count > 0:
            self.moment.stirred.add(ask)
            self._note_owner(line, submission.terms.owner)
        self.owners[line][submission.terms.owner] += count
        if self.waiting_of[ask]:
            self.last_waited[ask] = self.now

    def _note_owner(self, line: tuple[Ask, int], owner: str) -> None:
        """Tasks of an owner are to wait in a line."""
        self.shares.enter(owner)
        if not self.owners[line][owner]:
            self.waits_since[*line, owner] = self.shares.used_by_all()

    def _end_delays(self) -> None:
        while (due := self.next_due()) is not None and due <= self.now:
            _, task = heappop(self._dues)
            del self.delayed[task]
            self._wait(self.submission_of(task), 1)

    def _end_recall(self, seat: Seat, key: Key) -> None:
        if key in seat.recalled:
            seat.recalled.discard(key)
            self.recalls -= 1

    def _touch(self, name: str) -> None:
        self._touched[name] = self.seats[name]

    def _start(self, seat: Seat, key: Key, out: Out) -> None:
        out.since = self.now
        seat.started[key] = None
        for name, amount in out.terms.needs:
            used = seat.used[name] = seat.used.get(name, 0.0) + amount
            if used > seat.offers.get(name, 0.0) + 1e-6:
                self.faults["needs exceeded"].append((seat.name, out.tasks, name))

    def _unstart(self, seat: Seat, key: Key, out: Out) -> None:
        del seat.started[key]
        for name, amount in out.terms.needs:
            seat.used[name] -= amount

    def _settle_seats(self) -> None:
        """Have the slaves of which something has changed start what they can."""
        for seat in self._touched.values():
            while seat.ahead and len(seat.started) < seat.slots:
                key, _ = seat.ahead.popitem(last=False)
                self._start(seat, key, self.out[key])
                seat.leave_ahead(self.out[key])
                self._end_recall(seat, key)
            able = int(seat.slots > 0 and not seat.is_quarantined)
            free = max(0, seat.slots - len(seat.started)) if able else 0
            self.free_slots += free - seat.free
            self.able += able - seat.able
            more = able * seat.slots - seat.able_slots
            for ask in self.slots_of if more else ():
                self.slots_of[ask] += more * seat.meets(ask)
            seat.able_slots = able * seat.slots
            if free and not seat.free:
                seat.free_since = self.now
            seat.free, seat.able = free, able
            if free:
                self.free_seats[seat.name] = seat
            else:
                self.free_seats.pop(seat.name, None)
            self.moment.touched.add(seat.name)
        self._touched.clear()
