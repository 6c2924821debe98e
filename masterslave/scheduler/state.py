"""What the scheduler knows: tasks that are not settled yet, and slaves that are here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from heapq import heappop, heappush

from msgspec import Struct

from masterslave.scheduler.estimates import Estimates
from masterslave.scheduler.events import HandOut
from masterslave.scheduler.feeding import Feeding
from masterslave.scheduler.orders import Held, Order, StopTasks
from masterslave.scheduler.pieces import Piece, Pieces
from masterslave.scheduler.roster import Roster
from masterslave.scheduler.shares import Shares
from masterslave.scheduler.slaves import Demand, Slave
from masterslave.scheduler.transitions import Phase, Trigger, next_phase

__all__ = ["Counts", "Delays", "State", "Step"]


class Counts(Struct):
    """What has happened so far, in tasks; an item of a span is one."""

    submitted: int = 0
    done: int = 0
    given_up: int = 0
    cancelled: int = 0
    handed_out: int = 0
    handed_out_again: int = 0
    late: int = 0
    """Outcomes that came when the task had its answer already, or is to run again; dropped."""
    retried: int = 0
    speculated: int = 0
    recalled: int = 0
    slaves_joined: int = 0
    slaves_left: int = 0
    slaves_lost: int = 0
    slaves_quarantined: int = 0
    slaves_released: int = 0


class Delays:
    """Pieces that wait for their delay; those that have ended meanwhile are passed over."""

    __slots__ = ("_heap", "_next")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Piece]] = []
        self._next = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, piece: Piece, due: float) -> None:
        """Have a piece wait until *due*."""
        heappush(self._heap, (due, self._next, piece))
        self._next += 1

    def next_due(self) -> float | None:
        """Return when the next one falls due."""
        while self._heap and self._heap[0][2].phase is not Phase.DELAYED:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> Piece | None:
        """Take out one that has waited long enough."""
        due = self.next_due()
        return None if due is None or due > now else heappop(self._heap)[2]

    def due_of(self, piece: Piece) -> float | None:
        """Return when a piece falls due, None if it is not delayed."""
        return next((due for due, _, known in self._heap if known is piece), None)


class Step:
    """What one event leads to.

    Attributes:
        stops: Hand-outs that nobody waits for any more, by slave.
        gone: Tasks that have ended without success, as far as others may follow them.
        accused: Slaves that failed tasks which were done elsewhere.
        thinned: Pieces of which some tasks were cancelled, by their first one.
    """

    __slots__ = ("accused", "gone", "now", "orders", "stops", "thinned")

    def __init__(self, now: float) -> None:
        self.now = now
        self.orders: list[Order] = []
        self.stops: dict[str, list[HandOut]] = {}
        self.accused: dict[str, Slave] = {}
        self.gone: list[range] = []
        self.thinned: dict[int, Piece] = {}

    def order_stops(self, slaves: Container[str]) -> None:
        """Say which hand-outs have become pointless, to those slaves that are still here."""
        for slave, hand_outs in self.stops.items():
            if slave in slaves:
                self.orders.append(StopTasks(slave, hand_outs))


class State:
    """All of it; only the scheduler changes it.

    Attributes:
        waiting: Tasks in the queues of all demands.
        shares: What each owner uses, of several.
        followers: First tasks of the pieces that wait for a task to succeed, by that task.
        blocked: For how many each of these waits.
        trials: When which slave in quarantine is to be tried, at the soonest; a heap.
        changed_at: When a task was last handed out or settled, or a slave came or went.
        look_at: When to look for stragglers next.
    """

    __slots__ = (
        "blocked",
        "changed_at",
        "counts",
        "delays",
        "estimates",
        "feeding",
        "followers",
        "look_at",
        "pieces",
        "roster",
        "shares",
        "trials",
        "waiting",
    )

    def __init__(self, feeding: Feeding) -> None:
        self.feeding = feeding
        self.pieces = Pieces()
        self.waiting = 0
        self.followers: dict[int, list[int]] = {}
        self.blocked: dict[int, int] = {}
        self.delays = Delays()
        self.shares = Shares(feeding.feed_ahead_s)
        self.roster = Roster(feeding, self.shares)
        self.estimates = Estimates()
        self.counts = Counts()
        self.trials: list[tuple[float, str]] = []
        self.changed_at = 0.0
        self.look_at = 0.0

    @property
    def slaves(self) -> OrderedDict[str, Slave]:
        """Slaves by name, the one that was heard of longest ago first."""
        return self.roster.by_name

    @property
    def tasks(self) -> dict[int, Piece]:
        """Pieces that have not ended, by the number of their first task."""
        return self.pieces.by_first

    def phase_of(self, task: int) -> Phase | None:
        """Return where a task stands; None if it has ended, or was never submitted."""
        piece = self.pieces.around(task)
        return piece.phase if piece is not None and piece.open_within(task, task + 1) else None

    def unstarted(self) -> list[range]:
        """Return the tasks that are not with a slave."""
        return [
            row
            for piece in self.pieces.by_first.values()
            if piece.phase is not Phase.OUT
            for row in piece.open_within(piece.first, piece.stop)
        ]

    def release(self, piece: Piece, attempt: int, seconds: float | None = None) -> None:
        """An attempt of a piece is not out any more; it took so long, if that is known."""
        holder = piece.holder_of(attempt)
        if self.shares.is_shared:
            if seconds is None:
                slave = self.roster.by_name.get(holder)
                since = None if slave is None else slave.started.get(piece.first)
                seconds = 0.0 if since is None else self.shares.now - since
            self.shares.settle((piece.first, attempt), seconds)
        piece.former = (*piece.former, (attempt, holder))
        if piece.attempt == attempt:
            self._release_from(piece.holder, piece)
            piece.attempt, piece.holder = piece.second or (0, "")
        else:
            assert piece.second is not None
            self._release_from(piece.second[1], piece)
        piece.second = None

    def end_attempt(
        self, hand_out: HandOut, slave: str, seconds: float | None = None
    ) -> Piece | None:
        """Return the piece of which this was out with a slave, and is not any more; None if it was
        not, or is out with another one. It took so long, if that is known.
        """
        piece = self.find_out(hand_out, slave)
        if piece is not None:
            self.release(piece, hand_out.attempt, seconds)
        return piece

    def find_out(self, hand_out: HandOut, slave: str) -> Piece | None:
        """Return the piece of which this is out with a slave; None if it is not."""
        piece = self.pieces.by_first.get(hand_out.task)
        if piece is None or piece.stop - piece.first != hand_out.count:
            return None
        return piece if (hand_out.attempt, slave) in piece.live() else None

    def held_by(self, name: str) -> list[Held]:
        """Return what a slave has: nothing, of one that is not here."""
        slave, by_first = self.slaves.get(name), self.pieces.by_first
        if slave is None:
            return []
        held = []
        for first in slave.started:
            piece = by_first[first]
            attempt = next(number for number, holder in piece.live() if holder == name)
            held.append(Held(HandOut(first, attempt, piece.stop - first), is_started=True))
        ahead = (hand_out for hand_out in slave.ahead if slave.is_live(hand_out, by_first))
        return held + [Held(hand_out, is_started=False) for hand_out in ahead]

    def charge(self, piece: Piece, attempt: int) -> None:
        """An attempt of a piece is out, and several owners share the slots."""
        key = (piece.first, attempt)
        self.shares.charge(piece.terms.owner, key, piece.expected_s)

    def charge_all(self) -> None:
        """Charge what is out: there was one owner by now, for which nothing was counted."""
        self.shares.is_new = False
        by_first = self.pieces.by_first
        for slave in self.slaves.values():
            for held in self.held_by(slave.name):
                piece = by_first[held.hand_out.task]
                self.charge(piece, held.hand_out.attempt)

    def forget_owners(self) -> None:
        """Forget the owners that have nothing here any more."""
        self.shares.sweep(set().union(*(demand.queue.owners() for demand in self.roster.demands)))

    def _release_from(self, name: str, piece: Piece) -> None:
        slave = self.roster.by_name.get(name)
        if slave is not None:
            slave.release(piece)
            self.roster.touched[name] = slave

    def to_front(self, piece: Piece, trigger: Trigger) -> None:
        """Have a piece wait at the front of the queue."""
        piece.phase = next_phase(piece.phase, trigger)
        demand = self.note_waiting(piece, piece.count_open())
        demand.queue.put_back(piece)

    def note_waiting(self, piece: Piece, count: int) -> Demand:
        """So many tasks of a piece wait from now on; returns what they demand."""
        demand = self.roster.demand_of(piece.terms)
        self.waiting += count
        demand.waiting += count
        if piece.span is not None:
            piece.span.waiting += count
        self.roster.demands.stirred[demand] = None
        return demand

    def end_part(self, piece: Piece, part: range) -> None:
        """Tasks of a piece have ended; it has to be dropped when these were the last ones."""
        demand = self.roster.demand_of(piece.terms)
        if piece.phase is Phase.WAITING:
            self.waiting -= len(part)
            demand.waiting -= len(part)
            if piece.span is not None:
                piece.span.waiting -= len(part)
        piece.end(part)
        demand.open -= len(part)

    def end(self, piece: Piece, trigger: Trigger, step: Step) -> None:
        """A piece has ended, with all of its tasks: what is out of it is stopped."""
        if piece.phase is Phase.WAITING:
            self.roster.demand_of(piece.terms).queue.note_ended()
        elif piece.phase is Phase.BLOCKED:
            del self.blocked[piece.first]
        piece.phase = next_phase(piece.phase, trigger)
        for attempt, slave in piece.live():
            self.release(piece, attempt)
            hand_out = HandOut(piece.first, attempt, piece.stop - piece.first)
            step.stops.setdefault(slave, []).append(hand_out)
        self.pieces.drop(piece)
