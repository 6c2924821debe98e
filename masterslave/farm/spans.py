"""Items that are tasks of one function, and what became of each."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, cast

import msgspec

from masterslave.errors import FarmBroken, NotPicklable
from masterslave.farm.followers import dependency_failed
from masterslave.farm.options import TaskTerms
from masterslave.farm.packing import (
    lost_too_often,
    pack_items,
    unpack,
    unpack_exception,
    why_not_item,
)
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    Function,
    GivenUp,
    PredecessorFailed,
    Span,
)
from masterslave.packed import unpack_value
from masterslave.protocol.hand_outs import Form
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, ItemOutcome, Outcome
from remoteobj.unreadable import UNREADABLE

if TYPE_CHECKING:
    from masterslave.farm.futures import FarmFuture

__all__ = ["Arrival", "ItemSpan"]

_read_mixed = msgspec.msgpack.Decoder(tuple[ItemOutcome, ...]).decode


class Arrival:
    """Answers of items in a row, as they came; they are unpacked by who takes them.

    Attributes:
        offset: Of the first item in its span.
        count: How many there are.
    """

    __slots__ = ("_answer", "_skip", "_slave", "count", "offset", "span")

    def __init__(
        self, span: ItemSpan, offset: int, count: int, answer: Answer, skip: int, slave: str
    ) -> None:
        self.span = span
        self.offset = offset
        self.count = count
        self._answer = answer
        self._skip = skip
        self._slave = slave

    def values(self, *, data_only: bool) -> list[Any] | None:
        """Return the values, or None if some of the items have none."""
        answer = self._answer
        if not isinstance(answer, Outcome) or answer.kind != VALUE:
            return None
        try:
            values: list[Any] = unpack_value(answer.payload, data_only=data_only)
        except BaseException:  # which of them cannot be rebuilt is told one by one
            return None
        if type(values) is not list or len(values) != answer.count:
            return None
        if len(values) == self.count:
            return values
        return values[self._skip : self._skip + self.count]

    def results(self, *, data_only: bool) -> Iterator[tuple[Any, BaseException | None]]:
        """Yield for each item its value, or the exception in its place: one for each, always."""
        answer, name = self._answer, self.span.function.name
        match answer:
            case Failed(error=failure):
                for _ in range(self.count):  # each may get notes of its own
                    yield None, failure.again() if isinstance(failure, FarmBroken) else failure
            case GivenUp():
                yield from [(None, lost_too_often(answer, name))] * self.count
            case PredecessorFailed(predecessor=one):
                for _ in range(self.count):
                    yield None, dependency_failed(name, cast("FarmFuture[Any]", one))
            case Cancelled():
                for _ in range(self.count):
                    yield None, CancelledError()
            case _ if answer.kind == MIXED:
                yield from self._mixed(answer, data_only)
            case _ if answer.kind == RAISED:  # before the first item
                for _ in range(self.count):
                    yield (
                        None,
                        unpack_exception(answer.payload, self._slave, name, data_only=data_only),
                    )
            case _:
                values = self.values(data_only=data_only)
                if values is not None:
                    yield from ((value, None) for value in values)
                else:
                    for _ in range(self.count):
                        error = unpack(answer, self._slave, name, data_only=data_only)[1]
                        yield None, error or self._not_whole()

    def _not_whole(self) -> NotPicklable:
        return NotPicklable(
            f"what slave {self._slave} sent for items of {self.span.function.name}() is not one "
            "result for each"
        )

    def _mixed(
        self, answer: Outcome, data_only: bool
    ) -> Iterator[tuple[Any, BaseException | None]]:
        outcomes = _read_items(answer)
        if outcomes is None:
            for _ in range(self.count):
                yield None, self._not_whole()
        else:
            for outcome in outcomes[self._skip : self._skip + self.count]:
                yield self._one(outcome.kind, outcome.payload, data_only)

    def _one(self, kind: int, payload: bytes, data_only: bool) -> tuple[Any, BaseException | None]:
        outcome = Outcome(0, 0, 1, kind, payload)
        return unpack(outcome, self._slave, self.span.function.name, data_only=data_only)


class ItemSpan(Span):
    """Items of a ``map`` or a stream.

    Args:
        put: Called with each arrival, by any thread; it must not wait.
    """

    __slots__ = (
        "_put", "count", "form", "function", "item_bytes", "items", "number", "terms",
    )  # fmt: skip

    def __init__(
        self,
        function: Function,
        terms: TaskTerms,
        form: Form,
        items: list[Any],
        put: Callable[[Arrival], None],
    ) -> None:
        self.function = function
        self.terms = terms
        self.form = form
        self.items = items
        self.number = -1
        self.count = len(items)
        self.item_bytes = _size_of(items[0])
        self._put = put

    def pack(self, offset: int, count: int) -> bytes:
        """Return so many items, pickled; raises where one of them cannot be."""
        packed = pack_items(self.items[offset : offset + count], is_named=self.function.is_named)
        self.item_bytes = max(self.item_bytes, len(packed) // count)  # it was the first one's
        return packed

    def why_not(self, offset: int) -> Exception | None:
        """Return why this item cannot be sent, or None if it can."""
        return why_not_item(self.function.name, self.items[offset])

    def settle(self, offset: int, count: int, answer: Answer, skip: int, slave: str) -> None:
        """Hand answers to who takes them."""
        self._put(Arrival(self, offset, count, answer, skip, slave))

    def will_retry(self, outcome: Outcome, *, data_only: bool) -> frozenset[int]:
        """Return the items that raised what is to be tried again."""
        on = cast(TaskTerms, self.terms).on
        if outcome.kind == RAISED:
            error = unpack_exception(outcome.payload, "", data_only=data_only)
            every = range(outcome.task, outcome.task + outcome.count)
            return frozenset(every) if isinstance(error, on) else frozenset()
        return frozenset(
            outcome.task + place
            for place, item in enumerate(_read_items(outcome) or ())
            if item.kind == RAISED
            and isinstance(unpack_exception(item.payload, "", data_only=data_only), on)
        )

    def note_part(self, item: int, payload: bytes) -> None:
        """Items yield no parts: what a generator function returns for one cannot be sent."""

    def note_progress(self, payload: bytes) -> None:
        """How far one item is does not matter to who waits for all."""


def _read_items(outcome: Outcome) -> tuple[ItemOutcome, ...] | None:
    """Return what became of each item, or None where a slave did not say it of each."""
    try:
        items: tuple[ItemOutcome, ...] = _read_mixed(outcome.payload)
    except UNREADABLE:
        return None
    return items if len(items) == outcome.count else None


def _size_of(item: Any) -> int:
    """Return about how many bytes an item takes, pickled."""
    if type(item) in (int, float, bool, type(None)):
        return 8
    try:
        return len(pickle.dumps(item, 5))
    except Exception:
        return 100
