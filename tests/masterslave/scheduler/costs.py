"""What the scheduler costs: ``python -m tests.masterslave.scheduler.costs`` prints it."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections import deque
from collections.abc import Callable

from masterslave.scheduler import (
    HandOut,
    Scheduler,
    SendTasks,
    SlaveJoined,
    SpanSubmitted,
    TasksReturned,
    TasksSubmitted,
    Terms,
)

TERMS = Terms(1)


def farm(slaves: int) -> Scheduler:
    """Return a scheduler with slaves of one slot, to which the function of TERMS is known."""
    scheduler = Scheduler(silence_s=1e9)
    for number in range(slaves):
        scheduler.handle(SlaveJoined(f"s{number}", 1), 0.0)
    (order,) = scheduler.handle(TasksSubmitted((0,), TERMS), 0.0)
    assert isinstance(order, SendTasks)
    scheduler.handle(TasksReturned(order.slave, order.hand_outs, (1e-6,)), 0.0)
    return scheduler


def return_all(scheduler: Scheduler, orders: list, batch: int, seconds: float) -> int:
    """Have all slaves return what they hold, in batches; returns how many tasks were settled."""
    held: dict[str, deque[HandOut]] = {}
    busy: deque[str] = deque()
    settled = 0

    def note(orders: list) -> None:
        for order in orders:
            if isinstance(order, SendTasks):
                line = held.setdefault(order.slave, deque())
                if not line:
                    busy.append(order.slave)
                line.extend(order.hand_outs)

    note(orders)
    while busy:
        slave = busy.popleft()
        line = held[slave]
        hand_outs = [line.popleft() for _ in range(min(batch, len(line)))]
        if line:
            busy.append(slave)
        settled += sum(h.count for h in hand_outs)
        note(scheduler.handle(TasksReturned(slave, hand_outs, [seconds] * len(hand_outs)), 1.0))
    return settled


def batches_of_singles(slaves: int = 2, tasks: int = 100_000) -> float:
    scheduler = farm(slaves)
    begin = time.process_time()
    for first in range(1, tasks, 1000):
        orders = scheduler.handle(TasksSubmitted(range(first, first + 1000), TERMS), 1.0)
        return_all(scheduler, orders, 100, 1e-6)
    return (time.process_time() - begin) / tasks


def all_at_once(slaves: int = 2, tasks: int = 100_000) -> float:
    scheduler = farm(slaves)
    begin = time.process_time()
    orders = []
    for first in range(1, tasks, 1000):
        orders += scheduler.handle(TasksSubmitted(range(first, first + 1000), TERMS), 1.0)
    return_all(scheduler, orders, 100, 1e-6)
    return (time.process_time() - begin) / tasks


def two_owners(slaves: int = 2, tasks: int = 100_000) -> float:
    scheduler = farm(slaves)
    begin = time.process_time()
    orders = []
    for first in range(1, tasks, 1000):
        terms = Terms(1, owner="one" if first % 2000 == 1 else "other")
        orders += scheduler.handle(TasksSubmitted(range(first, first + 1000), terms), 1.0)
    return_all(scheduler, orders, 100, 1e-6)
    return (time.process_time() - begin) / tasks


def one_by_one(slaves: int = 2, tasks: int = 20_000) -> float:
    scheduler = farm(slaves)
    begin = time.process_time()
    for task in range(1, tasks):
        (order,) = scheduler.handle(TasksSubmitted((task,), TERMS), 1.0)
        scheduler.handle(TasksReturned(order.slave, order.hand_outs, (1e-6,)), 1.0)
    return (time.process_time() - begin) / tasks


def span(slaves: int = 2, items: int = 200_000, seconds: float = 1e-5) -> float:
    scheduler = farm(slaves)
    begin = time.process_time()
    orders = scheduler.handle(SpanSubmitted(1, items, TERMS), 1.0)
    assert return_all(scheduler, orders, 10, seconds * 1000) == items
    return (time.process_time() - begin) / items


def long_tasks(slaves: int, tasks: int = 100_000) -> float:
    scheduler = farm(slaves)
    begin = time.process_time()
    orders = []
    for first in range(1, tasks, 1000):
        orders += scheduler.handle(TasksSubmitted(range(first, first + 1000), TERMS), 1.0)
    return_all(scheduler, orders, 1, 0.04)
    return (time.process_time() - begin) / tasks


def memory_of_waiting(tasks: int = 100_000) -> float:
    scheduler = Scheduler(silence_s=1e9)
    gc.collect()
    tracemalloc.start()
    for first in range(0, tasks, 1000):
        scheduler.handle(TasksSubmitted(range(first, first + 1000), TERMS), 1.0)
    size = tracemalloc.get_traced_memory()[0] / tasks
    tracemalloc.stop()
    return size


def median_us(measure: Callable[[], float]) -> float:
    return 1e6 * statistics.median(measure() for _ in range(5))


if __name__ == "__main__":
    print(f"singles, 1,000 a batch, 2 slaves:  {median_us(batches_of_singles):6.2f} us a task")
    print(f"singles, all at once, 2 slaves:    {median_us(all_at_once):6.2f} us a task")
    print(f"the same, of two owners:           {median_us(two_owners):6.2f} us a task")
    print(f"one task alone, 2 slaves:          {median_us(one_by_one):6.2f} us a task")
    print(
        f"one task alone, 10,000 slaves:     {median_us(lambda: one_by_one(10_000)):6.2f} us a task"
    )
    print(f"span, 2 slaves:                    {median_us(span):6.3f} us an item")
    print(f"40 ms tasks, 100 slaves:           {median_us(lambda: long_tasks(100)):6.2f} us a task")
    print(
        f"40 ms tasks, 10,000 slaves:        {median_us(lambda: long_tasks(10_000)):6.2f} us a task"
    )
    print(f"memory of a waiting task:          {memory_of_waiting():6.0f} bytes")
