"""The traceback of an exception that was raised in this process, for who gets its copy.

Exceptions travel pickled, without their frames. Where the task ran in a thread of the script
itself, the frames are still here: with them, a debugger that looks at the exception stands in the
task.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from masterslave.protocol.outcomes import Raised
from masterslave.slave.child.answers import Unsendable, describe, without_ours
from remoteobj.unreadable import UNREADABLE

__all__ = ["Unwanted", "describe_and_keep", "give_back"]

MOST = 32
"""Tracebacks that are kept until somebody takes the exception: they hold the tasks' variables."""


class Unwanted(Exception):
    """Raised in the place of an item that nobody waits for."""


class _Kept(NamedTuple):
    traceback: TracebackType | None
    cause: BaseException | None
    context: BaseException | None
    suppress: bool


class _Number(msgspec.Struct):
    kept: int = 0


_kept: OrderedDict[int, _Kept] = OrderedDict()
_lock = threading.Lock()
_next = itertools.count(1).__next__
_decode = msgspec.msgpack.Decoder().decode
_read_number = msgspec.msgpack.Decoder(_Number).decode
_encode = msgspec.msgpack.Encoder().encode
_UNWANTED = _encode(Raised("masterslave.farm.here.Unwanted", "", ""))


def describe_and_keep(error: BaseException, data_only: bool) -> bytes:
    """Return an exception as the wire's ``Raised``, with the number of its traceback beside it."""
    if isinstance(error, Unwanted):
        return _UNWANTED
    kept = _Kept(  # first: to describe it takes the frames from it
        without_ours(error.__traceback__),
        error.__cause__,
        error.__context__,
        error.__suppress_context__,
    )
    packed = describe(error, data_only)
    if isinstance(error, Unsendable):  # nothing of the task's raised it
        return packed
    told: dict[str, Any] = _decode(packed)
    told["kept"] = number = _next()
    with _lock:
        _kept[number] = kept
        if len(_kept) > MOST:
            _kept.popitem(last=False)
    return _encode(told)


def give_back(error: BaseException, payload: bytes, *, is_last: bool) -> bool:
    """Give the copy of an exception the traceback of the original; tells whether it is kept.

    Args:
        payload: A packed ``Raised``.
        is_last: Nobody else will ask for it.
    """
    if not _kept:
        return False
    try:
        number = _read_number(payload).kept
    except UNREADABLE:
        return False
    with _lock:
        kept = _kept.pop(number, None) if is_last else _kept.get(number)
    if kept is None:
        return False
    error.__traceback__ = kept.traceback
    error.__cause__, error.__context__ = kept.cause, kept.context
    error.__suppress_context__ = kept.suppress
    return True
