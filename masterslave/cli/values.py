"""Answers in words, for who looks: data as it is; what is pickled is named, and never unpickled."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any

import msgspec

from masterslave.packed import PICKLED, NotData, unpack_value
from masterslave.protocol.attaching import (
    CANCELLED,
    GIVEN_UP,
    OUTCOME,
    PREDECESSOR_FAILED,
    SentAnswer,
)
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, ItemOutcome, Raised
from remoteobj import RemoteObjError
from remoteobj.unreadable import UNREADABLE

__all__ = ["in_words"]

_MOST = 300
_SEARCHED_BYTES = 4096

_read_mixed = msgspec.msgpack.Decoder(tuple[ItemOutcome, ...]).decode
_read_raised = msgspec.msgpack.Decoder(Raised).decode

Words = tuple[str, str]
"""The state, and what there is to say of it."""


def in_words(answer: SentAnswer) -> Iterator[Words]:
    """Yield what became of each task of an answer."""
    if answer.what == OUTCOME and answer.kind == MIXED:
        yield from _mixed(answer)
    elif answer.what == OUTCOME and answer.kind == VALUE and answer.skip >= 0:
        yield from _items(answer)
    else:
        words = _of_all(answer)
        for _ in range(answer.count):
            yield words


def _of_all(answer: SentAnswer) -> Words:
    if answer.what == OUTCOME:
        return _one(answer.kind, answer.payload)
    if answer.what == CANCELLED:
        return "cancelled", ""
    if answer.what == PREDECESSOR_FAILED:
        return "failed", f"task {answer.predecessor} before it has no result"
    state = "given up" if answer.what == GIVEN_UP else "failed"
    return state, _short(answer.payload.decode(errors="replace"))


def _one(kind: int, payload: bytes) -> Words:
    return ("raised", _raised(payload)) if kind == RAISED else ("done", _value(payload))


def _mixed(answer: SentAnswer) -> Iterator[Words]:
    try:
        items = _read_mixed(answer.payload)[answer.skip : answer.skip + answer.count]
    except UNREADABLE:
        items = ()
    for item in items:
        yield _one(item.kind, item.payload)
    for _ in range(answer.count - len(items)):
        yield "done", "unreadable"


def _items(answer: SentAnswer) -> Iterator[Words]:
    try:
        values: list[Any] = unpack_value(answer.payload, data_only=True)
        words = [_short(repr(value)) for value in values[answer.skip : answer.skip + answer.count]]
    except Exception:  # what is in there may be anything
        words = []
    for word in words or [_value(answer.payload)] * answer.count:
        yield "done", word


def _value(payload: bytes) -> str:
    try:
        return _short(repr(unpack_value(payload, data_only=True)))
    except NotData:
        return f"pickled, {len(payload)} bytes: {_first_name(payload)}"
    except (RemoteObjError, ValueError, *UNREADABLE):
        return f"unreadable, {len(payload)} bytes"


def _first_name(payload: bytes) -> str:
    """Return the first class or function that a pickle names; it is read, not run."""
    names: list[str] = []
    try:
        for code, argument, _ in pickletools.genops(payload[len(PICKLED) :][:_SEARCHED_BYTES]):
            if code.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if code.name == "STACK_GLOBAL":
                return ".".join(names[-2:])
            if isinstance(argument, str):
                names.append(argument)
    except Exception:  # it was cut off, or is none
        pass
    return "an object"


def _raised(payload: bytes) -> str:
    try:
        raised = _read_raised(payload)
    except UNREADABLE:
        return "an exception, unreadable"
    return _short(f"{raised.type_name}: {raised.message}")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."
