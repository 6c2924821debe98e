"""What slaves and master say to each other: every message, with its promise.

The slave calls, the master answers; the master never dials a slave. Two verbs carry the work, each
on a connection of its own, so that a long poll never delays a result:

``next(Ask) -> Instructions``
    Waits until there is something for the slave, at most a heartbeat. The master repeats a batch
    until the slave has acknowledged it, so a reply that is lost loses nothing; the slave drops a
    batch that it has taken in already.
``deliver(Delivery) -> Receipt``
    Hands outcomes over. The slave keeps them until they are acknowledged, and delivers them again
    if they were not; the master drops what it has taken in already.

Both say how much more the slave would take, and which batch it has taken in. ``join`` comes first;
``Instructions.unknown`` says that the master does not know the slave (any more): join anew.

A function travels with the first task that uses it. Both sides forget functions by the same rule,
applied to the same batches, so that they agree about what the slave has without a word.

Messages are MessagePack, made and checked by msgspec. Functions, arguments and values inside them
are opaque bytes here: only the script and the slaves' children unpack them.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TypeVar

import msgspec
from msgspec import Struct

from remoteobj import WireError

__all__ = [
    "DOOR_ID",
    "MAX_PAYLOAD_BYTES",
    "NOT_PICKLABLE",
    "VERSION",
    "Ask",
    "Delivery",
    "Instructions",
    "Introduction",
    "KnownFunctions",
    "Outcome",
    "OutcomeKind",
    "Raised",
    "Receipt",
    "Stop",
    "Welcome",
    "WireTask",
    "decode",
    "encode",
    "hash_of",
]

VERSION = 1
"""Version of this conversation; a slave of another one is refused in words."""

MAX_PAYLOAD_BYTES = 128 * 1024 * 1024
"""Largest function, arguments or result of one task, pickled, in bytes: with the others of its
batch it has to fit into a message (256 MiB, ``remoteobj.Settings.max_message_bytes``)."""

MAX_FUNCTIONS = 256
MAX_FUNCTIONS_BYTES = 64 * 1024 * 1024
"""What is kept of functions that were sent, at each slave and child: a script may make a closure
over data for every task."""

NOT_PICKLABLE = "masterslave.errors.NotPicklable"
"""``Raised.type_name`` of a result that could not be sent: nothing was raised by the task."""

DOOR_ID = "masterslave.master"
"""Id of the master's door in its daemon."""

OutcomeKind = int
VALUE, RAISED, LOST, GIVEN_BACK = range(4)


class Introduction(Struct, frozen=True):
    """A slave says who it is."""

    version: int
    name: str
    host: str
    pid: int
    slots: int
    python: tuple[int, int]


class Welcome(Struct, frozen=True):
    """The slave is let in, or told in ``refused`` why not and what to do."""

    slave: str = ""
    heartbeat_s: float = 0.0
    search_path: tuple[str, ...] = ()
    refused: str = ""


class Ask(Struct, frozen=True):
    """The slave would take *credit* more tasks, and has taken in batches up to *acknowledged*."""

    slave: str
    credit: int
    acknowledged: int


class WireTask(Struct, frozen=True, array_like=True):
    """One hand-out: the function by its hash, the arguments as bytes."""

    task: int
    attempt: int
    function: bytes
    arguments: bytes


class Stop(Struct, frozen=True, array_like=True):
    """Nobody waits for this hand-out any more."""

    task: int
    attempt: int


class Instructions(Struct, frozen=True):
    """A batch for the slave; number 0 holds nothing."""

    batch: int = 0
    tasks: tuple[WireTask, ...] = ()
    functions: dict[bytes, bytes] = {}
    """Functions that the slave has not been sent yet, by hash."""
    stops: tuple[Stop, ...] = ()
    unknown: bool = False
    """The master does not know this slave: join anew."""
    ended: bool = False
    """The farm is shut down: drop what is left of it, do not come back."""


class Outcome(Struct, frozen=True, array_like=True):
    """What became of one hand-out.

    ``payload`` is a pickled value (VALUE), a packed ``Raised`` (RAISED), the reason as UTF-8 (LOST:
    its process died), or empty (GIVEN_BACK: it was not run).
    """

    task: int
    attempt: int
    kind: OutcomeKind
    payload: bytes
    seconds: float = 0.0


class Raised(Struct, frozen=True):
    """An exception, in words in any case.

    ``pickled`` is the exception itself where pickle can make it again; else ``parts`` is its
    pickled (class, args, attributes) where those can travel.
    """

    type_name: str
    message: str
    traceback: str
    pickled: bytes = b""
    parts: bytes = b""


class Delivery(Struct, frozen=True):
    """Outcomes; ``leaving`` says that the slave is about to go and holds nothing any more."""

    slave: str
    sequence: int
    outcomes: tuple[Outcome, ...]
    credit: int
    acknowledged: int
    leaving: bool = False


class Receipt(Struct, frozen=True):
    """Outcomes up to this sequence number are safe with the master."""

    acknowledged: int
    unknown: bool = False


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


def hash_of(pickled: bytes) -> bytes:
    """Return the name that a pickled function travels under."""
    return hashlib.blake2b(pickled, digest_size=16).digest()


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
