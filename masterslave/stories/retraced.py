"""The trace of a run, in words, and fed to a scheduler once more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec

from masterslave.errors import FarmError
from masterslave.journal.paths import checked
from masterslave.journal.trace import Stretch, checksum_of, read_trace
from masterslave.scheduler import Event, Feeding, Scheduler
from remoteobj.unreadable import UNREADABLE

__all__ = ["Retraced", "events_in_words", "read", "retrace"]

_KINDS = get_args(Event)
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Retraced:
    """What a fresh scheduler has decided, beside what was decided then.

    Attributes:
        events: How many it has heard.
        compared: To how many of these it is known what was decided.
        differs_at: The first event to which something else was decided; None: there is none.
        error: What the scheduler has raised, in a line; empty: nothing.
    """

    events: int
    compared: int
    differs_at: int | None = None
    error: str = ""

    @property
    def is_same(self) -> bool:
        """Whether it has decided the same, as far as that is known."""
        return self.differs_at is None and not self.error


def read(journal: Path) -> Stretch:
    """Return what the trace of the last run still holds.

    Args:
        journal: The path of the journal, beside which it lies, or of the trace itself.

    Raises:
        JournalUnusable: There is none, or it is of another release.
    """
    if journal.suffix == ".trace":
        journal = journal.with_suffix("")
    return read_trace(checked(journal), _KINDS)[-1]


def retrace(stretch: Stretch) -> Retraced:
    """Feed a trace to a fresh scheduler.

    Raises:
        FarmError: It holds no events, or not the first ones any more, or does not say which
            settings it is of.
    """
    if not stretch.events:
        raise FarmError(
            f"the trace of run {stretch.run} holds no events, so there is nothing to compare: it "
            "was cut, or the run has just begun"
        )
    if stretch.first:
        raise FarmError(
            f"the trace of run {stretch.run} has lost its first {stretch.first} events, so no "
            "scheduler decides the same: give it more room (FarmSettings.trace_bytes)"
        )
    try:
        feeding = msgspec.convert(stretch.about["feeding"], Feeding)
        scheduler = Scheduler(silence_s=float(stretch.about["silence_s"]), feeding=feeding)
    except (KeyError, TypeError, *UNREADABLE) as error:
        raise FarmError(f"the trace does not say which settings it is of: {error!r}") from error
    compared = 0
    for place, ((now, event), decided) in enumerate(
        zip(stretch.events, stretch.decided, strict=True)
    ):
        try:
            orders = scheduler.handle(event, now)
        except Exception as error:  # the fault that it is looked for
            return Retraced(place + 1, compared, error=f"{type(error).__name__}: {error}")
        if decided is not None:
            compared += 1
            if checksum_of(orders) != decided:
                return Retraced(place + 1, compared, differs_at=place)
    return Retraced(len(stretch.events), compared)


def events_in_words(stretch: Stretch, last: int) -> Iterator[str]:
    """Return the last events of a trace, one a line."""
    first = max(0, len(stretch.events) - last)
    for place, (now, event) in enumerate(stretch.events[first:], stretch.first + first):
        yield f"{place:>8} {now:>14.6f}  {_short(event)}"


def _short(event: Any) -> str:
    text = " ".join(repr(event).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
