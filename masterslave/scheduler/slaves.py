"""What the scheduler knows of slaves: what each runs, what it holds ahead, and whose turn it is.

A slave starts hand-outs in the order in which they were sent, as many at once as it has slots: so
the first ones are *started*, the others *ahead*.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from msgspec import Struct, field

from masterslave.scheduler.events import HandOut
from masterslave.scheduler.feeding import Feeding
from masterslave.scheduler.levels import Levels
from masterslave.scheduler.pieces import Piece, Pieces

__all__ = ["RECALL_WORTH_S", "Roster", "Slave"]

# A recall takes two exchanges, some 0.5 ms each: work for less would be done before it comes back.
RECALL_WORTH_S = 0.002


class Slave(Struct, eq=False):
    """A slave that is here.

    Attributes:
        held_count: Tasks that it has and has not answered.
        started: Hand-outs that it runs, by their first task, and since when.
        ahead: Hand-outs that it will start next, in order; some may have ended, or been given back.
        ahead_count: How many of them have not.
        ahead_s: What these are expected to take, in seconds.
        recalled: First tasks of those that it was asked to give back and has not.
        quarantined_s: How long its next quarantine is, in seconds; 0 before the first.
        trial: With what it was tried last in quarantine, until that is heard of.
        raises: Whether tasks of the evidence have raised here; else they were lost.
        done: Hand-outs that it finished lately; ``bad``: those it failed and others did not.
    """

    name: str
    slots: int
    heard_at: float
    held_count: int = 0
    started: dict[int, float] = field(default_factory=dict)
    ahead: deque[HandOut] = field(default_factory=deque)
    ahead_count: int = 0
    ahead_s: float = 0.0
    ahead_bytes: int = 0
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

    def start_next(self, pieces: dict[int, Piece], now: float) -> None:
        """Note that it starts what it held ahead, where it has slots."""
        ahead = self.ahead
        while self.ahead_count and len(self.started) < self.slots:
            hand_out = ahead.popleft()
            piece = pieces.get(hand_out.task)
            if piece is not None and piece.attempt == hand_out.attempt:
                self.started[hand_out.task] = now
                self.leave_ahead(piece)


class Roster:
    """All slaves, in the lines in which they are served.

    Attributes:
        by_name: The one that was heard of longest ago first.
        free: Those with a free slot, in the order in which they are served.
        hungry: Those that may be fed ahead, by how much they hold.
        rich: Those that hold so much ahead that a free slave may get of it.
        slots: Of all that may get tasks.
        free_slots: Those of them that are free.
        able: Slaves that may get tasks.
        recalls: Hand-outs that were recalled, and are neither given back nor started.
    """

    __slots__ = (
        "_feeding",
        "able",
        "by_name",
        "free",
        "free_slots",
        "hungry",
        "recalls",
        "rich",
        "slots",
        "touched",
    )

    def __init__(self, feeding: Feeding) -> None:
        self._feeding = feeding
        self.by_name: OrderedDict[str, Slave] = OrderedDict()
        self.free: OrderedDict[str, Slave] = OrderedDict()
        longest_s = 2 * feeding.feed_ahead_s
        self.hungry: Levels[Slave] = Levels(RECALL_WORTH_S, longest_s)
        self.rich: Levels[Slave] = Levels(RECALL_WORTH_S, longest_s)
        self.slots = 0
        self.free_slots = 0
        self.able = 0
        self.recalls = 0
        self.touched: dict[str, Slave] = {}
        """Slaves of which something has changed in this event: their lines may be others."""

    def hear(self, name: str, now: float) -> Slave | None:
        """Note a sign of life; returns the slave if it is here."""
        slave = self.by_name.get(name)
        if slave is not None:
            slave.heard_at = now
            self.by_name.move_to_end(name)
        return slave

    def settle_lines(self, pieces: Pieces, now: float) -> None:
        """Have the slaves of which something has changed start what they can, and line up."""
        touched = self.touched
        while touched:
            _, slave = touched.popitem()
            if slave.ahead_count:
                slave.start_next(pieces.by_first, now)
            self.line_up(slave)

    def line_up(self, slave: Slave) -> None:
        """Put the slave into the lines where it belongs."""
        name, slots = slave.name, 0 if slave.is_quarantined else slave.slots
        free = max(0, slots - len(slave.started))
        if slots != slave.slots_counted:
            self.able += (slots > 0) - (slave.slots_counted > 0)
            self.slots += slots - slave.slots_counted
            self.hungry.remove(name)
            slave.slots_counted = slots
        if free != slave.free_counted:
            self.free_slots += free - slave.free_counted
            slave.free_counted = free
        if len(slave.recalled) != slave.recalls_counted:
            self.recalls += len(slave.recalled) - slave.recalls_counted
            slave.recalls_counted = len(slave.recalled)
        if free:
            self.free.setdefault(name, slave)
        else:
            self.free.pop(name, None)
        self._line_up_ahead(slave, slots, free)

    def _line_up_ahead(self, slave: Slave, slots: int, free: int) -> None:
        name, feed = slave.name, self._feeding
        level_s = slave.ahead_s / slots if slots else 0.0
        if (
            slots
            and not free
            and level_s < feed.feed_ahead_s
            and slave.ahead_count < feed.max_ahead * slots
            and slave.ahead_bytes < feed.ahead_bytes
        ):
            self.hungry.put(name, slave, level_s, slots)
        else:
            self.hungry.remove(name)
        if level_s > RECALL_WORTH_S and not slave.recalled:
            self.rich.put(name, slave, level_s)
        else:
            self.rich.remove(name)

    def drop(self, slave: Slave) -> None:
        """The slave is gone."""
        del self.by_name[slave.name]
        slave.slots = 0
        slave.recalled.clear()
        self.line_up(slave)
        self.touched.pop(slave.name, None)
