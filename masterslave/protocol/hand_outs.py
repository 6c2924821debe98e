"""Hand-outs: what a slave is given to do, and how it is told that this is wanted no more."""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "BUNDLED",
    "BUNDLED_STARRED",
    "CALL",
    "EACH",
    "EACH_STARRED",
    "MAX_PAYLOAD_BYTES",
    "RUN_BITS",
    "Form",
    "Stop",
    "WireTask",
    "run_of",
]

MAX_PAYLOAD_BYTES = 128 * 1024 * 1024
"""Largest function, arguments or result of one hand-out, packed, in bytes: with the others of its
batch it has to fit into a message (256 MiB, ``remoteobj.Settings.max_message_bytes``)."""

RUN_BITS = 40
"""Each run of a farm that is kept numbers its tasks from a multiple of 1 << RUN_BITS on, so that no
number is used twice. A farm that is not kept has one run, from 0 on."""

Form = int
CALL, EACH, EACH_STARRED, BUNDLED, BUNDLED_STARRED = range(5)
"""What the arguments of a hand-out are, pickled: ``(args, kwargs)`` of one call; a list of items,
each the only argument of a call of its own; a list of argument tuples, likewise; and of a master
that unpickles nothing, a MessagePack list with such a list for each item. Those of a named task are
packed instead, as values are."""


class WireTask(Struct, frozen=True, array_like=True):
    """One hand-out: the function by its hash, the arguments as bytes, in one of the forms."""

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


def run_of(task: int) -> int:
    """Return in which run of its farm a task was numbered."""
    return task >> RUN_BITS
