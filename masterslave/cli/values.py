"""Answers in words, for who looks: data as it is; what is pickled is never unpickled."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from masterslave.protocol.attaching import (
    CANCELLED,
    GIVEN_UP,
    OUTCOME,
    PREDECESSOR_FAILED,
    SentAnswer,
)
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, ItemOutcome, Raised
from masterslave.stories.values import describe_item, describe_value
from remoteobj.unreadable import UNREADABLE

__all__ = ["in_words"]

_MOST = 300

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
    return ("raised", _raised(payload)) if kind == RAISED else ("done", describe_value(payload))


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
    for at in range(answer.count):
        yield "done", describe_item(answer.payload, answer.skip + at)


def _raised(payload: bytes) -> str:
    try:
        raised = _read_raised(payload)
    except UNREADABLE:
        return "an exception, unreadable"
    return _short(f"{raised.type_name}: {raised.message}")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."
