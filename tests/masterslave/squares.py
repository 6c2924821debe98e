"""Streams without a farm: their tasks are answered by the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from masterslave.farm.options import TaskTerms
from masterslave.farm.spans import Arrival, ItemSpan
from masterslave.farm.stream import OrderedStream, Progress, Stream
from masterslave.master.submission import Function
from masterslave.packed import pack_value
from masterslave.protocol.hand_outs import EACH
from masterslave.protocol.outcomes import VALUE, Outcome


class Squares:
    """A sink whose tasks are done as soon as they are submitted, or when the test says so.

    Attributes:
        error: Raised by the next ``submit``, before or after it takes the span.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.taken: list[ItemSpan] = []
        self.dropped: list[ItemSpan] = []
        self.error: BaseException | None = None
        self.takes_before_it_raises = False

    def make_span(self, items: list[Any], put: Callable[[Arrival], None]) -> ItemSpan:
        function = Function(b"", b"", "square", "square")
        return ItemSpan(function, TaskTerms(0), EACH, items, put)

    def submit(self, span: ItemSpan) -> None:
        error, self.error = self.error, None
        if error is not None and not self.takes_before_it_raises:
            raise error
        self.taken.append(span)
        if self.at_once:
            self.answer(span, 0, span.count)
        if error is not None:
            raise error

    def answer(self, span: ItemSpan, offset: int, count: int) -> None:
        items = span.items[offset : offset + count]
        payload = pack_value([int(item) * int(item) for item in items])
        span.settle(offset, count, Outcome(offset, 1, count, VALUE, payload), 0, "slave")

    def has_taken(self, span: ItemSpan) -> bool:
        return span in self.taken

    def drop(self, spans: list[ItemSpan]) -> None:
        self.dropped += spans


def squares(
    items: Iterable[Any], limit: int = 1000, sink: Squares | None = None
) -> Stream[Any, Any]:
    """A stream of ``(item, result)``."""
    return Stream(sink or Squares(), items, ordered=False, **options(limit))


def ordered_squares(
    items: Iterable[Any], limit: int = 1000, sink: Squares | None = None
) -> OrderedStream[Any]:
    """A stream of results."""
    return OrderedStream(sink or Squares(), items, ordered=True, **options(limit))


def options(limit: int) -> dict[str, Any]:
    return {"limit": limit, "progress": Progress(), "max_bytes": None, "data_only": False}
