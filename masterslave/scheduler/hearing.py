"""The ledger's one ear: what is said to the scheduler, and what it has to lead to."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from heapq import heappush

from masterslave.scheduler.accounts import Accounts
from masterslave.scheduler.entries import CANCELLED, OPEN, Seat, Submission
from masterslave.scheduler.events import (
    Event,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    SlaveAsked,
    SlaveHeard,
    SlaveJoined,
    SlaveLeft,
    SlaveReleased,
    SlaveUnable,
    SpanSubmitted,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
    TimePassed,
)
from masterslave.scheduler.feeding import Feeding

__all__ = ["Hearing"]


class Hearing(Accounts):
    """Writes events down.

    Args:
        silence_s: As the scheduler's.
    """

    def __init__(self, feeding: Feeding, silence_s: float) -> None:
        super().__init__(feeding)
        self.silence_s = silence_s

    def _note_event(self, event: Event) -> None:
        match event:
            case TasksReturned():
                self._note_returned(event)
            case HandOutsGivenBack():
                for hand_out in reversed(event.hand_outs):
                    self._note_given_back(hand_out, event.slave)
            case HandOutsLost():
                self._note_lost(event)
            case SlaveUnable():
                self._note_unable(event)
            case TasksSubmitted(tasks=tasks, terms=terms):
                one = Submission(tasks[0], tasks[-1] + 1, terms, event.sizes)
                self._note_submitted(one, event.after)
            case SpanSubmitted(first=first, count=count, terms=terms):
                one = Submission(first, first + count, terms, (), event.item_bytes, is_span=True)
                self._note_submitted(one, event.after)
            case TasksCancelled():
                for task in filter(self.is_open, event.tasks):
                    self.counts["cancelled"] += 1
                    self._end(range(task, task + 1), CANCELLED)
            case TimePassed():
                for name, heard_at in self.heard.items():
                    if heard_at + self.silence_s > self.now:
                        break
                    self.moment.silent.add(name)
            case _:
                self._note_word(event)

    def _note_word(
        self, event: SlaveJoined | SlaveAsked | SlaveHeard | SlaveLeft | SlaveReleased
    ) -> None:
        match event:
            case SlaveReleased():  # which is a word of the script's
                seat = self.seats.get(event.slave)
                if seat is not None and seat.is_quarantined:
                    self.moment.releases.add(event.slave)
                    self._touch(event.slave)
                return
            case SlaveJoined():
                self.seats[event.slave] = Seat(event.slave, event.slots, event.offers, event.tags)
                self.heard[event.slave] = self.now
                self.counts["slaves_joined"] += 1
                self._touch(event.slave)
            case SlaveAsked() if event.slave in self.seats:
                self.seats[event.slave].slots = max(0, event.slots)
                self._touch(event.slave)
            case SlaveLeft():
                self._note_left(event.slave, in_peace=event.in_peace)
        self._hear(event.slave)

    def _note_submitted(self, submission: Submission, after: Sequence[int]) -> None:
        count = submission.stop - submission.first
        assert submission.first == len(self.status), "tasks have to be numbered in a row"
        self.submissions.append(submission)
        self._firsts.append(submission.first)
        submission.blocked_by = set(filter(self.is_open, after))
        for task in submission.blocked_by:
            self.followers.setdefault(task, []).append(submission)
        self.status.extend(bytes([OPEN]) * count)
        self.latest.extend(array("l", [0]) * count)
        self.holder.extend([""] * count)
        if not submission.blocked_by:
            self._ask_again(submission)
            self._wait(submission, count)
        self.counts["submitted"] += count

    def _note_given_back(self, hand_out: HandOut, slave: str) -> None:
        out = self._end_attempt(hand_out, slave)
        if out is None or any(map(self.is_covered, out.tasks)):
            return
        if out.terms.function in self.seats[slave].unable:
            self._ask_again(self.submission_of(out.tasks.start))

    def _note_unable(self, event: SlaveUnable) -> None:
        out = self._end_attempt(event.hand_out, event.slave)
        if out is None:
            return
        function, seat = out.terms.function, self.seats[event.slave]
        seat.unable.add(function)
        if function not in self.partial:
            self._separate(function)
        for ask in self.slots_of:
            self._count_slots(ask)
        for submission in self.submissions:
            ask = self.ask_of(submission.terms)
            is_meant = ask[2] == function and submission.waiting and seat.could_meet(ask)
            if is_meant and not any(other.meets(ask) for other in self.seats.values()):
                tasks = range(submission.first, submission.stop)
                self.moment.unable.update(filter(self._waits, tasks))

    def _separate(self, function: int) -> None:
        """Some slave cannot run a function: what waits of it is counted apart."""
        self.partial.add(function)
        for submission in self.submissions:
            terms, count = submission.terms, submission.waiting
            if terms.function == function and count:
                before, ask = (terms.needs, terms.tags, -1), self.ask_of(terms)
                self.waiting[before, terms.priority] -= count
                self.waiting_of[before] -= count
                self.waiting[ask, terms.priority] += count
                self.owners[before, terms.priority][terms.owner] -= count
                self.owners[ask, terms.priority][terms.owner] += count
                self.waiting_of[ask] += count
                self.moment.stirred.add(ask)

    def _waits(self, task: int) -> bool:
        is_there = self.is_open(task) and not self.submission_of(task).blocked_by
        return is_there and not self.is_covered(task) and task not in self.delayed

    def _note_returned(self, event: TasksReturned) -> None:
        self._hear(event.slave)
        self.moment.raised, self.moment.failed = event.to_retry, event.failed
        self._note_trial(event)
        for hand_out, seconds in zip(event.hand_outs, event.seconds, strict=True):
            out = self._end_attempt(hand_out, event.slave, seconds)
            if out is not None:
                self.moment.returned.add((hand_out.task, hand_out.attempt))
                self._learn(out.terms.function, seconds / hand_out.count)
            self._expect_answers(hand_out, event, was_live=out is not None)

    def _note_trial(self, event: TasksReturned) -> None:
        """Write down whether it ends a quarantine."""
        seat = self.seats.get(event.slave)
        if seat is None or seat.trial is None:
            return
        for hand_out in event.hand_outs:
            if (hand_out.task, hand_out.attempt) == seat.trial:
                tasks = range(hand_out.task, hand_out.task + hand_out.count)
                if event.to_retry.isdisjoint(tasks):
                    self.moment.releases.add(event.slave)
                else:
                    seat.trial = None

    def _expect_answers(self, hand_out: HandOut, event: TasksReturned, *, was_live: bool) -> None:
        """Write down which tasks this outcome has to settle."""
        answers, attempt = self.moment.answers, hand_out.attempt
        for task in range(hand_out.task, hand_out.task + hand_out.count):
            if (
                not self.is_open(task)
                or task in answers
                or not self.was_handed(event.slave, task, attempt)
            ):
                self.counts["late"] += 1
            elif task not in event.to_retry:
                answers[task] = attempt
            elif not was_live:
                self.counts["late"] += 1  # it runs again anyway
            elif self.retried[task] >= self.submission_of(task).terms.retries:
                answers[task] = attempt
            else:
                self._retry(task, event.slave)

    def _retry(self, task: int, slave: str) -> None:
        terms = self.submission_of(task).terms
        due = self.now + terms.pause_s(self.retried[task])
        self.retried[task] += 1
        self.counts["retried"] += 1
        self.failed_at[task].append(slave)
        if not self.is_covered(task):
            self._wait(self.submission_of(task), -1)
            self.delayed[task] = due
            heappush(self._dues, (due, task))

    def _note_lost(self, event: HandOutsLost) -> None:
        out = self._end_attempt(event.hand_out, event.slave)
        seat = self.seats.get(event.slave)
        if out and seat and seat.trial == (event.hand_out.task, event.hand_out.attempt):
            seat.trial = None
        if out is None or (event.culprit >= 0 and event.culprit not in out.tasks):
            return
        if len(out.tasks) == 1:
            self._blame(out.tasks.start, out.slave)
        elif event.culprit < 0:
            self.suspects.update(out.tasks)
        elif self.is_open(event.culprit) and not any(map(self.is_covered, out.tasks)):
            self._blame(event.culprit, out.slave)

    def _blame(self, task: int, slave: str) -> None:
        if self.is_open(task):
            self.losses[task] += 1
            self.failed_at[task].append(slave)
            if self.losses[task] >= self.submission_of(task).terms.max_attempts:
                self.moment.give_ups.add(task)

    def _note_left(self, name: str, *, in_peace: bool) -> None:
        seat = self.seats.get(name)
        if seat is None:
            return
        seat.slots = 0
        self._touch(name)
        started = list(seat.started)
        for task, number in [*started, *seat.ahead]:
            count = len(self.out[task, number].tasks)
            out = self._end_attempt(HandOut(task, number, count), name)
            if out is None or in_peace or (task, number) not in started:
                continue
            if len(out.tasks) == 1:
                self._blame(task, name)
            else:
                self.suspects.update(out.tasks)
        self._settle_seats()
        del self.seats[name], self.heard[name]
        self.counts["slaves_left" if in_peace else "slaves_lost"] += 1
