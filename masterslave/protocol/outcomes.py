"""What became of a hand-out; values inside are packed (``masterslave.packed``)."""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "BROKEN",
    "ENDS",
    "GIVEN_BACK",
    "LOST",
    "MIXED",
    "NOT_DATA",
    "NOT_PICKLABLE",
    "NOT_SHARED",
    "OUT_OF_MEMORY",
    "PART",
    "PROGRESS",
    "RAISED",
    "REPORT",
    "SETUP_FAILED",
    "TASK_UNKNOWN",
    "TIMED_OUT",
    "UNABLE",
    "VALUE",
    "ItemOutcome",
    "Outcome",
    "OutcomeKind",
    "PostMortem",
    "Raised",
]

OutcomeKind = int
VALUE, RAISED, MIXED, LOST, GIVEN_BACK, PART, PROGRESS, BROKEN, UNABLE, REPORT = range(10)

ENDS = (VALUE, RAISED, MIXED)
"""Kinds that are the answer of their tasks."""

NOT_PICKLABLE = "masterslave.errors.NotPicklable"
"""``Raised.type_name`` of a result that could not be sent: nothing was raised by the task."""

NOT_DATA = "masterslave.errors.NotData"
"""The same in a farm that takes results as data only, of one that only pickle could carry."""

TIMED_OUT = "masterslave.errors.TaskTimedOut"
OUT_OF_MEMORY = "masterslave.errors.TaskOutOfMemory"
"""The same of tasks that their slave has stopped: its agent says so, in the place of the task."""

SETUP_FAILED = "masterslave.errors.SetupFailed"
"""The same of a named task whose handlers could not be set up at the slave."""

TASK_UNKNOWN = "masterslave.errors.TaskUnknown"
"""The same of one that the slave does not offer."""

NOT_SHARED = "masterslave.errors.NotShared"
"""The same of a handle whose object could not be had."""


class Outcome(Struct, frozen=True, array_like=True):
    """What became of one hand-out.

    ============ ============================================================================
    kind         payload
    ============ ============================================================================
    VALUE        a packed value; for a span a packed list of values, one an item
    RAISED       a packed ``Raised``
    MIXED        of a span in which items raised: a packed tuple of ``ItemOutcome``, one an item
    LOST         a packed ``PostMortem``: its process died; ``item`` ran then, or -1: not known
    GIVEN_BACK   empty: it was not run, or not to its end
    PART         a packed value that the task has yielded, the one with number ``item``
    PROGRESS     packed ``(done, total)``, the latest that the task has told
    BROKEN       a packed ``Raised``: the farm's initializer failed; this hand-out was not run
    UNABLE       a packed ``Raised``: this slave cannot run the function, because a package is
                 missing, say; other slaves may be able to
    REPORT       a packed ``errands.Report``: of no hand-out; ``attempt`` is the errand's number,
                 or 0 where the slave says so unasked, and ``task`` is -1
    ============ ============================================================================

    After PART and PROGRESS, the hand-out goes on.

    Attributes:
        count: Of the hand-out.
        seconds: How long it took in its child.
        item: Counted from 0 within the span.
    """

    task: int
    attempt: int
    count: int
    kind: OutcomeKind
    payload: bytes
    seconds: float = 0.0
    item: int = -1


class ItemOutcome(Struct, frozen=True, array_like=True):
    """What became of one item of a span: VALUE or RAISED."""

    kind: OutcomeKind
    payload: bytes


class Raised(Struct, frozen=True):
    """An exception, in words in any case.

    Attributes:
        pickled: The exception itself where pickle can make it again; else ``parts`` is its pickled
            (class, args, attributes) where those can travel. Neither is looked at where results
            are data only.
        data: The exception as ``remoteobj.codec`` writes it, where it can.
        missing: The module that was not found, if that is what it is about.
    """

    type_name: str
    message: str
    traceback: str
    pickled: bytes = b""
    parts: bytes = b""
    data: bytes = b""
    missing: str = ""


class PostMortem(Struct, frozen=True):
    """How a child died: exit code or signal in words, and the last that it printed."""

    how: str
    output: str = ""
