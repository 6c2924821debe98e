"""The scheduler itself: ``handle(event, now) -> orders``.

Its promises are written down, and checked, in ``check``. Every step costs the same however many
slaves and tasks there are.
"""

from __future__ import annotations

from typing import assert_never

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
    TimePassed,
)
from masterslave.scheduler.orders import (
    DismissSlave,
    GiveUpTask,
    Order,
    SendTasks,
    SettleTasks,
    StopTasks,
)
from masterslave.scheduler.state import Slave, State, Task
from masterslave.scheduler.transitions import Phase, Trigger, next_phase

__all__ = ["Scheduler"]


class Scheduler:
    """Decides who gets which task.

    Args:
        silence_s: A slave that is not heard of for so long is given up, in seconds.
        max_attempts: Hand-outs of one task that may be lost before it is given up.

    Threads: one at a time; it has no lock of its own.
    """

    def __init__(self, *, silence_s: float, max_attempts: int) -> None:
        self.state = State()
        self._silence_s = silence_s
        self._max_attempts = max_attempts

    def next_deadline(self) -> float | None:
        """Return when to send ``TimePassed`` at the latest, or None while nothing can fall due."""
        oldest = next(iter(self.state.slaves.values()), None)
        return None if oldest is None else oldest.heard_at + self._silence_s

    def handle(self, event: Event, now: float) -> list[Order]:
        """Take in what happened, and return what is to be done, in this order."""
        orders: list[Order] = []
        match event:
            case TasksSubmitted():
                self._submit(event.tasks, now)
            case TasksCancelled():
                self._cancel(event.tasks, orders)
            case SlaveJoined():
                self._join(event, now)
            case SlaveAsked():
                self._ask(event, now)
            case SlaveHeard():
                self._hear(event.slave, now)
            case SlaveLeft():
                self._leave(event.slave, event.reason, event.in_peace, now, orders)
            case TasksReturned():
                self._return(event, now, orders)
            case HandOutsGivenBack():
                for hand_out in event.hand_outs:
                    self._take_back(event.slave, hand_out, Trigger.GIVEN_BACK, "", orders)
            case HandOutsLost():
                for hand_out in event.hand_outs:
                    self._take_back(event.slave, hand_out, Trigger.LOST, event.reason, orders)
            case TimePassed():
                self._give_up_silent_slaves(now, orders)
            case _:
                assert_never(event)
        self._hand_out(now, orders)
        return orders

    def _submit(self, tasks: tuple[int, ...], now: float) -> None:
        if not self.state.tasks:
            self.state.changed_at = now
        for task in tasks:
            self.state.tasks[task] = Task(task)
        self.state.queue.extend(tasks)
        self.state.waiting += len(tasks)
        self.state.counts.submitted += len(tasks)

    def _cancel(self, tasks: tuple[int, ...], orders: list[Order]) -> None:
        stops: dict[str, list[HandOut]] = {}
        for number in tasks:
            task = self.state.tasks.get(number)
            if task is None:
                continue
            self._settle(task, Trigger.CANCELLED, stops)
            self.state.counts.cancelled += 1
        orders += [StopTasks(slave, tuple(hand_outs)) for slave, hand_outs in stops.items()]

    def _join(self, event: SlaveJoined, now: float) -> None:
        self.state.slaves[event.slave] = Slave(event.slave, event.slots, now)
        self.state.counts.slaves_joined += 1
        self.state.changed_at = now

    def _hear(self, name: str, now: float) -> Slave | None:
        slave = self.state.slaves.get(name)
        if slave is not None:
            slave.heard_at = now
            self.state.slaves.move_to_end(name)
        return slave

    def _ask(self, event: SlaveAsked, now: float) -> None:
        slave = self._hear(event.slave, now)
        if slave is not None:
            slave.credit = max(0, event.credit)
            self._line_up(slave)

    def _leave(
        self, name: str, reason: str, in_peace: bool, now: float, orders: list[Order]
    ) -> None:
        slave = self.state.slaves.get(name)
        if slave is None:
            return
        running = 0 if in_peace else slave.slots
        for place, key in reversed(list(enumerate(slave.held))):
            trigger = Trigger.LOST if place < running else Trigger.GIVEN_BACK
            self._take_back(name, HandOut(*key), trigger, reason, orders)
        del self.state.slaves[name]
        self.state.idle.pop(name, None)
        self.state.ahead.pop(name, None)
        if in_peace:
            self.state.counts.slaves_left += 1
        else:
            self.state.counts.slaves_lost += 1
        self.state.changed_at = now

    def _give_up_silent_slaves(self, now: float, orders: list[Order]) -> None:
        while True:
            oldest = next(iter(self.state.slaves.values()), None)
            if oldest is None or oldest.heard_at + self._silence_s > now:
                return
            reason = f"not heard of for {now - oldest.heard_at:.1f} s"
            orders.append(DismissSlave(oldest.name, reason))
            self._leave(oldest.name, reason, False, now, orders)

    def _return(self, event: TasksReturned, now: float, orders: list[Order]) -> None:
        settled: list[HandOut] = []
        stops: dict[str, list[HandOut]] = {}
        for hand_out in event.hand_outs:
            self._release(event.slave, hand_out)
            task = self.state.tasks.get(hand_out.task)
            if task is None or not 1 <= hand_out.attempt <= task.attempts:
                self.state.counts.late += 1
                continue
            holder = task.live.pop(hand_out.attempt, event.slave)
            self._release(holder, hand_out)  # a slave that joined anew answers for what it was
            self._settle(task, Trigger.RETURNED, stops)
            settled.append(hand_out)
        if settled:
            self.state.counts.done += len(settled)
            self.state.changed_at = now
            orders.append(SettleTasks(tuple(settled)))
        orders += [StopTasks(slave, tuple(hand_outs)) for slave, hand_outs in stops.items()]

    def _settle(self, task: Task, trigger: Trigger, stops: dict[str, list[HandOut]]) -> None:
        """Give the task its end, and note which attempts of it have become pointless."""
        before = task.phase
        task.phase = next_phase(before, trigger)
        self.state.waiting -= before is Phase.WAITING
        for attempt, slave in task.live.items():
            self._release(slave, HandOut(task.id, attempt))
            stops.setdefault(slave, []).append(HandOut(task.id, attempt))
        del self.state.tasks[task.id]

    def _take_back(
        self, slave: str, hand_out: HandOut, trigger: Trigger, reason: str, orders: list[Order]
    ) -> None:
        self._release(slave, hand_out)
        task = self.state.tasks.get(hand_out.task)
        if task is None or task.live.pop(hand_out.attempt, None) is None:
            return
        if trigger is Trigger.LOST:
            task.losses += 1
            task.story += (f"attempt {hand_out.attempt} on slave {slave}: {reason}",)
            if task.losses >= self._max_attempts:
                trigger = Trigger.LOST_TOO_OFTEN
        task.phase = next_phase(task.phase, trigger)
        if task.phase is Phase.GIVEN_UP:
            del self.state.tasks[task.id]
            self.state.counts.given_up += 1
            orders.append(GiveUpTask(task.id, task.story))
        else:
            self.state.queue.appendleft(task.id)
            self.state.waiting += 1

    def _release(self, name: str, hand_out: HandOut) -> None:
        slave = self.state.slaves.get(name)
        if slave is not None:
            slave.held.pop((hand_out.task, hand_out.attempt), None)
            self._line_up(slave)

    def _line_up(self, slave: Slave) -> None:
        """Put the slave into the line where it belongs: idle, to be fed ahead, or none."""
        state = self.state
        right = None
        if slave.credit > 0:
            right = state.idle if len(slave.held) < slave.slots else state.ahead
        for line in (state.idle, state.ahead):
            if line is not right:
                line.pop(slave.name, None)
        if right is not None:
            right.setdefault(slave.name, None)

    def _hand_out(self, now: float, orders: list[Order]) -> None:
        """Give waiting tasks to slaves that have credit: free slots first, one each in turn."""
        state = self.state
        batches: dict[str, list[HandOut]] = {}
        while state.waiting and (state.idle or state.ahead):
            task = state.tasks.get(state.queue.popleft())
            if task is None or task.phase is not Phase.WAITING:
                continue
            line = state.idle or state.ahead
            name, _ = line.popitem(last=False)
            slave = state.slaves[name]
            task.phase = next_phase(task.phase, Trigger.HANDED_OUT)
            task.attempts += 1
            task.live[task.attempts] = name
            slave.held[task.id, task.attempts] = None
            slave.credit -= 1
            self._line_up(slave)
            batches.setdefault(name, []).append(HandOut(task.id, task.attempts))
            state.waiting -= 1
            state.counts.handed_out += 1
            state.counts.handed_out_again += task.attempts > 1
        if batches:
            state.changed_at = now
        orders += [SendTasks(slave, tuple(hand_outs)) for slave, hand_outs in batches.items()]
