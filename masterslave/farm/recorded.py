"""Answers that an earlier run of the script has had: read from the journal when they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from masterslave.errors import NotPicklable
from masterslave.farm.own_classes import loads
from masterslave.farm.packing import reason_of, unpack
from masterslave.master.submission import Recorded
from masterslave.packed import PICKLED, unpack_value
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, Outcome, items_in

__all__ = ["Bundle", "has_value", "recorded_results"]

Result = tuple[Any, BaseException | None]


class Bundle:
    """The payload of a list of results, of which several answers are read: it is unpacked once."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._values: list[Any] | None = None

    def __call__(self) -> bytes:
        """Return it."""
        return self._payload

    def values(self, *, data_only: bool) -> list[Any]:
        """Return the values."""
        if self._values is None:
            self._values = [*_value_of(self._payload, data_only)]
        return self._values


def has_value(answer: Recorded) -> bool:
    """Tell whether this is a value, and not what a task has raised. Blocks: on the disk, rarely."""
    if answer.kind != MIXED:
        return answer.kind == VALUE
    items = items_in(answer.payload())
    return items is not None and answer.skip < len(items) and items[answer.skip].kind == VALUE


def recorded_results(
    answer: Recorded, count: int, slave: str, function: str, *, data_only: bool
) -> Iterator[Result]:
    """Yield for each of *count* tasks in a row its value, or the exception in its place.

    Blocks: on the disk.
    """
    try:
        yield from _results(answer, count, slave, function, data_only)
    except Exception as error:
        for _ in range(count):
            yield (
                None,
                NotPicklable(
                    f"a result of {function}() cannot be had from the journal: {reason_of(error)}"
                ),
            )


def _results(
    answer: Recorded, count: int, slave: str, function: str, data_only: bool
) -> list[Result]:
    payload = answer.payload()
    if answer.skip < 0 or answer.kind == RAISED:
        return [_one(answer.kind, payload, slave, function, data_only)] * count
    part = slice(answer.skip, answer.skip + count)
    if answer.kind == MIXED:
        items = items_in(payload) or ()
        return [_one(one.kind, one.payload, slave, function, data_only) for one in items[part]]
    source = answer.source
    values = source.values(data_only=data_only) if isinstance(source, Bundle) else None
    if values is None:
        values = _value_of(payload, data_only)
    return [(value, None) for value in values[part]]


def _one(kind: int, payload: bytes, slave: str, function: str, data_only: bool) -> Result:
    if kind == VALUE:
        return _value_of(payload, data_only), None
    outcome = Outcome(0, 0, 1, kind, payload)
    return unpack(outcome, slave, function, data_only=data_only, loads=loads)


def _value_of(payload: bytes, data_only: bool) -> Any:
    if payload[:1] == PICKLED and not data_only:
        return loads(memoryview(payload)[1:])
    return unpack_value(payload, data_only=data_only)
