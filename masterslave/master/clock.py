"""The farm's clock: one thread that takes a turn when something is due.

That is a deadline that the scheduler has named, a poll that has waited for a heartbeat, and what
submitters have left to it: in a burst they *kick* it, and go on.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from queue import Empty, SimpleQueue

from masterslave.master.decisions import Decisions
from masterslave.master.seats import answer, take_poll
from masterslave.master.turns import Turn
from masterslave.protocol.encoding import encode
from masterslave.protocol.verbs import Instructions
from masterslave.scheduler import TimePassed

__all__ = ["Clock"]

log = logging.getLogger("masterslave")

_SHORTEST_S = 0.001


class Clock:
    """Takes turns in time.

    Args:
        kicks: True has it take a turn at once; False ends it.
        heartbeat_s: How long it sleeps at most.
    """

    def __init__(
        self, turn: Turn, decisions: Decisions, kicks: SimpleQueue[bool], *, heartbeat_s: float
    ) -> None:
        self._turn = turn
        self._decisions = decisions
        self._kicks = kicks
        self._heartbeat_s = heartbeat_s
        self._thread = threading.Thread(target=self._keep_time, name="farm clock", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End. Blocks until it has stopped."""
        self._kicks.put(False)
        if self._thread.is_alive():
            self._thread.join()

    def _keep_time(self) -> None:
        goes_on = True
        while goes_on:
            with contextlib.suppress(Empty):
                goes_on = self._kicks.get(timeout=self._seconds_to_deadline())
            try:
                self._look()
            except Exception:  # the clock goes on, whatever one moment has brought
                log.exception("the farm's clock met a fault")

    def _look(self) -> None:
        polls = []
        with self._turn as decisions:
            now = time.monotonic()
            deadline = decisions.scheduler.next_deadline()
            if deadline is not None and deadline <= now:
                decisions.handle(TimePassed())
            if decisions.inherited is not None:
                decisions.inherited.tick(now)
            for seat in decisions.table.seats.values():
                if seat.poll is not None and seat.poll.until <= now:
                    polls.append((take_poll(seat), seat.recorded))
        for poll, delivered in polls:
            answer(poll, encode(Instructions(delivered=delivered)))

    def _seconds_to_deadline(self) -> float:
        # Who asks while this sleeps is to be answered a heartbeat later, so it wakes by then.
        with self._turn.lock:
            seats = self._decisions.table.seats.values()
            deadlines = [seat.poll.until for seat in seats if seat.poll]
            inherited = self._decisions.inherited
            dues = (
                self._decisions.scheduler.next_deadline(),
                None if inherited is None else inherited.due,
            )
        deadlines += [due for due in dues if due is not None]
        if not deadlines:
            return self._heartbeat_s
        return min(max(min(deadlines) - time.monotonic(), _SHORTEST_S), self._heartbeat_s)
