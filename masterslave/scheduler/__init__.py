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
from masterslave.scheduler.machine import Scheduler
from masterslave.scheduler.orders import (
    AnswerUnable,
    DismissSlave,
    FailFollowers,
    GiveUpTask,
    Held,
    Order,
    QuarantineSlave,
    RecallTasks,
    ReleaseSlave,
    SendTasks,
    SettleTasks,
    StopTasks,
)
from masterslave.scheduler.slaves import Demand
from masterslave.scheduler.state import State
from masterslave.scheduler.transitions import Phase
from masterslave.scheduler.waits import TaskWait, Wait, WaitsFor, wait_of, wait_of_task

__all__ = [
    "AnswerUnable",
    "Demand",
    "DismissSlave",
    "Event",
    "FailFollowers",
    "Feeding",
    "GiveUpTask",
    "HandOut",
    "HandOutsGivenBack",
    "HandOutsLost",
    "Held",
    "Order",
    "Phase",
    "QuarantineSlave",
    "RecallTasks",
    "ReleaseSlave",
    "Scheduler",
    "SendTasks",
    "SettleTasks",
    "SlaveAsked",
    "SlaveHeard",
    "SlaveJoined",
    "SlaveLeft",
    "SlaveReleased",
    "SlaveUnable",
    "SpanSubmitted",
    "State",
    "StopTasks",
    "TaskWait",
    "TasksCancelled",
    "TasksReturned",
    "TasksSubmitted",
    "Terms",
    "TimePassed",
    "Wait",
    "WaitsFor",
    "wait_of",
    "wait_of_task",
]
