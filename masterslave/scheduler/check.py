"""What is promised about the scheduler: one function a promise, each raising ``BrokenPromise``.

A ``Ledger`` stands between a test and a scheduler: it passes events on, writes down what was said,
and knows nothing of the scheduler's insides. Promises about its state look at ``scheduler.state``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from masterslave.scheduler.events import (
    Event,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    SlaveAsked,
    SlaveHeard,
    SlaveJoined,
    SlaveLeft,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
)
from masterslave.scheduler.machine import Scheduler
from masterslave.scheduler.orders import (
    DismissSlave,
    GiveUpTask,
    Order,
    SendTasks,
    SettleTasks,
    StopTasks,
)
from masterslave.scheduler.transitions import Phase

__all__ = ["PROMISES", "BrokenPromise", "Ledger", "check_all"]


class BrokenPromise(AssertionError):
    """The scheduler did what it must not."""


@dataclass
class Ledger:
    """Everything that was said to a scheduler and by it, counted from outside."""

    scheduler: Scheduler
    silence_s: float
    max_attempts: int
    submitted: set[int] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    cancelled: set[int] = field(default_factory=set)
    sent: dict[HandOut, str] = field(default_factory=dict)
    sent_twice: list[HandOut] = field(default_factory=list)
    sent_to_strangers: list[str] = field(default_factory=list)
    sent_after_end: list[int] = field(default_factory=list)
    answered_without_outcome: list[HandOut] = field(default_factory=list)
    stopped: set[HandOut] = field(default_factory=set)
    pointless: set[HandOut] = field(default_factory=set)
    losses: Counter[int] = field(default_factory=Counter)
    stories: dict[int, int] = field(default_factory=dict)
    due: list[int] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)
    fed_ahead: list[str] = field(default_factory=list)
    credit: Counter[str] = field(default_factory=Counter)
    overdrawn: list[str] = field(default_factory=list)
    present: dict[str, float] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    out: dict[HandOut, str] = field(default_factory=dict)
    now: float = 0.0

    def handle(self, event: Event, now: float) -> list[Order]:
        """Pass an event on, and write down what it led to."""
        self.now = now
        self.due = []
        self._note_event(event)
        orders = self.scheduler.handle(event, now)
        for order in orders:
            self._note_order(order, event)
        self.unanswered += [task for task in self.due if not self.answers[task]]
        self._note_who_was_fed_ahead(orders)
        return orders

    def _note_event(self, event: Event) -> None:
        match event:
            case TasksReturned() | HandOutsGivenBack() | HandOutsLost():
                self._note_hand_outs(event)
            case TasksSubmitted():
                self.submitted.update(event.tasks)
            case TasksCancelled():
                for task in event.tasks:
                    if self.is_open(task):
                        self.cancelled.add(task)
                        self._end(task)
            case SlaveJoined():
                self.present[event.slave] = self.now
                self.slots[event.slave] = event.slots
            case SlaveAsked():
                if event.slave in self.present:
                    self.credit[event.slave] = max(0, event.credit)
                self._hear(event.slave)
            case SlaveHeard():
                self._hear(event.slave)
            case SlaveLeft():
                self._forget(event.slave, in_peace=event.in_peace)

    def _note_hand_outs(self, event: TasksReturned | HandOutsGivenBack | HandOutsLost) -> None:
        for hand_out in event.hand_outs:
            was_out = self.out.pop(hand_out, None) is not None
            if isinstance(event, HandOutsLost):
                self.losses[hand_out.task] += was_out
            is_ours = hand_out in self.sent and self.is_open(hand_out.task)
            if isinstance(event, TasksReturned) and is_ours:
                self.due.append(hand_out.task)

    def _note_order(self, order: Order, event: Event) -> None:
        match order:
            case SendTasks():
                if order.slave not in self.present:
                    self.sent_to_strangers.append(order.slave)
                for hand_out in order.hand_outs:
                    self._note_sent(order.slave, hand_out)
            case SettleTasks():
                for hand_out in order.hand_outs:
                    self.answers[hand_out.task] += 1
                    self._end(hand_out.task)
                    if not isinstance(event, TasksReturned) or hand_out not in event.hand_outs:
                        self.answered_without_outcome.append(hand_out)
            case GiveUpTask():
                self.answers[order.task] += 1
                self.stories[order.task] = len(order.story)
                self._end(order.task)
            case StopTasks():
                self.stopped.update(order.hand_outs)
            case DismissSlave():
                self._forget(order.slave, in_peace=False)

    def _note_sent(self, slave: str, hand_out: HandOut) -> None:
        if hand_out in self.sent:
            self.sent_twice.append(hand_out)
        if not self.is_open(hand_out.task):
            self.sent_after_end.append(hand_out.task)
        self.sent[hand_out] = slave
        self.out[hand_out] = slave
        self.credit[slave] -= 1
        if self.credit[slave] < 0:
            self.overdrawn.append(slave)

    def is_open(self, task: int) -> bool:
        """Tell whether a task was submitted and has no end yet."""
        return task in self.submitted and not self.answers[task] and task not in self.cancelled

    def _end(self, task: int) -> None:
        for hand_out in [known for known in self.out if known.task == task]:
            del self.out[hand_out]
            self.pointless.add(hand_out)

    def _hear(self, slave: str) -> None:
        if slave in self.present:
            self.present[slave] = self.now

    def _forget(self, slave: str, *, in_peace: bool) -> None:
        if slave not in self.present:
            return
        del self.present[slave]
        self.credit.pop(slave, None)
        held = self._held_by(slave)
        for hand_out in held:
            del self.out[hand_out]
        if not in_peace:  # what it held beyond its slots had not been started
            self.losses.update(hand_out.task for hand_out in held[: self.slots[slave]])

    def _held_by(self, slave: str) -> list[HandOut]:
        return [hand_out for hand_out, holder in self.out.items() if holder == slave]

    def _note_who_was_fed_ahead(self, orders: list[Order]) -> None:
        def has_room(slave: str) -> bool:
            return len(self._held_by(slave)) < self.slots[slave]

        fed = [o.slave for o in orders if isinstance(o, SendTasks) and o.slave in self.present]
        if any(credit > 0 and has_room(slave) for slave, credit in self.credit.items()):
            self.fed_ahead += [
                slave for slave in fed if len(self._held_by(slave)) > self.slots[slave]
            ]


def every_task_is_answered_at_most_once(ledger: Ledger) -> None:
    """A task gets one answer, however many attempts of it are delivered, and however often."""
    _none(task for task, count in ledger.answers.items() if count > 1)


def nothing_is_lost(ledger: Ledger) -> None:
    """A task without an end waits in the queue, or is out with a slave that is here."""
    state = ledger.scheduler.state
    queued = set(state.queue)
    for task in ledger.submitted:
        if not ledger.is_open(task):
            continue
        known = state.tasks.get(task)
        if known is None:
            raise BrokenPromise(f"task {task} is forgotten")
        if known.phase is Phase.WAITING and task not in queued:
            raise BrokenPromise(f"task {task} waits, but not in the queue")
        if known.phase is Phase.OUT and not any(s in ledger.present for s in known.live.values()):
            raise BrokenPromise(f"task {task} is out with nobody")


def an_answer_is_an_outcome_that_was_delivered(ledger: Ledger) -> None:
    """A task is settled by the outcome of one of its own attempts, in the moment it comes."""
    _none(ledger.answered_without_outcome)


def the_first_outcome_is_the_answer(ledger: Ledger) -> None:
    """Whatever attempt it is of, and whoever brings it: also a slave that had been given up."""
    _none(ledger.unanswered)


def free_slots_come_first(ledger: Ledger) -> None:
    """Nobody is fed ahead while somebody who would take a task has a free slot."""
    _none(ledger.fed_ahead)


def attempts_have_numbers_of_their_own(ledger: Ledger) -> None:
    """No hand-out is made twice, so that an outcome says which attempt it is of."""
    _none(ledger.sent_twice)


def what_has_ended_is_not_handed_out(ledger: Ledger) -> None:
    """A cancelled, settled or given-up task does not start any more."""
    _none(ledger.sent_after_end)


def pointless_attempts_are_stopped(ledger: Ledger) -> None:
    """When a task ends, the slaves that still work on it are told to stop."""
    _none(ledger.pointless - ledger.stopped)


def attempts_are_bounded(ledger: Ledger) -> None:
    """A task whose hand-outs are lost too often is given up, no sooner and no later, and its story
    has a line for each.
    """
    limit = ledger.max_attempts
    _none(t for t, count in ledger.losses.items() if count >= limit and ledger.is_open(t))
    _none(t for t, lines in ledger.stories.items() if lines != limit or ledger.losses[t] != limit)


def no_slot_idles_while_a_task_waits(ledger: Ledger) -> None:
    """While a slave has credit, no task waits."""
    state = ledger.scheduler.state
    hungry = [
        slave for slave, credit in ledger.credit.items() if credit > 0 and slave in state.slaves
    ]
    waiting = [t.id for t in state.tasks.values() if t.phase is Phase.WAITING]
    if hungry and waiting:
        raise BrokenPromise(f"{waiting} wait while {hungry} would take them")


def nobody_gets_more_than_he_asked_for(ledger: Ledger) -> None:
    """Hand-outs never exceed the credit that the slave gave."""
    _none(ledger.overdrawn)


def who_is_gone_gets_nothing(ledger: Ledger) -> None:
    """Only slaves that are here get tasks."""
    _none(ledger.sent_to_strangers)
    _none(set(ledger.scheduler.state.slaves) ^ set(ledger.present))


def silence_is_noticed(ledger: Ledger) -> None:
    """The next deadline is named, and is that of the slave that has been silent the longest."""
    heard = [*ledger.present.values()]
    due = min(heard) + ledger.silence_s if heard else None
    if ledger.scheduler.next_deadline() != due:
        raise BrokenPromise(f"deadline {ledger.scheduler.next_deadline()}, due is {due}")


def the_counts_are_right(ledger: Ledger) -> None:
    """What is shown to people is what happened."""
    counts, state = ledger.scheduler.state.counts, ledger.scheduler.state
    answered = sum(ledger.answers.values())
    if counts.done + counts.given_up != answered or counts.submitted != len(ledger.submitted):
        raise BrokenPromise(f"counted {counts}, but {answered} were answered")
    if counts.handed_out != len(ledger.sent):
        raise BrokenPromise(f"counted {counts.handed_out} hand-outs of {len(ledger.sent)}")
    if state.waiting != sum(t.phase is Phase.WAITING for t in state.tasks.values()):
        raise BrokenPromise(f"counted {state.waiting} waiting tasks")


def _none(found: Iterable[object]) -> None:
    culprits = list(found)
    if culprits:
        raise BrokenPromise(f"not kept for {culprits[:5]}")


PROMISES = (
    every_task_is_answered_at_most_once,
    nothing_is_lost,
    an_answer_is_an_outcome_that_was_delivered,
    the_first_outcome_is_the_answer,
    free_slots_come_first,
    attempts_have_numbers_of_their_own,
    what_has_ended_is_not_handed_out,
    pointless_attempts_are_stopped,
    attempts_are_bounded,
    no_slot_idles_while_a_task_waits,
    nobody_gets_more_than_he_asked_for,
    who_is_gone_gets_nothing,
    silence_is_noticed,
    the_counts_are_right,
)


def check_all(ledger: Ledger) -> None:
    """Check every promise.

    Raises:
        BrokenPromise: One is broken; the message says which and how.
    """
    for promise in PROMISES:
        try:
            promise(ledger)
        except BrokenPromise as error:
            raise BrokenPromise(f"{promise.__name__.replace('_', ' ')}: {error}") from None
