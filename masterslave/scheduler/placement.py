"""Who gets what: free slots first, one each in turn; then slaves are fed ahead, evenly.

What is fed ahead is bounded in estimated seconds, so nobody is fed ahead with tasks of a function
that has not come back yet, or that take longer than all that a slot may have ahead.
"""

from __future__ import annotations

from masterslave.scheduler import quarantine
from masterslave.scheduler.events import HandOut, Terms
from masterslave.scheduler.orders import SendTasks
from masterslave.scheduler.pieces import Piece, Span
from masterslave.scheduler.slaves import Slave
from masterslave.scheduler.state import State, Step
from masterslave.scheduler.transitions import Phase, Trigger, next_phase

__all__ = ["feed"]

_AFTER_HAND_OUT = next_phase(Phase.WAITING, Trigger.HANDED_OUT)

Batches = dict[str, list[HandOut]]


def feed(state: State, step: Step) -> None:
    """Give waiting tasks to slaves that take them."""
    batches: Batches = {}
    if state.trials:
        _try_quarantined(state, batches, step.now)
    _feed_free_slots(state, batches, step.now)
    if state.waiting and state.roster.hungry:
        _feed_ahead(state, batches)
    if batches:
        state.changed_at = step.now
    for name, hand_outs in batches.items():
        step.orders.append(SendTasks(name, hand_outs))


def _feed_free_slots(state: State, batches: Batches, now: float) -> None:
    roster, queue = state.roster, state.queue
    free = roster.free
    while free and state.waiting:
        head = queue.head()
        assert head is not None
        name, slave = free.popitem(last=False)
        estimate = state.estimates.by_function.get(head.terms.function)
        mean_s = 0.0 if estimate is None else estimate.mean_s
        hand_out = _hand_out(state, head, slave, mean_s)
        slave.started[hand_out.task] = now
        batches.setdefault(name, []).append(hand_out)
        roster.line_up(slave)


def _try_quarantined(state: State, batches: Batches, now: float) -> None:
    """Try slaves whose quarantine has lasted for long enough, each with one hand-out."""
    while state.waiting and (slave := quarantine.take_due(state, now)) is not None:
        head = state.queue.head()
        assert head is not None
        slave.trial = _hand_out(state, head, slave, 0.0)
        slave.started[slave.trial.task] = now
        batches[slave.name] = [slave.trial]


def _feed_ahead(state: State, batches: Batches) -> None:
    """Divide what waits among those that take, the one that holds the least first, in rounds."""
    hungry = state.roster.hungry
    slots_to_serve, share = 0, 0
    while state.waiting and hungry:
        if slots_to_serve <= 0:
            slots_to_serve = hungry.weight
            share = -(-state.waiting // slots_to_serve)
        slave = hungry.take_lowest()
        slots_to_serve -= slave.slots
        hand_outs = batches.setdefault(slave.name, [])
        is_served = _feed_one_ahead(state, slave, share * slave.slots, hand_outs)
        state.roster.line_up(slave)
        if not is_served:  # what is next is not for feeding ahead
            if not hand_outs:
                del batches[slave.name]
            return


def _feed_one_ahead(state: State, slave: Slave, share: int, hand_outs: list[HandOut]) -> bool:
    """Give a slave so many tasks ahead, or as many as it takes; tells whether it took any."""
    feed, queue, name = state.feeding, state.queue, slave.name
    longest_s, most = feed.feed_ahead_s * slave.slots, feed.max_ahead * slave.slots
    terms: Terms | None = None
    mean_s = 0.0
    give, line_up = hand_outs.append, slave.ahead.append
    top = queue.top
    given = singles = again = 0
    while given < share and slave.ahead_s < longest_s and slave.ahead_count < most:
        if top and top[0].phase is Phase.WAITING:
            piece = top[0]
        else:
            head = queue.head()
            if head is None:
                break
            piece, top = head, queue.top
        if piece.terms is not terms:
            terms = piece.terms
            estimate = state.estimates.by_function.get(terms.function)
            if estimate is None or estimate.mean_s > feed.feed_ahead_s:
                break
            mean_s = estimate.mean_s
        if piece.span is not None or piece.size:
            if not _fits_ahead(state, piece, mean_s):
                break
            hand_out = _hand_out(state, piece, slave, mean_s)
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
        slave.ahead_s += mean_s
        slave.ahead_count += 1
        given += 1
        singles += 1
        if attempt > 1:
            again += 1
    slave.held_count += singles
    state.waiting -= singles
    state.counts.handed_out += singles
    state.counts.handed_out_again += again
    return given > 0


def _fits_ahead(state: State, piece: Piece, mean_s: float) -> bool:
    """Tell whether what comes next may be given ahead at all, by its bytes and its time."""
    feed = state.feeding
    count, size = 1, piece.size
    if piece.span is not None:
        count = _chunk(state, piece, piece.span, mean_s)
        size = count * piece.span.item_bytes
    return size <= feed.ahead_bytes and count * mean_s <= feed.feed_ahead_s


def _hand_out(state: State, piece: Piece, slave: Slave, mean_s: float) -> HandOut:
    """Make the hand-out whose turn it is, of the piece at the head of the queue.

    Args:
        mean_s: What a task of its function takes, in seconds; 0 where that is not known.
    """
    if piece.span is None:
        state.queue.top.popleft()
    else:
        piece = _cut_chunk(state, piece, piece.span, mean_s)
    count = piece.stop - piece.first
    piece.phase = next_phase(piece.phase, Trigger.HANDED_OUT)
    piece.attempts += 1
    piece.attempt = piece.attempts
    piece.holder = slave.name
    piece.expected_s = count * mean_s
    slave.held_count += count
    state.waiting -= count
    state.counts.handed_out += count
    if piece.attempts > 1:
        state.counts.handed_out_again += count
    return HandOut(piece.first, piece.attempts, count)


def _cut_chunk(state: State, piece: Piece, span: Span, mean_s: float) -> Piece:
    """Take a chunk off the front of the piece that is at the head of the queue."""
    if piece.open is not None:
        state.queue.top.popleft()
        for part in reversed(state.pieces.split_at_holes(piece)):
            state.queue.put_back(part)
    count = min(_chunk(state, piece, span, mean_s), piece.stop - piece.first)
    if piece.first + count == piece.stop:
        state.queue.top.popleft()
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
    slots = max(1, state.roster.slots)
    by_time = min(state.feeding.max_chunk, int(state.feeding.chunk_s / mean_s))
    return max(1, min(by_time, -(-span.waiting // (2 * slots))))
