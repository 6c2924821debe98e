"""Tasks as scripts have packed them: the service unpacks neither functions nor arguments.

What became of a task is in the book before it is settled here; so all that is told is that it
has its answer.
"""

from __future__ import annotations

import abc
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast, overload

import msgspec

from masterslave.journal.facts import Place
from masterslave.journal.tickets import key_of
from masterslave.master.submission import Answer, Cancelled, Function, Single, Span
from masterslave.protocol.hand_outs import BUNDLED, BUNDLED_STARRED, EACH_STARRED, Form
from masterslave.protocol.outcomes import MIXED, PART, PROGRESS, RAISED, ItemOutcome, Outcome
from masterslave.scheduler import Terms
from remoteobj.unreadable import UNREADABLE

__all__ = ["HELD_BYTES", "Answered", "PackedSingle", "PackedSpan", "Places", "raised_in"]

HELD_BYTES = 256
"""Larger arguments are read from the journal when they are handed out."""

_read_mixed = msgspec.msgpack.Decoder(tuple[ItemOutcome, ...]).decode
_encode = msgspec.msgpack.Encoder().encode


class Answered(abc.ABC):
    """Hears of tasks that have their answers; tickets go by their numbers."""

    @abc.abstractmethod
    def tell(self, ticket: int, first: int, count: int, *, is_on_disk: bool) -> None:
        """These have. It must not wait."""

    @abc.abstractmethod
    def tell_part(self, ticket: int, serial: int, kind: int, item: int, payload: bytes) -> None:
        """This one goes on, and has yielded something. It must not wait, and holds a lock."""


class _Arguments:
    """Arguments that are read when they are handed out; how many bytes they are is known."""

    __slots__ = ("_place", "_read")

    def __init__(self, place: Place, read: Callable[[Place], bytes]) -> None:
        self._place = place
        self._read = read

    def __len__(self) -> int:
        return self._place.size

    def __bytes__(self) -> bytes:
        return self._read(self._place)


class Places(Sequence[Place]):
    """Where the arguments of items are: 16 bytes for each."""

    __slots__ = ("_offsets", "_rows", "_sizes")

    def __init__(self, places: Iterable[Place]) -> None:
        self._rows, self._offsets, self._sizes = array("Q"), array("I"), array("I")
        for place in places:
            self._rows.append(place.row)
            self._offsets.append(place.offset)
            self._sizes.append(place.size)

    @overload
    def __getitem__(self, at: int) -> Place: ...

    @overload
    def __getitem__(self, at: slice) -> list[Place]: ...

    def __getitem__(self, at: int | slice) -> Place | list[Place]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        return Place(self._rows[at], self._offsets[at], self._sizes[at])

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Place]:
        return map(Place, self._rows, self._offsets, self._sizes)


class PackedSingle(Single):
    """One task of a ticket.

    Args:
        ticket: Number and name of its ticket.
        place: Where the arguments are.
        arguments: What they are; None: they are read when they are handed out.
    """

    is_kept = True
    __slots__ = (
        "_answered", "arguments", "function", "keys", "number", "place", "serial", "terms",
        "ticket",
    )  # fmt: skip

    def __init__(
        self,
        answered: Answered,
        ticket: tuple[int, str],
        serial: int,
        function: Function,
        terms: Terms,
        place: Place,
        arguments: bytes | Callable[[Place], bytes],
    ) -> None:
        self._answered = answered
        self.ticket, name = ticket
        self.serial = serial
        self.function = function
        self.terms = terms
        self.place = place
        self.number = -1
        self.keys = key_of(name, serial)
        if not isinstance(arguments, bytes):
            arguments = cast(bytes, _Arguments(place, arguments))  # who hands out calls bytes()
        self.arguments = arguments

    def settle(self, answer: Answer, slave: str) -> None:
        """Tell that it has its answer; one that was cancelled is told before that is on disk."""
        self.arguments = b""
        is_on_disk = not isinstance(answer, Cancelled)
        self._answered.tell(self.ticket, self.serial, 1, is_on_disk=is_on_disk)

    def will_retry(self, outcome: Outcome, *, data_only: bool) -> frozenset[int]:
        """Return the task if it has raised, whatever that is: nobody here knows the class."""
        return frozenset([self.number]) if outcome.kind == RAISED else frozenset()

    def note_part(self, item: int, payload: bytes) -> None:
        """Pass on what the task has yielded."""
        self._answered.tell_part(self.ticket, self.serial, PART, item, payload)

    def note_progress(self, payload: bytes) -> None:
        """Pass on how far the task is."""
        self._answered.tell_part(self.ticket, self.serial, PROGRESS, -1, payload)


class PackedSpan(Span):
    """Items of a ticket.

    Args:
        form: Of an item alone: EACH or EACH_STARRED.
        places: Where the arguments of each are.
        read: Reads them.
    """

    is_kept = True
    __slots__ = (
        "_answered", "_read", "count", "form", "function", "item_bytes", "keys", "number",
        "places", "serial", "terms", "ticket",
    )  # fmt: skip

    def __init__(
        self,
        answered: Answered,
        ticket: tuple[int, str],
        serial: int,
        function: Function,
        terms: Terms,
        form: Form,
        places: Places,
        read: Callable[[Place], bytes],
    ) -> None:
        self._answered = answered
        self.ticket, name = ticket
        self.serial = serial
        self.function = function
        self.terms = terms
        self.form = BUNDLED_STARRED if form == EACH_STARRED else BUNDLED
        self.places = places
        self.count = len(places)
        self.number = -1
        self.item_bytes = max(place.size for place in places)
        self.keys = b"".join([key_of(name, serial + at) for at in range(self.count)])
        self._read = read

    def pack(self, offset: int, count: int) -> bytes:
        """Return so many items, as they were packed.

        Raises:
            JournalUnusable: They cannot be read.
        """
        return _encode([self._read(place) for place in self.places[offset : offset + count]])

    def why_not(self, offset: int) -> Exception | None:
        """Return why this item cannot be sent, or None if it can."""
        try:
            self._read(self.places[offset])
        except Exception as error:
            return error
        return None

    def settle(self, offset: int, count: int, answer: Answer, skip: int, slave: str) -> None:
        """Tell that items have their answers."""
        is_on_disk = not isinstance(answer, Cancelled)
        self._answered.tell(self.ticket, self.serial + offset, count, is_on_disk=is_on_disk)

    def will_retry(self, outcome: Outcome, *, data_only: bool) -> frozenset[int]:
        """Return the items that have raised."""
        if outcome.kind == RAISED:
            return frozenset(range(outcome.task, outcome.task + outcome.count))
        items = _items_in(outcome.payload) if outcome.kind == MIXED else ()
        raised = [at for at, item in enumerate(items[: outcome.count]) if item.kind == RAISED]
        return frozenset(outcome.task + at for at in raised)

    def note_part(self, item: int, payload: bytes) -> None:
        """Items yield no parts."""

    def note_progress(self, payload: bytes) -> None:
        """How far one item is does not matter to who waits for all."""


def raised_in(payload: bytes, skip: int, count: int) -> int:
    """Return how many of these items have raised, by the payload of a MIXED outcome."""
    return sum(item.kind == RAISED for item in _items_in(payload)[skip : skip + count])


def _items_in(payload: bytes) -> tuple[ItemOutcome, ...]:
    try:
        items: tuple[ItemOutcome, ...] = _read_mixed(payload)
    except UNREADABLE:  # whatever a slave sends
        return ()
    return items
