"""Everything that was said to a scheduler and by it, written down from outside.

It knows the rules and nothing of the scheduler's insides: which tasks are open, wait, or are out,
and with whom, follows from the events and orders alone. What breaks a promise at once is noted as
a fault of that promise; ``promises`` reads them. Tasks have to be numbered in a row, from 0.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from masterslave.scheduler.entries import (
    DONE,
    GIVEN_UP,
    OPEN,
    Ask,
    Key,
    Moment,
    Out,
    Seat,
    Submission,
)
from masterslave.scheduler.events import (
    Event,
    HandOut,
    TasksReturned,
    Terms,
    TimePassed,
)
from masterslave.scheduler.feeding import Feeding
from masterslave.scheduler.hearing import Hearing
from masterslave.scheduler.machine import Scheduler
from masterslave.scheduler.orders import (
    AnswerUnable,
    DismissSlave,
    FailFollowers,
    GiveUpTask,
    Order,
    QuarantineSlave,
    RecallTasks,
    SendTasks,
    SettleTasks,
    StopTasks,
)

__all__ = ["Ledger"]

_NONE = (-1, 0, 0)


class Ledger(Hearing):
    """Stands between a script and a scheduler: passes events on, and writes down what they led to.

    Args:
        silence_s: As the scheduler's.
        feeding: As the scheduler's.
    """

    def __init__(self, scheduler: Scheduler, *, silence_s: float, feeding: Feeding) -> None:
        super().__init__(feeding, silence_s)
        self.scheduler = scheduler
        self.event: Event = TimePassed()

    def handle(self, event: Event, now: float) -> list[Order]:
        """Pass an event on, and write down what it led to."""
        self.now, self.event, self.moment = now, event, Moment()
        self.shares.now = now
        self._note_event(event)
        self._end_delays()
        orders = self.scheduler.handle(event, now)
        for order in orders:
            self._note_order(order)
        self._settle_seats()
        self.last_fresh.update(self.moment.fresh)
        return orders

    def _note_order(self, order: Order) -> None:
        match order:
            case SendTasks():
                self._settle_seats()
                for hand_out in order.hand_outs:
                    self._note_sent(order.slave, hand_out)
            case SettleTasks():
                self._note_settled(order.hand_outs)
            case StopTasks():
                self._note_stopped(order)
            case GiveUpTask():
                self._note_given_up(order)
            case AnswerUnable():
                self._note_answered(order)
            case FailFollowers():
                self._note_followers_failed(order)
            case RecallTasks():
                self._note_recalled(order)
            case DismissSlave():
                if order.slave not in self.moment.silent:
                    self.faults["dismissed though heard"].append(order.slave)
                self.moment.silent.discard(order.slave)
                self._note_left(order.slave, in_peace=False)
            case QuarantineSlave():
                self._note_quarantined(order)
            case _:
                self._note_released(order.slave)

    def _note_settled(self, hand_outs: Sequence[HandOut]) -> None:
        slave = self.event.slave if isinstance(self.event, TasksReturned) else ""
        answers, raised, failed_at = self.moment.answers, self.moment.raised, self.failed_at
        for hand_out in hand_outs:
            tasks = range(hand_out.task, hand_out.task + hand_out.count)
            for task in tasks:
                if not self.is_open(task):
                    self.faults["settled twice"].append(task)
                if answers.pop(task, None) != hand_out.attempt:
                    self.faults["settled without outcome"].append((task, hand_out))
                if task in failed_at and task not in raised:
                    self.against.update(name for name in failed_at[task] if name != slave)
            self.counts["done"] += len(tasks)
            self._end(tasks, DONE)

    def _note_stopped(self, order: StopTasks) -> None:
        for hand_out in order.hand_outs:
            key = (hand_out.task, hand_out.attempt)
            if key in self.moment.returned:
                continue
            if key not in self.moment.stops or self.out[key].slave != order.slave:
                self.faults["stopped though wanted"].append((order.slave, hand_out))
            self._end_attempt(hand_out, order.slave)

    def _note_given_up(self, order: GiveUpTask) -> None:
        is_due = order.task in self.moment.give_ups
        if not is_due or len(order.story) != self.losses[order.task]:
            self.faults["given up wrongly"].append(order)
        self.moment.give_ups.discard(order.task)
        self.counts["given_up"] += 1
        self._end(range(order.task, order.task + 1), GIVEN_UP)

    def _note_followers_failed(self, order: FailFollowers) -> None:
        for row in order.tasks:
            if not self.moment.follow.issuperset(row) or (
                order.predecessor not in self.submission_of(row.start).blocked_by
            ):
                self.faults["failed though none failed before"].append(order)
            self.moment.follow.difference_update(row)
            self.counts["given_up"] += len(row)
            self._end(row, GIVEN_UP)

    def _note_answered(self, order: AnswerUnable) -> None:
        for row in order.tasks:
            if not self.moment.unable.issuperset(row):
                self.faults["answered though somebody is able"].append(row)
            self.moment.unable.difference_update(row)
            self.counts["given_up"] += len(row)
            self._end(row, GIVEN_UP)

    def _note_sent(self, name: str, hand_out: HandOut) -> None:
        tasks = range(hand_out.task, hand_out.task + hand_out.count)
        key = (hand_out.task, hand_out.attempt)
        seat = self.seats.get(name)
        if seat is not None and seat.is_quarantined:
            self._check_trial(seat, key)
        elif seat is None or not seat.able:
            self.faults["sent to who takes nothing"].append((name, hand_out))
            return
        submission = self.submission_of(tasks.start)
        terms = submission.terms
        self._check_place(seat, hand_out, terms)
        self._check_chunk(tasks, submission)
        if self.status.count(OPEN, tasks.start, tasks.stop) != len(tasks):
            self.faults["sent after its end"].append(hand_out)
        latest = self.latest[tasks.start : tasks.stop]
        if max(latest) >= hand_out.attempt:
            self.faults["number used before"].append(hand_out)
        for task in tasks if hand_out.attempt > 1 else ():
            self.earlier[task, self.latest[task]] = self.holder[task]
        self.latest[tasks.start : tasks.stop] = array("l", [hand_out.attempt]) * len(tasks)
        self.holder[tasks.start : tasks.stop] = [name] * len(tasks)
        self.counts["handed_out"] += len(tasks)
        self.counts["handed_out_again"] += len(tasks) if hand_out.attempt > 1 else 0
        first, second = self.cover
        out = Out(name, tasks, terms, None, len(tasks), size=submission.bytes_of(tasks))
        if any(map(first.__contains__, tasks)) or any(map(second.__contains__, tasks)):
            self._check_second(name, hand_out, tasks)
            second.update(dict.fromkeys(tasks, key))
        else:
            self._check_turn(name, hand_out, tasks, terms)
            self._check_balance(tasks, submission)
            self._wait(submission, -len(tasks))
            first.update(dict.fromkeys(tasks, key))
        self.out[key] = out
        expected_s = self.scheduler.state.tasks[key[0]].expected_s
        self.shares.charge(terms.owner, key, expected_s)
        self._seat_hand_out(seat, key, out)

    def _seat_hand_out(self, seat: Seat, key: Key, out: Out) -> None:
        if len(seat.started) < seat.slots:
            self._start(seat, key, out)
        else:
            self._check_ahead(seat, out)
            self.moment.asked_ahead.add(self.ask_of(out.terms))
            out.expected_s = self.scheduler.state.tasks[key[0]].expected_s
            seat.ahead[key] = None
            seat.ahead_s += out.expected_s
            seat.ahead_bytes += out.size
            self.moment.fed_ahead[seat.name] += len(out.tasks)
        self._touch(seat.name)

    def _check_place(self, seat: Seat, hand_out: HandOut, terms: Terms) -> None:
        """Note it when a slave is sent what it does not meet."""
        if not terms.tags <= seat.tags:
            self.faults["tags"].append((seat.name, hand_out))
        if terms.function in seat.unable:
            self.faults["sent to who is unable"].append((seat.name, hand_out))

    def _check_trial(self, seat: Seat, key: Key) -> None:
        """Note it when a slave in quarantine is tried that must not be."""
        is_early = self.now - seat.tried_at < self.feeding.quarantine_s - 1e-9
        if is_early or seat.started or seat.ahead or not seat.slots:
            self.faults["sent to who takes nothing"].append((seat.name, key))
        seat.tried_at, seat.trial = self.now, key

    def _check_chunk(self, tasks: range, submission: Submission) -> None:
        """Note it when more go out together than may."""
        most = submission.terms.chunk or self.feeding.max_chunk
        if tasks.stop > submission.stop or len(tasks) > (most if submission.is_span else 1):
            self.faults["chunk"].append(tasks)
        if len(tasks) > 1 and not self.suspects.isdisjoint(tasks):
            self.faults["suspects together"].append(tasks)

    def _check_balance(self, tasks: range, submission: Submission) -> None:
        """Note it when more go out together than should, if the scheduler chooses."""
        waited = self.moment.waited.setdefault(submission.first, submission.waiting)
        if len(tasks) > 1 and not submission.terms.chunk:
            chunk_s = self.feeding.chunk_s
            fastest_s = self.fastest.get(submission.terms.function, chunk_s)
            slots = self.slots_of[self.ask_of(submission.terms)]
            share = -(-waited // (2 * max(1, slots)))
            if (len(tasks) - 1) * fastest_s > chunk_s or len(tasks) > share:
                self.faults["chunk"].append((tasks, waited, slots, fastest_s))

    def _check_turn(self, name: str, hand_out: HandOut, tasks: range, terms: Terms) -> None:
        """Note it when tasks are handed out that should not be, or not yet."""
        ask, submission = self.ask_of(terms), self.submission_of(tasks.start)
        self._check_share(ask, terms)
        if submission.blocked_by:
            self.faults["sent before its predecessors"].append(hand_out)
        self.moment.sent.setdefault(name, []).append((terms.priority, ask))
        if self.delayed and any(task in self.delayed for task in tasks):
            self.faults["sent before its delay"].append(hand_out)
        if hand_out.attempt == 1:
            line, fresh = (ask, terms.priority, terms.owner), self.moment.fresh
            first = submission.turn or (tasks.start, 1, 0)
            if self.last_fresh.get(line, _NONE) > first:
                self.faults["out of order"].append(hand_out)
            last = submission.turn or (tasks[-1], 1, 0)
            fresh[line] = max(fresh.get(line, _NONE), last)

    def _check_share(self, ask: Ask, terms: Terms) -> None:
        """Note it when an owner is served though another one waits that has got less meanwhile."""
        waiting = self.owners[ask, terms.priority]
        if sum(map(bool, waiting.values())) < 2:
            return
        used_s, slots = self.shares.used_s, self.slots_of[ask]
        slack_s = self.feeding.feed_ahead_s * (3 + 2 * slots) + self.longest_s * slots
        for other in (name for name, count in waiting.items() if count and name != terms.owner):
            before = self.waits_since.get((ask, terms.priority, other), {})
            its_s, others_s = before.get(terms.owner, 0.0), before.get(other, 0.0)
            more_s = (used_s(terms.owner) - its_s) - (used_s(other) - others_s)
            if terms.owner in before and more_s > max(0.0, others_s - its_s) + slack_s:
                self.faults["served out of turn"].append((terms, other, more_s))

    def _check_ahead(self, seat: Seat, out: Out) -> None:
        feed, function = self.feeding, out.terms.function
        is_full = not seat.has_room(feed) or out.size > feed.ahead_bytes or out.terms.needs
        fastest_s = self.fastest.get(function)
        if is_full or fastest_s is None or fastest_s * len(out.tasks) > feed.feed_ahead_s + 1e-6:
            self.faults["overfed"].append((seat.name, out.tasks, seat.ahead_s, fastest_s))

    def _check_second(self, name: str, hand_out: HandOut, tasks: range) -> None:
        """Note it when a second attempt is made that must not be."""
        first = self.out.get(self.cover[0].get(tasks.start, (-1, -1)))
        if (
            first is None
            or first.tasks != tasks
            or first.slave == name
            or first.since is None
            or not first.terms.repeatable
            or any(map(self.cover[1].__contains__, tasks))
            or not self.doubled.isdisjoint(tasks)
            or self.waiting_of[self.ask_of(first.terms)]
            or self.now - first.since < self.patience_s(first) - 1e-9
        ):
            self.faults["second attempt"].append((name, hand_out))
        self.doubled.update(tasks)
        self.counts["speculated"] += len(tasks)

    def _note_recalled(self, order: RecallTasks) -> None:
        seat = self.seats[order.slave]
        if all((one.task, one.attempt) in self.moment.thinned for one in order.hand_outs):
            self._note_thinned_recalled(seat, order)
            return
        if not seat.is_quarantined:
            self._settle_seats()
            asks = {self.ask_of(self.submission_of(one.task).terms) for one in order.hand_outs}
            for ask in asks:
                if self.waiting_of[ask] or self.recalls >= self.free_slots_for(ask):
                    self.faults["recalled for nothing"].append(order)
            if seat.recalled or len(asks) > 1:
                self.faults["recalled for nothing"].append(order)
        for hand_out in order.hand_outs:
            key = (hand_out.task, hand_out.attempt)
            if key not in seat.ahead or key in seat.recalled:
                self.faults["recalled for nothing"].append((order.slave, hand_out))
            seat.recalled.add(key)
            self.recalls += 1
            self.moment.recalls.discard(key)
            self.counts["recalled"] += hand_out.count

    def _note_thinned_recalled(self, seat: Seat, order: RecallTasks) -> None:
        for hand_out in order.hand_outs:
            key = (hand_out.task, hand_out.attempt)
            self.moment.thinned.discard(key)
            if key in seat.recalled:
                self.faults["recalled for nothing"].append((order.slave, hand_out))
            if key in seat.ahead:
                seat.recalled.add(key)
                self.recalls += 1
                self.counts["recalled"] += hand_out.count

    def _note_quarantined(self, order: QuarantineSlave) -> None:
        seat = self.seats[order.slave]
        if self.against[order.slave] < 3 or len(order.evidence) < 3:
            self.faults["quarantined without evidence"].append(order)
        if self.able - seat.able < 1:
            self.faults["the last one quarantined"].append(order.slave)
        self.counts["slaves_quarantined"] += 1
        seat.is_quarantined, seat.tried_at = True, self.now
        self.moment.recalls.update(key for key in seat.ahead if key not in seat.recalled)
        self._touch(order.slave)

    def _note_released(self, name: str) -> None:
        if name not in self.moment.releases:
            self.faults["released for nothing"].append(name)
        self.moment.releases.discard(name)
        seat = self.seats[name]
        seat.is_quarantined, seat.trial = False, None
        self.against[name] = 0
        self.counts["slaves_released"] += 1
        self._touch(name)
