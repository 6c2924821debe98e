"""Items that are tasks of one function, and what became of each."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, cast

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
from masterslave.farm.recorded import recorded_results
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    Function,
    GivenUp,
    PredecessorFailed,
    Recorded,
    Span,
)
from masterslave.packed import unpack_value
from masterslave.protocol.hand_outs import Form
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, ItemOutcome, Outcome, items_in

if TYPE_CHECKING:
    from masterslave.farm.futures import FarmFuture

__all__ = ["Arrival", "ItemSpan", "RestOfSpan"]


class Arrival:
    """Answers of items in a row, as they came; they are unpacked by who takes them.

    Attributes:
        offset: Of the first item in its span.
        count: How many there are.

    Args:
        answer: An outcome has their results in a list, of as many items as its ``count`` says; if
            that is 0, of as many as there are.
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
        if isinstance(answer, Recorded):
            results = list(self._recorded(answer, data_only))
            has_failed = any(error is not None for _, error in results)
            return None if has_failed else [value for value, _ in results]
        if not isinstance(answer, Outcome) or answer.kind != VALUE:
            return None
        try:
            values: list[Any] = unpack_value(answer.payload, data_only=data_only)
        except BaseException:  # which of them cannot be rebuilt is told one by one
            return None
        if type(values) is not list or len(values) != (answer.count or len(values)):
            return None
        if len(values) == self.count:
            return values
        values = values[self._skip : self._skip + self.count]
        return values if len(values) == self.count else None

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
            case Recorded():
                yield from self._recorded(answer, data_only)
            case _:
                yield from self._of_outcome(answer, data_only)

    def _of_outcome(
        self, answer: Outcome, data_only: bool
    ) -> Iterator[tuple[Any, BaseException | None]]:
        name = self.span.function.name
        if answer.kind == MIXED:
            yield from self._mixed(answer, data_only)
        elif answer.kind == RAISED:  # before the first item
            for _ in range(self.count):
                yield (
                    None,
                    unpack_exception(answer.payload, self._slave, name, data_only=data_only),
                )
        elif (values := self.values(data_only=data_only)) is not None:
            yield from ((value, None) for value in values)
        else:
            for _ in range(self.count):
                error = unpack(answer, self._slave, name, data_only=data_only)[1]
                yield None, error or self._not_whole()

    def _recorded(
        self, answer: Recorded, data_only: bool
    ) -> Iterator[tuple[Any, BaseException | None]]:
        name = self.span.function.name
        return recorded_results(answer, self.count, self._slave, name, data_only=data_only)

    def _not_whole(self) -> NotPicklable:
        return NotPicklable(
            f"what slave {self._slave} sent for items of {self.span.function.name}() is not one "
            "result for each"
        )

    def _mixed(
        self, answer: Outcome, data_only: bool
    ) -> Iterator[tuple[Any, BaseException | None]]:
        outcomes = _read_items(answer)
        if outcomes is None or len(outcomes) < self._skip + self.count:
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

    Attributes:
        members: What is submitted for it: itself, or what earlier runs have left of it.
    """

    __slots__ = (
        "_put", "count", "form", "function", "item_bytes", "items", "members", "number", "terms",
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
        self.members: Sequence[ItemSpan] = (self,)
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


class RestOfSpan(ItemSpan):
    """Items of a span: those that no earlier run has answered.

    Args:
        places: Where they are in the span.
        keys: Of each, in a row.
    """

    __slots__ = ("_places", "_whole")

    def __init__(self, whole: ItemSpan, places: Sequence[int], keys: bytes) -> None:
        items = [whole.items[place] for place in places]
        super().__init__(
            whole.function, cast(TaskTerms, whole.terms), whole.form, items, whole._put
        )
        self.after = whole.after
        self.keys = keys
        self._whole = whole
        self._places = places

    def settle(self, offset: int, count: int, answer: Answer, skip: int, slave: str) -> None:
        """Hand answers to who takes them, as those of the whole span."""
        places, end = self._places, offset + count
        while offset < end:
            first = offset
            while offset < end and places[offset] - places[first] == offset - first:
                offset += 1
            self._put(Arrival(self._whole, places[first], offset - first, answer, skip, slave))
            skip += offset - first


def _read_items(outcome: Outcome) -> tuple[ItemOutcome, ...] | None:
    """Return what became of each item, or None where a slave did not say it of each.

    An outcome whose count is 0 is of as many as it says.
    """
    items = items_in(outcome.payload)
    count = outcome.count
    return items if items is not None and len(items) == (count or len(items)) else None


def _size_of(item: Any) -> int:
    """Return about how many bytes an item takes, pickled."""
    if type(item) in (int, float, bool, type(None)):
        return 8
    try:
        return len(pickle.dumps(item, 5))
    except Exception:
        return 100
