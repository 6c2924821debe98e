"""What the two verbs carry that do the work: ``next(Ask)`` and ``deliver(Delivery)``, both answered
with ``Instructions``.
"""

from __future__ import annotations

from msgspec import Struct

from masterslave.errands import Errand
from masterslave.protocol.hand_outs import Stop, WireTask
from masterslave.protocol.outcomes import Outcome

__all__ = ["Ask", "Delivery", "Instructions", "Line"]


class Ask(Struct, frozen=True):
    """The slave would run *slots* tasks of this farm at once (0: it is leaving), and has taken in
    batches up to *acknowledged*.

    It may bring outcomes along, as a ``Delivery`` does: who has nothing else to do delivers and
    asks in one.
    """

    slave: str
    slots: int
    acknowledged: int
    sequence: int = 0
    outcomes: tuple[Outcome, ...] = ()


class Delivery(Struct, frozen=True):
    """Outcomes; ``leaving`` says that the slave is about to go and holds nothing any more.

    Attributes:
        lines: What tasks have printed. Best effort: they are delivered again where they may not
            have arrived, and some are left out where there are too many.
        line: Number of the last of them; those that have come before are dropped.
    """

    slave: str
    sequence: int
    outcomes: tuple[Outcome, ...]
    slots: int
    acknowledged: int
    leaving: bool = False
    lines: tuple[Line, ...] = ()
    line: int = 0


class Line(Struct, frozen=True, array_like=True):
    """What a task has printed or logged.

    Attributes:
        task: Its number.
        function: What the task calls; empty where the slave does not know.
        kind: 1: standard output, 2: standard error, 3: a log record, which may be several lines;
            0: it is C code's, or another process's, to either stream.
        level: Of a log record, with *logger*.
    """

    task: int
    function: str
    kind: int
    level: int
    logger: str
    text: str


class Instructions(Struct, frozen=True):
    """A batch for the slave; number 0 holds nothing.

    Attributes:
        functions: Functions that the slave has not been sent yet, by hash.
        code: Parts of code sets (``masterslave.codeset``) that it has not been sent yet, by hash.
        stops: Drop these, and stop those that run.
        recalls: Give these back, unless they were started.
        unknown: The master does not know this slave: join anew.
        ended: The farm is shut down: drop what is left of it, do not come back.
        delivered: Outcomes up to this number are safe with the master.
        limits: By the number of the task, for how many seconds it may run; the others for ever.
            Such a task travels alone: its hand-out is one task.
        dropped: Blobs that are not shared any more, by hash.
        errands: What else the master wants (``errands``); answered by outcomes of kind REPORT.
    """

    batch: int = 0
    tasks: tuple[WireTask, ...] = ()
    functions: dict[bytes, bytes] = {}
    stops: tuple[Stop, ...] = ()
    recalls: tuple[Stop, ...] = ()
    unknown: bool = False
    ended: bool = False
    delivered: int = 0
    limits: dict[int, float] = {}
    code: dict[bytes, bytes] = {}
    dropped: tuple[bytes, ...] = ()
    errands: tuple[Errand, ...] = ()
