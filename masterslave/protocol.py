"""What slaves and master say to each other: every message, with its promise.

The slave calls, the master answers; the master never dials a slave. Two verbs carry the work, each
on a connection of its own, so that a long poll never delays a result:

``next(Ask) -> Instructions``
    Takes outcomes, if any, and waits until there is something for the slave, at most a heartbeat.
    The master repeats a batch until the slave has acknowledged it, so a reply that is lost loses
    nothing; the slave drops a batch that it has taken in already.
``deliver(Delivery) -> Instructions``
    Hands outcomes over. The slave keeps them until they are acknowledged, and delivers them again
    if they were not; the master drops what it has taken in already. It does not wait, but what
    there is for the slave just then it brings along, if it is small: so as long as a slave has
    something to tell, its poll is left alone.

What the script has shared is fetched when a task first needs it, each time by a connection of its
own: ``blob(BlobAsk) -> BlobAnswer`` says where it lies, for a slave that can read it there, and how
large it is; ``piece(PieceAsk) -> bytes`` brings some of it, empty where it is gone.

A slave is known by a name that its master has drawn at random and told it alone, so that no slave
can speak for another; both verbs carry it. They say how many tasks the slave would run at once,
and which batch it has taken in. ``join`` comes first; ``Instructions.unknown`` says that the
master does not know the slave (any more): join anew, and say by which name it was known.

A hand-out is one call of a function, or a *span*: one function for each of many items, whose
outcomes come together, each item with its own.

A function travels with the first task that uses it, and with it those of the script's modules that
the slave does not have. Both sides forget functions by the same rule, applied to the same batches,
so that they agree about what the slave has without a word.

Messages are MessagePack, made and checked by msgspec. Functions, arguments and values inside them
are opaque bytes here: only the script and the slaves' children unpack them. A value is packed by
remoteobj's codec, which runs no code where it is read, and pickled where that cannot carry it; its
first byte says which.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TypeVar

import msgspec
from msgspec import Struct

from masterslave.blobs.segments import Part
from masterslave.errands import Errand
from remoteobj import WireError

__all__ = [
    "BROKEN",
    "CALL",
    "CODE",
    "DATA",
    "DOOR_ID",
    "EACH",
    "EACH_STARRED",
    "GIVEN_BACK",
    "LOST",
    "MAX_PAYLOAD_BYTES",
    "MAX_PIECE_BYTES",
    "MIXED",
    "NAMED",
    "NOT_DATA",
    "NOT_PICKLABLE",
    "NOT_SHARED",
    "OUT_OF_MEMORY",
    "PART",
    "PICKLED",
    "PROGRESS",
    "RAISED",
    "REPORT",
    "SETUP_FAILED",
    "TASK_TAG",
    "TASK_UNKNOWN",
    "TIMED_OUT",
    "UNABLE",
    "VALUE",
    "VERSION",
    "Ask",
    "BlobAnswer",
    "BlobAsk",
    "Delivery",
    "Form",
    "Instructions",
    "Introduction",
    "ItemOutcome",
    "KnownFunctions",
    "Line",
    "Outcome",
    "OutcomeKind",
    "PieceAsk",
    "PostMortem",
    "Raised",
    "Stop",
    "Welcome",
    "WireTask",
    "decode",
    "encode",
    "hash_of",
    "on_tag",
    "task_tag",
]

VERSION = 4
"""Version of this conversation; a slave of another one is refused in words."""

MAX_PAYLOAD_BYTES = 128 * 1024 * 1024
"""Largest function, arguments or result of one hand-out, packed, in bytes: with the others of its
batch it has to fit into a message (256 MiB, ``remoteobj.Settings.max_message_bytes``)."""

MAX_PIECE_BYTES = 8 * 1024 * 1024
"""How much of a blob is fetched at a time, in bytes."""

MAX_FUNCTIONS = 256
MAX_FUNCTIONS_BYTES = 64 * 1024 * 1024
"""What is kept of functions that were sent, at each slave and child: a script may make a closure
over data for every task."""

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

NAMED = b"N"
"""First byte of a function that is only named: the name follows, and a slave's handler does it."""
NOT_SHARED = "masterslave.errors.NotShared"
"""The same of a handle whose object could not be had."""

DOOR_ID = "masterslave.master"
"""Id of the master's door in its daemon."""

TASK_TAG = "task:"
"""The tag of a slave that has a handler for named tasks begins so; the name follows."""

CODE = "code"
"""Tag of a slave whose Python takes functions that were pickled in the script."""

Form = int
CALL, EACH, EACH_STARRED = range(3)
"""What the arguments of a hand-out are, pickled: ``(args, kwargs)`` of one call; a list of items,
each the only argument of a call of its own; a list of argument tuples, likewise. Those of a named
task are packed instead, as values are."""

OutcomeKind = int
VALUE, RAISED, MIXED, LOST, GIVEN_BACK, PART, PROGRESS, BROKEN, UNABLE, REPORT = range(10)

DATA, PICKLED = b"D", b"P"
"""First byte of a packed value: what follows is written by ``remoteobj.codec``, or by pickle."""


class Introduction(Struct, frozen=True):
    """A slave says who it is.

    Attributes:
        formerly: The name that it was given when it joined before; what it still holds from then
            is taken of it.
        offers: Amounts of what tasks may need, which they use up while they run, by name.
        tasks: Names of tasks that it has handlers for.
    """

    version: int
    name: str
    host: str
    pid: int
    slots: int
    python: tuple[int, int]
    formerly: str = ""
    offers: dict[str, float] = {}
    tasks: tuple[str, ...] = ()


class Welcome(Struct, frozen=True):
    """The slave is let in, or told in ``refused`` why not and what to do.

    Attributes:
        slave: The name that every verb carries from now on. It is a secret of these two.
        label: The farm's.
        search_path: Where the script finds what was installed, for slaves on its machine.
        initializer: Pickled ``(function, args)`` that each child calls before its first task of
            this farm; empty for none.
        max_tasks_per_child: Tasks of this farm that a child runs before it is replaced; 0: any.
        data_only: Results that only pickle could carry are refused.
        no_code: Why the slave is given named tasks only, in words that go on after "it"; empty: it
            is given functions, too.
        output: Whether the script wants to see what tasks print.
        log_levels: Of log records, by the name of the logger: what it wants to see of them.
    """

    slave: str = ""
    heartbeat_s: float = 0.0
    label: str = ""
    search_path: tuple[str, ...] = ()
    initializer: bytes = b""
    max_tasks_per_child: int = 0
    data_only: bool = False
    no_code: str = ""
    refused: str = ""
    output: bool = True
    log_levels: dict[str, int] = {}


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


class WireTask(Struct, frozen=True, array_like=True):
    """One hand-out: the function by its hash, the arguments as bytes, in one of three forms."""

    task: int
    attempt: int
    count: int
    form: Form
    function: bytes
    arguments: bytes


class Stop(Struct, frozen=True, array_like=True):
    """Names a hand-out: nobody waits for it any more, or it is to be given back."""

    task: int
    attempt: int


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


class BlobAsk(Struct, frozen=True):
    """The slave needs a blob.

    Attributes:
        origin: The farm that has shared it, as the handle says.
    """

    slave: str
    digest: bytes
    origin: str


class BlobAnswer(Struct, frozen=True):
    """Where a blob is; or in ``refused`` why it is not to be had, and what to do.

    Attributes:
        parts: Their paths are empty for a slave of another machine or user; there are none for a
            result that is just arriving: ask again in a moment.
    """

    parts: tuple[Part, ...] = ()
    refused: str = ""


class PieceAsk(Struct, frozen=True):
    """The slave needs *size* bytes of a part of a blob, from *offset* on."""

    slave: str
    digest: bytes
    part: int
    offset: int
    size: int


class KnownFunctions:
    """The functions that somebody has been sent and keeps: those that were used last.

    Args:
        max_count: Most functions that are kept.
        max_bytes: Most bytes of them, pickled; the last one is kept in any case.
    """

    def __init__(
        self, max_count: int = MAX_FUNCTIONS, max_bytes: int = MAX_FUNCTIONS_BYTES
    ) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._sizes: OrderedDict[bytes, int] = OrderedDict()
        self._bytes = 0

    def __contains__(self, function: bytes) -> bool:
        return function in self._sizes

    def use(self, function: bytes, size: int) -> list[bytes]:
        """A task uses this function, of *size* bytes; returns those that are forgotten for it."""
        if function not in self._sizes:
            self._sizes[function] = size
            self._bytes += size
        self._sizes.move_to_end(function)
        forgotten = []
        while len(self._sizes) > 1 and (
            len(self._sizes) > self._max_count or self._bytes > self._max_bytes
        ):
            oldest, oldest_size = self._sizes.popitem(last=False)
            self._bytes -= oldest_size
            forgotten.append(oldest)
        return forgotten

    def forget_all(self) -> None:
        """What the other side knows is in doubt: everything is sent anew.

        What is used from now on is at both sides what was used last, so the other one, which may
        know more, keeps it for as long as this one believes.
        """
        self._sizes.clear()
        self._bytes = 0


def hash_of(pickled: bytes) -> bytes:
    """Return the name that a pickled function travels under."""
    return hashlib.blake2b(pickled, digest_size=16).digest()


def on_tag(name: str) -> str:
    """Return the tag of a slave that is called so, or whose host is."""
    return f"on:{name}"


def task_tag(name: str) -> str:
    """Return the tag of a slave that has a handler for tasks of this name."""
    return f"{TASK_TAG}{name}"


_Message = TypeVar("_Message", bound=Struct)

encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes, kind: type[_Message]) -> _Message:
    """Read a message of the given kind.

    Raises:
        WireError: It is none.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise WireError(f"no {kind.__name__} of the farm's protocol: {error}") from error
