"""Outcomes that arrive: each is taken in once, and becomes an event for the scheduler.

A slave may say anything. What it may speak of, ``claims`` judges; what it says of the rest changes
nothing. Who uses this holds the master's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from masterslave.master.answers import Outcomes
from masterslave.master.claims import Claims
from masterslave.master.decisions import Decisions
from masterslave.master.evidence import (
    broken_by,
    post_mortem_of,
    reason_of_loss,
    reason_why_unable,
)
from masterslave.master.seats import Seat, bare_name
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import Hold
from masterslave.protocol.outcomes import (
    BROKEN,
    ENDS,
    GIVEN_BACK,
    GOES_ON,
    LOST,
    REPORT,
    UNABLE,
    Outcome,
)
from masterslave.scheduler import (
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    SlaveUnable,
    TasksReturned,
)

if TYPE_CHECKING:  # it needs SQLite
    from masterslave.master.recording import Recording

__all__ = ["Arrivals"]

_LONGEST_S = 1e9
_MOST_FROM_GONE = 10_000
_NONE: frozenset[int] = frozenset()


class Arrivals:
    """Takes in what slaves say of their hand-outs."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._claims = Claims(decisions.book, decisions.scheduler.state)
        self._from_gone: set[tuple[str, int, int]] = set()

    def take(
        self, token: str, sequence: int, outcomes: Sequence[Outcome], to_retry: frozenset[int]
    ) -> None:
        """Take outcomes in, those that have not come before; *sequence* is the last one's number.

        Of a slave that is gone they are taken, too; of a stranger none is.
        """
        seat = self._decisions.table.by_token.get(token)
        if seat is None:
            return
        new = min(len(outcomes), sequence - seat.delivered)
        seat.delivered = max(seat.delivered, sequence)
        if self._decisions.recording is None:
            seat.recorded = seat.delivered
        if new > 0:
            fresh = outcomes[-new:]
            if self._decisions.table.seated(token) is None:
                self._remember(seat, fresh)
            elif self._from_gone:
                fresh = [one for one in fresh if not self._has_come(seat, one)]
            self._sort(seat, self._pass_on(seat, fresh), to_retry)

    def _remember(self, seat: Seat, outcomes: Sequence[Outcome]) -> None:
        """A slave that was given up brings these; it is to join anew, and brings them again."""
        if len(self._from_gone) > _MOST_FROM_GONE:
            self._from_gone.clear()  # what is forgotten is counted as late twice
        self._from_gone.update(
            (seat.slave, one.task, one.attempt) for one in outcomes if one.kind in ENDS
        )

    def _has_come(self, seat: Seat, outcome: Outcome) -> bool:
        if outcome.kind not in ENDS:
            return False
        known = {(name, outcome.task, outcome.attempt) for name in seat.names} & self._from_gone
        self._from_gone -= known
        return bool(known)

    def note_holds(self, seat: Seat, holds: Sequence[Hold]) -> None:
        """A slave that joins has these still."""
        inherited = self._decisions.inherited
        if inherited is not None:
            inherited.joined(seat, self._claims.of_earlier_runs(holds))

    def _pass_on(self, seat: Seat, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Hand over what is of earlier runs of the farm; returns the rest, and what is no use."""
        inherited, is_of_earlier_run = self._decisions.inherited, self._claims.is_of_earlier_run
        if inherited is None or not any(is_of_earlier_run(one.task) for one in outcomes):
            return outcomes
        return [
            one
            for one in outcomes
            if not (is_of_earlier_run(one.task) and inherited.take(seat, one))
        ]

    def _sort(self, seat: Seat, outcomes: Sequence[Outcome], to_retry: frozenset[int]) -> None:
        """Take outcomes in, those that settle tasks first."""
        decisions = self._decisions
        returned: dict[str, list[Outcome]] = {}
        by_key: Outcomes = {}
        others: list[Outcome] = []
        for outcome in outcomes:
            kind = outcome.kind
            if not self._claims.is_possible(outcome):
                if kind == REPORT:
                    decisions.errands.take(seat, outcome, decisions.answers.waiting.append)
                continue
            if (outcome.task, outcome.attempt) in by_key:
                continue
            if kind in ENDS:
                returned.setdefault(self._claims.name_of(seat, outcome), []).append(outcome)
                by_key[outcome.task, outcome.attempt] = outcome
            elif kind in GOES_ON:  # before its task is settled
                self._note(seat, outcome)
            else:
                others.append(outcome)
        for name, ended in returned.items():
            hand_outs = [HandOut(one.task, one.attempt, one.count) for one in ended]
            seconds = [one.seconds if 0 <= one.seconds < _LONGEST_S else 0.0 for one in ended]
            decisions.loans.end(hand_outs, name)
            failed = self._failed_of(ended) if decisions.scheduler.state.followers else _NONE
            decisions.handle(TasksReturned(name, hand_outs, seconds, to_retry, failed), by_key)
            if to_retry and decisions.recording is not None:
                self._note_retried(decisions.recording, name, ended, to_retry)
        for outcome in others:
            self._take_other(seat, outcome)

    def _note_retried(
        self,
        recording: Recording,
        slave: str,
        outcomes: Sequence[Outcome],
        to_retry: frozenset[int],
    ) -> None:
        """Write down which of these that raised are run again: those that have no answer."""
        find, phase_of = self._decisions.book.find, self._decisions.scheduler.state.phase_of
        for outcome in outcomes:
            its = range(outcome.task, outcome.task + outcome.count)
            for task in sorted(to_retry.intersection(its)):
                submission = find(task)
                if submission is not None and phase_of(task) is not None:
                    is_item = submission.is_span
                    recording.note_retried(bare_name(slave), outcome, task, is_item=is_item)

    def _failed_of(self, outcomes: Sequence[Outcome]) -> frozenset[int]:
        is_value = self._decisions.answers.is_value
        return frozenset(one.task for one in outcomes if not is_value(one))

    def _note(self, seat: Seat, outcome: Outcome) -> None:
        # Under the lock: another thread may be about to hand the task's answer over.
        submission = self._decisions.book.find(outcome.task)
        if submission is not None and self._claims.was_handed(seat, outcome):
            submission.note_told(outcome)

    def _take_other(self, seat: Seat, outcome: Outcome) -> None:
        """Take in an outcome after which a task has no answer yet."""
        decisions, kind = self._decisions, outcome.kind
        hand_out = HandOut(outcome.task, outcome.attempt, outcome.count)
        name = self._claims.name_of(seat, outcome)
        if kind == BROKEN:
            if decisions.broken is None and decisions.scheduler.state.find_out(hand_out, name):
                decisions.break_by(broken_by(outcome.payload, name))
            return
        decisions.loans.end((hand_out,), name)
        if kind == LOST:
            self._take_loss(name, hand_out, outcome)
        elif kind == GIVEN_BACK:
            decisions.handle(HandOutsGivenBack(name, (hand_out,)))
        elif kind == UNABLE:
            reason = reason_why_unable(outcome.payload)
            key = (outcome.task, outcome.attempt)
            decisions.handle(SlaveUnable(name, hand_out, reason), {key: outcome})

    def _take_loss(self, slave: str, hand_out: HandOut, outcome: Outcome) -> None:
        """The process that ran something has died."""
        decisions = self._decisions
        post_mortem = post_mortem_of(outcome.payload)
        culprit = outcome.task + outcome.item if outcome.item >= 0 else -1
        if decisions.recording is not None and decisions.scheduler.state.find_out(hand_out, slave):
            decisions.recording.note_lost(
                bare_name(slave), hand_out, post_mortem.how, encode(post_mortem), culprit
            )
        decisions.handle(HandOutsLost(slave, hand_out, reason_of_loss(post_mortem), culprit))
