"""What the script hands in, packed: each item by itself, since the farm unpacks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from masterslave.errors import NotPicklable, NotShared
from masterslave.farm.futures import FarmFuture
from masterslave.farm.handles import Packed, hold
from masterslave.farm.packing import pack_items
from masterslave.farm.spans import ItemSpan, RestOfSpan
from masterslave.master.answers import HandOver
from masterslave.master.sharing import Blob, Promised
from masterslave.master.submission import Failed, Single, Submission

__all__ = ["Parcel", "parcel_of", "parcels_of_span"]


class Parcel(NamedTuple):
    """A submission on its way.

    Attributes:
        arguments: Of each task, packed.
        blobs: What is referred to in them, and in the function.
    """

    submission: Submission
    arguments: Sequence[bytes]
    blobs: tuple[Blob, ...]

    @property
    def failed(self) -> Single | None:
        """One that has failed before it, if any has."""
        return next((one for one in self.submission.after if one.has_failed), None)

    def has_to_wait(self, since: int) -> bool:
        """Tell whether it follows, or is given the result of, a task that has no number yet, or
        one from before the number *since*: which may be an item.
        """
        return any(one.number < since for one in self.given.values()) or any(
            one.number < since and not cast("FarmFuture[Any]", one).done()
            for one in self.submission.after
        )

    @property
    def given(self) -> dict[bytes, Single]:
        """Tasks whose results it is given, and that are not here: by what handles name those."""
        return {
            blob.digest: task
            for blob in self.blobs
            if isinstance(blob, Promised) and not blob.has_come.is_set()
            if blob.of is not None and (task := blob.of()) is not None
        }

    @property
    def why_not(self) -> NotShared | None:
        """Why it cannot be run: what it is given cannot be had."""
        why = next((one.why_not for one in self.blobs if isinstance(one, Promised)), "")
        return NotShared(why) if why else None

    def settle_all(self, answer: Any) -> HandOver:
        """Return what gives all of it this answer."""
        one = self.submission
        if one.is_span:
            return one.settle, (0, one.count, answer, 0, "")
        one.has_failed = True
        return one.settle, (answer, "")


def parcel_of(single: Single) -> Parcel:
    """Pack a single task."""
    arguments = single.arguments
    blobs = arguments.blobs if isinstance(arguments, Packed) else ()
    held = cast("Sequence[Blob]", single.function.holds or ())
    return Parcel(single, (arguments,), (*blobs, *held))


def parcels_of_span(span: ItemSpan, origin: str) -> tuple[list[Parcel], list[HandOver]]:
    """Pack the items of a span; its members are then those that can be sent.

    Args:
        origin: The farm to which they go.
    Returns:
        What there is to send, and what tells the others why they are not.
    """
    arguments: list[bytes] = []
    places: list[int] = []
    unsent: list[HandOver] = []
    blobs: dict[bytes, Blob] = {}
    is_named = span.function.is_named
    for place, item in enumerate(span.items):
        try:
            packed = pack_items([item], is_named=is_named)
            for blob in hold(packed, origin):
                blobs[blob.digest] = blob
        except Exception as error:
            why = error if isinstance(error, NotPicklable) else span.why_not(place)
            unsent.append((span.settle, (place, 1, Failed(why or error), 0, "")))
            continue
        span.item_bytes = max(span.item_bytes, len(packed))
        arguments.append(packed)
        places.append(place)
    member = span if not unsent else RestOfSpan(span, places, b"") if places else None
    span.members = () if member is None else (member,)
    if member is None:
        return [], unsent
    held = cast("Sequence[Blob]", span.function.holds or ())
    return [Parcel(member, arguments, (*blobs.values(), *held))], unsent
