"""Who gets what: free slots first, one each in turn; then slaves are fed ahead, evenly.

Of one priority, owners take turns by what they use (``shares``).

What is fed ahead is bounded in estimated seconds, so nobody is fed ahead with tasks of a function
that has not come back yet, or that take longer than all that a slot may have ahead. Tasks that need
amounts are never fed ahead: a slave starts what it holds without a look at what it offers. And what
must wait for a slot of its own is not passed over: a slave for which such a task waits is fed
nothing ahead that is not of a higher priority.
"""

from __future__ import annotations

from masterslave.scheduler import quarantine
from masterslave.scheduler.events import HandOut, Terms
from masterslave.scheduler.orders import SendTasks
from masterslave.scheduler.pieces import Piece, Span
from masterslave.scheduler.slaves import Demand, Slave
from masterslave.scheduler.state import State, Step
from masterslave.scheduler.transitions import Phase, Trigger, next_phase

__all__ = ["feed"]

# A slave that may not be fed what waits is passed over: at most so many of them in a step, so that
# it costs the same however many there are.
_LOOKS = 8

_AFTER_HAND_OUT = next_phase(Phase.WAITING, Trigger.HANDED_OUT)

Batches = dict[str, list[HandOut]]


def feed(state: State, step: Step) -> None:
    """Give waiting tasks to slaves that take them."""
    batches: Batches = {}
    if state.trials:
        _try_quarantined(state, batches, step.now)
    stirred = list(state.roster.demands.stirred)
    _feed_free_slots(state, stirred, batches, step.now)
    if state.waiting:
        hungry = [one for one in stirred if one.waiting and one.hungry.weight and not one.needs]
        if len(hungry) > 1:
            hungry.sort(key=Demand.turn)
        for demand in hungry:
            _feed_ahead(state, demand, batches)
    if batches:
        state.changed_at = step.now
    for name, hand_outs in batches.items():
        step.orders.append(SendTasks(name, hand_outs))


def _feed_free_slots(state: State, demands: list[Demand], batches: Batches, now: float) -> None:
    """Fill free slots, each with the task whose turn it is among those that its slave can take."""
    ready = [demand for demand in demands if demand.waiting and demand.free]
    while ready:
        demand = ready[0] if len(ready) == 1 else min(ready, key=Demand.turn)
        head = demand.queue.head()
        assert head is not None
        name, slave = demand.free.popitem(last=False)
        estimate = state.estimates.by_function.get(head.terms.function)
        mean_s = 0.0 if estimate is None else estimate.mean_s
        hand_out = _hand_out(state, demand, head, slave, mean_s)
        slave.start(hand_out.task, demand.needs, now)
        batches.setdefault(name, []).append(hand_out)
        state.roster.line_up(slave)
        if len(ready) > 1 or not (demand.waiting and demand.free):
            ready = [one for one in ready if one.waiting and one.free]


def _try_quarantined(state: State, batches: Batches, now: float) -> None:
    """Try slaves whose quarantine has lasted for long enough, each with one hand-out."""
    while state.waiting and (due := quarantine.take_due(state, now)) is not None:
        slave, demand = due
        head = demand.queue.head()
        assert head is not None
        slave.trial = _hand_out(state, demand, head, slave, 0.0)
        slave.start(slave.trial.task, demand.needs, now)
        batches[slave.name] = [slave.trial]


def _feed_ahead(state: State, demand: Demand, batches: Batches) -> None:
    """Divide what waits among those that take, the one that holds the least first, in rounds."""
    hungry = demand.hungry
    slots_to_serve, share, in_vain = 0, 0, 0
    while demand.waiting and hungry and in_vain < _LOOKS:
        if slots_to_serve <= 0:
            slots_to_serve = hungry.weight
            share = -(-demand.waiting // slots_to_serve)
        slave = hungry.take_lowest()
        slots_to_serve -= slave.slots
        floor = _floor(state, slave, demand) if len(slave.demands) > 1 else None
        hand_outs = batches.setdefault(slave.name, [])
        is_served = _feed_one_ahead(state, demand, slave, share * slave.slots, hand_outs, floor)
        state.roster.line_up(slave)
        if not is_served:
            if not hand_outs:
                del batches[slave.name]
            if floor is None:  # what is next is not for feeding ahead
                return
            in_vain += 1


def _floor(state: State, slave: Slave, demand: Demand) -> int | None:
    """Return the lowest priority that a slave may be fed ahead of this demand, beside the others of
    which something waits for it; None where any may.
    """
    floor = None
    for other in slave.demands:
        if other is not demand and other.waiting and (head := other.queue.head()) is not None:
            is_for_a_free_slot = bool(other.needs) or not _may_go_ahead(state, head)
            lowest = head.terms.priority + is_for_a_free_slot
            floor = lowest if floor is None else max(floor, lowest)
    return floor


def _may_go_ahead(state: State, piece: Piece) -> bool:
    """Tell whether what comes next may be given ahead, to whoever has room for it."""
    mean_s = _seconds_ahead(state, piece.terms)
    if piece.span is None and not piece.size:
        return mean_s > 0.0
    return mean_s > 0.0 and _fits_ahead(state, piece, mean_s)


def _seconds_ahead(state: State, terms: Terms) -> float:
    """Return what a task takes that may be given ahead, in seconds; 0 where none may."""
    estimate = state.estimates.by_function.get(terms.function)
    if estimate is None or estimate.mean_s > state.feeding.feed_ahead_s:
        return 0.0
    return estimate.mean_s


def _feed_one_ahead(
    state: State,
    demand: Demand,
    slave: Slave,
    share: int,
    hand_outs: list[HandOut],
    floor: int | None,
) -> bool:
    """Give a slave so many tasks ahead, or as many as it takes; tells whether it took any."""
    feed, queue, name, before = state.feeding, demand.queue, slave.name, slave.ahead_count
    longest_s, most = feed.feed_ahead_s * slave.slots, feed.max_ahead * slave.slots
    terms: Terms | None = None
    mean_s = 0.0
    give, line_up = hand_outs.append, slave.ahead.append
    top, is_shared = queue.top, state.shares.is_shared
    given = singles = again = 0
    while given < share and slave.ahead_s < longest_s and slave.ahead_count < most:
        if not is_shared and top and top[0].phase is Phase.WAITING:
            piece = top[0]
        else:
            head = queue.head()
            if head is None:
                break
            piece, top = head, queue.top
        if piece.terms is not terms:
            terms = piece.terms
            mean_s = _seconds_ahead(state, terms)
            if not mean_s or (floor is not None and terms.priority < floor):
                break
        if piece.span is not None or piece.size:
            if not _fits_ahead(state, piece, mean_s):
                break
            hand_out = _hand_out(state, demand, piece, slave, mean_s)
            slave.add_ahead(hand_out, state.pieces.by_first[hand_out.task])
            given += hand_out.count
            give(hand_out)
            if slave.ahead_bytes >= feed.ahead_bytes:
                break
            continue
        # What follows is ``_hand_out`` and ``add_ahead`` for what comes by the hundred thousand.
        top.popleft()
        piece.phase = _AFTER_HAND_OUT
        attempt = piece.attempts + 1
        piece.attempts = piece.attempt = attempt
        piece.holder, piece.expected_s = name, mean_s
        hand_out = HandOut(piece.first, attempt)
        give(hand_out)
        line_up(hand_out)
        if is_shared:
            state.charge(piece, attempt)
        slave.ahead_s += mean_s
        slave.ahead_count += 1
        given += 1
        singles += 1
        again += attempt > 1
    slave.held_count += singles
    _count_fed(state, demand, singles, again)
    if given:
        slave.note_fed(demand, before)
    return given > 0


def _count_fed(state: State, demand: Demand, count: int, again: int) -> None:
    demand.waiting -= count
    state.waiting -= count
    state.counts.handed_out += count
    state.counts.handed_out_again += again


def _fits_ahead(state: State, piece: Piece, mean_s: float) -> bool:
    """Tell whether what comes next may be given ahead at all, by its bytes and its time."""
    feed = state.feeding
    count, size = 1, piece.size
    if piece.span is not None:
        count = _chunk(state, piece, piece.span, mean_s)
        size = count * piece.span.item_bytes
    return size <= feed.ahead_bytes and count * mean_s <= feed.feed_ahead_s


def _hand_out(state: State, demand: Demand, piece: Piece, slave: Slave, mean_s: float) -> HandOut:
    """Make the hand-out whose turn it is, of the piece at the head of the demand's queue.

    Args:
        mean_s: What a task of its function takes, in seconds; 0 where that is not known.
    """
    if piece.span is None:
        demand.queue.top.popleft()
    else:
        piece = _cut_chunk(state, demand, piece, piece.span, mean_s)
    count = piece.stop - piece.first
    piece.phase = next_phase(piece.phase, Trigger.HANDED_OUT)
    piece.attempts += 1
    piece.attempt = piece.attempts
    piece.holder = slave.name
    piece.expected_s = count * mean_s
    slave.held_count += count
    demand.waiting -= count
    state.waiting -= count
    state.counts.handed_out += count
    if piece.attempts > 1:
        state.counts.handed_out_again += count
    if state.shares.is_shared:
        state.charge(piece, piece.attempts)
    return HandOut(piece.first, piece.attempts, count)


def _cut_chunk(state: State, demand: Demand, piece: Piece, span: Span, mean_s: float) -> Piece:
    """Take a chunk off the front of the piece that is at the head of the demand's queue."""
    queue = demand.queue
    if piece.open is not None:
        queue.top.popleft()
        for part in reversed(state.pieces.split_at_holes(piece)):
            queue.put_back(part)
    count = min(_chunk(state, piece, span, mean_s), piece.stop - piece.first)
    if piece.first + count == piece.stop:
        queue.top.popleft()
    else:
        piece = state.pieces.cut_front(piece, piece.first + count)
    piece.size = count * span.item_bytes
    span.waiting -= count
    return piece


def _chunk(state: State, piece: Piece, span: Span, mean_s: float) -> int:
    """Return how many items of a span go out together: not more than leave its end balanced."""
    if piece.past is not None and piece.past.is_suspect:
        return 1
    if piece.terms.chunk > 0:
        return piece.terms.chunk
    if not mean_s:
        return 1
    slots = max(1, state.roster.demand_of(piece.terms).slots)
    by_time = min(state.feeding.max_chunk, int(state.feeding.chunk_s / mean_s))
    return max(1, min(by_time, -(-span.waiting // (2 * slots))))
