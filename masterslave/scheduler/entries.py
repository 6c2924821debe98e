"""What the ledger writes down: of submissions, hand-outs, slaves, and of one event."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

from msgspec import Struct, field

from masterslave.scheduler.events import Terms
from masterslave.scheduler.feeding import Feeding

__all__ = ["CANCELLED", "DONE", "GIVEN_UP", "OPEN", "Key", "Moment", "Out", "Seat", "Submission"]

OPEN, DONE, GIVEN_UP, CANCELLED = range(1, 5)

Key = tuple[int, int]
"""Names a hand-out: its first task and its number."""


class Submission(Struct):
    """Tasks that were submitted together."""

    first: int
    stop: int
    terms: Terms
    sizes: Sequence[int] = ()
    item_bytes: int = 0
    is_span: bool = False
    waiting: int = 0

    def bytes_of(self, tasks: range) -> int:
        """Return how many bytes the arguments of tasks take."""
        of_singles = sum(self.sizes[task - self.first] for task in tasks) if self.sizes else 0
        return of_singles + len(tasks) * self.item_bytes


class Out(Struct):
    """A hand-out that is out.

    Attributes:
        since: When it was started; None while it is held ahead.
        open: Tasks of it that have not ended.
    """

    slave: str
    tasks: range
    terms: Terms
    since: float | None
    open: int
    expected_s: float = 0.0
    size: int = 0


class Seat(Struct):
    """A slave that is here; it starts what it is sent in that order, so many at once."""

    name: str
    slots: int
    started: dict[Key, None] = field(default_factory=dict)
    ahead: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    ahead_s: float = 0.0
    ahead_bytes: int = 0
    recalled: set[Key] = field(default_factory=set)
    is_quarantined: bool = False
    tried_at: float = 0.0
    """When it was quarantined, or tried last."""
    trial: Key | None = None
    free: int = 0
    free_since: float = 0.0
    able: int = 0
    able_slots: int = 0

    def has_room(self, feed: Feeding) -> bool:
        """Tell whether it may be given more ahead."""
        return (
            self.ahead_s < feed.feed_ahead_s * self.slots
            and len(self.ahead) < feed.max_ahead * self.slots
            and self.ahead_bytes < feed.ahead_bytes
        )

    def leave_ahead(self, out: Out) -> None:
        """Note that something is not ahead any more, which has been taken out."""
        self.ahead_s = self.ahead_s - out.expected_s if self.ahead else 0.0
        self.ahead_bytes -= out.size


class Moment(Struct):
    """What one event has to lead to, and what it has led to so far.

    Attributes:
        answers: Tasks that have to be settled, by which attempt.
        give_ups: Tasks that have to be given up.
        stops: Hand-outs that have to be stopped.
        recalls: Hand-outs that have to be recalled: their slave is quarantined.
        thinned: Hand-outs of which some tasks were cancelled: they have to be recalled, too.
        releases: Slaves whose quarantine has to end.
        silent: Slaves that have to be dismissed.
        returned: Hand-outs that it has brought back.
        raised: Of the answers, those that are exceptions that would have been retried.
        lowest: The lowest priority that was handed out.
        waited: Items of spans that waited before any of them was handed out, by their first one.
        fresh: The last of the tasks that were handed out for the first time, by priority.
        fed_ahead: Tasks that were given ahead, by slave.
    """

    answers: dict[int, int] = field(default_factory=dict)
    give_ups: set[int] = field(default_factory=set)
    stops: set[Key] = field(default_factory=set)
    recalls: set[Key] = field(default_factory=set)
    thinned: set[Key] = field(default_factory=set)
    releases: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    returned: set[Key] = field(default_factory=set)
    raised: frozenset[int] = frozenset()
    lowest: int | None = None
    waited: dict[int, int] = field(default_factory=dict)
    fresh: dict[int, int] = field(default_factory=dict)
    fed_ahead: Counter[str] = field(default_factory=Counter)
