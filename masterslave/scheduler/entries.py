"""What the ledger writes down: of submissions, hand-outs, slaves, and of one event."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from masterslave.scheduler.events import Terms
from masterslave.scheduler.feeding import Feeding

__all__ = [
    "CANCELLED",
    "DONE",
    "GIVEN_UP",
    "OPEN",
    "Ask",
    "Key",
    "Line",
    "Moment",
    "Out",
    "Seat",
    "Submission",
]

OPEN, DONE, GIVEN_UP, CANCELLED = range(1, 5)

Key = tuple[int, int]
"""Names a hand-out: its first task and its number."""

Ask = tuple[tuple[tuple[str, float], ...], frozenset[str], int]
"""What tasks ask of a slave: needs, tags, and the function if some slave cannot run it, else -1."""


Line = tuple[Ask, int, str]
"""Where tasks wait in their order: what they ask for, their priority and their owner."""


class Submission(Struct):
    """Tasks that were submitted together."""

    first: int
    stop: int
    terms: Terms
    sizes: Sequence[int] = ()
    item_bytes: int = 0
    is_span: bool = False
    waiting: int = 0
    blocked_by: set[int] = field(default_factory=set)
    """Tasks that have to succeed before, and have not ended."""
    turn: tuple[int, int, int] | None = None
    """Where it stands in its line, if that is not its place among those submitted."""

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
    offers: Mapping[str, float] = {}
    tags: frozenset[str] = frozenset()
    unable: set[int] = field(default_factory=set)
    used: dict[str, float] = field(default_factory=dict)
    """Of its offers, by what it runs."""
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

    def could_meet(self, ask: Ask) -> bool:
        """Tell whether it has what tasks ask for, if it is able to run their function."""
        needs, tags, _ = ask
        return tags <= self.tags and all(
            amount <= self.offers.get(name, 0.0) + 1e-6 for name, amount in needs
        )

    def meets(self, ask: Ask) -> bool:
        """Tell whether it could run such tasks, if it had nothing else to do."""
        return ask[2] not in self.unable and self.could_meet(ask)

    def has_left(self, ask: Ask, back: Mapping[str, float] | None = None) -> bool:
        """Tell whether the amounts are there now, and what is given *back*."""
        back = back or {}
        return all(
            self.used.get(name, 0.0) - back.get(name, 0.0) + amount
            <= self.offers.get(name, 0.0) + 1e-6
            for name, amount in ask[0]
        )

    def can_take(self, ask: Ask) -> bool:
        """Tell whether it could start such a task now."""
        return bool(self.free) and self.meets(ask) and self.has_left(ask)

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
        sent: What was handed out, by slave: priorities and what was asked for.
        stirred: What was asked for by tasks that began to wait.
        touched: Slaves of which something has changed.
        unable: Tasks that have to be answered, as nobody is able to run them.
        follow: Tasks that have to fail, as one did that they were to follow.
        failed: Of the answers, those that are exceptions.
        waited: Items of spans that waited before any of them was handed out, by their first one.
        fresh: The last of the tasks that were handed out for the first time, by their line.
        fed_ahead: Tasks that were given ahead, by slave; ``asked_ahead``: what they asked for.
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
    sent: dict[str, list[tuple[int, Ask]]] = field(default_factory=dict)
    stirred: set[Ask] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    follow: set[int] = field(default_factory=set)
    failed: frozenset[int] = frozenset()
    unable: set[int] = field(default_factory=set)
    waited: dict[int, int] = field(default_factory=dict)
    fresh: dict[Line, tuple[int, int, int]] = field(default_factory=dict)
    fed_ahead: Counter[str] = field(default_factory=Counter)
    asked_ahead: set[Ask] = field(default_factory=set)
