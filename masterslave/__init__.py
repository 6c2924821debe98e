"""Farm tasks to every computer in the room: ``ProcessPoolExecutor`` whose workers come and go."""

from concurrent.futures import as_completed, wait
from typing import TYPE_CHECKING

from masterslave.errors import (
    BadLabel,
    BadModule,
    BadOffer,
    BadTaskName,
    CannotAttach,
    CodeRefused,
    DependencyFailed,
    Detached,
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
from masterslave.handlers import Slave
from remoteobj.late import late

if TYPE_CHECKING:
    from masterslave.farm.attached.farm import AttachedFarm, AttachedStatistics
    from masterslave.farm.farm import Farm
    from masterslave.farm.futures import FarmFuture
    from masterslave.farm.handles import Handle
    from masterslave.farm.keep_going import NoResult
    from masterslave.farm.options import RetryPolicy
    from masterslave.farm.records import FarmStatistics, RunningTask, SlaveRecord, SlaveStatus
    from masterslave.master.output import TaskOutput
    from masterslave.pool import Pool
    from masterslave.settings import FarmSettings

__all__ = [
    "AttachedFarm",
    "AttachedStatistics",
    "BadLabel",
    "BadModule",
    "BadOffer",
    "BadTaskName",
    "CannotAttach",
    "CodeRefused",
    "DependencyFailed",
    "Detached",
    "Farm",
    "FarmBroken",
    "FarmClosed",
    "FarmError",
    "FarmFuture",
    "FarmSettings",
    "FarmStatistics",
    "Handle",
    "HandlersUnusable",
    "NoResult",
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

# A slave has this package in its memory for days, and nothing of a script's side.
_IN_SCRIPTS = {
    "AttachedFarm": "masterslave.farm.attached.farm",
    "AttachedStatistics": "masterslave.farm.attached.farm",
    "Farm": "masterslave.farm.farm",
    "FarmFuture": "masterslave.farm.futures",
    "FarmSettings": "masterslave.settings",
    "FarmStatistics": "masterslave.farm.records",
    "Handle": "masterslave.farm.handles",
    "NoResult": "masterslave.farm.keep_going",
    "Pool": "masterslave.pool",
    "RetryPolicy": "masterslave.farm.options",
    "RunningTask": "masterslave.farm.records",
    "SlaveRecord": "masterslave.farm.records",
    "SlaveStatus": "masterslave.farm.records",
    "TaskOutput": "masterslave.master.output",
}

__getattr__, __dir__ = late(globals(), _IN_SCRIPTS)
