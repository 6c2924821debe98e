"""What the scheduler knows of slaves, and of what tasks demand of them.

A slave starts hand-outs in the order in which they were sent, as many at once as it has slots: so
the first ones are *started*, the others *ahead*. What needs amounts of its offers is never ahead.

Tasks that need the same amounts and the same tags are of one *demand*, which has lines of its own:
for what of it waits, and of the slaves that can take it. So what nobody can run holds up nothing
else, and a step costs the same however much of it waits.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping

from msgspec import Struct, field

from masterslave.scheduler.events import HandOut
from masterslave.scheduler.levels import Levels
from masterslave.scheduler.pieces import Piece
from masterslave.scheduler.queue import Queue

__all__ = ["ANY_FUNCTION", "RECALL_WORTH_S", "Demand", "Needs", "Slave"]

ANY_FUNCTION = -1

Needs = tuple[tuple[str, float], ...]

# A recall takes two exchanges, some 0.5 ms each: work for less would be done before it comes back.
RECALL_WORTH_S = 0.002

# Ten tenths are one.
_DUST = 1e-9


class Slave(Struct, eq=False):
    """A slave that is here.

    Attributes:
        held_count: Tasks that it has and has not answered.
        started: Hand-outs that it runs, by their first task, and since when.
        ahead: Hand-outs that it will start next, in order; some may have ended, or been given back.
        ahead_count: How many of them have not.
        ahead_s: What these are expected to take, in seconds.
        ahead_of: What they demand; ``is_mixed``: some demand something else.
        recalled: First tasks of those that it was asked to give back and has not.
        quarantined_s: How long its next quarantine is, in seconds; 0 before the first.
        trial: With what it was tried last in quarantine, until that is heard of.
        raises: Whether tasks of the evidence have raised here; else they were lost.
        offers: Amounts that tasks may need; ``used``: what those that it runs use up of them.
        tags: What it has, beside these.
        unable: Functions that it cannot run, and why.
        demands: Those that it could meet, if it had nothing else to do.
        done: Hand-outs that it finished lately; ``bad``: those it failed and others did not.
    """

    name: str
    slots: int
    heard_at: float
    offers: Mapping[str, float] = {}
    tags: frozenset[str] = frozenset()
    used: dict[str, float] = field(default_factory=dict)
    needs_of: dict[int, Needs] = field(default_factory=dict)
    unable: dict[int, str] = field(default_factory=dict)
    demands: list[Demand] = field(default_factory=list)
    held_count: int = 0
    started: dict[int, float] = field(default_factory=dict)
    ahead: deque[HandOut] = field(default_factory=deque)
    ahead_count: int = 0
    ahead_s: float = 0.0
    ahead_bytes: int = 0
    ahead_of: Demand | None = None
    is_mixed: bool = False
    recalled: set[int] = field(default_factory=set)
    done: float = 0.0
    bad: float = 0.0
    evidence: tuple[str, ...] = ()
    is_quarantined: bool = False
    quarantined_s: float = 0.0
    trial_due: float = 0.0
    trial: HandOut | None = None
    raises: bool = False
    slots_counted: int = 0
    free_counted: int = 0
    recalls_counted: int = 0

    def is_live(self, hand_out: HandOut, pieces: dict[int, Piece]) -> bool:
        """Tell whether a hand-out of its ``ahead`` is still held."""
        piece = pieces.get(hand_out.task)
        return piece is not None and piece.attempt == hand_out.attempt

    def start(self, first: int, needs: Needs, now: float) -> None:
        """Note that it starts a hand-out, by its first task."""
        self.started[first] = now
        if needs:
            self.needs_of[first] = needs
            self._sum_up()

    def end_use(self, first: int) -> None:
        """Note that a hand-out uses up nothing any more."""
        if self.needs_of.pop(first, None) is not None:
            self._sum_up()

    def offers_all(self, needs: Needs) -> bool:
        """Tell whether it offers so much, used or not."""
        return all(amount <= self.offers.get(name, 0.0) + _DUST for name, amount in needs)

    def has_left(self, needs: Needs) -> bool:
        """Tell whether so much of its offers is not used now."""
        offers, used = self.offers, self.used
        return all(
            used.get(name, 0.0) + amount <= offers.get(name, 0.0) + _DUST for name, amount in needs
        )

    def _sum_up(self) -> None:
        # Anew each time: what is added and taken away again and again leaves dust.
        self.used.clear()
        for needs in self.needs_of.values():
            for name, amount in needs:
                self.used[name] = self.used.get(name, 0.0) + amount

    def note_fed(self, demand: Demand, before: int) -> None:
        """Note that it was given tasks of this demand ahead, when it held so many hand-outs."""
        if not before:
            self.ahead_of, self.is_mixed = demand, False
        elif self.ahead_of is not demand:
            self.is_mixed = True

    def add_ahead(self, hand_out: HandOut, piece: Piece) -> None:
        """Note a hand-out that it cannot start yet."""
        self.ahead.append(hand_out)
        self.ahead_count += 1
        self.ahead_s += piece.expected_s
        self.ahead_bytes += piece.size

    def leave_ahead(self, piece: Piece) -> None:
        """Note that a hand-out is not ahead any more: it was started, or released."""
        self.ahead_count -= 1
        self.ahead_bytes -= piece.size
        if self.recalled:
            self.recalled.discard(piece.first)
        if self.ahead_count:
            self.ahead_s -= piece.expected_s
        else:
            self.ahead.clear()
            self.ahead_s = 0.0

    def release(self, piece: Piece) -> None:
        """Note that it does not hold this any more."""
        self.held_count -= piece.stop - piece.first
        if self.started.pop(piece.first, None) is None:
            self.leave_ahead(piece)
        elif self.needs_of:
            self.end_use(piece.first)

    def start_next(self, pieces: dict[int, Piece], now: float) -> None:
        """Note that it starts what it held ahead, where it has slots."""
        ahead = self.ahead
        while self.ahead_count and len(self.started) < self.slots:
            hand_out = ahead.popleft()
            piece = pieces.get(hand_out.task)
            if piece is not None and piece.attempt == hand_out.attempt:
                self.started[hand_out.task] = now
                self.leave_ahead(piece)


class Demand(Struct, eq=False):
    """What tasks demand of a slave; and whose turn it is, of them and of the slaves.

    Attributes:
        function: The only one whose tasks are in here, as some slave cannot run it; else
            ``ANY_FUNCTION``.
        waiting: Tasks in its queue.
        open: Its tasks that have not ended.
        slaves: All that could run them, if they had nothing else to do.
        able: How many of these may get tasks.
        slots: Of these.
        free: Those that can take a task now, in the order in which they are served.
        free_slots: Of them; not kept where amounts are needed.
        hungry: Those that may be fed ahead, by how much they hold.
        rich: Those that hold so much of it ahead that a free slave may get of that.
    """

    needs: Needs
    tags: frozenset[str]
    function: int
    hungry: Levels[Slave]
    rich: Levels[Slave]
    queue: Queue
    waiting: int = 0
    open: int = 0
    slaves: dict[str, Slave] = field(default_factory=dict)
    able: int = 0
    slots: int = 0
    free: OrderedDict[str, Slave] = field(default_factory=OrderedDict)
    free_slots: int = 0

    def turn(self) -> tuple[int, float, int, int]:
        """Return what orders demands of which something waits, the one whose turn it is first.

        By priority; then the one whose owner has used less; then the one that fewer slaves could
        run, for it has fewer to go to; then the one whose task is older.
        """
        head = self.queue.head()
        assert head is not None
        return -head.terms.priority, self.queue.used_s(head), len(self.slaves), head.first

    def __repr__(self) -> str:
        return f"<Demand {self.needs} {sorted(self.tags)}: {self.waiting} of {self.open} wait>"

    def could_be_met_by(self, slave: Slave) -> bool:
        """Tell whether a slave has what it takes, if it is able to run the function."""
        return self.tags <= slave.tags and slave.offers_all(self.needs)

    def is_met_by(self, slave: Slave) -> bool:
        """Tell whether a slave could run its tasks, if it had nothing else to do."""
        return self.function not in slave.unable and self.could_be_met_by(slave)
