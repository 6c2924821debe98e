"""The scheduler: pure rules of who gets which task. Events in, orders out; it never acts.

Read ``events``, then ``orders``, then the table in ``transitions``, then ``machine``. What is
promised about it is in ``check``, one function a promise.
"""

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
from masterslave.scheduler.waits import Wait, wait_of

__all__ = [
    "DismissSlave",
    "Event",
    "GiveUpTask",
    "HandOut",
    "HandOutsGivenBack",
    "HandOutsLost",
    "Order",
    "Phase",
    "Scheduler",
    "SendTasks",
    "SettleTasks",
    "SlaveAsked",
    "SlaveHeard",
    "SlaveJoined",
    "SlaveLeft",
    "StopTasks",
    "TasksCancelled",
    "TasksReturned",
    "TasksSubmitted",
    "TimePassed",
    "Wait",
    "wait_of",
]
