"""What a journal holds: facts, in the past tense, in the order in which they became true.

Another release has to be able to read them. So a fact has a number on the disk, which never comes
to mean anything else; new fields come last and have defaults; and a reader passes over facts and
fields that it does not know (``read_facts`` counts the former).

Tasks have numbers. Those of run *r* begin at ``r << RUN_BITS``: a number says its run, and no
number is used twice in one journal. Slaves and functions have numbers of the journal's own, which
go on from run to run.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from masterslave.protocol.hand_outs import RUN_BITS

__all__ = [
    "ARBITER",
    "EPOCH",
    "KEY_BYTES",
    "NO_KEY",
    "NO_PLACE",
    "RUN_BITS",
    "ArgumentsKnown",
    "Ended",
    "Fact",
    "FunctionKnown",
    "HandedOut",
    "Invalidated",
    "Lost",
    "Noted",
    "Place",
    "Retried",
    "RunBegan",
    "Settled",
    "SlaveKnown",
    "Submitted",
    "places_of",
    "read_facts",
    "write_facts",
]

EPOCH = "epoch"
"""Kind of a note: from now on the farm has this epoch, as digits; see ``RunBegan``."""

ARBITER = "arbiter"
"""Kind of a note: the address of the name server that decides who leads the farm."""

KEY_BYTES = 16
NO_KEY = bytes(KEY_BYTES)
"""The key of a task that has none: no later run recognises it."""


class Place(Struct, frozen=True, array_like=True, gc=False):
    """Where bytes lie in the table of payloads.

    Attributes:
        row: The row in which they begin; very many bytes go on in the next ones.
        offset: Where in this row.
        size: How many; of 0 bytes, the other two say nothing.
    """

    row: int
    offset: int
    size: int


NO_PLACE = Place(0, 0, 0)
"""Of bytes that are none."""


class RunBegan(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A master began to use the journal.

    Attributes:
        epoch: Of the farm, where masters take it over from each other; else 0.
        at: When, in seconds since 1970.
        release: Of this program.
    """

    run: int
    epoch: int
    at: float
    host: str
    pid: int
    release: str
    python: str


class SlaveKnown(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """The number of a slave."""

    index: int
    name: str
    host: str


class FunctionKnown(Struct, frozen=True, array_like=True, tag=3, gc=False):
    """The number of a function.

    Attributes:
        digest: Of the function as it was pickled: another one may be the same function.
        packed: As it travels to slaves, where that is kept.
    """

    index: int
    name: str
    digest: bytes
    packed: Place | None = None


class Submitted(Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Tasks of one function were submitted, numbered in a row; whoever asks for a key does so.

    Attributes:
        first: Number of the first.
        keys: Of each, ``KEY_BYTES`` bytes, in a row; ``NO_KEY`` of one that has no identity.
        arguments: Empty, or where those of each task are.
        are_items: They are items of a span: what comes of them comes as a list.
    """

    first: int
    function: int
    keys: bytes
    arguments: tuple[Place, ...] = ()
    are_items: bool = False


class HandedOut(Struct, frozen=True, array_like=True, tag=5, gc=False):
    """A slave was given hand-outs.

    Attributes:
        hand_outs: ``(task, attempt, count)`` of each.
        at: When, in seconds since 1970; 0: that is not known.
    """

    slave: int
    hand_outs: tuple[tuple[int, int, int], ...]
    at: float = 0.0


class Settled(Struct, frozen=True, array_like=True, tag=6, gc=False):
    """Tasks in a row were answered by an outcome that a slave delivered.

    Attributes:
        skip: Which of the payload's items is that of the first of them, counted from 0; below 0 of
            a single task, whose payload is no list of items: -1 less the number of parts that it
            has yielded.
        kind: ``protocol.outcomes``: VALUE, RAISED or MIXED.
        place: Where the payload is.
        slave: Its number; -1 where it has none.
        seconds: How long the hand-out took in its child.
    """

    task: int
    attempt: int
    count: int
    skip: int
    kind: int
    place: Place
    slave: int = -1
    seconds: float = 0.0


class Ended(Struct, frozen=True, array_like=True, tag=7, gc=False):
    """Tasks in a row were answered without an outcome.

    Attributes:
        why: "cancelled", "given up", "failed", "unable" (no slave can run it; what the last one
            raised is the answer) or "predecessor failed".
        place: Where the answer is, packed, if there is more to say.
    """

    first: int
    count: int
    why: str
    place: Place | None = None


class Lost(Struct, frozen=True, array_like=True, tag=8, gc=False):
    """A hand-out was lost, with its process, its slave, or the way there.

    Attributes:
        post_mortem: Where a packed ``protocol.outcomes.PostMortem`` is, if there is one.
        at: When it was heard of, in seconds since 1970; 0: that is not known.
        may_come: Its slave was lost, and may still bring it, to this master or the next one.
    """

    task: int
    attempt: int
    count: int
    slave: int
    reason: str
    post_mortem: Place | None = None
    at: float = 0.0
    may_come: bool = False


class Invalidated(Struct, frozen=True, array_like=True, tag=9, gc=False):
    """Results of these keys are not wanted any more, nor those that are on their way."""

    keys: bytes


class Noted(Struct, frozen=True, array_like=True, tag=10, gc=False):
    """Anything else that is to be remembered, in the form that its kind has; and its payloads."""

    kind: str
    body: bytes
    places: tuple[Place, ...] = ()


class ArgumentsKnown(Struct, frozen=True, array_like=True, tag=11, gc=False):
    """The arguments of a task that has failed, to run it again; of others they may be where it was
    submitted.

    Attributes:
        form: As of a hand-out; of an item, *place* is that of a list of one item.
        why_not: Why they are not kept, in words; empty if they are.
    """

    task: int
    form: int
    place: Place
    why_not: str = ""


class Retried(Struct, frozen=True, array_like=True, tag=12, gc=False):
    """A task has raised, and is run again, as its terms want it.

    Attributes:
        skip: As of ``Settled``, with *kind*, *place*, *slave* and *seconds*.
        at: When, in seconds since 1970.
    """

    task: int
    attempt: int
    skip: int
    kind: int
    place: Place
    slave: int
    seconds: float
    at: float


Fact = (
    RunBegan
    | SlaveKnown
    | FunctionKnown
    | Submitted
    | HandedOut
    | Settled
    | Ended
    | Lost
    | Invalidated
    | Noted
    | ArgumentsKnown
    | Retried
)

_KNOWN = range(1, 13)

_write = msgspec.msgpack.Encoder().encode
_read_all = msgspec.msgpack.Decoder(list[Fact]).decode
_read_each = msgspec.msgpack.Decoder(list[Raw]).decode
_read_one = msgspec.msgpack.Decoder(Fact).decode
_read_parts = msgspec.msgpack.Decoder(list[Raw]).decode
_read_number = msgspec.msgpack.Decoder(int).decode


def write_facts(facts: Iterable[Fact]) -> bytes:
    """Return facts as bytes."""
    return _write(facts)


def read_facts(body: bytes) -> tuple[list[Fact], int]:
    """Return the facts that these bytes are, and how many there are beside that are not known here.

    Raises:
        msgspec.MsgspecError: These are no facts; and whatever else is ``UNREADABLE``.
    """
    try:
        return _read_all(body), 0
    except msgspec.ValidationError:
        return _read_known(body)


def _read_known(body: bytes) -> tuple[list[Fact], int]:
    facts: list[Fact] = []
    unknown = 0
    for each in _read_each(body):
        parts = _read_parts(each)
        if not parts:
            raise msgspec.ValidationError("a fact that is nothing")
        if _read_number(parts[0]) in _KNOWN:
            facts.append(_read_one(each))
        else:
            unknown += 1
    return facts, unknown


def places_of(fact: Fact) -> tuple[Place, ...]:
    """Return the places that a fact names."""
    match fact:
        case Settled(place=place) | ArgumentsKnown(place=place) | Retried(place=place):
            return (place,)
        case Submitted(arguments=arguments):
            return arguments
        case Ended(place=Place() as place) | Lost(post_mortem=Place() as place):
            return (place,)
        case FunctionKnown(packed=Place() as place):
            return (place,)
        case Noted(places=places):
            return places
    return ()
