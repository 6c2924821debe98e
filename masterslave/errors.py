"""Every error of masterslave, below remoteobj's root.

::

    RemoteObjError
    └── FarmError
        ├── BadLabel        (BadInput)       a farm's label that cannot be one
        ├── BadTaskName     (BadInput)       the name of a task that cannot be one
        ├── NotShared       (LookupError)    a handle whose object is not to be had
        ├── BadModule       (BadInput)       a module that cannot be sent to slaves
        ├── BadOffer        (BadInput)       an offer, or a need, that is no name and amount
        ├── NotPicklable    (TypeError)      a function, argument or result that cannot travel
        │   └── NotData                      a result that only pickle could carry
        ├── FarmClosed      (RuntimeError)   a task for a farm that was shut down
        ├── CannotAttach                     no farm lets this script in that runs by itself
        ├── Detached                         the script has left the farm, which goes on with it
        ├── FarmBroken      (BrokenExecutor) the initializer failed: no task can run
        ├── CodeRefused                      code would have crossed plain TCP
        ├── SlaveRefused                     the master does not take this slave
        ├── SlaveGone                        a slave that is to be steered is not here (any more)
        ├── SlaveSilent     (TimeoutError)   a slave has not answered in time
        ├── TaskError                        what became of a task that has no result
        │   ├── TaskFailed                   it raised what cannot be rebuilt in the script
        │   ├── TaskLost                     its hand-outs were lost as often as is allowed
        │   ├── DependencyFailed             a task that it was to run after has no result
        │   ├── SetupFailed                  handlers of a slave could not be set up there
        │   ├── TaskUnknown  (LookupError)   a slave was given what it has no handler for
        │   ├── TaskTimedOut (TimeoutError)  it ran for longer than its ``timeout_s``
        │   └── TaskOutOfMemory (MemoryError)  it took more memory than its slot has
        ├── JournalUnusable (BadInput)       a file that cannot be the farm's journal
        ├── JournalInUse                     another process uses the journal
        ├── HandlersUnusable (BadInput)      classes of handlers that offer no task
        └── OnlyInScript    (RuntimeError)   a task used the farm as only its script can
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from remoteobj import BadInput, RemoteObjError

__all__ = [
    "BadLabel",
    "BadModule",
    "BadOffer",
    "BadTaskName",
    "CannotAttach",
    "CodeRefused",
    "DependencyFailed",
    "Detached",
    "FarmBroken",
    "FarmClosed",
    "FarmError",
    "HandlersUnusable",
    "JournalInUse",
    "JournalUnusable",
    "NotData",
    "NotPicklable",
    "NotShared",
    "OnlyInScript",
    "SetupFailed",
    "SlaveGone",
    "SlaveRefused",
    "SlaveSilent",
    "SlaveTraceback",
    "TaskError",
    "TaskFailed",
    "TaskLost",
    "TaskOutOfMemory",
    "TaskTimedOut",
    "TaskUnknown",
]


class FarmError(RemoteObjError):
    """Root of the farm's own errors."""


class BadLabel(FarmError, BadInput):
    """The label has characters that a name cannot have."""


class BadTaskName(FarmError, BadInput):
    """No method do_<name> can have this name: a task is a function, or the name of one."""


class BadModule(FarmError, BadInput):
    """What was given to ``send_module`` cannot be sent to slaves; the message says why."""


class BadOffer(FarmError, BadInput):
    """What a slave offers, or a task needs, is not a name and an amount, such as ``gpu=1``."""


class NotPicklable(FarmError, TypeError):
    """A function, an argument or a result cannot be sent between processes."""


class NotData(NotPicklable):
    """A result only pickle could carry, and the farm takes data: return plain data instead."""


class NotShared(FarmError, LookupError):
    """A handle's object is not to be had: it is of another farm, or was let go of.

    Share the object with the farm whose task it is, and keep the handle while it is needed.
    """


class FarmClosed(FarmError, RuntimeError):
    """The farm was shut down; make a new one."""


class CannotAttach(FarmError):
    """No farm lets this script in; the message says whom it has met, and what to do."""


class Detached(FarmError):
    """The script has left the farm, which goes on with its tasks.

    ``Farm.attach(label, ticket=...)`` has their futures again, here or in another process.
    """


class FarmBroken(FarmError, BrokenExecutor):
    """The initializer failed at a slave, so no task can run; its exception is the cause.

    Make a new farm, with an initializer that works at the slaves.
    """

    def again(self) -> FarmBroken:
        """Return the same error, to be raised once more."""
        error = FarmBroken(*self.args)
        error.__cause__ = self.__cause__
        return error


class OnlyInScript(FarmError, RuntimeError):
    """A task called the farm that runs it: tasks submit nothing; return the work to the script."""


class CodeRefused(FarmError):
    """Code travels over TLS with an identity, or this user's Unix sockets; never over plain TCP."""


class SlaveRefused(FarmError):
    """The master does not take this slave; the message says why, and what to do."""


class TaskError(FarmError):
    """A task has no result, for a reason that the farm tells: the root of those."""


class TaskTimedOut(TaskError, TimeoutError):
    """The task ran for longer than its ``timeout_s`` and was stopped, with its process.

    Give it more time, or smaller tasks; the message ends with the last that it printed.
    """


class TaskOutOfMemory(TaskError, MemoryError):
    """The task took more memory than its slot has, and was stopped, with its process.

    Start the slave with fewer ``--slots`` or more ``--memory``, or make smaller tasks.
    """


class HandlersUnusable(FarmError, BadInput):
    """A class of handlers cannot be imported, or offers no task; the message says why."""


class JournalUnusable(FarmError, BadInput):
    """A file cannot be the farm's journal, or what it is to hold cannot be read.

    The message says why, and what to do.
    """


class JournalInUse(FarmError):
    """Another process uses the journal, and is named: wait until it has ended, or give a path of
    its own to each.
    """


class SetupFailed(TaskError):
    """Handlers could not be set up at a slave; the cause is the slave's traceback.

    Other slaves may be able to: give the task retries, or mend what the message names.
    """


class TaskUnknown(TaskError, LookupError):
    """The slave offers no task of this name; start one with ``--handlers``, or give
    ``Farm(handlers=...)`` what does it.
    """


class SlaveGone(FarmError):
    """The slave is not here any more, or never was; the message says where others are named."""


class SlaveSilent(FarmError, TimeoutError):
    """The slave has not answered in time: it may be suspended, or its machine."""


class TaskFailed(TaskError):
    """The task raised an exception that cannot be rebuilt in the script.

    Attributes:
        type_name: Full name of its class.
        message: Its text.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(type_name, message)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class TaskLost(TaskError):
    """Each process that ran the task went away; it is not handed out again.

    Attributes:
        story: A line for each hand-out that was lost: on which slave, and how.
    """

    def __init__(self, message: str, story: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.story = story


class DependencyFailed(TaskError):
    """The task was to run after another one, which has no result; it was not run.

    Its cause is what the other one has raised, or ``CancelledError``; in a chain, what the first
    that failed has raised.

    Attributes:
        first: Which task failed first, and how, in words.
    """

    def __init__(self, message: str, first: str = "") -> None:
        super().__init__(message)
        self.first = first


class SlaveTraceback(Exception):
    """Shown as the cause of a task's exception: the traceback as it was on the slave."""

    def __init__(self, slave: str, text: str) -> None:
        super().__init__(slave, text)
        self.slave = slave
        self.text = text

    def __str__(self) -> str:
        return f'on slave {self.slave}\n"""\n{self.text}"""'
