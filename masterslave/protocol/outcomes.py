"""What became of a hand-out; values inside are packed (``masterslave.packed``)."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from remoteobj.unreadable import UNREADABLE

__all__ = [
    "BROKEN",
    "ENDS",
    "GIVEN_BACK",
    "GOES_ON",
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
    "items_in",
]

OutcomeKind = int
VALUE, RAISED, MIXED, LOST, GIVEN_BACK, PART, PROGRESS, BROKEN, UNABLE, REPORT = range(10)

ENDS = (VALUE, RAISED, MIXED)
"""Kinds that are the answer of their tasks."""

GOES_ON = (PART, PROGRESS)
"""Kinds after which the hand-out goes on."""

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
        item: Counted from 0 within the span. Of the answer of a task that has yielded parts: how
            many, whoever has them.
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


_read_mixed = msgspec.msgpack.Decoder(tuple[ItemOutcome, ...]).decode


def items_in(payload: bytes) -> tuple[ItemOutcome, ...] | None:
    """Return what became of items, from the payload of a ``MIXED`` outcome; None: it is none."""
    try:
        items: tuple[ItemOutcome, ...] = _read_mixed(payload)
    except UNREADABLE:
        return None
    return items


class Raised(Struct, frozen=True, omit_defaults=True):
    """An exception, in words in any case.

    Attributes:
        pickled: The exception itself where pickle can make it again; else ``parts`` is its pickled
            (class, args, attributes) where those can travel. Neither is looked at where results
            are data only.
        data: The exception as ``remoteobj.codec`` writes it, where it can.
        missing: The module that was not found, if that is what it is about.
        post_mortem: Of a task that its slave has stopped, with its process.
    """

    type_name: str
    message: str
    traceback: str
    pickled: bytes = b""
    parts: bytes = b""
    data: bytes = b""
    missing: str = ""
    post_mortem: PostMortem | None = None


class PostMortem(Struct, frozen=True, omit_defaults=True):
    """How a child died. What is not known is empty, or 0.

    Attributes:
        how: In words, by exit code or signal.
        output: The last that it printed.
        exit_code: As ``subprocess`` tells it: below 0 it is a signal.
        memory: What is known of memory that has run out, in words.
        peak_bytes: What it took at most of memory that is its own, as the system counts it; no less
            than its agent took when that started it.
        stacks: Of its threads, as its ``faulthandler`` wrote them when it died, or was about to be
            killed; of our own code there is no line.
        task: What it ran; -1: nothing.
        seconds: How long it had run that.
        pid: Its process id.
    """

    how: str
    output: str = ""
    exit_code: int | None = None
    memory: str = ""
    peak_bytes: int = 0
    stacks: str = ""
    task: int = -1
    seconds: float = 0.0
    pid: int = 0
