"""The scheduler itself: ``handle(event, now) -> orders``.

Its promises are written down, and checked, in ``check``. A step costs the same however many slaves
and tasks there are, and a batch little more than its tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from masterslave.scheduler import (
    following,
    losses,
    outcomes,
    partial,
    placement,
    quarantine,
    rebalancing,
)
from masterslave.scheduler.events import (
    Event,
    HandOutsGivenBack,
    HandOutsLost,
    SlaveAsked,
    SlaveHeard,
    SlaveJoined,
    SlaveLeft,
    SlaveReleased,
    SlaveUnable,
    SpanSubmitted,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
    Terms,
    TimePassed,
)
from masterslave.scheduler.feeding import Feeding
from masterslave.scheduler.orders import DismissSlave, Order
from masterslave.scheduler.pieces import Piece, Span
from masterslave.scheduler.slaves import Slave
from masterslave.scheduler.state import State, Step
from masterslave.scheduler.transitions import Trigger

__all__ = ["Scheduler"]


class Scheduler:
    """Decides who gets which task.

    Args:
        silence_s: A slave that is not heard of for so long is given up, in seconds.
        feeding: How slaves are fed.

    Threads: one at a time; it has no lock of its own.
    """

    def __init__(self, *, silence_s: float, feeding: Feeding | None = None) -> None:
        self.state = State(feeding or Feeding())
        self._silence_s = silence_s

    def next_deadline(self) -> float | None:
        """Return when to send ``TimePassed`` at the latest, or None while nothing can fall due."""
        state = self.state
        deadlines = []
        oldest = next(iter(state.slaves.values()), None)
        if oldest is not None:
            deadlines.append(oldest.heard_at + self._silence_s)
        due = state.delays.next_due()
        if due is not None:
            deadlines.append(due)
        if state.waiting and state.trials:
            deadlines.append(state.trials[0][0])
        if state.roster.free and state.pieces.by_first:
            deadlines.append(state.look_at)
        return min(deadlines, default=None)

    def handle(self, event: Event, now: float) -> list[Order]:
        """Take in what happened, and return what is to be done, in this order."""
        step = Step(now)
        state, demands, shares = self.state, self.state.roster.demands, self.state.shares
        shares.now = now
        self._take_in(event, step)
        if shares.is_shared:
            if shares.is_new:
                state.charge_all()
            elif shares.sweep_at <= now:
                state.forget_owners()
        if step.gone and state.followers:
            following.note_failed(state, step)
        if step.stops:
            step.order_stops(state.slaves)
        if step.thinned:
            rebalancing.recall_thinned(state, step)
        if step.accused:
            quarantine.judge(state, step)
        if state.delays:
            self._end_delays(now)
        state.roster.settle_lines(state.pieces, now)
        if state.waiting:
            placement.feed(state, step)
        demands.stirred.clear()
        if demands.uneven:
            rebalancing.recall(state, step)
        if state.roster.free and state.look_at <= now and state.pieces.by_first:
            rebalancing.try_stragglers_twice(state, step)
        return step.orders

    def _take_in(self, event: Event, step: Step) -> None:
        state = self.state
        match event:
            case TasksReturned():
                outcomes.take_in(state, event, step)
            case SlaveAsked():
                self._ask(event, step.now)
            case SlaveHeard():
                state.roster.hear(event.slave, step.now)
            case TasksSubmitted():
                self._submit(event, step.now)
            case SpanSubmitted():
                self._submit_span(event, step.now)
            case TasksCancelled():
                self._cancel(event.tasks, step)
            case SlaveReleased():
                quarantine.release(state, event, step)
            case SlaveJoined():
                self._join(event, step.now)
            case SlaveLeft():
                self._leave(event.slave, event.reason, step, in_peace=event.in_peace)
            case HandOutsGivenBack():
                losses.give_back(state, event, step)
            case HandOutsLost():
                losses.lose(state, event, step)
            case SlaveUnable():
                partial.take_in(state, event, step)
            case TimePassed():
                self._give_up_silent_slaves(step)
            case _:
                assert_never(event)

    def _submit(self, event: TasksSubmitted, now: float) -> None:
        state, terms = self.state, event.terms
        by_first = state.pieces.by_first
        if not by_first:
            state.changed_at = now
        if event.sizes:
            pieces = [
                Piece(task, task + 1, terms, size)
                for task, size in zip(event.tasks, event.sizes, strict=True)
            ]
        else:
            pieces = [Piece(task, task + 1, terms) for task in event.tasks]
        by_first.update(zip(event.tasks, pieces, strict=True))
        if not event.after or not following.hold(state, pieces, len(pieces), event.after):
            self._line_up(pieces, len(pieces), terms)

    def _submit_span(self, event: SpanSubmitted, now: float) -> None:
        state, first, stop = self.state, event.first, event.first + event.count
        if event.count <= 0:
            return
        if not state.pieces.by_first:
            state.changed_at = now
        span = Span(first, stop, event.item_bytes, 0)
        piece = Piece(first, stop, event.terms, span=span)
        state.pieces.add(piece)
        if not event.after or not following.hold(state, (piece,), event.count, event.after):
            span.waiting = event.count
            self._line_up((piece,), event.count, event.terms)

    def _line_up(self, pieces: Sequence[Piece], count: int, terms: Terms) -> None:
        """Have new pieces wait, of so many tasks."""
        state = self.state
        demand = state.roster.demand_of(terms)
        if state.roster.demands.partial:
            state.roster.ask_again(demand)
        demand.open += count
        demand.queue.append(terms, pieces)
        demand.waiting += count
        state.waiting += count
        state.counts.submitted += count
        state.roster.demands.stirred[demand] = None

    def _cancel(self, tasks: Sequence[int], step: Step) -> None:
        state = self.state
        for row in _rows(tasks):
            for piece in state.pieces.between(row.start, row.stop):
                parts = list(piece.open_within(row.start, row.stop))
                for part in parts:
                    state.end_part(piece, part)
                    step.gone.append(part)
                    state.counts.cancelled += len(part)
                if piece.is_over():
                    state.end(piece, Trigger.CANCELLED, step)
                elif parts:
                    step.thinned[piece.first] = piece

    def _join(self, event: SlaveJoined, now: float) -> None:
        state = self.state
        slave = Slave(event.slave, max(0, event.slots), now, event.offers, event.tags)
        state.roster.join(slave)
        state.counts.slaves_joined += 1
        state.changed_at = now

    def _ask(self, event: SlaveAsked, now: float) -> None:
        slave = self.state.roster.hear(event.slave, now)
        if slave is not None and slave.slots != event.slots:
            slave.slots = max(0, event.slots)
            self.state.roster.touched[event.slave] = slave

    def _leave(self, name: str, reason: str, step: Step, *, in_peace: bool) -> None:
        state = self.state
        slave = state.slaves.get(name)
        if slave is None:
            return
        state.roster.drop(slave)
        losses.take_back_all(state, slave, reason, step, in_peace=in_peace)
        if in_peace:
            state.counts.slaves_left += 1
        else:
            state.counts.slaves_lost += 1
        state.changed_at = step.now

    def _give_up_silent_slaves(self, step: Step) -> None:
        while True:
            oldest = next(iter(self.state.slaves.values()), None)
            if oldest is None or oldest.heard_at + self._silence_s > step.now:
                return
            reason = f"not heard of for {step.now - oldest.heard_at:.1f} s"
            held = self.state.held_by(oldest.name)
            step.orders.append(DismissSlave(oldest.name, reason, held))
            self._leave(oldest.name, reason, step, in_peace=False)

    def _end_delays(self, now: float) -> None:
        state = self.state
        while (piece := state.delays.take_due(now)) is not None:
            state.to_front(piece, Trigger.DELAY_PASSED)


def _rows(tasks: Sequence[int]) -> Iterator[range]:
    """Go through the rows of tasks without a gap."""
    if isinstance(tasks, range) and tasks.step == 1:
        yield tasks
        return
    start = stop = None
    for task in tasks:
        if task == stop:
            stop += 1
            continue
        if start is not None and stop is not None:
            yield range(start, stop)
        start, stop = task, task + 1
    if start is not None and stop is not None:
        yield range(start, stop)
