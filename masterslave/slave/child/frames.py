"""What an agent and its child say to each other over pipes.

A frame is its length, the length of its tail, a body in MessagePack, and the tail: large arguments
of the last call in the body, or the large payload of its last outcome, which are written and read
without being copied into it.

Calls of a child are numbered as they are sent, from 0. Both sides know calls by that number.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import BinaryIO

import msgspec
from msgspec import Struct

from ...blobs.segments import Part

__all__ = [
    "BEGIN",
    "BROKEN",
    "BUNDLED",
    "BUNDLED_STARRED",
    "CALL",
    "CLOSE",
    "CLOSED_EXIT",
    "EACH",
    "EACH_STARRED",
    "GIVEN_BACK",
    "LARGE_BYTES",
    "LOGGED",
    "MARK_ATTEMPT",
    "MARK_BATCH",
    "MARK_BYTES",
    "MARK_RUNS",
    "MARK_SEQUENCE",
    "MARK_SINCE",
    "MARK_TASK",
    "MAX_PAYLOAD_BYTES",
    "MIXED",
    "NAMED",
    "NOT_DATA",
    "NOT_PICKLABLE",
    "NOT_SHARED",
    "PART",
    "PROGRESS",
    "RAISED",
    "SEPARATOR",
    "SETUP_FAILED",
    "STDERR",
    "STDOUT",
    "TASK_UNKNOWN",
    "UNABLE",
    "VALUE",
    "Ask",
    "Call",
    "CloseLane",
    "Define",
    "DropShared",
    "Equip",
    "Flush",
    "Forget",
    "Found",
    "Instructions",
    "ItemOutcome",
    "LaneClosed",
    "Offered",
    "OpenLane",
    "Outcome",
    "Prepare",
    "Raised",
    "Ready",
    "Reclaim",
    "Run",
    "Told",
    "Unstarted",
    "Want",
    "read_frame",
    "write_frame",
]

# As in masterslave.protocol, which imports too much for a child; a test compares them.
CALL, EACH, EACH_STARRED, BUNDLED, BUNDLED_STARRED = range(5)
VALUE, RAISED, MIXED, LOST, GIVEN_BACK, PART, PROGRESS, BROKEN, UNABLE = range(9)
MAX_PAYLOAD_BYTES = 128 * 1024 * 1024
NOT_PICKLABLE = "masterslave.errors.NotPicklable"
NOT_DATA = "masterslave.errors.NotData"
SETUP_FAILED = "masterslave.errors.SetupFailed"
TASK_UNKNOWN = "masterslave.errors.TaskUnknown"
NAMED = b"N"
NOT_SHARED = "masterslave.errors.NotShared"

CLOSED_EXIT = 97
"""Exit code of a child whose task has closed what the child hears and tells by."""

MARK_BYTES = 64
"""The mark is signed numbers of 8 bytes: the call that was started last and the item of it; of a
lane the hand-out that it has brought last (task, attempt), how far it is (batch, sequence), and the
call that runs, or -1; and when the call was started, in microseconds of ``time.perf_counter``."""

MARK_TASK, MARK_ATTEMPT, MARK_BATCH, MARK_SEQUENCE, MARK_RUNS, MARK_SINCE = range(2, 8)

LARGE_BYTES = 32 * 1024
"""From this size on, arguments and payloads travel as a tail."""

BEGIN, SEPARATOR, CLOSE = b"\x1e\x02", b"\x1f", b"\x03"
"""Of a mark in what is printed, which has no BEGIN in itself: that is taken out."""

STDOUT, STDERR, LOGGED = 1, 2, 3

_HEAD = struct.Struct("<IQ")


class Prepare(Struct, tag="P", array_like=True):
    """A farm, by a number of the agent's: what ``protocol.Welcome`` says of it, and what the slave
    offers it: named tasks, and in which folder their modules are found. Last, the tasks that the
    farm has given handlers for, and their classes, pickled.
    """

    farm: int
    search_path: tuple[str, ...]
    initializer: bytes
    data_only: bool
    no_code: str = ""
    tasks: dict[str, str] = {}
    folder: str = ""
    log_levels: dict[str, int] = {}
    given: dict[str, str] = {}
    classes: bytes = b""


class Define(Struct, tag="D", array_like=True):
    """A function, by the hash of its pickled form."""

    function: bytes
    pickled: bytes


class Equip(Struct, tag="Q", array_like=True):
    """Modules of the script: the entries of a code set, and sources that are new, by hash."""

    entries: bytes
    sources: dict[bytes, bytes]


class Forget(Struct, tag="F", array_like=True):
    """These functions are not called any more, or will be defined again."""

    functions: list[bytes]


class Call(Struct, array_like=True):
    """``protocol.WireTask``."""

    task: int
    attempt: int
    count: int
    form: int
    function: bytes
    arguments: bytes


class Run(Struct, tag="R", array_like=True):
    """Calls of one farm, numbered from *first* on."""

    first: int
    farm: int
    calls: list[Call]


class Reclaim(Struct, tag="C", array_like=True):
    """These calls are not to be started; those that were not yet are answered by Unstarted."""

    numbers: list[int]


class Flush(Struct, tag="L", array_like=True):
    """Say what is known: a long call may follow short ones."""


class Ready(Struct, tag="Y", array_like=True):
    """The child is up."""


class Outcome(Struct, array_like=True):
    """``protocol.Outcome``."""

    task: int
    attempt: int
    count: int
    kind: int
    payload: bytes
    seconds: float = 0.0
    item: int = -1


class Told(Struct, tag="T", array_like=True):
    """What became of calls, and by which number they went."""

    numbers: list[int]
    outcomes: list[Outcome]


class OpenLane(Struct, tag="O", array_like=True):
    """Ask the master over the connection that has come beside this, until something comes that is
    no lone call; LaneClosed tells the rest.

    Attributes:
        slave: As in ``protocol.Ask``, with the next three.
        number: Of the next call.
        patience_s: How long the master may take to answer.
        prefix: As in ``remoteobj.handing.HandedOver``, with the next five.
    """

    slave: str
    acknowledged: int
    sequence: int
    outcomes: list[Outcome]
    farm: int
    number: int
    patience_s: float
    prefix: bytes
    answer_prefix: bytes
    suffix: bytes
    before: bytes
    after: bytes
    calls: int


class CloseLane(Struct, tag="E", array_like=True):
    """Ask no more in the lane that began with this number; what runs is a call of the agent's."""

    number: int


class LaneClosed(Struct, tag="X", array_like=True):
    """The agent asks again.

    Attributes:
        sequence: Number of the last outcome that the master has; *outcomes* come after it.
        number: Of the next call.
        running: The call that runs, with the number before that.
        answer: What the master has said and was not taken in: ``protocol.Instructions``, packed.
    """

    acknowledged: int
    sequence: int
    outcomes: list[Outcome]
    number: int
    running: Call | None
    answer: bytes


class Ask(Struct):
    """``protocol.Ask``."""

    slave: str
    slots: int
    acknowledged: int
    sequence: int
    outcomes: list[Outcome]


class Instructions(Struct):
    """``protocol.Instructions``."""

    batch: int = 0
    tasks: list[Call] = []
    functions: dict[bytes, bytes] = {}
    stops: list[msgspec.Raw] = []
    recalls: list[msgspec.Raw] = []
    unknown: bool = False
    ended: bool = False
    delivered: int = 0
    limits: dict[int, float] = {}
    code: dict[bytes, bytes] = {}
    dropped: list[bytes] = []
    errands: list[msgspec.Raw] = []


class Unstarted(Struct, tag="U", array_like=True):
    """Calls that were taken back; they are not run."""

    numbers: list[int]


class Want(Struct, tag="W", array_like=True):
    """A call of this farm needs an object that was shared; it waits for Found.

    Attributes:
        digest: Its hash.
        origin: The farm that has shared it, as its handle says.
    """

    farm: int
    digest: bytes
    origin: str


class Found(Struct, tag="N", array_like=True):
    """Where a shared object is; or why it is not to be had; or that it is gone with the master that
    has handed the call out, which is given back then.
    """

    digest: bytes
    parts: list[Part]
    refused: str
    is_gone: bool = False


class DropShared(Struct, tag="S", array_like=True):
    """These objects of a farm are not shared any more; if none is named, all of them."""

    farm: int
    digests: list[bytes]


class ItemOutcome(Struct, array_like=True):
    """``protocol.ItemOutcome``."""

    kind: int
    payload: bytes


class Raised(Struct, omit_defaults=True):
    """``protocol.Raised``; its last field is the agent's alone."""

    type_name: str
    message: str
    traceback: str
    pickled: bytes = b""
    parts: bytes = b""
    data: bytes = b""
    missing: str = ""
    post_mortem: None = None


class Offered(Struct):
    """What classes of handlers offer: by the name of a task, ``module:Class``; or what is wrong."""

    tasks: dict[str, str]
    wrong: str = ""


_encode = msgspec.msgpack.Encoder().encode


def write_frame(descriptor: int, frames: Sequence[Struct], tail: bytes = b"") -> None:
    """Write frames at once, the last of them with a tail. Blocks until all is in the pipe."""
    if len(frames) == 1:
        body = _encode(frames[0])
        data = _HEAD.pack(len(body), len(tail)) + body
    else:
        bodies = [_encode(frame) for frame in frames]
        heads = [_HEAD.pack(len(body), 0) for body in bodies[:-1]]
        heads.append(_HEAD.pack(len(bodies[-1]), len(tail)))
        data = b"".join([piece for both in zip(heads, bodies, strict=True) for piece in both])
    if tail:
        rest = _writev(descriptor, data, tail)
        if rest:
            _write_all(descriptor, rest)
    else:
        written = os.write(descriptor, data)
        if written < len(data):
            _write_all(descriptor, memoryview(data)[written:])


def read_frame(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """Read the body and the tail of a frame; None at the end of the stream, also in mid-frame."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    size, tail_size = _HEAD.unpack(head)
    body = stream.read(size)
    tail = stream.read(tail_size) if tail_size else b""
    return (body, tail) if len(body) == size and len(tail) == tail_size else None


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _writev(descriptor: int, head: bytes, tail: bytes) -> memoryview | bytes:
    """Write both without copying them together, and return what was not written."""
    if not hasattr(os, "writev"):  # Windows
        _write_all(descriptor, head)
        return tail
    written = os.writev(descriptor, (head, tail))
    if written < len(head):
        _write_all(descriptor, head[written:])
        return tail
    return memoryview(tail)[written - len(head) :]
