"""Farm tasks to every computer in the room: ``ProcessPoolExecutor`` whose workers come and go."""

from concurrent.futures import as_completed, wait

from masterslave.errors import (
    BadLabel,
    BadModule,
    BadOffer,
    BadTaskName,
    CodeRefused,
    DependencyFailed,
    FarmBroken,
    FarmClosed,
    FarmError,
    HandlersUnusable,
    NotData,
    NotPicklable,
    NotShared,
    OnlyInScript,
    SetupFailed,
    SlaveGone,
    SlaveRefused,
    SlaveSilent,
    SlaveTraceback,
    TaskError,
    TaskFailed,
    TaskLost,
    TaskOutOfMemory,
    TaskTimedOut,
    TaskUnknown,
)
from masterslave.farm.farm import Farm
from masterslave.farm.futures import FarmFuture
from masterslave.farm.handles import Handle
from masterslave.farm.options import RetryPolicy
from masterslave.farm.records import FarmStatistics, RunningTask, SlaveRecord, SlaveStatus
from masterslave.handlers import Slave
from masterslave.master.output import TaskOutput
from masterslave.pool import Pool
from masterslave.settings import FarmSettings

__all__ = [
    "BadLabel",
    "BadModule",
    "BadOffer",
    "BadTaskName",
    "CodeRefused",
    "DependencyFailed",
    "Farm",
    "FarmBroken",
    "FarmClosed",
    "FarmError",
    "FarmFuture",
    "FarmSettings",
    "FarmStatistics",
    "Handle",
    "HandlersUnusable",
    "NotData",
    "NotPicklable",
    "NotShared",
    "OnlyInScript",
    "Pool",
    "RetryPolicy",
    "RunningTask",
    "SetupFailed",
    "Slave",
    "SlaveGone",
    "SlaveRecord",
    "SlaveRefused",
    "SlaveSilent",
    "SlaveStatus",
    "SlaveTraceback",
    "TaskError",
    "TaskFailed",
    "TaskLost",
    "TaskOutOfMemory",
    "TaskOutput",
    "TaskTimedOut",
    "TaskUnknown",
    "as_completed",
    "wait",
]
